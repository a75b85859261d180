//! Dramatiq's queues on Redis, as its Python programs have them.
//!
//! Beside the [`Store`](crate::Store): what is kept here is not ours to shape. A message is bytes with
//! an id; what is in it is the caller's affair.
//!
//! ```text
//! enqueue ─► queue ── fetch ─► in a broker's hands ── settle ─► done │ dead letter │ back
//!              ▲                      │ it dies: recover ─► queue
//! delayed queue ── fetch, file ─► index by due time ── due, promote ─► queue
//! ```
//!
//! A message is in one of these places at every moment: each arrow is one step of the server. If
//! a process dies, what it has in hand goes back to its queue when its heartbeat is too old, and
//! Dramatiq's own workers find it there as well.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

pub use crate::redis::dramatiq::{Broker, Waiter};
use crate::{Error, Result};

/// The most messages that one call takes, files or moves.
pub const MESSAGES_MAX: usize = 1_000;

/// The longest name of a queue, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// The name of a queue: a letter or `_`, then letters, digits, `.`, `_` and `-`.
///
/// A name that ends with `.DQ` or `.XQ` is that of a queue's delayed or dead messages, not a queue's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueName(String);

impl QueueName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`Error::Invalid`] for any other; the text says what is allowed.
    ///
    /// # Examples
    /// ```
    /// use tidegate_store::dramatiq::QueueName;
    /// assert!(QueueName::new("web-hooks.v2").is_ok());
    /// assert!(QueueName::new("web hooks").is_err());
    /// assert!(QueueName::new("webhooks.DQ").is_err());
    /// ```
    pub fn new(name: &str) -> Result<Self> {
        let mut bytes = name.bytes();
        let starts_well = bytes
            .next()
            .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        let goes_on_well = bytes.all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if !starts_well || !goes_on_well || name.len() > NAME_BYTES_MAX {
            return Err(Error::Invalid(format!(
                "the queue {name:?}: a name is a letter or _, then letters, digits, . _ and -, at \
                 most {NAME_BYTES_MAX} in all"
            )));
        }
        if name.ends_with(".DQ") || name.ends_with(".XQ") {
            return Err(Error::Invalid(format!(
                "the queue {name:?}: names that end with .DQ and .XQ are those of delayed and dead \
                 messages"
            )));
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which of a queue's two lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Messages to be worked on.
    Ready,
    /// Messages whose time has not come.
    Delayed,
}

/// What a broker must be told beside the server; the defaults are Dramatiq's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What stands before every key.
    pub namespace: String,
    /// After how long without a sign of life a broker is taken for dead.
    pub heartbeat_timeout: Duration,
    /// How long dead letters are kept.
    pub dead_letter_lifetime: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            namespace: "dramatiq".into(),
            heartbeat_timeout: Duration::from_secs(60),
            dead_letter_lifetime: Duration::from_secs(7 * 24 * 60 * 60),
        }
    }
}

/// A broker's own id: one run of one process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BrokerId(String);

impl BrokerId {
    /// An id that nobody else has.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4().to_string())
    }

    pub(crate) fn of(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A message on its way into a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The queue.
    pub queue: QueueName,
    /// Its list of messages to be worked on, or of those that wait.
    pub lane: Lane,
    /// The message's id in the queue, new at every enqueue.
    pub id: String,
    /// The message.
    pub body: Bytes,
}

/// A message in a broker's hands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its id in the queue, of any bytes.
    pub id: Bytes,
    /// The message.
    pub body: Bytes,
}

/// A delayed message whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Its entry in the index.
    pub(crate) entry: Bytes,
    /// Who filed it.
    pub(crate) broker: BrokerId,
    /// Its id in the delayed queue.
    pub(crate) id: Bytes,
    /// The message; none where it is gone, and only its entry is left.
    pub body: Option<Bytes>,
}

/// What is due of a queue's delayed messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueMessages {
    /// Those whose time has come, the earliest first.
    pub messages: Vec<Due>,
    /// How long it is until the next one's, where there is one.
    pub next_in: Option<Duration>,
}

/// How the work on a message ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It is done, or goes on as another message.
    Done,
    /// It becomes a dead letter.
    Dead {
        /// Why, for a person.
        reason: String,
        /// The message as it is to be kept; none to keep it as it was.
        body: Option<Bytes>,
    },
    /// It goes back to its queue, as if nobody had taken it.
    Back,
}

/// A result, and where it is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredResult {
    /// The key, without the namespace of the queues.
    pub key: String,
    /// The result, as it is read.
    pub body: Bytes,
    /// How long it is kept.
    pub lifetime: Duration,
}

/// A member of a group is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStep {
    /// The key of the group's barrier.
    pub barrier: String,
    /// How long the barrier is kept after this step.
    pub lifetime: Duration,
    /// What is put into its queue when the last member is done.
    pub callbacks: Vec<Outgoing>,
}

/// The end of the work on one message, and all that follows from it, in one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The message's queue.
    pub queue: QueueName,
    /// Its list there.
    pub lane: Lane,
    /// Its id there.
    pub id: Bytes,
    /// How the work ended.
    pub end: End,
    /// Messages that follow from it: its retry, callbacks, the next of a pipeline.
    pub follow: Vec<Outgoing>,
    /// Its result.
    pub result: Option<StoredResult>,
    /// Its step in a group.
    pub group: Option<GroupStep>,
}

impl Settlement {
    /// An end from which nothing follows.
    #[must_use]
    pub fn new(queue: QueueName, lane: Lane, id: Bytes, end: End) -> Self {
        Self {
            queue,
            lane,
            id,
            end,
            follow: Vec::new(),
            result: None,
            group: None,
        }
    }
}

/// A dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its id.
    pub id: Bytes,
    /// When it died, in milliseconds since 1970.
    pub died_at_ms: u64,
    /// Why, where it was a Tidegate worker that gave it up.
    pub reason: Option<String>,
    /// The message; none where it is gone.
    pub body: Option<Bytes>,
}

/// How many messages a queue holds, by place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// In the queue or in somebody's hands.
    pub ready: u64,
    /// In the delayed queue.
    pub delayed: u64,
    /// Dead letters.
    pub dead: u64,
}
