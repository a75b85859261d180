//! What `#[processor]` makes of a function: its options as data, and a way to call it.
//!
//! ```text
//! #[processor(…)] async fn ─► IntoProcessor ─ options, check, call ─► the application's processor
//! ```
//!
//! The attribute has checked the values where they are written. Nothing happens here; if the
//! process dies, there is nothing to lose.

use std::time::Duration;

use futures::future::BoxFuture;

use crate::state::StateMap;
use crate::{BoxError, Error};

/// A call of the user's function that has begun.
pub type Running = BoxFuture<'static, Result<(), BoxError>>;

/// What becomes of an event that fails, after its retries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// The worker stops.
    #[default]
    Halt,
    /// Its partition stops.
    Quarantine,
    /// It is acknowledged and logged.
    Ignore,
    /// It is stored with its reason and acknowledged.
    DeadLetter,
    /// Its key stops.
    Park,
}

/// How often an event is tried before [`OnError`] decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryOptions {
    /// How often in all, the first try included; at least 2.
    pub attempts: u32,
    /// The pause after the first failure; it grows with each further one.
    pub min: Duration,
    /// The longest pause.
    pub max: Duration,
}

/// The values of a `#[processor(…)]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessorOptions {
    /// The consumer group.
    pub name: &'static str,
    /// The stream it reads, without its application.
    pub stream: &'static str,
    /// What becomes of an event that fails.
    pub on_error: OnError,
    /// How often it is tried before.
    pub retry: Option<RetryOptions>,
    /// How many keys of a partition are processed at the same time; with 1, each event comes after
    /// the other.
    pub lanes: u32,
    /// The most entries of a partition that are in memory, where the default isn't good.
    pub prefetch: Option<usize>,
}

/// A function that `#[processor]` was written above.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no processor",
    label = "write `#[processor(stream = \"…\")]` above the function"
)]
pub trait IntoProcessor: Send + Sync + 'static {
    /// What it iterates: `Events` of its record.
    type Events: Send + 'static;

    /// The values of the attribute.
    fn options(&self) -> ProcessorOptions;

    /// Whether the application provides what the function asks for.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the type that is missing.
    fn check(&self, state: &StateMap) -> Result<(), Error>;

    /// Begins a call.
    fn call(&self, events: Self::Events, state: &StateMap) -> Running;
}
