//! The client: sends tasks, and asks for their results. It runs none.
//!
//! ```text
//! Enqueue ─► sealed? ─► middleware ─► by queue ─► TaskStore::enqueue
//! ```
//!
//! It is cheap to clone. A send that fails with an unavailable store may have had its effect; with an
//! idempotency key or an id it can be repeated without a second task. If the process dies in the
//! middle of a batch, the tasks of some calls of the store are enqueued and the others are not.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tidegate_store::task::{Enqueued, NewTask, QueueName, TaskId, TaskStore};

use crate::draft::Draft;
use crate::enqueue::Enqueue;
use crate::middleware::TaskMiddleware;
use crate::seal::Keyring;
use crate::{Error, Result};

/// The most bytes of arguments unless set otherwise; the store has a bound of its own above it.
pub const ARGUMENTS_BYTES_MAX: usize = 512 * 1024;

/// How often a result that is waited for is looked for, at first and at last.
const RESULT_LOOK_MIN: Duration = Duration::from_millis(5);
const RESULT_LOOK_MAX: Duration = Duration::from_millis(500);

/// Sends the tasks of an app.
#[derive(Clone)]
pub struct TaskClient {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn TaskStore>,
    app: String,
    keyring: Keyring,
    middleware: Vec<Arc<dyn TaskMiddleware>>,
    arguments_bytes_max: usize,
}

impl fmt::Debug for TaskClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskClient")
            .field("app", &self.inner.app)
            .finish_non_exhaustive()
    }
}

/// A task that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its id; of a duplicate, that of the task that was there before.
    pub id: TaskId,
    /// Its queue.
    pub queue: QueueName,
    /// Nothing was enqueued: the queue knew it already.
    pub is_duplicate: bool,
}

impl TaskClient {
    /// A client of an app, whose queues are apart from those of other apps in the same store.
    ///
    /// # Errors
    /// [`Error::Store`] for a name that no app can have.
    pub fn new(store: Arc<dyn TaskStore>, app: &str) -> Result<Self> {
        QueueName::of_app(app, "default")?;
        Ok(Self {
            inner: Arc::new(Inner {
                store,
                app: app.to_owned(),
                keyring: Keyring::default(),
                middleware: Vec::new(),
                arguments_bytes_max: ARGUMENTS_BYTES_MAX,
            }),
        })
    }

    /// Seals arguments with the ring's newest key, and opens them with any.
    #[must_use]
    pub fn with_keyring(self, keyring: Keyring) -> Self {
        self.changed(|inner| inner.keyring = keyring)
    }

    /// Puts middleware around sends, and around the attempts of workers with this client.
    #[must_use]
    pub fn with_middleware(self, middleware: Arc<dyn TaskMiddleware>) -> Self {
        self.changed(|inner| inner.middleware.push(middleware))
    }

    /// Another bound for the bytes of arguments.
    #[must_use]
    pub fn with_arguments_bytes_max(self, bytes: usize) -> Self {
        self.changed(|inner| inner.arguments_bytes_max = bytes)
    }

    fn changed(self, change: impl FnOnce(&mut Inner)) -> Self {
        let old = &*self.inner;
        let mut inner = Inner {
            store: Arc::clone(&old.store),
            app: old.app.clone(),
            keyring: old.keyring.clone(),
            middleware: old.middleware.clone(),
            arguments_bytes_max: old.arguments_bytes_max,
        };
        change(&mut inner);
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The store that it sends to.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn TaskStore> {
        &self.inner.store
    }

    /// The app.
    #[must_use]
    pub fn app(&self) -> &str {
        &self.inner.app
    }

    /// A queue of the app.
    ///
    /// # Errors
    /// [`Error::Store`] for a name that no queue can have.
    pub fn queue(&self, name: &str) -> Result<QueueName> {
        Ok(QueueName::of_app(&self.inner.app, name)?)
    }

    /// Sends tasks, and answers for each, in their order. What is wrong with one is its own answer;
    /// the others are sent. Those of one queue go to the store together.
    pub async fn send_many(&self, tasks: Vec<Enqueue>) -> Vec<Result<Sent>> {
        let drafts = tasks.into_iter().map(Enqueue::checked).collect();
        self.send_drafts(drafts).await
    }

    pub(crate) async fn send_drafts(&self, drafts: Vec<Result<Draft>>) -> Vec<Result<Sent>> {
        let mut answers: Vec<Option<Result<Sent>>> = Vec::new();
        let mut batches: Vec<(QueueName, Vec<(usize, NewTask)>)> = Vec::new();
        for (place, draft) in drafts.into_iter().enumerate() {
            match draft.and_then(|draft| self.prepare(draft)) {
                Err(error) => answers.push(Some(Err(error))),
                Ok((queue, task)) => {
                    answers.push(None);
                    match batches.iter_mut().find(|(other, _)| *other == queue) {
                        Some((_, batch)) => batch.push((place, task)),
                        None => batches.push((queue, vec![(place, task)])),
                    }
                }
            }
        }
        for (queue, batch) in batches {
            let (places, tasks): (Vec<usize>, Vec<NewTask>) = batch.into_iter().unzip();
            let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
            let enqueued = self.inner.store.enqueue(&queue, tasks).await;
            for ((place, id), enqueued) in places.into_iter().zip(ids).zip(enqueued) {
                if let Some(answer) = answers.get_mut(place) {
                    *answer = Some(self.sent(&queue, id, enqueued));
                }
            }
        }
        let unanswered = || Err(Error::Broken("the store gave too few answers".to_owned()));
        let answers = answers.into_iter();
        answers.map(|it| it.unwrap_or_else(unanswered)).collect()
    }

    fn sent(
        &self,
        queue: &QueueName,
        id: TaskId,
        enqueued: tidegate_store::Result<Enqueued>,
    ) -> Result<Sent> {
        let enqueued = enqueued?;
        for layer in &self.inner.middleware {
            layer.after_enqueue(queue, id, enqueued);
        }
        let (id, is_duplicate) = match enqueued {
            Enqueued::Accepted => (id, false),
            Enqueued::Duplicate(of) => (of, true),
        };
        Ok(Sent {
            id,
            queue: queue.clone(),
            is_duplicate,
        })
    }

    /// The task as the store takes it: sealed, and seen by the middleware.
    pub(crate) fn prepare(&self, mut draft: Draft) -> Result<(QueueName, NewTask)> {
        self.check_and_seal(&mut draft)?;
        let queue = draft.queue(&self.inner.app)?;
        let mut task = draft.new_task()?;
        for layer in &self.inner.middleware {
            layer.before_enqueue(&queue, &mut task)?;
        }
        Ok((queue, task))
    }

    /// Checks the arguments' size, and seals them: its own and those of all that follow from it. What
    /// is sealed already stays so.
    pub(crate) fn check_and_seal(&self, draft: &mut Draft) -> Result<()> {
        let (bytes, most) = (draft.payload.len(), self.inner.arguments_bytes_max);
        if bytes > most {
            return Err(Error::Invalid(format!(
                "the arguments of the task {} have {bytes} bytes; {most} are allowed: send a \
                 reference to what is large",
                draft.name
            )));
        }
        if !self.inner.keyring.seals() {
            return Ok(());
        }
        if draft.header.sealed.is_none()
            && let Some((sealed, id)) = self.inner.keyring.seal(&draft.name, &draft.payload)?
        {
            draft.payload = sealed;
            draft.header.sealed = Some(id);
        }
        let header = &mut draft.header;
        let callbacks = [
            &mut header.on_success,
            &mut header.on_failure,
            &mut header.on_exhausted,
        ];
        for part in callbacks.into_iter().flatten() {
            self.check_and_seal(part)?;
        }
        for next in &mut header.then {
            self.check_and_seal(next)?;
        }
        Ok(())
    }

    pub(crate) fn keyring(&self) -> &Keyring {
        &self.inner.keyring
    }

    pub(crate) fn middleware(&self) -> &[Arc<dyn TaskMiddleware>] {
        &self.inner.middleware
    }

    /// The result that was kept of a task; none where there is none yet, or none any more.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a result of another type.
    pub async fn result<T: DeserializeOwned>(&self, sent: &Sent) -> Result<Option<T>> {
        let Some(bytes) = self.inner.store.result(&sent.queue, sent.id).await? else {
            return Ok(None);
        };
        let text: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        let result = serde_json::from_slice(text);
        let result = result.map_err(|error| {
            Error::Invalid(format!(
                "the result of {} is none of this type: {error}",
                sent.id
            ))
        })?;
        Ok(Some(result))
    }

    /// As [`result`](Self::result), for up to `timeout`.
    ///
    /// # Errors
    /// As there.
    pub async fn wait_for_result<T: DeserializeOwned>(
        &self,
        sent: &Sent,
        timeout: Duration,
    ) -> Result<Option<T>> {
        let look = async {
            let mut pause = RESULT_LOOK_MIN;
            loop {
                if let Some(result) = self.result(sent).await? {
                    return Ok(Some(result));
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(RESULT_LOOK_MAX);
            }
        };
        tokio::time::timeout(timeout, look)
            .await
            .unwrap_or(Ok(None))
    }
}
