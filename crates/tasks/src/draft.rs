//! A task before it is enqueued, in a form that can be kept: in another task's options, in an outbox.
//!
//! ```text
//! Enqueue ─► Draft ─┬─► NewTask (sent now)
//!                   ├─► the Header of another task, which sends it when it has ended
//!                   └─► a row of the outbox, which the relay sends
//! ```
//!
//! The header is what the runner wants to know beside the arguments; a plain task has none, and the
//! store gets an empty one. What is written here is read by other versions of the program: fields
//! are only ever added. Nothing is kept here.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tidegate_store::task::{
    Due, Idempotency, Label, NewTask, OnLost, Priority, QueueName, TaskId, TaskName, Unique,
    UniqueSpan,
};

use crate::{Error, Result};

/// How long the queue remembers tasks that follow from others, so that a repeated attempt enqueues
/// nothing twice.
pub(crate) const FOLLOWER_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// What the runner wants to know of a task beside its arguments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Header {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_retries: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) time_limit_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_age_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) result_ttl_ms: Option<u64>,
    /// The id of the key that the arguments are sealed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sealed: Option<String>,
    /// What is enqueued when it is done: each when the one before is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) then: Vec<Draft>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) on_success: Option<Box<Draft>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) on_failure: Option<Box<Draft>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) on_exhausted: Option<Box<Draft>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<Membership>,
    /// The result of the task before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) previous: Option<serde_json::Value>,
    /// The task that has failed, for those that are enqueued because of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failed: Option<FailedTask>,
    /// The time of a schedule that it was enqueued for: Unix time in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tick_ms: Option<u64>,
    /// The trace that it belongs to, as W3C Trace Context has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) traceparent: Option<String>,
}

impl Header {
    /// As the store keeps it.
    pub(crate) fn encode(&self) -> Result<Bytes> {
        if *self == Self::default() {
            return Ok(Bytes::new());
        }
        let text = serde_json::to_vec(self);
        let text = text.map_err(|error| Error::Invalid(format!("a task's options: {error}")))?;
        Ok(text.into())
    }

    /// Reads what the store has kept.
    ///
    /// # Errors
    /// What is wrong with it, for a dead letter.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_slice(bytes).map_err(|error| format!("its options: {error}"))
    }
}

/// The group that a task is a member of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Membership {
    pub(crate) id: String,
    /// The queue that the group lives in.
    pub(crate) queue: String,
}

/// A task that has ended without success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedTask {
    /// Its id, as text.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Why it is dead, in a word or two.
    pub reason: String,
    /// The last error's text.
    pub error: String,
}

/// A task to be enqueued, in a form that can be kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Draft {
    /// Which task it will be; fresh when it is sent unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    pub(crate) name: String,
    pub(crate) queue: String,
    #[serde(serialize_with = "as_base64", deserialize_with = "of_base64")]
    pub(crate) payload: Bytes,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) delay_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at_ms: Option<u64>,
    /// Above 0 before all others, below 0 after them.
    #[serde(default)]
    pub(crate) priority: i8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ordering_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) limit_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unique: Option<(String, Span)>,
    /// The key and its lifetime in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) idempotency: Option<(String, u64)>,
    #[serde(default)]
    pub(crate) park: bool,
    #[serde(default)]
    pub(crate) header: Header,
}

/// How long a unique key is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Span {
    WhileQueued,
    UntilDone,
    ForMs(u64),
}

impl Draft {
    /// The queue that it goes to.
    pub(crate) fn queue(&self, app: &str) -> Result<QueueName> {
        Ok(QueueName::of_app(app, &self.queue)?)
    }

    /// The id that it was given; none for a fresh one.
    pub(crate) fn id(&self) -> Result<Option<TaskId>> {
        Ok(self.id.as_deref().map(str::parse).transpose()?)
    }

    /// As the store takes it.
    ///
    /// # Errors
    /// [`Error::Store`] for names and keys that the store doesn't allow.
    pub(crate) fn new_task(self) -> Result<NewTask> {
        let label = |text: Option<String>| text.map(|text| Label::new(&text)).transpose();
        let id = self.id()?.unwrap_or_else(TaskId::fresh);
        let due = match (self.at_ms, self.delay_ms) {
            (Some(at), _) => Due::At(at),
            (None, Some(delay)) if delay > 0 => Due::In(Duration::from_millis(delay)),
            (None, _) => Due::Now,
        };
        let unique = match self.unique {
            None => None,
            Some((key, span)) => Some(Unique {
                key: Label::new(&key)?,
                span: match span {
                    Span::WhileQueued => UniqueSpan::WhileQueued,
                    Span::UntilDone => UniqueSpan::UntilDone,
                    Span::ForMs(ms) => UniqueSpan::For(Duration::from_millis(ms)),
                },
            }),
        };
        let idempotency = match self.idempotency {
            None => None,
            Some((key, lifetime)) => Some(Idempotency {
                key: Label::new(&key)?,
                lifetime: Duration::from_millis(lifetime),
            }),
        };
        Ok(NewTask {
            id,
            name: TaskName::new(&self.name)?,
            payload: self.payload,
            options: self.header.encode()?,
            due,
            priority: match self.priority {
                1.. => Priority::High,
                0 => Priority::Normal,
                ..0 => Priority::Low,
            },
            ordering_key: label(self.ordering_key)?,
            limit_key: label(self.limit_key)?,
            tenant: label(self.tenant)?,
            unique,
            idempotency,
            on_lost: if self.park {
                OnLost::Park
            } else {
                OnLost::Repeat
            },
        })
    }

    /// Itself as the follower `place` of a task: with an id that is the same in each attempt, which
    /// the queue remembers for a time.
    pub(crate) fn following(mut self, task: TaskId, place: &str) -> Self {
        let id = task.derived(place).to_string();
        let lifetime = u64::try_from(FOLLOWER_LIFETIME.as_millis()).unwrap_or(u64::MAX);
        self.idempotency.get_or_insert((id.clone(), lifetime));
        self.id = Some(id);
        self
    }
}

fn as_base64<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

fn of_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    let text = String::deserialize(deserializer)?;
    let bytes = STANDARD.decode(text).map_err(serde::de::Error::custom)?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> Draft {
        Draft {
            id: None,
            name: "send".into(),
            queue: "webhooks".into(),
            payload: Bytes::from_static(b"{}"),
            delay_ms: None,
            at_ms: None,
            priority: 0,
            ordering_key: None,
            limit_key: None,
            tenant: None,
            unique: Some(("k".into(), Span::ForMs(5))),
            idempotency: None,
            park: false,
            header: Header::default(),
        }
    }

    #[test]
    fn a_plain_task_has_an_empty_header() {
        assert!(draft().new_task().unwrap().options.is_empty());
    }

    #[test]
    fn a_draft_that_was_kept_is_the_same() {
        let mut outer = draft();
        outer.header.then = vec![draft(), draft()];
        outer.header.on_failure = Some(Box::new(draft()));
        let options = outer.clone().new_task().unwrap().options;
        assert_eq!(Header::decode(&options).unwrap(), outer.header);
        let text = serde_json::to_string(&outer).unwrap();
        assert_eq!(serde_json::from_str::<Draft>(&text).unwrap(), outer);
    }

    #[test]
    fn a_follower_is_the_same_in_each_attempt() {
        let task = TaskId::fresh();
        let followers = [
            draft().following(task, "then"),
            draft().following(task, "then"),
        ];
        assert_eq!(followers[0], followers[1]);
        assert_ne!(followers[0].id, draft().following(task, "on_success").id);
    }
}
