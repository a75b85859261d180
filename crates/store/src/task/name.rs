//! Names: a queue, a task, and the labels that tasks are told apart by.
//!
//! A name is checked once, here, so that no backend has to doubt it later: it becomes part of a
//! Redis key, and a brace in it would move the key to another slot of a Cluster.

use std::fmt;
use std::sync::Arc;

use crate::{Error, Result};

/// The most bytes an app's, a queue's or a task's name may have.
pub const NAME_BYTES_MAX: usize = 128;

/// The most bytes a label may have.
pub const LABEL_BYTES_MAX: usize = 256;

/// A queue of an app. The app keeps the queues of several programs on one server apart.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueName {
    /// `app.queue`: an app's name has no dot, so it ends at the first.
    text: Arc<str>,
    app_len: usize,
}

impl QueueName {
    /// The name of a queue. A queue's name begins with a letter or `_`, and goes on with letters,
    /// digits, `.`, `_` and `-`, as Dramatiq has it; an app's has no `.`. Each has at most
    /// [`NAME_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// [`Error::Invalid`] for any other text.
    ///
    /// # Examples
    /// ```
    /// use tidegate_store::task::QueueName;
    /// let queue = QueueName::of_app("shop", "webhooks")?;
    /// assert_eq!(queue.to_string(), "webhooks");
    /// assert_eq!(queue.as_str(), "shop.webhooks");
    /// assert!(QueueName::of_app("shop", "web hooks").is_err());
    /// # Ok::<(), tidegate_store::Error>(())
    /// ```
    pub fn of_app(app: &str, queue: &str) -> Result<Self> {
        check_name("an app's name", app, "_-")?;
        check_name("a queue's name", queue, "._-")?;
        Ok(Self {
            text: format!("{app}.{queue}").into(),
            app_len: app.len(),
        })
    }

    /// The app.
    #[must_use]
    pub fn app(&self) -> &str {
        self.text.get(..self.app_len).unwrap_or_default()
    }

    /// The queue's own name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text.get(self.app_len + 1..).unwrap_or_default()
    }

    /// Both, as `app.queue`: no two queues share this text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text, f)
    }
}

/// The name by which a worker knows the function that a task calls.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskName(Arc<str>);

impl TaskName {
    /// The name of a task, by the rules of a queue's name; `:` is allowed as well.
    ///
    /// # Errors
    /// [`Error::Invalid`] for any other text.
    pub fn new(name: &str) -> Result<Self> {
        check_name("a task's name", name, "._:-")?;
        Ok(Self(name.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// What a user tells tasks apart by: a tenant, an order's number, a key of any kind.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label(Arc<str>);

impl Label {
    /// A label of 1 to [`LABEL_BYTES_MAX`] bytes without control characters.
    ///
    /// # Errors
    /// [`Error::Invalid`] for any other text.
    ///
    /// # Examples
    /// ```
    /// use tidegate_store::task::Label;
    /// assert!(Label::new("order 42 / Zürich").is_ok());
    /// assert!(Label::new("").is_err());
    /// assert!(Label::new("two\nlines").is_err());
    /// ```
    pub fn new(text: &str) -> Result<Self> {
        if text.is_empty() || text.len() > LABEL_BYTES_MAX || text.chars().any(char::is_control) {
            return Err(Error::Invalid(format!(
                "the key {:?}: 1 to {LABEL_BYTES_MAX} bytes without control characters are allowed",
                cut(text)
            )));
        }
        Ok(Self(text.into()))
    }

    /// The label as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

fn check_name(what: &str, name: &str, signs: &str) -> Result<()> {
    let begins = name.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_');
    let goes_on = |it: char| it.is_ascii_alphanumeric() || signs.contains(it);
    if begins && name.chars().all(goes_on) && name.len() <= NAME_BYTES_MAX {
        return Ok(());
    }
    let signs: Vec<String> = signs.chars().map(|it| format!("'{it}'")).collect();
    Err(Error::Invalid(format!(
        "{what} {:?}: it must begin with a letter or '_' and go on with letters, digits, {}, at most \
         {NAME_BYTES_MAX} of them",
        cut(name),
        signs.join(", "),
    )))
}

/// The beginning of a text that may be of any length.
fn cut(text: &str) -> String {
    text.chars().take(NAME_BYTES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_named_as_dramatiq_allows() {
        for good in ["a", "_", "default", "web-hooks", "mail.v2", "A_1"] {
            assert!(QueueName::of_app("shop", good).is_ok(), "{good:?}");
        }
        for bad in ["", "1a", "-a", ".a", "web hooks", "a{b}", "ä", "a:b"] {
            assert!(QueueName::of_app("shop", bad).is_err(), "{bad:?}");
        }
        assert!(QueueName::of_app("shop", &"a".repeat(128)).is_ok());
        assert!(QueueName::of_app("shop", &"a".repeat(129)).is_err());
    }

    #[test]
    fn an_app_and_a_queue_are_told_apart() {
        let queue = QueueName::of_app("shop", "mail.v2").unwrap();
        assert_eq!((queue.app(), queue.name()), ("shop", "mail.v2"));
        assert!(QueueName::of_app("shop.eu", "mail").is_err());
    }

    #[test]
    fn the_refusal_says_what_is_allowed() {
        let refusal = QueueName::of_app("shop", "web hooks").unwrap_err();
        assert!(refusal.to_string().contains("\"web hooks\""), "{refusal}");
        assert!(refusal.to_string().contains("letters, digits"), "{refusal}");
    }
}
