//! The loop of one shard: from its lease to its last batch.
//!
//! ```text
//! lease ─► claim ─► turn ─► read ─► apply (one transaction) ─► acknowledge ─► trim
//!            ▲          │                                                     │
//!            └── error ─┴──────────────── next batch ◄────────────────────────┘
//! ```
//!
//! While one batch is being committed, the next one is read and the last one is acknowledged and
//! trimmed. The ledger in the target database is the only truth about the position: after any
//! error the loop claims the ledger again and goes on from what it says, so a commit whose answer
//! was lost is neither repeated nor skipped. If the process dies here, another worker does just
//! that.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidegate_cluster::{Arrivals, Handle, OwnedLease};
use tidegate_store::{Entry, EntryId, Lease, ReadLimit, Store};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::apply::{Context, Rules, Settled, Step, apply_entries, apply_waiting};
use crate::catalog::Catalog;
use crate::catalogs::Catalogs;
use crate::dead_letter::DeadLetter;
use crate::error::{Error, Result};
use crate::gate::{Gate, Turn};
use crate::notices::Notices;
use crate::observer::{Batch, Observer, Pace};
use crate::options::Options;
use crate::outage::{Backoff, Outage};
use crate::pace::BatchSize;
use crate::sink::{Claim, Sink};
use crate::stopwatch::Stopwatch;

/// How long an idle shard sleeps when nothing wakes it.
const IDLE_MAX: Duration = Duration::from_secs(5);
/// The first pause before entries that wait for a parent row are tried again.
const PARENT_RETRY_MIN: Duration = Duration::from_millis(20);
/// The longest such pause.
const PARENT_RETRY_MAX: Duration = Duration::from_secs(1);

/// What the shards of a process share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) gate: Gate,
    pub(crate) options: Options,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) catalogs: Catalogs,
    pub(crate) arrivals: Arrivals,
    pub(crate) outage: Outage,
}

/// Drains a shard for as long as its lease allows, then hands it back.
///
/// # Errors
/// What neither waiting nor another worker can mend.
pub(crate) async fn run(shared: Arc<Shared>, owned: OwnedLease, handle: Handle) -> Result<()> {
    let mut shard = Shard {
        shared: &shared,
        lease: owned.lease().clone(),
        stop: owned.release_requested().clone(),
        rules: shared.options.rules(),
        size: BatchSize::new(shared.options.batch_max),
        parent_retry: PARENT_RETRY_MIN,
        parent_retry_at: Instant::now(),
    };
    let index = shard.lease.partition.index;
    shared.observer.began(index);
    let mut is_lost = false;
    let ended = tokio::select! {
        () = owned.lost().cancelled() => {
            is_lost = true;
            Ok(())
        }
        ended = shard.drain() => ended,
    };
    match &ended {
        Err(Error::Fenced { ledger_epoch, .. }) => {
            handle.raise_floor(shard.lease.partition.index, *ledger_epoch);
        }
        Err(error) => error!(shard = %shard.lease.partition, %error, "a shard can't be drained"),
        Ok(()) => {}
    }
    if let Err(error) = &ended {
        is_lost |= error.is_lease_lost();
        shared.observer.failed(Some(index), error);
    }
    shared.observer.ended(index, is_lost);
    owned.hand_back();
    match ended {
        // Another worker goes on, or this one with a newer epoch.
        Err(error) if error.is_lease_lost() => Ok(()),
        ended => ended,
    }
}

struct Shard<'a> {
    shared: &'a Shared,
    lease: Lease,
    stop: CancellationToken,
    rules: Rules,
    size: BatchSize,
    parent_retry: Duration,
    parent_retry_at: Instant,
}

impl Shard<'_> {
    /// Drains until it is asked to stop; waits for whatever is worth waiting for.
    async fn drain(&mut self) -> Result<()> {
        let mut backoff = Backoff::new();
        while !self.stop.is_cancelled() {
            let error = match self.drain_from_ledger(&mut backoff).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            match &error {
                Error::CatalogStale => {
                    self.shared.catalogs.forget().await;
                    continue;
                }
                Error::LedgerMoved { .. } => {
                    // Claiming again tells whether somebody revised the ledger or fenced us off.
                    warn!(shard = %self.lease.partition, epoch = %self.lease.epoch,
                        "a transaction was rolled back because the ledger has moved");
                    self.shared.observer.fenced(self.lease.partition.index);
                    continue;
                }
                error if error.is_worth_waiting() => {
                    let shard = Some(self.lease.partition.index);
                    self.shared.observer.failed(shard, error);
                    self.shared.outage.begins(error);
                }
                _ => return Err(error),
            }
            let pause = backoff.pause(self.lease.partition.index);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.stop.cancelled() => {}
            }
        }
        Ok(())
    }

    /// Claims the ledger and drains from what it says, until an error or a request to stop.
    async fn drain_from_ledger(&mut self, backoff: &mut Backoff) -> Result<()> {
        let mut claim = self.claim().await?;
        let catalog = self.shared.catalogs.latest(&*self.shared.sink).await?;
        let mut ahead = Vec::new();
        let mut unacknowledged = Some(claim.position).filter(|id| *id != EntryId::ZERO);
        self.shared.outage.is_over();
        while !self.stop.is_cancelled() {
            let mut turn = tokio::select! {
                turn = self.shared.gate.enter() => turn,
                () = self.stop.cancelled() => break,
            };
            turn.work(self.apply_waiting(&mut claim, &catalog)).await?;
            if ahead.is_empty() {
                ahead = self.read(claim.position).await?;
            }
            if ahead.is_empty() {
                drop(turn);
                self.shared.outage.is_over();
                if let Some(position) = unacknowledged.take() {
                    self.acknowledge(position).await?;
                }
                self.sleep(&claim).await;
                continue;
            }
            let room = self
                .shared
                .options
                .held_max
                .saturating_sub(claim.held.len());
            if room < ahead.len() {
                let held = claim.held.len();
                return Err(Error::TooManyHeld {
                    shard: self.lease.partition.clone(),
                    held,
                });
            }
            let batch = std::mem::take(&mut ahead);
            let (next, acknowledged) = self
                .settle(&mut turn, &mut claim, &catalog, batch, unacknowledged)
                .await?;
            drop(turn);
            backoff.reset();
            self.shared.outage.is_over();
            acknowledged?;
            unacknowledged = Some(claim.position);
            ahead = next?;
        }
        // What is committed is trimmed by the next owner if it can't be now.
        match unacknowledged {
            Some(position) => self.acknowledge(position).await,
            None => Ok(()),
        }
    }

    /// Settles a batch; meanwhile the next one is read and the one before is acknowledged, and how
    /// these went is answered beside.
    async fn settle(
        &mut self,
        turn: &mut Turn<'_>,
        claim: &mut Claim,
        catalog: &Catalog,
        batch: Vec<Entry>,
        unacknowledged: Option<EntryId>,
    ) -> Result<(Result<Vec<Entry>>, Result<()>)> {
        let ids: Vec<EntryId> = batch.iter().map(|entry| entry.id).collect();
        let last = ids.last().copied().unwrap_or(claim.position);
        let stopwatch = Stopwatch::start();
        let work = async {
            tokio::join!(
                self.apply(claim, catalog, batch, &stopwatch),
                self.read_ahead(last),
                async {
                    match unacknowledged {
                        Some(position) => self.acknowledge(position).await,
                        None => Ok(()),
                    }
                },
            )
        };
        let (settled, next, acknowledged) = turn.work(work).await;
        let settled = settled?;
        let pace = self.learn(ids.len(), &stopwatch);
        self.report(&ids, settled, last, Some(pace));
        Ok((next, acknowledged))
    }

    async fn claim(&self) -> Result<Claim> {
        let Shared {
            store,
            sink,
            options,
            ..
        } = self.shared;
        let shard = &self.lease.partition;
        let lag = store
            .lag(&options.group()?, std::slice::from_ref(shard))
            .await?;
        let lag = lag.first().copied().unwrap_or_default();
        let preceding = lag.appended.saturating_sub(lag.held);
        let mut claim = sink.claim(shard, self.lease.epoch, preceding).await?;
        claim.held.wake_orphans();
        if lag.last_id < claim.position {
            error!(%shard, position = %claim.position, last_id = %lag.last_id,
                "the stream has stepped back behind the ledger: the store has lost entries that it \
                 had acknowledged; what the ledger has settled is not applied again, but a new \
                 entry is read only once its id is larger than the position");
        }
        debug!(%shard, epoch = %self.lease.epoch, position = %claim.position, "claimed");
        Ok(claim)
    }

    /// Reads the next batch while one is being written, unless others wait for their turn: then
    /// they are what keeps the database busy, and this shard goes to the end of the line.
    async fn read_ahead(&self, after: EntryId) -> Result<Vec<Entry>> {
        if self.shared.gate.is_crowded() {
            return Ok(Vec::new());
        }
        self.read(after).await
    }

    async fn read(&self, after: EntryId) -> Result<Vec<Entry>> {
        let limit = ReadLimit {
            entries: self.size.entries(),
            ..self.shared.options.read_limit()
        };
        let entries = self
            .shared
            .store
            .read_after(&self.lease.partition, after, limit)
            .await?;
        if !entries.is_empty() {
            self.step(Step::Read);
        }
        Ok(entries)
    }

    async fn apply(
        &self,
        claim: &mut Claim,
        catalog: &Catalog,
        batch: Vec<Entry>,
        stopwatch: &Stopwatch,
    ) -> Result<Settled> {
        let index = self.lease.partition.index;
        self.shared.observer.taken(index, &batch);
        let notices = Notices::default();
        let on_step = |step| {
            stopwatch.step(step);
            self.step(step);
        };
        let on_held = |letter: &_| notices.note(letter);
        let context = self.context(catalog, &on_step, &on_held);
        let sink = &*self.shared.sink;
        let settled = apply_entries(&context, sink, self.lease.epoch, claim, batch).await?;
        notices.log(&self.lease.partition);
        Ok(settled)
    }

    /// Tries entries again that wait for a parent row, more and more rarely while none comes.
    async fn apply_waiting(&mut self, claim: &mut Claim, catalog: &Catalog) -> Result<()> {
        let is_due = Instant::now() >= self.parent_retry_at;
        if !is_due || claim.held.due().next().is_none() {
            return Ok(());
        }
        let (on_step, notices) = (|step| self.step(step), Notices::default());
        let on_held = |letter: &_| notices.note(letter);
        let context = self.context(catalog, &on_step, &on_held);
        let settled = apply_waiting(&context, &*self.shared.sink, self.lease.epoch, claim).await?;
        notices.log(&self.lease.partition);
        self.report(&[], settled, claim.position, None);
        self.parent_retry = match settled.applied {
            0 => (self.parent_retry * 2).min(PARENT_RETRY_MAX),
            _ => PARENT_RETRY_MIN,
        };
        self.parent_retry_at = Instant::now() + self.parent_retry;
        Ok(())
    }

    /// Tells the store what is committed, and frees what no group needs any more.
    async fn acknowledge(&self, through: EntryId) -> Result<()> {
        self.shared
            .store
            .acknowledge_through(&self.lease, through)
            .await?;
        self.step(Step::Acknowledged);
        let trimmed = self.shared.store.trim(&self.lease, 0).await?;
        self.step(Step::Trimmed);
        let index = self.lease.partition.index;
        self.shared.observer.trimmed(index, trimmed);
        Ok(())
    }

    async fn sleep(&self, claim: &Claim) {
        let timeout = match claim.held.due().next() {
            Some(_) => self
                .parent_retry_at
                .saturating_duration_since(Instant::now()),
            None => IDLE_MAX,
        };
        tokio::select! {
            () = self.shared.arrivals.sleep(&self.lease.partition, claim.position, timeout) => {}
            () = self.stop.cancelled() => {}
        }
    }

    fn context<'c>(
        &'c self,
        catalog: &'c Catalog,
        on_step: &'c (dyn Fn(Step) + Send + Sync),
        on_held: &'c (dyn Fn(&DeadLetter) + Send + Sync),
    ) -> Context<'c> {
        Context {
            shard: &self.lease.partition,
            catalog,
            is_catalog_fresh: self.shared.catalogs.is_fresh(),
            rules: &self.rules,
            now_ms: now_ms(),
            on_step,
            on_held,
        }
    }

    fn step(&self, step: Step) {
        self.shared.observer.step(self.lease.partition.index, step);
    }

    /// Adapts batch size and number of shards at work to what a batch of so many entries took.
    fn learn(&mut self, entries: usize, stopwatch: &Stopwatch) -> Pace {
        let gate = &self.shared.gate;
        let (took, answer) = (stopwatch.took(), stopwatch.answer());
        self.size.learn(entries, took, answer);
        gate.learn(entries as u64);
        Pace {
            batch_entries_max: self.size.entries(),
            took,
            answer,
            shards_at_work: gate.at_work(),
            shards_at_work_max: gate.limit(),
        }
    }

    fn report(
        &self,
        settled_ids: &[EntryId],
        settled: Settled,
        through: EntryId,
        pace: Option<Pace>,
    ) {
        let shard = self.lease.partition.index;
        let now_ms = now_ms();
        let delays_ms = settled_ids.iter().map(|id| now_ms.saturating_sub(id.ms));
        let batch = Batch {
            shard,
            settled,
            delays_ms: delays_ms.collect(),
            through,
            pace,
        };
        self.shared.observer.committed(&batch);
    }
}

/// Now, in Unix milliseconds.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
