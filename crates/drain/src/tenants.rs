//! Tenants: a worker for each, none of which can stop another.
//!
//! ```text
//!            ┌─► tenant: connect ─► Worker ─► ended badly? pause, and again
//! Runner ────┼─► tenant: …
//!            └─► watch: does the store answer? ─► with `shut_down`, stop everybody
//! ```
//!
//! Each tenant has its own store handle, its own sink with its own connections, its own worker and
//! its own task. What goes wrong with one is told once, counted, seen in its [health](Handle::health),
//! and tried again for ever, because its neighbours must not be restarted for it. The only one of a
//! process ends instead with its error: whoever started it should see a wrong setting at once.
//!
//! If the process dies here, each tenant's ledger says where to go on.

mod handle;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use tidegate_store::Store;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

pub use handle::{Handle, Health};

use self::handle::{State, Watching};
use crate::error::{Error, Result};
use crate::observer::{Everyone, Observer};
use crate::options::Options;
use crate::outage::Backoff;
use crate::sink::Sink;
use crate::worker::Worker;

/// How often the store is asked whether it is there, where its loss ends the process.
const WATCH_PAUSE: Duration = Duration::from_millis(500);
/// How long it may take to answer that.
const WATCH_TIME_MAX: Duration = Duration::from_secs(2);
/// So many questions in a row without an answer, and the store is lost.
const WATCH_FAILURES_MAX: u32 = 3;

/// What follows when the store is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnStoreLost {
    /// Wait and connect again; nothing is lost meanwhile.
    #[default]
    Wait,
    /// Stop the process with an error, as Hyperswitch's drainer does, for an operator who would
    /// rather see it started anew.
    ShutDown,
}

/// Both ends of a drain.
#[derive(Clone, Debug)]
pub struct Ends {
    /// Where the stream is. No two workers share a handle: each waits on its own.
    pub store: Arc<dyn Store>,
    /// Where the tables are.
    pub sink: Arc<dyn Sink>,
}

/// Opens both ends of a tenant, again after each failure.
pub trait Connect: fmt::Debug + Send + Sync {
    /// Opens them.
    fn connect(&self) -> BoxFuture<'_, Result<Ends>>;
}

/// Ends that are open already, for a drain whose caller has them.
impl Connect for Ends {
    fn connect(&self) -> BoxFuture<'_, Result<Ends>> {
        Box::pin(async { Ok(self.clone()) })
    }
}

/// One whose stream is drained into its own tables.
#[derive(Debug)]
pub struct Tenant {
    /// Its name; none for the only one.
    pub id: Option<String>,
    /// How its stream is drained.
    pub options: Options,
    /// Opens its ends.
    pub connect: Arc<dyn Connect>,
    /// Watches it.
    pub observer: Arc<dyn Observer>,
}

/// Runs the drains of all tenants of a process.
#[derive(Debug)]
pub struct Runner {
    tenants: Vec<(Tenant, Arc<State>)>,
    on_store_lost: OnStoreLost,
}

impl Runner {
    /// Prepares to run these; nothing happens before [`run`](Self::run).
    ///
    /// # Errors
    /// [`Error::Invalid`] for a setting out of its bounds, and for two tenants of one name.
    pub fn new(tenants: Vec<Tenant>, on_store_lost: OnStoreLost) -> Result<Self> {
        for (at, tenant) in tenants.iter().enumerate() {
            tenant.options.check()?;
            if tenants.iter().take(at).any(|other| other.id == tenant.id) {
                let name = tenant.id.as_deref().unwrap_or_default();
                return Err(Error::Invalid(format!("there are two tenants {name:?}")));
            }
        }
        let with_state = |tenant: Tenant| {
            let state = Arc::new(State::new(tenant.id.clone(), tenant.options.clone()));
            (tenant, state)
        };
        Ok(Self {
            tenants: tenants.into_iter().map(with_state).collect(),
            on_store_lost,
        })
    }

    /// A handle on each tenant, to be asked while it runs.
    #[must_use]
    pub fn handles(&self) -> Vec<Handle> {
        let states = self.tenants.iter().map(|(_, state)| Arc::clone(state));
        states.map(Handle::new).collect()
    }

    /// Drains until `shutdown`, then finishes the batches in flight and gives all shards back.
    ///
    /// # Errors
    /// With one tenant, what waiting can't mend. With several only the loss of the store, and only
    /// where that is to end the process.
    pub async fn run(self, shutdown: CancellationToken) -> Result<()> {
        let stop = shutdown.child_token();
        let is_alone = self.tenants.len() == 1;
        let mut tasks = JoinSet::new();
        for (tenant, state) in self.tenants {
            let (stop, on_store_lost) = (stop.clone(), self.on_store_lost);
            tasks.spawn(async move {
                let mut drained = Box::pin(drain(&tenant, &state, is_alone, &stop));
                tokio::select! {
                    ended = &mut drained => ended,
                    lost = watch(&state), if on_store_lost == OnStoreLost::ShutDown => {
                        // What is in flight ends in order: the database may well be there.
                        stop.cancel();
                        let _ = drained.await;
                        Err(lost)
                    }
                }
            });
        }
        let mut failure = None;
        while let Some(ended) = tasks.join_next().await {
            let error = match ended {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error,
                Err(panic) => Error::Invalid(format!("a tenant's task stopped: {panic}")),
            };
            stop.cancel();
            failure.get_or_insert(error);
        }
        failure.map_or(Ok(()), Err)
    }
}

/// Drains one tenant until it is told to stop.
async fn drain(
    tenant: &Tenant,
    state: &Arc<State>,
    is_alone: bool,
    stop: &CancellationToken,
) -> Result<()> {
    let id = tenant.id.as_deref().unwrap_or_default();
    let mut backoff = Backoff::new();
    let mut told = None;
    while !stop.is_cancelled() {
        let began = Instant::now();
        let Err(error) = drain_once(tenant, state, stop).await else {
            return Ok(());
        };
        tenant.observer.failed(None, &error);
        if is_alone {
            return Err(error);
        }
        // Said once for each way of being broken, however often it is tried.
        let text = error.to_string();
        if told.as_ref() != Some(&text) {
            warn!(tenant = id, %error, "a tenant can't be drained; the others go on, and it is \
                   tried again");
        }
        state.broke(&error);
        told = Some(text);
        if began.elapsed() > WATCH_TIME_MAX * 10 {
            backoff.reset();
        }
        tokio::select! {
            () = sleep(backoff.pause(0)) => {}
            () = stop.cancelled() => {}
        }
    }
    Ok(())
}

async fn drain_once(tenant: &Tenant, state: &Arc<State>, stop: &CancellationToken) -> Result<()> {
    let ends = tokio::select! {
        ends = tenant.connect.connect() => ends?,
        () = stop.cancelled() => return Ok(()),
    };
    let Ends { store, sink } = ends.clone();
    let (stream, partitions) = (&tenant.options.stream, tenant.options.partitions);
    if state.connected(ends) {
        let (id, sink) = (tenant.id.as_deref(), sink.describe());
        info!(tenant = id, %stream, partitions, %sink, "draining");
    }
    let watching = Arc::new(Watching(Arc::clone(state)));
    let observer = Arc::new(Everyone(vec![watching, Arc::clone(&tenant.observer)]));
    let worker = Worker::new(store, sink, tenant.options.clone(), observer)?;
    // A task of its own: a panic in it is this tenant's alone.
    let mut task = JoinSet::new();
    task.spawn(Box::pin(worker.run(stop.clone())));
    match task.join_next().await {
        Some(Ok(ended)) => ended,
        Some(Err(panic)) => Err(Error::Invalid(format!("the worker stopped: {panic}"))),
        None => Ok(()),
    }
}

/// Returns when the store is lost. It first waits until there is one.
async fn watch(state: &State) -> Error {
    let mut failures = 0;
    loop {
        sleep(WATCH_PAUSE).await;
        let Some(ends) = state.ends() else { continue };
        let silent = || tidegate_store::Error::Unavailable("no answer in time".into());
        let asked = timeout(WATCH_TIME_MAX, ends.store.ping()).await;
        match asked.unwrap_or_else(|_elapsed| Err(silent())) {
            Ok(()) => failures = 0,
            Err(error) if failures + 1 == WATCH_FAILURES_MAX => {
                error!(%error, "the store is lost, and drain.on_store_lost is shut_down");
                return error.into();
            }
            Err(_) => failures += 1,
        }
    }
}
