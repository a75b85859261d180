//! The port: what Tidegate needs of a log, in the domain's language.
//!
//! One suite of tests (`tests/conformance`) runs against every backend and says the same things
//! as these comments.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Notify;

use crate::Result;
use crate::append::{self, AppendOptions, Appended};
use crate::entry::{Entry, EntryId, NewEntry};
use crate::lease::{Epoch, Lease, LeaseHolder, WorkerId};
use crate::parked::ParkedEntry;
use crate::state::{NewState, Put, State, UnsettledState};
use crate::stream::{GroupName, Partition, StreamName};

/// How much one read may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimit {
    /// The most entries; at least 1.
    pub entries: usize,
    /// About how many bytes: the entry that crosses the limit is the last one. A backend that
    /// can't count before it reads (Redis) lowers the number of entries by what it saw before.
    pub bytes: usize,
}

/// Which entries a group's owner asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetch {
    /// Those delivered before and not yet acknowledged, after this id. A new owner reads these
    /// first, from [`EntryId::ZERO`], until none is left.
    Pending(EntryId),
    /// Those never delivered to the group; they become pending.
    New,
}

/// From where a group reads on after a [reset](Store::reset_group).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The first entry that is still held.
    Beginning,
    /// Only what is appended from now on.
    End,
    /// The first entry after this one.
    After(EntryId),
    /// The first entry that was appended at this Unix time, in milliseconds, or later.
    Time(u64),
}

/// How the ids of a partition go on after its log has lost entries that a reader has settled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forward {
    /// What the reader has settled: new entries get larger ids than this.
    pub through: EntryId,
    /// How far the reader has looked at the entries up to `through`: whatever lies behind is new.
    pub seen: EntryId,
    /// The entries up to `seen` that the reader has never had. They are appended again, in order,
    /// and so is all that came after them.
    pub carried: Vec<EntryId>,
    /// How many entries count as appended up to `through`.
    pub settled: u64,
}

/// How far a group is in a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Entries ever appended to the partition.
    pub appended: u64,
    /// Entries it holds now (appended and not trimmed).
    pub held: u64,
    /// The newest entry ever appended; [`EntryId::ZERO`] where there was none. Of a sealed
    /// partition that holds none any more, a backend may not know it, and says how far the group is.
    pub last_id: EntryId,
    /// Everything up to here was delivered to the group.
    pub delivered_through: EntryId,
    /// Delivered and not acknowledged.
    pub pending: u64,
    /// Held and not yet delivered to the group.
    pub undelivered: u64,
    /// Whether the partition is [sealed](Store::seal).
    pub is_sealed: bool,
}

/// A partitioned, durable log with consumer groups and leases.
///
/// Writes of an owner carry its [`Lease`] and fail with [`Error::LeaseLost`](crate::Error) when
/// the lease has ended or another owner has a newer epoch; then nothing was changed. A call that
/// fails with [`Error::Unavailable`](crate::Error) may or may not have taken effect; each one but
/// [`append`](Store::append) can simply be repeated.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Appends entries, in the given order within each partition, and returns their ids in the
    /// order of `entries`. When it returns, they are as durable as the backend is configured to
    /// make them.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error) for an entry without fields, and then nothing was
    /// appended. After [`Error::Unavailable`](crate::Error) any prefix, per partition, may have
    /// been appended.
    async fn append(&self, entries: Vec<NewEntry>) -> Result<Vec<EntryId>> {
        entries.iter().try_for_each(append::check_entry)?;
        let results = self.append_with(entries, &AppendOptions::default()).await;
        append::all_appended(results)
    }

    /// Appends entries under promises, in the given order within each partition, and returns one
    /// result for each entry, in the order of `entries`. Where one entry of a partition is not
    /// appended, for whatever reason but [`Error::Invalid`](crate::Error), none of the later ones
    /// of that partition is: a partition gets a prefix, never a gap.
    ///
    /// # Errors
    /// For each entry: [`Error::Invalid`](crate::Error) and [`Error::Full`](crate::Error), and
    /// then it was not appended; [`Error::NotDurable`](crate::Error), and then it was;
    /// [`Error::Refused`](crate::Error) where the backend can't keep such a promise at all, and
    /// then it was not; [`Error::Unavailable`](crate::Error), and then it may have been. With a
    /// request id it can simply be sent again.
    async fn append_with(
        &self,
        entries: Vec<NewEntry>,
        options: &AppendOptions,
    ) -> Vec<Result<Appended>>;

    /// Appends an entry and writes the [state](crate::state) that it leads to, both or neither. The
    /// entry gets a field `state` before its own, with the state's name.
    ///
    /// # Errors
    /// Those of [`append_with`](Store::append_with). [`Error::Refused`](crate::Error) where the
    /// backend keeps no states; and after [`Error::Unavailable`](crate::Error) both may have been
    /// written: with a request id it can simply be put again.
    async fn put(
        &self,
        _entry: NewEntry,
        _state: NewState,
        _options: &AppendOptions,
    ) -> Result<Put> {
        Err(crate::Error::Refused(
            "this store keeps no states; use Redis or Valkey".into(),
        ))
    }

    /// Reads the state of this name. None where there never was one, where it has ended because its
    /// entry was settled long ago, and where the store has lost it.
    async fn state(&self, _partition: &Partition, _name: &str) -> Result<Option<State>> {
        Ok(None)
    }

    /// Some states that were put up to this millisecond and not settled since, about in their order;
    /// the first `skip` of them are left out. None where there are no more.
    async fn unsettled_states(
        &self,
        _partition: &Partition,
        _through: EntryId,
        _skip: usize,
    ) -> Result<Vec<UnsettledState>> {
        Ok(Vec::new())
    }

    /// Lets states end so long from now, because their entries are settled. One that was put again
    /// meanwhile is left alone. Returns how many end.
    async fn settle_states(
        &self,
        _partition: &Partition,
        _states: &[UnsettledState],
        _keep_for: Duration,
    ) -> Result<u64> {
        Ok(0)
    }

    /// Reads entries after a position, oldest first, without a group and without side effects.
    async fn read_after(
        &self,
        partition: &Partition,
        after: EntryId,
        limit: ReadLimit,
    ) -> Result<Vec<Entry>>;

    /// Waits until one of the partitions has an entry after the position named with it, and
    /// returns the indexes into `positions` of those that have. Returns none after `timeout`, or
    /// soon after `interrupt` is notified. It waits for news, it doesn't spin; with no positions
    /// it waits for the interrupt or the timeout. One caller at a time per store handle waits;
    /// others queue behind it.
    async fn wait_for_entries(
        &self,
        positions: &[(Partition, EntryId)],
        timeout: Duration,
        interrupt: &Notify,
    ) -> Result<Vec<usize>>;

    /// Reads as the owner of a partition within a group. The group is created at the beginning of
    /// the stream when it is new.
    ///
    /// # Errors
    /// [`Error::LeaseLost`](crate::Error), and then nothing became pending.
    async fn fetch(&self, lease: &Lease, fetch: Fetch, limit: ReadLimit) -> Result<Vec<Entry>>;

    /// Acknowledges single entries: they are no longer pending. Returns how many were.
    ///
    /// # Errors
    /// [`Error::LeaseLost`](crate::Error), and then nothing was acknowledged.
    async fn acknowledge(&self, lease: &Lease, ids: &[EntryId]) -> Result<u64>;

    /// Acknowledges everything up to and including `through`, for a reader that keeps its own
    /// position and reads with [`read_after`](Store::read_after). The group's position moves to
    /// `through` and it has nothing pending. The position may move backwards: the caller's own
    /// position is the truth.
    ///
    /// # Errors
    /// [`Error::LeaseLost`](crate::Error), and then the position did not move.
    async fn acknowledge_through(&self, lease: &Lease, through: EntryId) -> Result<()>;

    /// Deletes what every group of the partition has acknowledged, and nothing else: with two
    /// groups the slower one decides, and pending entries stay. Returns how many were deleted.
    ///
    /// With `keep` above 0 it leaves at least so many entries, and maybe some more than that: a
    /// backend may delete in blocks only.
    ///
    /// # Errors
    /// [`Error::LeaseLost`](crate::Error), and then nothing was deleted.
    async fn trim(&self, lease: &Lease, keep: u64) -> Result<u64>;

    /// How often the way to the store was made anew, and may lead to another server. A reader that
    /// keeps its own position compares it with what it was when it looked at the store: a server
    /// that took another one's place may lack entries which the other one had acknowledged.
    fn reconnections(&self) -> u64 {
        0
    }

    /// Moves a partition's last id forward to what its reader has settled, after the log has
    /// stepped back behind it; so that no new entry gets an id which the reader takes for settled.
    /// New entries that got such an id already are appended again, and everything after them too,
    /// all in one step. Other groups may read these again. Returns how many were appended again.
    ///
    /// # Errors
    /// [`Error::LeaseLost`](crate::Error), and [`Error::Unavailable`](crate::Error) where the log
    /// has stepped back once more; then nothing was changed.
    async fn move_last_id_forward(&self, lease: &Lease, forward: &Forward) -> Result<u64>;

    /// Lets a group begin again elsewhere, in one step: its position moves to `start`, nothing is
    /// pending any more, and the present lease ends with its epoch, so that a running owner gets
    /// [`Error::LeaseLost`](crate::Error) and the next one reads from the new position. What is
    /// parked stays parked, and marks stay.
    async fn reset_group(
        &self,
        group: &GroupName,
        partition: &Partition,
        start: Start,
    ) -> Result<()>;

    /// Puts entries aside, in the given order: appends each to the
    /// [parked stream](StreamName::parked) and acknowledges it, both or neither. One that is not
    /// pending is left alone, so that a repetition is harmless.
    ///
    /// # Errors
    /// [`Error::LeaseLost`](crate::Error), and then nothing was parked;
    /// [`Error::Invalid`](crate::Error) where the stream has no parked one.
    async fn park(&self, lease: &Lease, entries: Vec<ParkedEntry>) -> Result<()>;

    /// Deletes entries of the parked stream, by their ids there, once the owner is done with them.
    /// Returns how many there were.
    ///
    /// # Errors
    /// Those of [`park`](Store::park).
    async fn unpark(&self, lease: &Lease, parked_ids: &[EntryId]) -> Result<u64>;

    /// Writes a mark about the owner's partition, or clears it where `value` is none.
    ///
    /// # Errors
    /// [`Error::LeaseLost`](crate::Error), and then nothing was written;
    /// [`Error::Invalid`](crate::Error) beyond [`MARK_BYTES_MAX`](crate::mark::MARK_BYTES_MAX), and
    /// [`Error::Refused`](crate::Error) beyond [`MARKS_MAX`](crate::mark::MARKS_MAX).
    async fn put_mark(&self, lease: &Lease, name: &str, value: Option<Bytes>) -> Result<()>;

    /// All marks about a partition, by name.
    async fn marks(
        &self,
        group: &GroupName,
        partition: &Partition,
    ) -> Result<BTreeMap<String, Bytes>>;

    /// Writes a mark as an operator does, who owns nothing.
    ///
    /// # Errors
    /// Those of [`put_mark`](Store::put_mark), but never that a lease is lost.
    async fn set_mark(
        &self,
        group: &GroupName,
        partition: &Partition,
        name: &str,
        value: Bytes,
    ) -> Result<()>;

    /// Clears a mark as an operator does. Answers whether there was one.
    async fn clear_mark(
        &self,
        group: &GroupName,
        partition: &Partition,
        name: &str,
    ) -> Result<bool>;

    /// Closes a partition of an app's stream for good, also to programs that are not Tidegate: each
    /// later append to it fails with [`Error::Sealed`](crate::Error), and what it holds stays to be
    /// read and trimmed. An append happens before the seal or not at all. Sealing again is harmless.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error) for a stream of another kind.
    async fn seal(&self, partition: &Partition) -> Result<()>;

    /// The groups that have a position in a partition, sorted by name.
    async fn groups(&self, partition: &Partition) -> Result<Vec<GroupName>>;

    /// How far a group is in each of the partitions, in their order. An unknown stream or group
    /// has delivered nothing.
    async fn lag(&self, group: &GroupName, partitions: &[Partition]) -> Result<Vec<Lag>>;

    /// Takes the lease on a partition if nobody holds one. The new epoch is larger than every
    /// earlier one of this partition and group, and larger than `floor`.
    ///
    /// `floor` is what the caller knows from elsewhere (the ledger): a store that has lost its
    /// memory must not hand out an old epoch again.
    ///
    /// A worker that holds the lease already, as one that has restarted under its name does, gets
    /// it again under a new epoch where `floor` is at least the present epoch. (A call that was
    /// sent before and arrives late does not know it, and gets nothing.)
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error) for a control stream or a parked one, which have no
    /// owners, for another partition of a leadership than 0, and for a group with a `.` in its
    /// name on an app's stream.
    async fn try_acquire_lease(
        &self,
        group: &GroupName,
        partition: &Partition,
        worker: WorkerId,
        ttl: Duration,
        floor: Epoch,
    ) -> Result<Option<Lease>>;

    /// Renews leases for another `ttl` from now, all in one round trip. Answers for each, in
    /// order, whether it is still held; a lease that has ended is never taken again here.
    async fn renew_leases(&self, leases: &[Lease], ttl: Duration) -> Result<Vec<bool>>;

    /// Gives a lease back, so that another worker can take it at once. A lease that is already
    /// lost is left alone.
    async fn release_lease(&self, lease: &Lease) -> Result<()>;

    /// Who holds the leases on these partitions now, in their order.
    async fn lease_holders(
        &self,
        group: &GroupName,
        partitions: &[Partition],
    ) -> Result<Vec<Option<LeaseHolder>>>;

    /// Says that a worker of this group is alive for another `ttl`, and returns all that are,
    /// itself included, sorted. Those whose time has run out are forgotten.
    ///
    /// Where the group has a [control stream](StreamName::control), it is announced there, in the
    /// same step, that the worker has joined and who was found dead.
    async fn beat(
        &self,
        stream: &StreamName,
        group: &GroupName,
        worker: WorkerId,
        ttl: Duration,
    ) -> Result<Vec<WorkerId>>;

    /// Says that a worker has gone. Its leases are not touched. It is announced on the group's
    /// control stream each time, so a worker can say it again after it has given up its leases.
    async fn leave(&self, stream: &StreamName, group: &GroupName, worker: WorkerId) -> Result<()>;

    /// The workers of a group that are alive, sorted.
    async fn workers(&self, stream: &StreamName, group: &GroupName) -> Result<Vec<WorkerId>>;

    /// Asks the backend for a sign of life.
    async fn ping(&self) -> Result<()>;
}
