//! The tasks of an application: which it has, the limits of their queues, and its client.
//!
//! It adds to [`App`] what streams don't need. A mistake is kept until [`App::run`], as there.

use std::sync::Arc;

use tidegate_store::task::TaskStore;
use tidegate_tasks::outbox::{PostgresRelay, SqliteRelay};
use tidegate_tasks::{Keyring, Limits, Registered, Task, TaskClient, TaskMiddleware};

use crate::{App, Error};

/// What an application says about its tasks.
#[derive(Default)]
pub(crate) struct Tasks {
    pub(crate) registered: Vec<Registered>,
    pub(crate) options: tidegate_tasks::Options,
    pub(crate) keyring: Keyring,
    pub(crate) middleware: Vec<Arc<dyn TaskMiddleware>>,
    pub(crate) outboxes: Vec<Outbox>,
}

/// Where an outbox is.
#[derive(Clone)]
pub(crate) enum Outbox {
    /// In a PostgreSQL database, by its URL.
    Postgres(String),
    /// In an SQLite file.
    Sqlite(String),
}

impl Tasks {
    /// Whether there is anything for a worker to do.
    pub(crate) fn is_empty(&self) -> bool {
        self.registered.is_empty() && self.outboxes.is_empty()
    }

    /// A client over a store.
    pub(crate) fn client(&self, store: Arc<dyn TaskStore>, app: &str) -> Result<TaskClient, Error> {
        let mut client = TaskClient::new(store, app)?.with_keyring(self.keyring.clone());
        for layer in &self.middleware {
            client = client.with_middleware(Arc::clone(layer));
        }
        Ok(client)
    }
}

impl Outbox {
    /// Sends what is in it until `stop`.
    pub(crate) async fn relay(
        self,
        client: TaskClient,
        stop: tokio_util::sync::CancellationToken,
    ) -> Result<(), Error> {
        match self {
            Self::Postgres(url) => PostgresRelay::without_tls(client, &url)?.run(stop).await,
            Self::Sqlite(path) => SqliteRelay::new(client, path).run(stop).await,
        }
        Ok(())
    }
}

impl App {
    /// A function that the attribute [`task`](crate::task) is written above: workers run it, and its
    /// schedule, where it has one, begins.
    #[must_use]
    pub fn task(mut self, task: impl Task) -> Self {
        self.tasks.registered.push(Registered::new(task));
        self
    }

    /// The limits of a queue of tasks, across all workers: how many run at once, how many begin in
    /// a time, altogether and for each key.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use tidegate::App;
    /// use tidegate::tasks::{Limits, Rate};
    /// let rate = Rate { count: 100, per: Duration::from_secs(1), burst: 10 };
    /// let app = App::new("shop").queue("webhooks", Limits { rate: Some(rate), ..Limits::default() });
    /// ```
    #[must_use]
    pub fn queue(mut self, name: &str, limits: Limits) -> Self {
        self.tasks.options.limits.insert(name.to_owned(), limits);
        self
    }

    /// How workers run tasks; limits that were given before are kept.
    #[must_use]
    pub fn task_options(mut self, options: tidegate_tasks::Options) -> Self {
        let former = std::mem::replace(&mut self.tasks.options, options);
        for (queue, limits) in former.limits {
            self.tasks.options.limits.entry(queue).or_insert(limits);
        }
        self
    }

    /// Seals the arguments of tasks with the newest key, and opens them with any.
    #[must_use]
    pub fn keyring(mut self, keyring: Keyring) -> Self {
        self.tasks.keyring = keyring;
        self
    }

    /// Puts middleware around every task, inside of what was added before.
    #[must_use]
    pub fn task_middleware(mut self, middleware: impl TaskMiddleware) -> Self {
        self.tasks.middleware.push(Arc::new(middleware));
        self
    }

    /// Lets workers send what is in the outbox of this PostgreSQL database, which is reached
    /// without TLS; for other connections run a
    /// [`PostgresRelay`] of your own.
    #[must_use]
    pub fn outbox_postgres(mut self, url: &str) -> Self {
        self.tasks.outboxes.push(Outbox::Postgres(url.to_owned()));
        self
    }

    /// Lets workers send what is in the outbox of this SQLite file.
    #[must_use]
    pub fn outbox_sqlite(mut self, path: &str) -> Self {
        self.tasks.outboxes.push(Outbox::Sqlite(path.to_owned()));
        self
    }

    /// A client that sends tasks of this application, over a connection of its own to the store.
    ///
    /// # Errors
    /// What the store says.
    pub async fn task_client(&self) -> Result<TaskClient, Error> {
        let store = self.connect_tasks(None).await?;
        self.tasks.client(store, &self.name)
    }
}
