//! A message as Dramatiq's programs write it, byte for byte.
//!
//! `{"queue_name":…,"actor_name":…,"args":[…],"kwargs":{…},"options":{…},"message_id":…,"message_timestamp":…}`:
//! exactly these fields, in this order. Python refuses any other, so Tidegate does. What the fields hold is
//! kept as [`Json`]. Pure.

use bytes::Bytes;
use tidegate_store::dramatiq::QueueName;
use uuid::Uuid;

use crate::json::{Json, NotJson};
use crate::options::{ETA, Options, REDIS_MESSAGE_ID};

/// The fields, in their order.
const FIELDS: [&str; 7] = [
    "queue_name",
    "actor_name",
    "args",
    "kwargs",
    "options",
    "message_id",
    "message_timestamp",
];

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    /// They are no JSON, not even Python's.
    #[error("not JSON: {0}")]
    NotJson(#[from] NotJson),
    /// They are another value than an object.
    #[error("not an object")]
    NotAnObject,
    /// A field that messages have not.
    #[error("the field {0:?}, which messages don't have")]
    UnknownField(String),
    /// A field that messages have.
    #[error("the field {0:?} is missing")]
    MissingField(&'static str),
    /// A field of another kind.
    #[error("the field {field:?} is not {wanted}")]
    WrongKind {
        /// The field.
        field: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
}

/// A message: what is asked of an actor, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The queue, with `.DQ` behind it while the message waits.
    pub queue_name: String,
    /// The actor: the name of a function.
    pub actor_name: String,
    /// The positional arguments, a list.
    pub args: Json,
    /// The arguments by name, an object.
    pub kwargs: Json,
    /// What brokers and middleware are told.
    pub options: Options,
    /// The message's own id, the same through all retries.
    pub message_id: String,
    /// When it was first enqueued, in milliseconds since 1970.
    pub message_timestamp: Json,
}

impl Message {
    /// A new message, with an id that no other has.
    #[must_use]
    pub fn new(queue: &QueueName, actor: &str, args: Json, kwargs: Json, now_ms: i64) -> Self {
        Self {
            queue_name: queue.to_string(),
            actor_name: actor.to_owned(),
            args,
            kwargs,
            options: Options::default(),
            message_id: Uuid::new_v4().to_string(),
            message_timestamp: Json::integer(now_ms),
        }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`Undecodable`], where Python's programs could not read it either. They would read one without
    /// `message_id` or `message_timestamp`, and make both up at every look; here it is refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, Undecodable> {
        Self::of(&Json::parse(bytes)?)
    }

    /// Reads a message that is a value in another message.
    ///
    /// # Errors
    /// As [`Message::decode`].
    pub fn of(value: &Json) -> Result<Self, Undecodable> {
        let members = value.members().ok_or(Undecodable::NotAnObject)?;
        let unknown = members
            .iter()
            .find(|(name, _)| !FIELDS.contains(&name.as_str()));
        if let Some((name, _)) = unknown {
            return Err(Undecodable::UnknownField(name.clone()));
        }
        let fields = Fields(&members);
        Ok(Self {
            queue_name: fields.text("queue_name")?,
            actor_name: fields.text("actor_name")?,
            args: fields.kind("args", "a list", |it| it.as_str().starts_with('['))?,
            kwargs: fields.kind("kwargs", "an object", Json::is_object)?,
            options: Options::of(fields.get("options")?).ok_or(Undecodable::WrongKind {
                field: "options",
                wanted: "an object",
            })?,
            message_id: fields.text("message_id")?,
            message_timestamp: fields.kind("message_timestamp", "a number", |it| {
                it.as_number().is_some()
            })?,
        })
    }

    /// The message as a value, for another message that names it.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let values = [
            Json::text(&self.queue_name),
            Json::text(&self.actor_name),
            self.args.clone(),
            self.kwargs.clone(),
            self.options.to_json(),
            Json::text(&self.message_id),
            self.message_timestamp.clone(),
        ];
        Json::object(FIELDS.into_iter().zip(&values))
    }

    /// Writes the message.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        Bytes::from(self.to_json().as_str().to_owned())
    }

    /// The queue that the message belongs to, whether it waits or not.
    ///
    /// # Errors
    /// [`tidegate_store::Error::Invalid`] for a name that no queue can have.
    pub fn queue(&self) -> Result<QueueName, tidegate_store::Error> {
        let name = &self.queue_name;
        QueueName::new(name.strip_suffix(".DQ").unwrap_or(name))
    }

    /// When it is due, in milliseconds since 1970; 0 for an option that is no time, as Python has it.
    #[must_use]
    pub fn due_ms(&self) -> f64 {
        let eta = self.options.get(ETA).and_then(Json::as_number);
        eta.filter(|it| !it.is_nan()).unwrap_or_default()
    }

    /// How long ago it was first enqueued, in milliseconds; none where its time is no integer.
    #[must_use]
    pub fn age_ms(&self, now_ms: i64) -> Option<i64> {
        let then = self.message_timestamp.as_integer()?;
        Some(now_ms.saturating_sub(then))
    }

    /// This message for its queue's list, under an id of its own there, which is returned.
    #[must_use]
    pub fn ready(mut self) -> (String, Self) {
        if let Some(queue) = self.queue_name.strip_suffix(".DQ") {
            self.queue_name = queue.to_owned();
        }
        self.options.remove(ETA);
        let id = Uuid::new_v4().to_string();
        self.options.set(REDIS_MESSAGE_ID, Json::text(&id));
        (id, self)
    }

    /// This message for its queue's delayed list, under an id of its own there, which is returned.
    #[must_use]
    pub fn delayed(self, due_ms: i64) -> (String, Self) {
        let (id, mut message) = self.ready();
        message.queue_name.push_str(".DQ");
        message.options.set(ETA, Json::integer(due_ms));
        (id, message)
    }
}

/// The members of an object, by name.
struct Fields<'a>(&'a [(String, Json)]);

impl<'a> Fields<'a> {
    fn get(&self, name: &'static str) -> Result<&'a Json, Undecodable> {
        let mut members = self.0.iter();
        let found = members.find(|(known, _)| known == name);
        found
            .map(|(_, value)| value)
            .ok_or(Undecodable::MissingField(name))
    }

    fn text(&self, field: &'static str) -> Result<String, Undecodable> {
        let wanted = "a text";
        let text = self.get(field)?.as_text();
        text.ok_or(Undecodable::WrongKind { field, wanted })
    }

    fn kind(
        &self,
        field: &'static str,
        wanted: &'static str,
        is_wanted: impl Fn(&Json) -> bool,
    ) -> Result<Json, Undecodable> {
        let value = self.get(field)?;
        match is_wanted(value) {
            true => Ok(value.clone()),
            false => Err(Undecodable::WrongKind { field, wanted }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WRITTEN: &str = r#"{"queue_name":"default","actor_name":"add","args":[1,NaN],"kwargs":{"x":"\ud800"},"options":{"redis_message_id":"a"},"message_id":"m","message_timestamp":1700000000000}"#;

    #[test]
    fn a_message_is_written_as_it_was_read() {
        let message = Message::decode(WRITTEN.as_bytes()).unwrap();
        assert_eq!(message.encode(), WRITTEN);
    }

    #[test]
    fn what_python_refuses_is_refused() {
        let with = |from: &str, to: &str| Message::decode(WRITTEN.replace(from, to).as_bytes());
        assert_eq!(
            with("\"args\"", "\"more\":1,\"args\""),
            Err(Undecodable::UnknownField("more".into()))
        );
        assert_eq!(
            with("\"args\":[1,NaN],", ""),
            Err(Undecodable::MissingField("args"))
        );
        assert!(with("[1,NaN]", "3").is_err());
        assert!(with("}", "").is_err());
        assert_eq!(Message::decode(b"[]"), Err(Undecodable::NotAnObject));
    }

    #[test]
    fn a_delay_and_its_end_leave_the_message_as_it_was() {
        let message = Message::decode(WRITTEN.as_bytes()).unwrap();
        let (delayed_id, delayed) = message.clone().delayed(5);
        assert_eq!(delayed.queue_name, "default.DQ");
        assert_eq!(delayed.due_ms(), 5.0);
        let (ready_id, ready) = delayed.ready();
        assert_ne!(ready_id, delayed_id);
        let mut expected = message;
        expected
            .options
            .set(REDIS_MESSAGE_ID, Json::text(&ready_id));
        assert_eq!(ready, expected);
    }

    #[test]
    fn a_time_that_is_none_is_now() {
        let due = |eta: &str| {
            let text = WRITTEN.replace("\"options\":{", &format!("\"options\":{{\"eta\":{eta},"));
            Message::decode(text.as_bytes()).unwrap().due_ms()
        };
        assert_eq!(due("\"soon\""), 0.0);
        assert_eq!(due("null"), 0.0);
        assert_eq!(due("NaN"), 0.0);
        assert_eq!(due("7.5"), 7.5);
    }

    proptest! {
        #[test]
        fn any_message_is_read_as_it_was_written(
            actor in any::<String>(),
            argument in any::<String>(),
            id in any::<String>(),
            timestamp in any::<i64>(),
        ) {
            let queue = QueueName::new("q").unwrap();
            let args = Json::list([&Json::text(&argument)]);
            let mut message = Message::new(&queue, &actor, args, Json::empty_object(), timestamp);
            message.message_id = id;
            message.options.set("x", Json::text(&argument));
            prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
        }

        #[test]
        fn any_bytes_are_a_message_or_undecodable(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Message::decode(&bytes);
        }
    }
}
