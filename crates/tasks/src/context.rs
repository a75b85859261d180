//! What a task's function knows of its attempt, and what it may do beside its work.
//!
//! A clone of it is as good as the original. Nothing here outlives the attempt, but for what is said
//! to the store.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tidegate_store::task::{Fence, QueueName, Taken, TaskId, TaskName};
use tokio_util::sync::CancellationToken;

use crate::client::TaskClient;
use crate::draft::{FailedTask, Header};
use crate::{Error, Result};

/// One attempt at a task, as its function sees it.
#[derive(Clone)]
pub struct TaskContext {
    inner: Arc<Inner>,
}

struct Inner {
    id: TaskId,
    name: TaskName,
    queue: QueueName,
    attempt: u32,
    fence: Fence,
    key: Option<String>,
    tenant: Option<String>,
    enqueued_at_ms: u64,
    age: Duration,
    header: Header,
    cancelled: CancellationToken,
    client: TaskClient,
}

impl fmt::Debug for TaskContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskContext")
            .field("id", &self.inner.id)
            .field("name", &self.inner.name)
            .field("attempt", &self.inner.attempt)
            .finish_non_exhaustive()
    }
}

impl TaskContext {
    pub(crate) fn new(
        queue: QueueName,
        taken: &Taken,
        header: Header,
        cancelled: CancellationToken,
        client: TaskClient,
    ) -> Self {
        let text = |label: &Option<tidegate_store::task::Label>| {
            label.as_ref().map(|label| label.as_str().to_owned())
        };
        let age_ms = taken.taken_at_ms.saturating_sub(taken.enqueued_at_ms);
        Self {
            inner: Arc::new(Inner {
                id: taken.id,
                name: taken.name.clone(),
                queue,
                attempt: taken.attempt,
                fence: taken.fence,
                key: text(&taken.ordering_key),
                tenant: text(&taken.tenant),
                enqueued_at_ms: taken.enqueued_at_ms,
                age: Duration::from_millis(age_ms),
                header,
                cancelled,
                client,
            }),
        }
    }

    /// Which task: the same in all its attempts. It makes a good idempotency key for the other side.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.inner.id
    }

    /// The task's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.inner.name.as_str()
    }

    /// The queue it was taken from.
    #[must_use]
    pub fn queue(&self) -> &QueueName {
        &self.inner.queue
    }

    /// Which attempt this is, from 1 on.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.inner.attempt
    }

    /// The attempt's token. Of one queue, a later attempt has a larger one: what remembers the
    /// largest that it has seen can refuse those that come late.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.inner.fence
    }

    /// The key that orders it.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.inner.key.as_deref()
    }

    /// Whose task it is.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        self.inner.tenant.as_deref()
    }

    /// When it was enqueued, by the store's clock.
    #[must_use]
    pub fn enqueued_at(&self) -> Timestamp {
        let ms = i64::try_from(self.inner.enqueued_at_ms).unwrap_or(i64::MAX);
        Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
    }

    /// How old it was when this attempt was taken.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.inner.age
    }

    /// The time of the schedule that this run is for; none for a task that someone has sent. It is
    /// the same for a run that is repeated.
    #[must_use]
    pub fn planned_at(&self) -> Option<Timestamp> {
        let ms = i64::try_from(self.inner.header.tick_ms?).ok()?;
        Timestamp::from_millisecond(ms).ok()
    }

    /// The trace that it belongs to, as its sender gave it.
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        self.inner.header.traceparent.as_deref()
    }

    /// Cancelled when the function's future is about to be dropped, before its end: the time limit
    /// is over, someone cancels the task, or a shutdown can wait no longer. It is for what the
    /// function has started elsewhere.
    #[must_use]
    pub fn cancelled(&self) -> &CancellationToken {
        &self.inner.cancelled
    }

    /// Sends tasks to the same app.
    #[must_use]
    pub fn client(&self) -> &TaskClient {
        &self.inner.client
    }

    /// The result of the task before it: in a pipeline, or that it is the success callback of.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a result of another type, and where there was no task before.
    pub fn previous<T: DeserializeOwned>(&self) -> Result<T> {
        let Some(previous) = self.inner.header.previous.clone() else {
            return Err(Error::Invalid(format!(
                "no task came before {}: nothing has a result for it",
                self.inner.id
            )));
        };
        serde_json::from_value(previous).map_err(|error| {
            Error::Invalid(format!(
                "the former task's result is none of this type: {error}"
            ))
        })
    }

    /// The task that has failed, for a callback of its failure.
    #[must_use]
    pub fn failed(&self) -> Option<&FailedTask> {
        self.inner.header.failed.as_ref()
    }

    /// Says how far it is, for those who look at the task.
    ///
    /// # Errors
    /// [`tidegate_store::Error::FenceLost`] where another attempt holds the task: this one should
    /// end.
    pub async fn progress(&self, progress: &impl Serialize) -> Result<()> {
        let bytes = serde_json::to_vec(progress)
            .map_err(|error| Error::Invalid(format!("a progress can't be written: {error}")))?;
        let Inner {
            queue, id, fence, ..
        } = &*self.inner;
        let store = self.inner.client.store();
        Ok(store.progress(queue, *id, *fence, bytes.into()).await?)
    }

    pub(crate) fn header(&self) -> &Header {
        &self.inner.header
    }
}
