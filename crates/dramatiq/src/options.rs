//! The options of a message: what brokers and middleware are told, in the order in which it was said.

use crate::json::Json;

/// The message's id in its queue's list.
pub const REDIS_MESSAGE_ID: &str = "redis_message_id";
/// When it is due, in milliseconds since 1970; only while it waits.
pub const ETA: &str = "eta";
/// How often it was tried again.
pub const RETRIES: &str = "retries";
/// What went wrong the last time.
pub const TRACEBACK: &str = "traceback";
/// When it was enqueued to be tried again, in milliseconds since 1970.
pub const REQUEUE_TIMESTAMP: &str = "requeue_timestamp";
/// How often it may be tried again.
pub const MAX_RETRIES: &str = "max_retries";
/// The shortest pause before it is tried again, in milliseconds.
pub const MIN_BACKOFF: &str = "min_backoff";
/// The longest pause before it is tried again, in milliseconds.
pub const MAX_BACKOFF: &str = "max_backoff";
/// How old it may be when it begins, in milliseconds.
pub const MAX_AGE: &str = "max_age";
/// How long it may run, in milliseconds.
pub const TIME_LIMIT: &str = "time_limit";
/// The message that gets its result as a last argument.
pub const PIPE_TARGET: &str = "pipe_target";
/// Whether the result of the message before is not passed on to this one.
pub const PIPE_IGNORE: &str = "pipe_ignore";
/// How long the enqueuing of a pipeline's next message is delayed, in milliseconds.
pub const DELAY: &str = "delay";
/// The actor that is told of a success.
pub const ON_SUCCESS: &str = "on_success";
/// The actor that is told of each failure.
pub const ON_FAILURE: &str = "on_failure";
/// The actor that is told when it will not be tried again.
pub const ON_RETRY_EXHAUSTED: &str = "on_retry_exhausted";
/// Whether its result is kept.
pub const STORE_RESULTS: &str = "store_results";
/// How long its result is kept, in milliseconds.
pub const RESULT_TTL: &str = "result_ttl";
/// The key of the barrier of its group.
pub const GROUP_COMPLETION_UUID: &str = "group_completion_uuid";
/// The messages that are enqueued when its group is complete.
pub const GROUP_COMPLETION_CALLBACKS: &str = "group_completion_callbacks";

/// Names and values, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options(Vec<(String, Json)>);

impl Options {
    /// The members of an object; none for another value.
    pub(crate) fn of(value: &Json) -> Option<Self> {
        value.members().map(Self)
    }

    /// An option's value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Json> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value)
    }

    /// An option that is an integer.
    #[must_use]
    pub fn integer(&self, name: &str) -> Option<i64> {
        self.get(name)?.as_integer()
    }

    /// An option that is a text, and not an empty one.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        self.get(name)?.as_text().filter(|it| !it.is_empty())
    }

    /// Sets an option: in its place, or as the last.
    pub fn set(&mut self, name: &str, value: Json) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some(known) => known.1 = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// Removes an option.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| known != name);
    }

    pub(crate) fn to_json(&self) -> Json {
        Json::object(self.0.iter().map(|(name, value)| (name.as_str(), value)))
    }
}
