//! How a task is written for the scripts, and read back from what they keep.
//!
//! A *spec* is what a script looks into when a task is enqueued; a *record* is what it keeps of that,
//! in front of the *body*, which no script looks into. `queue.lua` describes spec and record; a body
//! is name, newline, length of the options, newline, options, payload.

use bytes::Bytes;

use crate::redis::lease::ttl_ms;
use crate::task::{
    Due, Failure, Fence, Label, NewTask, OnLost, Priority, State, TaskId, TaskName, UniqueSpan,
};
use crate::{Error, Result, WorkerId};

/// Stands between texts in a spec, a record, or another value.
const SEPARATOR: char = '\x1f';
/// Ends the features of a spec.
const FEATURES_END: char = '\x1e';
/// Digits of the time in a record.
const TIME_DIGITS: usize = 13;

/// Whether a task goes the short way: no features, and due now.
pub(super) fn is_plain(task: &NewTask) -> bool {
    task.due == Due::Now && task.idempotency.is_none() && !has_features(task)
}

fn has_features(task: &NewTask) -> bool {
    task.tenant.is_some()
        || task.ordering_key.is_some()
        || task.limit_key.is_some()
        || task.unique.is_some()
        || task.on_lost != OnLost::Repeat
}

/// The short spec of a plain task, or the long one, which is good for any.
pub(super) fn spec(task: &NewTask, as_plain: bool) -> String {
    let mut spec = String::from(match task.priority {
        Priority::High => "0",
        Priority::Normal => "1",
        Priority::Low => "2",
    });
    if as_plain {
        return spec;
    }
    let text = |label: &Option<Label>| label.as_ref().map_or("", Label::as_str).to_owned();
    let (span, key, span_ms) = match &task.unique {
        None => ("", String::new(), 0),
        Some(unique) => {
            let key = unique.key.as_str().to_owned();
            match unique.span {
                UniqueSpan::WhileQueued => ("q", key, 0),
                UniqueSpan::UntilDone => ("d", key, 0),
                UniqueSpan::For(time) => ("t", key, ttl_ms(time)),
            }
        }
    };
    if has_features(task) {
        let park = if task.on_lost == OnLost::Park {
            "p"
        } else {
            ""
        };
        let tenant = text(&task.tenant);
        let (ordering, limit) = (text(&task.ordering_key), text(&task.limit_key));
        let features = [&*tenant, &*ordering, &*limit, span, &*key, park];
        spec += &features.join(&SEPARATOR.to_string());
    }
    spec.push(FEATURES_END);
    let (once_ms, once) = match &task.idempotency {
        Some(it) => (ttl_ms(it.lifetime), it.key.as_str()),
        None => (0, ""),
    };
    let rest = [
        due(task.due),
        span_ms.to_string(),
        once_ms.to_string(),
        once.to_owned(),
    ];
    spec + &rest.join(&SEPARATOR.to_string())
}

/// A time as the scripts read it.
pub(super) fn due(due: Due) -> String {
    match due {
        Due::Now => String::new(),
        Due::In(time) if time.is_zero() => String::new(),
        Due::In(time) => format!("+{}", ttl_ms(time)),
        Due::At(ms) => format!("={}", ms.min(TIME_MS_MAX)),
    }
}

/// The largest time that a script can count with: its numbers are doubles.
const TIME_MS_MAX: u64 = 9_007_199_254_740_991;

/// The body of a task.
pub(super) fn body(task: &NewTask) -> Vec<u8> {
    let head = format!("{}\n{}\n", task.name, task.options.len());
    [head.as_bytes(), &task.options, &task.payload].concat()
}

/// What a record says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) priority: Priority,
    pub(super) enqueued_at_ms: u64,
    pub(super) tenant: Option<Label>,
    pub(super) ordering_key: Option<Label>,
    pub(super) limit_key: Option<Label>,
    pub(super) on_lost: OnLost,
    pub(super) name: TaskName,
    pub(super) options: Bytes,
    pub(super) payload: Bytes,
}

/// Reads a record. Options and payload are slices of it.
pub(super) fn record(record: &Bytes) -> Result<Record> {
    read_record(record).ok_or_else(|| corrupt("a task's record"))
}

fn read_record(record: &Bytes) -> Option<Record> {
    let (head, rest) = line(record)?;
    let head = std::str::from_utf8(head).ok()?;
    let priority = match head.get(..1)? {
        "0" => Priority::High,
        "1" => Priority::Normal,
        "2" => Priority::Low,
        _ => return None,
    };
    let mut features = head.get(1 + TIME_DIGITS..)?.split(SEPARATOR);
    let mut label = || match features.next() {
        None | Some("") => Some(None),
        Some(text) => Label::new(text).ok().map(Some),
    };
    let (tenant, ordering_key, limit_key) = (label()?, label()?, label()?);
    let is_parked = features.nth(2) == Some("p");
    let (name, rest) = line(rest)?;
    let (options_len, rest) = line(rest)?;
    let options_len: usize = std::str::from_utf8(options_len).ok()?.parse().ok()?;
    let (options, payload) = rest.split_at_checked(options_len)?;
    Some(Record {
        priority,
        enqueued_at_ms: head.get(1..=TIME_DIGITS)?.parse().ok()?,
        tenant,
        ordering_key,
        limit_key,
        on_lost: if is_parked {
            OnLost::Park
        } else {
            OnLost::Repeat
        },
        name: TaskName::new(std::str::from_utf8(name).ok()?).ok()?,
        options: record.slice_ref(options),
        payload: record.slice_ref(payload),
    })
}

/// The first line, without its end, and the rest.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = bytes.split_at_checked(end)?;
    Some((line, rest.get(1..)?))
}

/// Attempts, workers lost, and the last failure, as `.tried` keeps them.
pub(super) fn tried(value: &Bytes) -> Result<(u32, u32, Failure)> {
    let text = String::from_utf8_lossy(value);
    let mut parts = text.splitn(5, SEPARATOR);
    let mut part = || {
        parts
            .next()
            .ok_or_else(|| corrupt("what is known of attempts"))
    };
    let (attempts, lost, _at) = (number(part()?)?, number(part()?)?, part()?);
    let failure = Failure {
        reason: part()?.to_owned(),
        error: part()?.to_owned(),
    };
    Ok((attempts, lost, failure))
}

/// The holder of a running task, its attempt, and how many workers were lost before.
pub(super) fn running(value: &Bytes) -> Result<(WorkerId, Fence, u32, u32)> {
    let text = String::from_utf8_lossy(value);
    let mut parts = text.get(1..).unwrap_or_default().split(SEPARATOR);
    let mut part = || parts.next().ok_or_else(|| corrupt("the holder of a task"));
    let (fence, worker) = (part()?, part()?.parse()?);
    Ok((
        worker,
        Fence(number(fence)?),
        number(part()?)?,
        number(part()?)?,
    ))
}

/// A letter of the scripts; none for a task that is not there.
pub(super) fn state(letter: u8) -> Result<Option<State>> {
    Ok(Some(match letter {
        b's' => State::Scheduled,
        b'y' => State::Ready,
        b'o' => State::Blocked,
        b'g' => State::Running,
        b'x' => State::Dead,
        b'u' => State::Unknown,
        b'd' => State::Done,
        b'c' => State::Cancelled,
        b'i' => State::Discarded,
        b'-' => return Ok(None),
        _ => return Err(corrupt("a state")),
    }))
}

/// An id as the scripts keep it.
pub(super) fn id(text: &Bytes) -> Result<TaskId> {
    let text = std::str::from_utf8(text).map_err(|_source| corrupt("a task's id"))?;
    text.parse()
}

/// A number in a text.
pub(super) fn number<T: std::str::FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_source| corrupt("a number"))
}

pub(super) fn corrupt(what: &str) -> Error {
    Error::Corrupt(format!("a queue's keys hold something else than {what}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::task::{Idempotency, Unique};

    fn label(text: &str) -> Label {
        Label::new(text).unwrap()
    }

    fn task() -> NewTask {
        let name = TaskName::new("send").unwrap();
        NewTask::plain(name, Bytes::from_static(b"pay\nload"))
    }

    /// As `enqueue` in `queue.lua` makes it.
    fn record_of(task: &NewTask) -> Bytes {
        let spec = spec(task, is_plain(task));
        let features = spec.get(1..).unwrap().split(FEATURES_END).next().unwrap();
        let head = format!("{}1732270000000{features}\n", spec.get(..1).unwrap());
        Bytes::from([head.into_bytes(), body(task)].concat())
    }

    #[test]
    fn a_plain_task_is_read_back() {
        let read = record(&record_of(&task())).unwrap();
        assert_eq!(read.name, TaskName::new("send").unwrap());
        assert_eq!(&*read.payload, b"pay\nload");
        assert_eq!(read.enqueued_at_ms, 1_732_270_000_000);
        assert_eq!((read.tenant, read.ordering_key), (None, None));
    }

    #[test]
    fn all_of_a_task_is_read_back() {
        let full = NewTask {
            priority: Priority::Low,
            options: Bytes::from_static(b"\n2\n"),
            limit_key: Some(label("a b")),
            tenant: Some(label("acme")),
            on_lost: OnLost::Park,
            ..task()
        };
        let read = record(&record_of(&full)).unwrap();
        assert_eq!(read.priority, Priority::Low);
        assert_eq!((read.options, read.payload), (full.options, full.payload));
        assert_eq!((read.tenant, read.limit_key), (full.tenant, full.limit_key));
        assert_eq!((read.ordering_key, read.on_lost), (None, OnLost::Park));
    }

    #[test]
    fn only_a_task_without_conditions_is_plain() {
        assert!(is_plain(&task()));
        let delayed = NewTask {
            due: Due::In(Duration::from_secs(1)),
            ..task()
        };
        assert!(!is_plain(&delayed));
        assert_eq!(spec(&delayed, false), "1\x1e+1000\x1f0\x1f0\x1f");
        let once = NewTask {
            unique: Some(Unique {
                key: label("u"),
                span: UniqueSpan::For(Duration::from_secs(2)),
            }),
            idempotency: Some(Idempotency {
                key: label("i"),
                lifetime: Duration::from_secs(3),
            }),
            ..task()
        };
        assert_eq!(
            spec(&once, false),
            "1\x1f\x1f\x1ft\x1fu\x1f\x1e\x1f2000\x1f3000\x1fi"
        );
    }

    #[test]
    fn what_is_no_record_is_corrupt() {
        for bytes in [
            "",
            "1",
            "1732270000000\n",
            "91732270000000\nsend\n0\n",
            "11732270000000\nsend\n9\nx",
        ] {
            let read = record(&Bytes::from_static(bytes.as_bytes()));
            assert!(matches!(read, Err(Error::Corrupt(_))), "{bytes:?}");
        }
    }
}
