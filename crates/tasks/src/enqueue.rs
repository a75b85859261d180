//! What a user writes to enqueue a task.
//!
//! ```text
//! send_webhook::enqueue(args).delay("5s").unique_key(id) ─► send(&client)
//!                                                        ├─► enqueue_in(&transaction)
//!                                                        └─► a part of another one, or of a group
//! ```
//!
//! A mistake (a duration that can't be read, arguments that can't be written) is kept and answered by
//! the send. Nothing happens before that; if the process dies, nothing was enqueued.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use tidegate_store::task::{Priority, TaskId};

use crate::client::{Sent, TaskClient};
use crate::draft::{Draft, Header, Span};
use crate::duration::IntoDuration;
use crate::options::TaskOptions;
use crate::state::OnUnknown;
use crate::task::Task;
use crate::{Error, Result};

/// How long an idempotency key is remembered unless said otherwise.
pub const IDEMPOTENCY_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// A task with its arguments, to be changed and sent.
#[derive(Clone, Debug)]
#[must_use = "nothing is enqueued before it is sent"]
pub struct Enqueue {
    pub(crate) draft: Draft,
    pub(crate) mistake: Option<String>,
}

impl Enqueue {
    /// A call of this task with these arguments.
    pub fn of<T: Task>(task: &T, arguments: T::Arguments) -> Self {
        Self::declared(&task.options(), &arguments)
    }

    /// A call of a task that is declared so, with arguments that need not be of its type: what can't
    /// be read will be a dead letter.
    pub fn declared(options: &TaskOptions, arguments: &impl Serialize) -> Self {
        let mut enqueue = Self::named(options.name, arguments).queue(options.queue);
        enqueue.draft.park = options.on_unknown == OnUnknown::Park;
        enqueue.priority(options.priority)
    }

    /// A call of a task that this program knows by name only, on the queue `default`.
    pub fn named(name: &str, arguments: &impl Serialize) -> Self {
        let (payload, mistake) = match serde_json::to_vec(arguments) {
            Ok(payload) => (payload.into(), None),
            Err(error) => {
                let mistake = format!("the arguments of the task {name} can't be written: {error}");
                (Bytes::new(), Some(mistake))
            }
        };
        let draft = Draft {
            id: None,
            name: name.to_owned(),
            queue: "default".to_owned(),
            payload,
            delay_ms: None,
            at_ms: None,
            priority: 0,
            ordering_key: None,
            limit_key: None,
            tenant: None,
            unique: None,
            idempotency: None,
            park: false,
            header: Header::default(),
        };
        Self { draft, mistake }
    }

    /// Another queue than the declared one.
    pub fn queue(mut self, queue: &str) -> Self {
        queue.clone_into(&mut self.draft.queue);
        self
    }

    /// Not before so long: `"5s"`, or a `Duration`.
    pub fn delay(mut self, delay: impl IntoDuration) -> Self {
        self.draft.delay_ms = self.milliseconds(delay);
        self
    }

    /// Not before this time, by the store's clock.
    pub fn at(mut self, time: Timestamp) -> Self {
        self.draft.at_ms = Some(u64::try_from(time.as_millisecond()).unwrap_or(0));
        self
    }

    /// Before or after the others of its queue.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.draft.priority = match priority {
            Priority::High => 1,
            Priority::Normal => 0,
            Priority::Low => -1,
        };
        self
    }

    /// Tasks of one key run one after the other, in the order in which they were enqueued.
    pub fn key(mut self, key: impl ToString) -> Self {
        self.draft.ordering_key = Some(key.to_string());
        self
    }

    /// What the queue's limits of a key count it by.
    pub fn limit_key(mut self, key: impl ToString) -> Self {
        self.draft.limit_key = Some(key.to_string());
        self
    }

    /// Whose task it is: the tenants of a queue are served in turn.
    pub fn tenant(mut self, tenant: impl ToString) -> Self {
        self.draft.tenant = Some(tenant.to_string());
        self
    }

    /// Not while another task of the queue with this key is unfinished: the send then answers
    /// with that one.
    pub fn unique_key(self, key: impl ToString) -> Self {
        self.unique(key, Span::UntilDone)
    }

    /// Not while another task of the queue with this key waits to begin.
    pub fn unique_while_queued(self, key: impl ToString) -> Self {
        self.unique(key, Span::WhileQueued)
    }

    /// Not within so long after another task of the queue with this key.
    pub fn unique_for(mut self, key: impl ToString, time: impl IntoDuration) -> Self {
        match self.milliseconds(time) {
            Some(ms) => self.unique(key, Span::ForMs(ms)),
            None => self,
        }
    }

    fn unique(mut self, key: impl ToString, span: Span) -> Self {
        self.draft.unique = Some((key.to_string(), span));
        self
    }

    /// Once, however often it is sent with this key within [`IDEMPOTENCY_LIFETIME`].
    pub fn idempotency(self, key: impl ToString) -> Self {
        self.idempotency_for(key, IDEMPOTENCY_LIFETIME)
    }

    /// Once, however often it is sent with this key within a time.
    pub fn idempotency_for(mut self, key: impl ToString, lifetime: impl IntoDuration) -> Self {
        if let Some(ms) = self.milliseconds(lifetime) {
            self.draft.idempotency = Some((key.to_string(), ms));
        }
        self
    }

    /// An id of the caller's. While the store has a task of this id, it is not enqueued again.
    pub fn id(mut self, id: TaskId) -> Self {
        self.draft.id = Some(id.to_string());
        self
    }

    /// Other retries than the declared ones.
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.draft.header.max_retries = Some(retries);
        self
    }

    /// Another time limit than the declared one.
    pub fn time_limit(mut self, limit: impl IntoDuration) -> Self {
        self.draft.header.time_limit_ms = self.milliseconds(limit);
        self
    }

    /// Another age limit than the declared one.
    pub fn max_age(mut self, age: impl IntoDuration) -> Self {
        self.draft.header.max_age_ms = self.milliseconds(age);
        self
    }

    /// Keeps its result for so long.
    pub fn keep_result(mut self, ttl: impl IntoDuration) -> Self {
        self.draft.header.result_ttl_ms = self.milliseconds(ttl);
        self
    }

    /// Carries a trace on: the `traceparent` of W3C Trace Context.
    pub fn traceparent(mut self, traceparent: &str) -> Self {
        self.draft.header.traceparent = Some(traceparent.to_owned());
        self
    }

    /// Enqueues `next` when this one is done; further ones follow one another. What is next finds
    /// the result in `TaskContext::previous`.
    pub fn then(mut self, next: Self) -> Self {
        let Self { draft, mistake } = next;
        self.mistake = self.mistake.or(mistake);
        self.draft.header.then.push(draft);
        self
    }

    /// Enqueues `callback` when this one is done.
    pub fn on_success(mut self, callback: Self) -> Self {
        self.draft.header.on_success = self.part(callback);
        self
    }

    /// Enqueues `callback` when this one is dead, for whatever reason. It finds the reason in
    /// `TaskContext::failed`.
    pub fn on_failure(mut self, callback: Self) -> Self {
        self.draft.header.on_failure = self.part(callback);
        self
    }

    /// Enqueues `callback` when this one is dead because its last retry has failed.
    pub fn on_exhausted(mut self, callback: Self) -> Self {
        self.draft.header.on_exhausted = self.part(callback);
        self
    }

    /// Sends it.
    ///
    /// # Errors
    /// [`Error::Invalid`] for the first mistake in what it was given; what the store says.
    pub async fn send(self, client: &TaskClient) -> Result<Sent> {
        let mut sent = client.send_many(vec![self]).await;
        sent.pop()
            .unwrap_or_else(|| Err(Error::Broken("a send without an answer".to_owned())))
    }

    /// Itself, if nothing is wrong with it.
    pub(crate) fn checked(self) -> Result<Draft> {
        match self.mistake {
            Some(mistake) => Err(Error::Invalid(mistake)),
            None => Ok(self.draft),
        }
    }

    fn part(&mut self, part: Self) -> Option<Box<Draft>> {
        let Self { draft, mistake } = part;
        if self.mistake.is_none() {
            self.mistake = mistake;
        }
        Some(Box::new(draft))
    }

    fn milliseconds(&mut self, duration: impl IntoDuration) -> Option<u64> {
        match duration.into_duration() {
            Ok(duration) => Some(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
            Err(error) => {
                self.mistake.get_or_insert_with(|| error.to_string());
                None
            }
        }
    }
}
