//! Results: under which key they are looked for, and how a failure is told from a value. Pure.

use bytes::Bytes;
use md5::{Digest as _, Md5};

use crate::failure::Failure;
use crate::json::Json;
use crate::message::Message;

/// What tells a failure from a value.
const CANARY: &str = "dramatiq.results.Result";

/// How the keys of results are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultKeys {
    /// What stands before them.
    pub namespace: String,
    /// Whether they are the readable text itself and not its MD5, as `use_namespace_prefix_keys` has it.
    pub readable: bool,
}

impl Default for ResultKeys {
    fn default() -> Self {
        Self {
            namespace: "dramatiq-results".into(),
            readable: false,
        }
    }
}

impl ResultKeys {
    /// The key of a message's result.
    #[must_use]
    pub fn key(&self, message: &Message) -> String {
        let queue = &message.queue_name;
        let queue = queue.strip_suffix(".DQ").unwrap_or(queue);
        let Message {
            actor_name,
            message_id,
            ..
        } = message;
        let text = format!("{}:{queue}:{actor_name}:{message_id}", self.namespace);
        if self.readable {
            return text;
        }
        let digest = Md5::digest(text.as_bytes());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A failure, as Dramatiq keeps it.
pub(crate) fn failed(failure: &Failure) -> Json {
    let exception = Json::object([
        ("type", &Json::text(&failure.kind)),
        ("msg", &Json::text(&failure.message)),
    ]);
    Json::object([("__t", &Json::text(CANARY)), ("exn", &exception)])
}

/// What came of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What its actor returned.
    Returned(Json),
    /// It failed for good.
    Failed {
        /// The kind of error: in Python the name of an exception's class.
        kind: String,
        /// What went wrong.
        message: String,
    },
}

impl Outcome {
    /// Reads what is kept.
    ///
    /// # Errors
    /// Where it is no JSON.
    pub fn read(body: &Bytes) -> Result<Self, crate::json::NotJson> {
        let value = Json::parse(body)?;
        let failed = value.members().and_then(|members| {
            let get = |members: &[(String, Json)], name: &str| {
                let found = members.iter().find(|(known, _)| known == name);
                found.map(|(_, value)| value.clone())
            };
            (get(&members, "__t")?.as_text()? == CANARY).then_some(())?;
            let exception = get(&members, "exn")?.members()?;
            Some(Self::Failed {
                kind: get(&exception, "type")?.as_text()?,
                message: get(&exception, "msg")?.as_text()?,
            })
        });
        Ok(failed.unwrap_or(Self::Returned(value)))
    }
}

#[cfg(test)]
mod tests {
    use tidegate_store::dramatiq::QueueName;

    use super::*;

    fn message() -> Message {
        let queue = QueueName::new("default").unwrap();
        let mut message = Message::new(&queue, "add", Json::list([]), Json::empty_object(), 0);
        message.message_id = "4fa3c1a7-6dd5-4fd2-a1d4-4c7d2f5d0c7e".into();
        message
    }

    #[test]
    fn a_key_is_dramatiqs_and_the_same_while_the_message_waits() {
        let keys = ResultKeys::default();
        // From Python: hashlib.md5(b"dramatiq-results:default:add:4fa3…").hexdigest().
        let expected = "c5f7edb25b39b8d2b3c9d2b2f1988fac";
        assert_eq!(keys.key(&message()), expected);
        let (_, delayed) = message().delayed(1);
        assert_eq!(keys.key(&delayed), expected);
        let readable = ResultKeys {
            readable: true,
            ..keys
        };
        assert_eq!(
            readable.key(&message()),
            "dramatiq-results:default:add:4fa3c1a7-6dd5-4fd2-a1d4-4c7d2f5d0c7e"
        );
    }

    #[test]
    fn a_failure_is_told_from_a_value() {
        let kept = failed(&Failure::new("ValueError", "no"));
        let expected =
            r#"{"__t":"dramatiq.results.Result","exn":{"type":"ValueError","msg":"no"}}"#;
        assert_eq!(kept.as_str(), expected);
        let read = |text: &'static str| Outcome::read(&Bytes::from_static(text.as_bytes()));
        let failed = Outcome::Failed {
            kind: "ValueError".into(),
            message: "no".into(),
        };
        assert_eq!(read(expected), Ok(failed));
        assert_eq!(read("3"), Ok(Outcome::Returned(Json::integer(3))));
        assert!(matches!(read(r#"{"__t":"x"}"#), Ok(Outcome::Returned(_))));
    }
}
