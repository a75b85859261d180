//! What others may ask of a tenant while it is drained: its health, and its ends.
//!
//! Beside the runner's loop, which writes it. Nothing hangs on it: it is gone with the process.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use super::Ends;
use crate::error::Error;
use crate::observer::{Observer, StepBack};
use crate::options::Options;

/// How long an end may take to answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);

/// Whether a tenant can be drained.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Whether the target database answers.
    pub database: bool,
    /// Whether the store answers.
    pub store: bool,
    /// What a person should know besides.
    pub details: Vec<String>,
}

/// A handle on a tenant, cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    state: Arc<State>,
}

impl Handle {
    pub(super) fn new(state: Arc<State>) -> Self {
        Self { state }
    }

    /// The tenant's name; none for the only one.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.state.id.as_deref()
    }

    /// How its stream is drained.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.state.options
    }

    /// Both its ends, once they are open.
    #[must_use]
    pub fn ends(&self) -> Option<Ends> {
        self.state.ends()
    }

    /// Asks both ends, now.
    pub async fn health(&self) -> Health {
        let known = self.state.known().clone();
        let mut health = Health {
            details: known
                .broken
                .iter()
                .chain(&known.stepped_back)
                .cloned()
                .collect(),
            ..Health::default()
        };
        let Some(Ends { store, sink }) = known.ends else {
            if known.broken.is_none() {
                health.details.push("it is not connected yet".to_owned());
            }
            return health;
        };
        let (store, sink) = tokio::join!(
            timeout(ANSWER_TIME_MAX, store.ping()),
            timeout(ANSWER_TIME_MAX, sink.ping()),
        );
        health.store = matches!(store, Ok(Ok(())));
        health.database = matches!(sink, Ok(Ok(())));
        health
    }
}

/// What the runner knows of a tenant.
#[derive(Debug)]
pub(super) struct State {
    id: Option<String>,
    options: Options,
    known: Mutex<Known>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    ends: Option<Ends>,
    /// Why it is not drained, until it is.
    broken: Option<String>,
    /// That the log has lost entries, for as long as the process lives: somebody should look.
    stepped_back: Option<String>,
}

impl State {
    pub(super) fn new(id: Option<String>, options: Options) -> Self {
        Self {
            id,
            options,
            known: Mutex::default(),
        }
    }

    pub(super) fn ends(&self) -> Option<Ends> {
        self.known().ends.clone()
    }

    /// Both ends are open. Returns whether that is the first time.
    pub(super) fn connected(&self, ends: Ends) -> bool {
        self.known().ends.replace(ends).is_none()
    }

    pub(super) fn broke(&self, error: &Error) {
        self.known().broken = Some(error.to_string());
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notes that the tenant is whole again, and that its log was not.
#[derive(Debug)]
pub(super) struct Watching(pub(super) Arc<State>);

impl Observer for Watching {
    fn began(&self, _shard: u32) {
        self.0.known().broken = None;
    }

    fn stepped_back(&self, step_back: &StepBack) {
        let StepBack {
            shard,
            position,
            last_id,
            ..
        } = step_back;
        self.0.known().stepped_back = Some(format!(
            "the log of shard {shard} had stepped back to {last_id}, behind the ledger at \
             {position}: the store has lost entries that it had acknowledged"
        ));
    }
}
