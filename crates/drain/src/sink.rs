//! The sink: what the drain needs of a target database, as a port.
//!
//! A sink keeps three things of ours beside the user's tables: the *ledger* (how far each shard
//! is, under which epoch), the *dead letters* with all entries that are held, and nothing else.
//! Everything a batch does happens in one [`SinkTransaction`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tidegate_store::{EntryId, Epoch, Partition, StreamName};

use crate::catalog::Catalog;
use crate::change::{Change, RowKey};
use crate::dead_letter::{DeadLetter, DeadLetterFilter, StoredLetter};
use crate::diff::Peek;
use crate::envelope::Envelope;
use crate::error::{Error, Result};
use crate::held::HeldIndex;
use crate::locks::Lock;
use crate::recent::{Addition, Newest};
use crate::rejection::Rejection;

/// An entry that can be applied: its changes take place together or not at all.
#[derive(Debug)]
pub struct Unit {
    /// The entry.
    pub envelope: Envelope,
    /// Its changes, in order.
    pub changes: Vec<Change>,
    /// The rows it touches.
    pub rows: Vec<RowKey>,
}

/// What became of an attempt to apply units.
#[derive(Debug)]
pub enum Outcome {
    /// All of them are applied.
    Applied,
    /// The first `applied` of them are applied, and nothing of the others is.
    Refused {
        /// How many from the front are applied.
        applied: usize,
        /// Those that are known to be refused, by index; with none, the caller has to search.
        culprits: Vec<(usize, Refusal)>,
    },
}

/// Why the database refused a unit.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The reason.
    pub rejection: Rejection,
    /// Whether a parent row is missing that may still be on its way in another shard.
    pub is_missing_parent: bool,
    /// Whether a row with the same unique value is there already.
    pub is_conflict: bool,
    /// Which lock of somebody else was in the way, and nothing else is wrong.
    pub lock: Lock,
}

/// What a new row finds in its place, by the primary key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// No row.
    Nothing,
    /// A row that has every value which the new one gives.
    Same,
    /// A row whose version is not older.
    Newer,
    /// Another row.
    Different,
}

/// Changes that were applied without an effect, because a policy says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// New rows that were there already, updates of rows that are not there.
    pub skipped: u64,
    /// Changes that are older than the row.
    pub stale: u64,
}

impl std::ops::SubAssign for Passed {
    fn sub_assign(&mut self, other: Self) {
        self.skipped = self.skipped.saturating_sub(other.skipped);
        self.stale = self.stale.saturating_sub(other.stale);
    }
}

impl std::ops::AddAssign for Passed {
    fn add_assign(&mut self, other: Self) {
        self.skipped += other.skipped;
        self.stale += other.stale;
    }
}

/// What the ledger says of a shard when an owner claims it.
#[derive(Debug)]
pub struct Claim {
    /// Everything up to here is settled: applied, or held.
    pub position: EntryId,
    /// Changes whenever somebody else than the owner settles entries.
    pub revision: i64,
    /// What is held.
    pub held: HeldIndex,
    /// Where the memory of settled entries was written last.
    pub newest: Newest,
}

/// Under which condition the ledger may be moved.
#[derive(Clone, Copy, Debug)]
pub struct Fence {
    /// The owner's epoch; the ledger must have the same.
    pub epoch: Epoch,
    /// Where the owner believes the ledger to be.
    pub position: EntryId,
    /// The revision the owner has seen.
    pub revision: i64,
}

/// A shard's row of the ledger, for reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerRow {
    /// The shard.
    pub shard: u32,
    /// The newest owner's epoch.
    pub epoch: Epoch,
    /// Everything up to here is settled.
    pub position: EntryId,
    /// Entries applied.
    pub applied: u64,
    /// Entries that were gone from the stream before the drain first saw it.
    pub preceding: u64,
    /// Entries held as dead letters now.
    pub dead: u64,
    /// Entries that wait for a parent row now.
    pub waiting: u64,
    /// Entries parked behind another one now.
    pub parked: u64,
    /// Entries that a person has given up.
    pub discarded: u64,
    /// When the shard was last written, in Unix milliseconds.
    pub updated_ms: u64,
}

/// A target database.
#[async_trait]
pub trait Sink: fmt::Debug + Send + Sync + 'static {
    /// Creates or upgrades the drain's own tables. Several processes may do so at once.
    async fn prepare(&self) -> Result<()>;

    /// Whether the database answers at all, however busy the sink is.
    async fn ping(&self) -> Result<()>;

    /// Reads the catalog anew.
    async fn catalog(&self) -> Result<Arc<Catalog>>;

    /// Makes `epoch` the shard's newest one and returns where the shard is. The same epoch may
    /// claim again. `preceding` is remembered at the very first claim: entries that were appended
    /// and gone before.
    ///
    /// # Errors
    /// [`Error::Fenced`] where the ledger has a newer epoch.
    async fn claim(&self, shard: &Partition, epoch: Epoch, preceding: u64) -> Result<Claim>;

    /// What the ledger remembers of the entries settled last: the slots from the oldest to the
    /// newest.
    async fn recent(&self, shard: &Partition) -> Result<Vec<Vec<u8>>>;

    /// Begins a transaction. Dropped without a commit, it is rolled back.
    async fn begin(&self) -> Result<Box<dyn SinkTransaction>>;

    /// How long a transaction may take before it is given up and tried again; none for a database
    /// that can't fall silent.
    fn transaction_timeout(&self) -> Option<Duration> {
        None
    }

    /// How many shards of a process may be at work at once: about as many as it has connections.
    fn connections_max(&self) -> usize {
        1
    }

    /// The ledger of a stream, by shard; shards never claimed are absent.
    async fn ledger(&self, stream: &StreamName) -> Result<Vec<LedgerRow>>;

    /// Held entries for people to look at, oldest first.
    async fn dead_letters(&self, filter: &DeadLetterFilter) -> Result<Vec<StoredLetter>>;

    /// The statements that would be run for these units, in order, without running them.
    fn explain(&self, units: &[Unit]) -> Vec<String>;

    /// Looks at the rows of these changes, each given as a new row with its key: what is there, and
    /// what would be there instead. Nothing is changed, and nothing waits for it.
    async fn peek(&self, changes: &[Change]) -> Result<Vec<Peek>>;

    /// Which database this is, without its password: for people.
    fn describe(&self) -> String;
}

/// An open transaction on the target database.
#[async_trait]
pub trait SinkTransaction: Send {
    /// Applies units in order. The database's refusal is an [`Outcome`], its absence an error.
    async fn apply(&mut self, units: &[&Unit]) -> Result<Outcome>;

    /// What became of a policy in all that is applied so far.
    fn passed(&self) -> Passed;

    /// Looks what is in the place of new rows, by their primary keys, in the transaction's present
    /// state. Answers in the order of `changes`.
    async fn compare(&mut self, changes: &[&Change]) -> Result<Vec<Found>>;

    /// Stores held entries; an entry that is held already gets the new state and reason.
    async fn hold(&mut self, shard: &Partition, letters: &[DeadLetter]) -> Result<()>;

    /// Reads held entries back; ids that are not held are left out.
    async fn load_held(&mut self, shard: &Partition, ids: &[EntryId]) -> Result<Vec<Envelope>>;

    /// Forgets held entries, because they are applied now.
    async fn release(&mut self, shard: &Partition, ids: &[EntryId]) -> Result<()>;

    /// Gives held entries up: they are kept, and no longer held.
    async fn discard(&mut self, shard: &Partition, ids: &[EntryId]) -> Result<()>;

    /// Says what the next [`advance`](Self::advance) adds to the memory of settled entries.
    fn remember(&mut self, addition: Addition);

    /// Moves the ledger to `position` and adds to its count of applied entries. Returns whether
    /// the fence held; where it did not, the transaction must be dropped.
    async fn advance(
        &mut self,
        shard: &Partition,
        fence: &Fence,
        position: EntryId,
        applied: u64,
    ) -> Result<bool>;

    /// Locks the shard's ledger row for somebody who is not its owner, and returns what is held.
    /// None where the shard was never claimed.
    async fn lock_ledger(&mut self, shard: &Partition) -> Result<Option<HeldIndex>>;

    /// Ends what [`lock_ledger`](Self::lock_ledger) began: adds to the count of applied entries
    /// and gives the ledger a new revision, so that the owner reads it again.
    async fn revise(&mut self, shard: &Partition, applied: u64) -> Result<()>;

    /// Commits.
    async fn commit(self: Box<Self>) -> Result<()>;
}

/// Waits for the sink's answers as long as a transaction may take. What is given up is rolled back,
/// unless its commit is what was waited for; the ledger knows.
///
/// # Errors
/// Those of the work, and [`Error::SinkUnavailable`] when the time is over.
pub(crate) async fn in_time<T>(
    sink: &dyn Sink,
    work: impl Future<Output = Result<T>> + Send,
) -> Result<T> {
    let Some(limit) = sink.transaction_timeout() else {
        return work.await;
    };
    match tokio::time::timeout(limit, Box::pin(work)).await {
        Ok(answer) => answer,
        Err(_elapsed) => Err(Error::SinkUnavailable(
            format!(
                "a transaction was not done within sink.transaction_timeout ({limit:?}), and given up"
            )
            .into(),
        )),
    }
}
