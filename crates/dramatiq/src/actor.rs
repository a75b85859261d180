//! Actors: functions that messages ask for by name.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tidegate_store::dramatiq::QueueName;

use crate::arguments;
use crate::failure::Failure;
use crate::json::Json;
use crate::message::Message;

/// What a message's options leave open; the defaults are Dramatiq's.
#[derive(Clone, Debug, PartialEq)]
pub struct ActorOptions {
    /// How often a message is tried again; none for ever.
    pub max_retries: Option<u64>,
    /// The shortest pause before it is.
    pub min_backoff: Duration,
    /// The longest pause before it is.
    pub max_backoff: Duration,
    /// How old a message may be when it begins; none for any age.
    pub max_age: Option<Duration>,
    /// How long a call may take; none for ever.
    pub time_limit: Option<Duration>,
    /// Which of a worker's messages begin first: those of the lowest.
    pub priority: i64,
    /// Whether results are kept.
    pub store_results: bool,
    /// How long results are kept.
    pub result_lifetime: Duration,
    /// The actor that is told of a success.
    pub on_success: Option<String>,
    /// The actor that is told of each failure.
    pub on_failure: Option<String>,
    /// The actor that is told when a message will not be tried again.
    pub on_retry_exhausted: Option<String>,
    /// Whether its result is not passed on in a pipeline.
    pub pipe_ignore: bool,
}

impl Default for ActorOptions {
    fn default() -> Self {
        Self {
            max_retries: Some(20),
            min_backoff: Duration::from_secs(15),
            max_backoff: Duration::from_secs(7 * 24 * 60 * 60),
            max_age: None,
            time_limit: Some(Duration::from_secs(600)),
            priority: 0,
            store_results: false,
            result_lifetime: Duration::from_secs(600),
            on_success: None,
            on_failure: None,
            on_retry_exhausted: None,
            pipe_ignore: false,
        }
    }
}

type Function = Arc<dyn Fn(Message) -> BoxFuture<'static, Result<Json, Failure>> + Send + Sync>;

/// An actor: its name, its queue, its options and its function.
#[derive(Clone)]
pub struct Actor {
    pub(crate) name: String,
    pub(crate) queue: QueueName,
    pub(crate) options: ActorOptions,
    function: Function,
}

impl Actor {
    /// An actor whose function gets its arguments bound, as Python binds them to parameters, and
    /// returns what is JSON. Arguments that don't fit make the message a dead letter at once.
    pub fn new<A, R, F, O>(name: &str, queue: QueueName, function: F) -> Self
    where
        A: DeserializeOwned,
        R: Serialize,
        F: Fn(A) -> O + Send + Sync + 'static,
        O: Future<Output = Result<R, Failure>> + Send + 'static,
    {
        Self::raw(name, queue, move |message| {
            let called = arguments::bind(&message).map(&function);
            async move {
                let called = called.map_err(|source| {
                    Failure::new("TypeError", source.to_string()).never_again()
                })?;
                let result = called.await?;
                Json::of(&result)
                    .map_err(|source| Failure::new("ResultError", source.to_string()).never_again())
            }
        })
    }

    /// An actor whose function gets the whole message.
    pub fn raw<F, O>(name: &str, queue: QueueName, function: F) -> Self
    where
        F: Fn(Message) -> O + Send + Sync + 'static,
        O: Future<Output = Result<Json, Failure>> + Send + 'static,
    {
        Self {
            name: name.to_owned(),
            queue,
            options: ActorOptions::default(),
            function: Arc::new(move |message| Box::pin(function(message))),
        }
    }

    /// This actor with other options.
    #[must_use]
    pub fn options(mut self, options: ActorOptions) -> Self {
        self.options = options;
        self
    }

    pub(crate) fn call(&self, message: Message) -> BoxFuture<'static, Result<Json, Failure>> {
        (self.function)(message)
    }
}

impl std::fmt::Debug for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Actor")
            .field("name", &self.name)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}

/// Why the actors of a worker can't be as they are.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misdeclared {
    /// Two actors have one name.
    #[error("two actors are called {0:?}")]
    TwoOfAName(String),
    /// A task asks for what can't be said on Dramatiq's queues.
    #[error(
        "the task {task:?} has {what}, which Dramatiq's queues can't keep: leave it out, or run the task on a store"
    )]
    Unsayable {
        /// The task.
        task: String,
        /// What it asks for.
        what: &'static str,
    },
    /// A task's queue, or what its function asks of the application.
    #[error("the task {task:?}: {reason}")]
    Unusable {
        /// The task.
        task: String,
        /// What is wrong.
        reason: String,
    },
}

/// The actors of a worker, and where those of others are.
#[derive(Clone, Debug, Default)]
pub struct Actors {
    own: HashMap<String, Actor>,
    elsewhere: HashMap<String, QueueName>,
}

impl Actors {
    /// Adds an actor.
    ///
    /// # Errors
    /// [`Misdeclared::TwoOfAName`].
    pub fn add(&mut self, actor: Actor) -> Result<(), Misdeclared> {
        let name = actor.name.clone();
        match self.own.insert(name.clone(), actor) {
            None => Ok(()),
            Some(_) => Err(Misdeclared::TwoOfAName(name)),
        }
    }

    /// Says in which queue an actor is that only others run; callbacks for it go there.
    pub fn elsewhere(&mut self, name: &str, queue: QueueName) {
        self.elsewhere.insert(name.to_owned(), queue);
    }

    /// The queues of all actors that run here, sorted.
    #[must_use]
    pub fn queues(&self) -> Vec<QueueName> {
        let mut queues: Vec<QueueName> = self.own.values().map(|it| it.queue.clone()).collect();
        queues.sort();
        queues.dedup();
        queues
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Actor> {
        self.own.get(name)
    }

    /// The queue of an actor, wherever it runs.
    pub(crate) fn queue_of(&self, name: &str) -> Option<&QueueName> {
        let own = self.own.get(name).map(|actor| &actor.queue);
        own.or_else(|| self.elsewhere.get(name))
    }
}
