//! What `#[processor]` makes of a function: its options as data, and a way to call it.
//!
//! ```text
//! #[processor(…)] async fn ─► IntoProcessor ─ options, check, call ─► bind ─► Processor
//! ```
//!
//! The attribute has checked the values where they are written. Nothing happens here; if the
//! process dies, there is nothing to lose.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::events::Events;
use crate::policy::Policy;
use crate::processor::{Processor, Settings};
use crate::record::Record;
use crate::spec::StreamSpec;
use crate::state::StateMap;
use crate::{BoxError, Error, Result};

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

impl ProcessorOptions {
    /// What becomes of an event that fails, its retries included.
    #[must_use]
    pub fn policy(&self) -> Policy {
        let then = match self.on_error {
            OnError::Halt => Policy::Halt,
            OnError::Quarantine => Policy::Quarantine,
            OnError::Ignore => Policy::Ignore,
            OnError::DeadLetter => Policy::DeadLetter,
            OnError::Park => Policy::ParkKey,
        };
        match self.retry {
            None => then,
            Some(RetryOptions { attempts, min, max }) => Policy::Retry {
                attempts,
                min,
                max,
                then: Box::new(then),
            },
        }
    }

    /// The processor's settings: the attribute's values over the defaults.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let defaults = Settings::default();
        Settings {
            on_error: self.policy(),
            lanes: self.lanes,
            prefetch: self.prefetch.unwrap_or(defaults.prefetch),
            ..defaults
        }
    }
}

/// The processor of a function with the attribute, over the stream that it names. It leaves up to
/// half a partition's size of acknowledged entries in the stream, to be replayed.
///
/// # Errors
/// [`Error::Invalid`] for a `spec` of another stream, for a state that nobody provides, and for
/// values out of their bounds.
pub fn bind<Declared, R>(
    declared: Declared,
    spec: &StreamSpec,
    state: Arc<StateMap>,
) -> Result<Processor>
where
    Declared: IntoProcessor<Events = Events<R>>,
    R: Record,
{
    let options = declared.options();
    if options.stream != spec.stream {
        return Err(Error::Invalid(format!(
            "the processor {} reads the stream {}, not {}",
            options.name, options.stream, spec.stream
        )));
    }
    declared.check(&state)?;
    let function = move |events| declared.call(events, &state);
    let settings = Settings {
        // What is acknowledged stays for a replay, and as much room is left for what is not.
        retain: Some(spec.partition_size / 2),
        ..options.settings()
    };
    Processor::new(options.name, spec, function)?.with_settings(settings)
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
    fn check(&self, state: &StateMap) -> Result<()>;

    /// Begins a call.
    fn call(&self, events: Self::Events, state: &StateMap) -> Running;
}
