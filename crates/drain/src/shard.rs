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

use crate::apply::{Context, REPLAY_ENTRIES_MAX, Rules, Settled, Step, apply_entries, apply_held};
use crate::catalog::Catalog;
use crate::catalogs::Catalogs;
use crate::dead_letter::DeadLetter;
use crate::error::{Error, Result};
use crate::gate::{Gate, Turn};
use crate::locks::TableKey;
use crate::notices::{self, Notices};
use crate::observer::{Batch, Observer, Pace};
use crate::options::Options;
use crate::outage::{Backoff, Outage};
use crate::pace::BatchSize;
use crate::retries::{Kind, Retries};
use crate::sink::{Claim, Sink};
use crate::states::States;
use crate::stepback;
use crate::stopwatch::Stopwatch;

/// How long an idle shard sleeps when nothing wakes it.
const IDLE_MAX: Duration = Duration::from_secs(5);
/// After so long a sleep a shard looks whether the log has stepped back, which nothing wakes it for.
const LOOK_AFTER: Duration = Duration::from_secs(2);

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
        retries: Retries::new(),
        states: States::unknown(),
        position: EntryId::ZERO,
        reread_at: None,
        way: 0,
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
    retries: Retries,
    states: States,
    /// Where the batch begins that is being settled.
    position: EntryId,
    /// Where the batch began for which the catalog was read again.
    reread_at: Option<EntryId>,
    /// Which way led to the store when the shard was claimed.
    way: u64,
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
                // The same batch comes again, and what is refused then is refused.
                Error::CatalogStale => {
                    self.shared.catalogs.forget().await;
                    self.reread_at = Some(self.position);
                    continue;
                }
                Error::CatalogContradicted => {
                    self.shared.catalogs.discard().await;
                    self.reread_at = Some(self.position);
                    continue;
                }
                Error::LedgerMoved { .. } => {
                    // Claiming again tells whether somebody revised the ledger or fenced us off.
                    warn!(shard = %self.lease.partition, epoch = %self.lease.epoch,
                        "a transaction was rolled back because the ledger has moved");
                    self.shared.observer.fenced(self.lease.partition.index);
                    continue;
                }
                // Claiming again looks at what is behind the new connection.
                Error::StoreChanged => continue,
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
        self.states = States::unknown();
        let catalog = {
            let Shared {
                catalogs,
                sink,
                options,
                ..
            } = self.shared;
            catalogs.latest(options.catalog(&**sink)).await?
        };
        let mut ahead = Vec::new();
        let mut unacknowledged = Some(claim.position).filter(|id| *id != EntryId::ZERO);
        self.shared.outage.is_over();
        while !self.stop.is_cancelled() {
            let mut turn = tokio::select! {
                turn = self.shared.gate.enter() => turn,
                () = self.stop.cancelled() => break,
            };
            self.require_same_way()?;
            turn.work(self.try_again(&mut claim, &catalog)).await?;
            self.settle_states(&claim).await?;
            if ahead.is_empty() {
                ahead = self.read(claim.position).await?;
            }
            if ahead.is_empty() {
                drop(turn);
                self.shared.outage.is_over();
                if let Some(position) = unacknowledged.take() {
                    self.acknowledge(position).await?;
                }
                let slept_since = Instant::now();
                self.sleep(&claim).await;
                if slept_since.elapsed() >= LOOK_AFTER {
                    self.require_no_step_back(claim.position).await?;
                }
                continue;
            }
            self.require_room(claim.held.len(), ahead.len())?;
            let batch = std::mem::take(&mut ahead);
            self.states.saw(&batch);
            self.position = claim.position;
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

    /// All of a batch may have to be held.
    fn require_room(&self, held: usize, entries: usize) -> Result<()> {
        if held + entries <= self.shared.options.held_max {
            return Ok(());
        }
        Err(Error::TooManyHeld {
            shard: self.lease.partition.clone(),
            held,
        })
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
        if settled.dead > 0 && self.reread_at == Some(self.position) {
            self.shared.catalogs.was_in_vain();
        }
        let pace = self.learn(ids.len(), &stopwatch);
        self.report(&ids, settled, last, Some(pace));
        Ok((next, acknowledged))
    }

    async fn claim(&mut self) -> Result<Claim> {
        // Before anything is asked, so that whatever changes after it is noticed.
        self.way = self.shared.store.reconnections();
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
        let found = (claim.position, lag);
        let step_back = stepback::mend(&**store, &**sink, options, &self.lease, found).await?;
        if let Some(step_back) = step_back {
            self.shared.observer.stepped_back(&step_back);
        }
        debug!(%shard, epoch = %self.lease.epoch, position = %claim.position, "claimed");
        Ok(claim)
    }

    /// Behind a new connection may be a server that lacks what was read before.
    fn require_same_way(&self) -> Result<()> {
        if self.shared.store.reconnections() == self.way {
            return Ok(());
        }
        Err(Error::StoreChanged)
    }

    /// For a log that steps back on the same connection: while nothing comes, it is looked at.
    async fn require_no_step_back(&self, position: EntryId) -> Result<()> {
        let group = self.shared.options.group()?;
        let shard = std::slice::from_ref(&self.lease.partition);
        let lag = self.shared.store.lag(&group, shard).await?;
        if lag.first().is_none_or(|lag| lag.last_id >= position) {
            return Ok(());
        }
        Err(Error::StoreChanged)
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
        self.require_same_way()?;
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
        let locked: Vec<TableKey> = claim.held.locks().locked().cloned().collect();
        let settled = apply_entries(&context, sink, self.lease.epoch, claim, batch).await?;
        notices.log(&self.lease.partition);
        notices::tell_locks(&self.lease.partition, &locked, claim.held.locks());
        Ok(settled)
    }

    /// Tries again what waits, as far as it is due: about as many entries as the shard reads at
    /// once, so that the line of a table that was locked gets shorter whatever comes in.
    async fn try_again(&mut self, claim: &mut Claim, catalog: &Catalog) -> Result<()> {
        let rounds_max = 2 * self.size.entries() / REPLAY_ENTRIES_MAX + 1;
        for _ in 0..rounds_max {
            let Some(round) = self.retries.next(&claim.held, Instant::now()) else {
                break;
            };
            let locked: Vec<TableKey> = claim.held.locks().locked().cloned().collect();
            if round.kind == Kind::Probe {
                claim.held.locks_mut().open();
            }
            let (on_step, notices) = (|step| self.step(step), Notices::default());
            let on_held = |letter: &_| notices.note(letter);
            let context = self.context(catalog, &on_step, &on_held);
            let sink = &*self.shared.sink;
            let epoch = self.lease.epoch;
            let settled = apply_held(&context, sink, epoch, claim, &round.selected).await?;
            notices.log(&self.lease.partition);
            notices::tell_locks(&self.lease.partition, &locked, claim.held.locks());
            self.report(&[], settled, claim.position, None);
            self.retries.learn(round.kind, &settled, Instant::now());
        }
        Ok(())
    }

    /// Lets states end whose operations are applied.
    async fn settle_states(&mut self, claim: &Claim) -> Result<()> {
        let store = &*self.shared.store;
        let (shard, ttl) = (&self.lease.partition, self.shared.options.state_ttl);
        let states = &mut self.states;
        states
            .settle(store, shard, claim.position, &claim.held, ttl)
            .await
    }

    /// Tells the store what is committed, and frees what no group needs any more.
    async fn acknowledge(&self, through: EntryId) -> Result<()> {
        self.require_same_way()?;
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
        let again = self.retries.at(&claim.held).into_iter();
        let timeout = match again.chain(self.states.at()).min() {
            Some(at) => at.saturating_duration_since(Instant::now()),
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
            is_catalog_fresh: self.reread_at == Some(self.position),
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
