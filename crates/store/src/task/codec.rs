//! A task as bytes, for whoever keeps it until it is enqueued: a group its callback, an outbox what
//! a transaction has sent.
//!
//! The first byte is the version of the format. Numbers have eight bytes, the high ones first; each
//! text has its length before it.

use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::id::TaskId;
use super::name::{Label, TaskName};
use super::new_task::{Due, Idempotency, NewTask, OnLost, Priority, Unique, UniqueSpan};
use crate::{Error, Result};

/// The version of the format.
const VERSION: u8 = 1;

impl NewTask {
    /// The task as bytes. A delay stays a delay: it begins when the task is enqueued.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend(self.id.uuid().as_bytes());
        let priority = match self.priority {
            Priority::High => 0,
            Priority::Normal => 1,
            Priority::Low => 2,
        };
        let (due, due_number) = match self.due {
            Due::Now => (0, 0),
            Due::In(time) => (1, ms(time)),
            Due::At(at_ms) => (2, at_ms),
        };
        let (span, span_ms) = match self.unique.as_ref().map(|it| it.span) {
            None => (0, 0),
            Some(UniqueSpan::WhileQueued) => (1, 0),
            Some(UniqueSpan::UntilDone) => (2, 0),
            Some(UniqueSpan::For(time)) => (3, ms(time)),
        };
        out.extend([priority, u8::from(self.on_lost == OnLost::Park), due, span]);
        let once = self.idempotency.as_ref();
        for number in [due_number, span_ms, once.map_or(0, |it| ms(it.lifetime))] {
            out.extend(number.to_be_bytes());
        }
        let text = |label: Option<&Label>| label.map_or("", Label::as_str).to_owned();
        for part in [
            self.name.as_str().as_bytes(),
            text(self.ordering_key.as_ref()).as_bytes(),
            text(self.limit_key.as_ref()).as_bytes(),
            text(self.tenant.as_ref()).as_bytes(),
            text(self.unique.as_ref().map(|it| &it.key)).as_bytes(),
            text(once.map(|it| &it.key)).as_bytes(),
            &self.options,
        ] {
            out.extend((part.len() as u64).to_be_bytes());
            out.extend(part);
        }
        out.extend(&self.payload);
        out
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote; options and payload are slices of it.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for other bytes, and for those of a newer version.
    pub fn from_bytes(bytes: &Bytes) -> Result<Self> {
        read(bytes).ok_or_else(|| Error::Corrupt("the bytes are no task".into()))
    }
}

fn read(bytes: &Bytes) -> Option<NewTask> {
    let ([version], rest) = bytes.split_first_chunk()?;
    let (id, rest) = rest.split_first_chunk::<16>()?;
    let ([priority, park, due, span], mut rest) = rest.split_first_chunk()?;
    if *version != VERSION {
        return None;
    }
    let due_number = number(&mut rest)?;
    let span_time = Duration::from_millis(number(&mut rest)?);
    let lifetime = Duration::from_millis(number(&mut rest)?);
    let mut parts = [&[][..]; 7];
    for part in &mut parts {
        let len = usize::try_from(number(&mut rest)?).ok()?;
        (*part, rest) = rest.split_at_checked(len)?;
    }
    let [name, ordering_key, limit_key, tenant, unique, once, options] = parts;
    let label = |text: &[u8]| {
        let text = std::str::from_utf8(text).ok()?;
        Label::new(text).ok()
    };
    let span = match span {
        0 => None,
        1 => Some(UniqueSpan::WhileQueued),
        2 => Some(UniqueSpan::UntilDone),
        3 => Some(UniqueSpan::For(span_time)),
        _ => return None,
    };
    Some(NewTask {
        id: TaskId::new(Uuid::from_bytes(*id)),
        name: TaskName::new(std::str::from_utf8(name).ok()?).ok()?,
        payload: bytes.slice_ref(rest),
        options: bytes.slice_ref(options),
        due: match due {
            0 => Due::Now,
            1 => Due::In(Duration::from_millis(due_number)),
            2 => Due::At(due_number),
            _ => return None,
        },
        priority: match priority {
            0 => Priority::High,
            1 => Priority::Normal,
            2 => Priority::Low,
            _ => return None,
        },
        ordering_key: label(ordering_key),
        limit_key: label(limit_key),
        tenant: label(tenant),
        unique: span
            .zip(label(unique))
            .map(|(span, key)| Unique { key, span }),
        idempotency: label(once).map(|key| Idempotency { key, lifetime }),
        on_lost: if *park == 1 {
            OnLost::Park
        } else {
            OnLost::Repeat
        },
    })
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u64::from_be_bytes(*number))
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(text: &str) -> Label {
        Label::new(text).unwrap()
    }

    #[test]
    fn a_task_is_read_back() {
        let name = TaskName::new("send").unwrap();
        let plain = NewTask::plain(name, Bytes::from_static(b"payload"));
        let full = NewTask {
            options: Bytes::from_static(b"options"),
            due: Due::In(Duration::from_secs(5)),
            priority: Priority::High,
            ordering_key: Some(label("o")),
            limit_key: Some(label("l")),
            tenant: Some(label("t")),
            unique: Some(Unique {
                key: label("u"),
                span: UniqueSpan::For(Duration::from_secs(1)),
            }),
            idempotency: Some(Idempotency {
                key: label("i"),
                lifetime: Duration::from_secs(2),
            }),
            on_lost: OnLost::Park,
            ..plain.clone()
        };
        for task in [plain, full] {
            let bytes = Bytes::from(task.to_bytes());
            assert_eq!(NewTask::from_bytes(&bytes).unwrap(), task);
            // The payload is the rest, so only what comes before it can be missing.
            let head = bytes.slice(..bytes.len() - task.payload.len() - 1);
            assert!(NewTask::from_bytes(&head).is_err());
        }
        assert!(NewTask::from_bytes(&Bytes::from_static(b"\x02")).is_err());
    }
}
