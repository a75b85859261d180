//! A processor: the user's function, the stream it reads, and how.
//!
//! The function's types end here: what runs it knows nothing of records. Nothing happens in this
//! file; a processor is given to a [`Worker`](crate::Worker).

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tidegate_store::{Entry, GroupName, StreamName};

use crate::events::Events;
use crate::lane::Lane;
use crate::middleware::Middleware;
use crate::policy::Policy;
use crate::record::Record;
use crate::spec::StreamSpec;
use crate::{BoxError, Error, Result};

/// The most lanes a partition may have.
pub const LANES_MAX: u32 = 1_024;
/// The most entries that may be read ahead for one partition.
pub const PREFETCH_MAX: usize = 100_000;

/// How a processor reads, fails and acknowledges.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What becomes of an event that fails.
    pub on_error: Policy,
    /// How many keys of a partition are processed at the same time: 1 to [`LANES_MAX`]. With 1 a
    /// partition's events come strictly one after the other; with more, each key's do.
    pub lanes: u32,
    /// How many entries of a partition are in memory at most, read ahead or in hand: 2 to
    /// [`PREFETCH_MAX`].
    pub prefetch: usize,
    /// How many bytes of them. The worker's budget may allow less.
    pub prefetch_bytes: usize,
    /// How long a done event waits for others to be acknowledged with it. What a process has done
    /// within this time before it is killed is done again by the next owner.
    pub ack_within: Duration,
    /// How long the function may go on with what it has in hand when its partition moves to
    /// another worker or the worker stops; then it is dropped.
    pub grace: Duration,
    /// What every group of the stream has acknowledged is deleted, but for about so many entries
    /// of each partition; none to delete nothing.
    pub retain: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            on_error: Policy::Halt,
            lanes: 1,
            prefetch: 1_024,
            prefetch_bytes: 4 << 20,
            ack_within: Duration::from_millis(5),
            grace: Duration::from_secs(10),
            retain: Some(0),
        }
    }
}

impl Settings {
    fn check(&self) -> Result<()> {
        let problem = self.on_error.problem().or_else(|| {
            if !(1..=LANES_MAX).contains(&self.lanes) {
                Some(format!("{} lanes: use 1 to {LANES_MAX}", self.lanes))
            } else if !(2..=PREFETCH_MAX).contains(&self.prefetch) {
                Some(format!(
                    "prefetch of {}: use 2 to {PREFETCH_MAX}",
                    self.prefetch
                ))
            } else {
                None
            }
        });
        problem.map_or(Ok(()), |problem| Err(Error::Invalid(problem)))
    }
}

/// A function over the events of a stream.
#[derive(Clone)]
pub struct Processor {
    pub(crate) name: GroupName,
    pub(crate) stream: StreamName,
    pub(crate) dead_letters: StreamName,
    pub(crate) partitions: u32,
    pub(crate) settings: Settings,
    pub(crate) middleware: Vec<Arc<dyn Middleware>>,
    pub(crate) code: Arc<dyn Code>,
}

impl fmt::Debug for Processor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Processor")
            .field("name", &self.name)
            .field("stream", &self.stream)
            .field("partitions", &self.partitions)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Processor {
    /// A processor `name` of a stream. The name is the consumer group: processors of different
    /// names each get every event. `function` is called once for each partition that the worker
    /// owns (for each lane of it), when there is an event; it returns when [`Events::next`] or
    /// [`Events::take`] gives none.
    ///
    /// # Errors
    /// [`Error::Invalid`] and [`Error::Store`] for names and numbers out of their bounds.
    pub fn new<R, F, Fut, E>(name: &str, spec: &StreamSpec, function: F) -> Result<Self>
    where
        R: Record,
        F: Fn(Events<R>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        Ok(Self {
            name: GroupName::new(name)?,
            stream: spec.name()?,
            dead_letters: crate::dead_letter::stream_of(spec)?,
            partitions: spec.partitions,
            settings: Settings::default(),
            middleware: Vec::new(),
            code: Arc::new(Function {
                function,
                record: PhantomData,
            }),
        })
    }

    /// Sets how it reads, fails and acknowledges.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a setting out of its bounds.
    pub fn with_settings(mut self, settings: Settings) -> Result<Self> {
        settings.check()?;
        self.settings = settings;
        Ok(self)
    }

    /// Puts middleware around the processor, inside of what was added before.
    #[must_use]
    pub fn with_middleware(mut self, middleware: Arc<dyn Middleware>) -> Self {
        self.middleware.push(middleware);
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &GroupName {
        &self.name
    }

    /// The stream it reads.
    #[must_use]
    pub fn stream(&self) -> &StreamName {
        &self.stream
    }

    /// How many partitions the stream gets when it is new.
    #[must_use]
    pub fn partitions(&self) -> u32 {
        self.partitions
    }
}

/// A function whose types nobody needs to know.
pub(crate) trait Code: Send + Sync {
    /// Calls the function for a lane.
    fn call(&self, lane: Arc<Lane>, call: u64) -> BoxFuture<'static, Result<(), BoxError>>;

    /// The key of an entry's record; none where it has none or can't be decoded.
    fn key_of(&self, entry: &Entry) -> Option<String>;
}

struct Function<R, F> {
    function: F,
    record: PhantomData<fn() -> R>,
}

impl<R, F, Fut, E> Code for Function<R, F>
where
    R: Record,
    F: Fn(Events<R>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<BoxError> + 'static,
{
    fn call(&self, lane: Arc<Lane>, call: u64) -> BoxFuture<'static, Result<(), BoxError>> {
        let running = (self.function)(Events::new(lane, call));
        Box::pin(async move { running.await.map_err(Into::into) })
    }

    fn key_of(&self, entry: &Entry) -> Option<String> {
        let record = R::decode(&entry.fields).ok()?;
        record.partition_key().map(std::borrow::Cow::into_owned)
    }
}
