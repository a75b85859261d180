//! The user's function of a schedule, and what it may ask for.
//!
//! ```text
//! runner ─ ScheduledRun, StateMap ─► ScheduledFn ─► the user's future
//! ```
//!
//! Any `async fn` that returns a result is one; its arguments are a [`ScheduledRun`] or
//! [`State<T>`](State), up to three. Nothing here outlives the process.

use std::sync::Arc;

use futures::FutureExt;
use jiff::Timestamp;
use tidegate_store::Lease;
use tokio_util::sync::CancellationToken;

use crate::processor_options::Running;
use crate::state::{FromState, State, StateMap};
use crate::{BoxError, Result};

/// One run of a schedule, as its function sees it.
#[derive(Clone, Debug)]
pub struct ScheduledRun {
    /// The schedule's name.
    pub name: Arc<str>,
    /// When the run was to begin. It is the same for a run that is repeated after a crash, and so
    /// tells repeated runs apart from others.
    pub planned_at: Timestamp,
    /// It begins later, because nobody could begin it in time.
    pub missed: bool,
    /// The leadership, for effects that are to be fenced by its epoch; none for a schedule of
    /// every worker.
    pub lease: Option<Lease>,
    /// Cancelled when the leadership is lost, or when a shutdown can wait no longer. The function's
    /// future is dropped then; this is for what it has started elsewhere.
    pub cancelled: CancellationToken,
}

/// What can be an argument of a schedule's function.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be an argument of a schedule's function",
    label = "use `ScheduledRun`, or `State<T>` with a `T` that is Clone, Send and Sync"
)]
pub trait FromRun: Sized {
    /// Whether the argument can be had in every run.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error) that names what is missing.
    fn check(state: &StateMap) -> Result<()>;

    /// Takes the argument.
    ///
    /// # Errors
    /// As in [`check`](Self::check).
    fn from_run(run: &ScheduledRun, state: &StateMap) -> Result<Self>;
}

impl FromRun for ScheduledRun {
    fn check(_state: &StateMap) -> Result<()> {
        Ok(())
    }

    fn from_run(run: &ScheduledRun, _state: &StateMap) -> Result<Self> {
        Ok(run.clone())
    }
}

impl<T: Clone + Send + Sync + 'static> FromRun for State<T> {
    fn check(state: &StateMap) -> Result<()> {
        Self::from_state(state).map(drop)
    }

    fn from_run(_run: &ScheduledRun, state: &StateMap) -> Result<Self> {
        Self::from_state(state)
    }
}

/// A function that a schedule can run: an `async fn` with up to three arguments, each of which is
/// [`FromRun`], that returns a result.
#[diagnostic::on_unimplemented(
    message = "this function can't be run by a schedule",
    label = "use an async fn that takes `ScheduledRun` or `State<T>`s and returns a Result"
)]
pub trait ScheduledFn<Args>: Send + Sync + 'static {
    /// Whether its arguments can be had.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error) that names what is missing.
    fn check(&self, state: &StateMap) -> Result<()>;

    /// Begins a run.
    ///
    /// # Errors
    /// As in [`check`](Self::check).
    fn call(&self, run: &ScheduledRun, state: &StateMap) -> Result<Running>;
}

macro_rules! scheduled_fn {
    ($($argument:ident),*) => {
        impl<Function, Fut, Failure, $($argument),*> ScheduledFn<($($argument,)*)> for Function
        where
            Function: Fn($($argument),*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = Result<(), Failure>> + Send + 'static,
            Failure: Into<BoxError>,
            $($argument: FromRun,)*
        {
            fn check(&self, _state: &StateMap) -> Result<()> {
                $($argument::check(_state)?;)*
                Ok(())
            }

            fn call(
                &self,
                _run: &ScheduledRun,
                _state: &StateMap,
            ) -> Result<Running> {
                let running = self($($argument::from_run(_run, _state)?),*);
                Ok(running.map(|ended| ended.map_err(Into::into)).boxed())
            }
        }
    };
}

scheduled_fn!();
scheduled_fn!(First);
scheduled_fn!(First, Second);
scheduled_fn!(First, Second, Third);

/// A [`ScheduledFn`] whose arguments' types are forgotten.
pub(super) trait Job: Send + Sync {
    fn check(&self, state: &StateMap) -> Result<()>;

    fn call(&self, run: &ScheduledRun, state: &StateMap) -> Result<Running>;
}

/// Ties the arguments' types to the function.
pub(super) struct Erased<Function, Args> {
    pub(super) function: Function,
    pub(super) arguments: std::marker::PhantomData<fn(Args)>,
}

impl<Function: ScheduledFn<Args>, Args> Job for Erased<Function, Args> {
    fn check(&self, state: &StateMap) -> Result<()> {
        self.function.check(state)
    }

    fn call(&self, run: &ScheduledRun, state: &StateMap) -> Result<Running> {
        self.function.call(run, state)
    }
}
