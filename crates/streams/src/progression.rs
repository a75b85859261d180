//! Progression: which generation of the stream's partitions it is a group's turn to process.
//!
//! ```text
//! layout ─► the oldest generation with a backlog ─► processed ─ no backlog ─► the next one
//!                 ▲                                                              │
//!                 └──────────── a former one has a backlog again (a reset) ──────┘
//! ```
//!
//! Between the layout and the executor. It guarantees that nothing of a generation is handed out
//! before the group has done all that is in the earlier ones, which are sealed by then: so each key
//! keeps its order across a change of the number of partitions, and in a replay too. Workers need
//! not move on together: who is late processes nothing wrong. If the process dies, the next one
//! finds the same in the store.

use std::sync::Arc;
use std::time::Duration;

use tidegate_cluster::Arrivals;
use tidegate_store::{GroupName, Partition, Result, Store, StreamName};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::backlog::is_done;
use crate::layout::{Generation, Layout, log};
use crate::persist::persist;

/// How often a group that is in a sealed generation looks whether it is done there, at first…
const DONE_PAUSE_MIN: Duration = Duration::from_millis(20);
/// …and later.
const DONE_PAUSE_MAX: Duration = Duration::from_secs(1);
/// How often it is looked whether a former generation has a backlog again.
const FORMER_PAUSE: Duration = Duration::from_secs(5);
/// How long to wait for an event of the layout's log before looking for one; a safety net.
const QUIET_MAX: Duration = Duration::from_secs(30);

/// What a progression looks at.
#[derive(Clone, Debug)]
pub(crate) struct Progression {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) arrivals: Arc<Arrivals>,
    pub(crate) stream: StreamName,
    pub(crate) group: GroupName,
    /// How many partitions the stream gets if it is new.
    pub(crate) partitions: u32,
}

/// A generation while it is processed.
#[derive(Debug)]
pub(crate) struct Turn {
    progression: Progression,
    pub(crate) generation: Generation,
    layout: Layout,
    /// The partitions of the generations before.
    former: Vec<Partition>,
    /// When it was last known that nothing of them is left, by when the question was asked.
    settled_at: Mutex<Option<Instant>>,
    /// Ends the turn.
    pub(crate) over: CancellationToken,
}

impl Progression {
    /// Whose turn it is now. While the store is away it waits.
    ///
    /// # Errors
    /// What the store refuses.
    pub(crate) async fn turn(&self, stop: &CancellationToken) -> crate::Result<Turn> {
        let layout = loop {
            match log::ensure(&*self.store, &self.stream, self.partitions).await {
                Ok(layout) => break layout,
                Err(crate::Error::Store(error)) if error.is_transient() => {
                    tokio::time::sleep(DONE_PAUSE_MAX).await;
                }
                Err(error) => return Err(error),
            }
        };
        let mut former = Vec::new();
        let live: Vec<Generation> = layout.live().copied().collect();
        let mut live = live.into_iter().peekable();
        while let Some(generation) = live.next() {
            let partitions = generation.partitions_of(&self.stream);
            if live.peek().is_none() || !self.is_done(&partitions).await? {
                return Ok(Turn {
                    progression: self.clone(),
                    generation,
                    former,
                    settled_at: Mutex::new(None),
                    over: stop.child_token(),
                    layout,
                });
            }
            former.extend(partitions);
        }
        Err(crate::Error::Broken(format!(
            "{} has no partitions",
            self.stream
        )))
    }

    async fn is_done(&self, partitions: &[Partition]) -> Result<bool> {
        persist(|| is_done(&*self.store, &self.group, partitions)).await
    }
}

impl Turn {
    /// Ends the turn when it is another generation's.
    ///
    /// # Errors
    /// What the store refuses.
    pub(crate) async fn watch(&self) -> crate::Result<()> {
        let Progression { stream, group, .. } = &self.progression;
        tokio::select! {
            done = self.until_done() => done?,
            again = self.until_former_again() => again?,
        }
        info!(%stream, %group, generation = self.generation.number, "its turn is over");
        self.over.cancel();
        Ok(())
    }

    /// Waits until the generation is a former one, and its group done with it.
    async fn until_done(&self) -> crate::Result<()> {
        let store = &*self.progression.store;
        let stream = &self.progression.stream;
        let is_current = |layout: &Layout| {
            let current = layout.current();
            current.is_some_and(|it| it.number == self.generation.number)
        };
        let mut layout = self.layout.clone();
        let log = log::partition_of(stream)?;
        while is_current(&layout) {
            let arrivals = &self.progression.arrivals;
            arrivals.sleep(&log, layout.seen(), QUIET_MAX).await;
            match log::refresh(store, stream, &mut layout).await {
                Ok(_) => {}
                Err(crate::Error::Store(error)) if error.is_transient() => {
                    tokio::time::sleep(DONE_PAUSE_MAX).await;
                }
                Err(error) => return Err(error),
            }
        }
        let partitions = self.generation.partitions_of(stream);
        let mut pause = DONE_PAUSE_MIN;
        while !self.progression.is_done(&partitions).await? {
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(DONE_PAUSE_MAX);
        }
        Ok(())
    }

    /// Waits until somebody has reset the group to where it was in a former generation.
    async fn until_former_again(&self) -> Result<()> {
        if self.former.is_empty() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(FORMER_PAUSE).await;
            if !self.progression.is_done(&self.former).await? {
                return Ok(());
            }
        }
    }

    /// Whether a partition of the generation can be processed under a lease that was taken before
    /// this call: whoever resets a group ends its leases from the oldest generation on.
    ///
    /// # Errors
    /// What the store refuses.
    pub(crate) async fn may_begin(&self) -> Result<bool> {
        if self.former.is_empty() {
            return Ok(true);
        }
        let called_at = Instant::now();
        let mut settled_at = self.settled_at.lock().await;
        // One answer serves all that were waiting for it.
        if settled_at.is_some_and(|at| at >= called_at) {
            return Ok(true);
        }
        let asked_at = Instant::now();
        if self.progression.is_done(&self.former).await? {
            *settled_at = Some(asked_at);
            return Ok(true);
        }
        drop(settled_at);
        self.over.cancel();
        Ok(false)
    }
}
