//! A store in memory that knows leases and workers only, with faults on demand. Its clock is
//! tokio's, so that it can be paused.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tidegate_store::{
    AppendOptions, Appended, Entry, EntryId, Epoch, Error, Fetch, GroupName, Lag, Lease,
    LeaseHolder, NewEntry, ParkedEntry, Partition, ReadLimit, Result, Start, Store, StreamName,
    WorkerId,
};
use tokio::sync::Notify;
use tokio::time::Instant;

/// How the store behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Weather {
    #[default]
    Calm,
    /// Every call fails at once.
    Unavailable,
    /// No call is answered.
    Silent,
    /// Acquisitions take effect, but fail.
    AcquisitionsUnanswered,
    /// Every call is refused.
    Refusing,
}

#[derive(Debug, Default)]
pub(crate) struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    weather: Weather,
    epochs: BTreeMap<u32, u64>,
    /// The holder, none for another program, and the end of its lease.
    leases: BTreeMap<u32, (Option<WorkerId>, Instant)>,
    beats: BTreeMap<WorkerId, Instant>,
}

impl State {
    fn holds(&self, lease: &Lease) -> bool {
        let index = lease.partition.index;
        let holder = self.leases.get(&index).map(|(holder, _)| *holder);
        holder == Some(Some(lease.worker)) && self.epochs.get(&index) == Some(&lease.epoch.0)
    }
}

impl MemoryStore {
    pub(crate) fn set_weather(&self, weather: Weather) {
        self.state.lock().expect("no test panics here").weather = weather;
    }

    /// Lets another program hold a partition for a while.
    pub(crate) fn lock_by_another_program(&self, index: u32, ttl: Duration) {
        let mut state = self.state.lock().expect("no test panics here");
        state.leases.insert(index, (None, Instant::now() + ttl));
    }

    /// The state without what has ended by now, if the weather allows a look at it.
    async fn state(&self) -> Result<MutexGuard<'_, State>> {
        let weather = self.state.lock().expect("no test panics here").weather;
        match weather {
            Weather::Calm | Weather::AcquisitionsUnanswered => {}
            Weather::Unavailable => return Err(Error::Unavailable("bad weather".into())),
            Weather::Refusing => return Err(Error::Refused("bad mood".into())),
            Weather::Silent => pending().await,
        }
        let (mut state, now) = (
            self.state.lock().expect("no test panics here"),
            Instant::now(),
        );
        state.leases.retain(|_, (_, ends_at)| *ends_at > now);
        state.beats.retain(|_, ends_at| *ends_at > now);
        Ok(state)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn try_acquire_lease(
        &self,
        group: &GroupName,
        partition: &Partition,
        worker: WorkerId,
        ttl: Duration,
        floor: Epoch,
    ) -> Result<Option<Lease>> {
        let mut state = self.state().await?;
        let index = partition.index;
        let known = state.epochs.get(&index).copied().unwrap_or(0);
        if let Some((holder, _)) = state.leases.get(&index)
            && (*holder != Some(worker) || floor.0 < known)
        {
            return Ok(None);
        }
        let epoch = known.max(floor.0) + 1;
        state.epochs.insert(index, epoch);
        state
            .leases
            .insert(index, (Some(worker), Instant::now() + ttl));
        if state.weather == Weather::AcquisitionsUnanswered {
            return Err(Error::Unavailable("the answer was lost".into()));
        }
        let (group, partition) = (group.clone(), partition.clone());
        Ok(Some(Lease {
            group,
            partition,
            worker,
            epoch: Epoch(epoch),
        }))
    }

    async fn renew_leases(&self, leases: &[Lease], ttl: Duration) -> Result<Vec<bool>> {
        let mut state = self.state().await?;
        let mut renew = |lease: &Lease| {
            let held = state.holds(lease);
            if held {
                let renewed = (Some(lease.worker), Instant::now() + ttl);
                state.leases.insert(lease.partition.index, renewed);
            }
            held
        };
        Ok(leases.iter().map(&mut renew).collect())
    }

    async fn release_lease(&self, lease: &Lease) -> Result<()> {
        let mut state = self.state().await?;
        if state.holds(lease) {
            state.leases.remove(&lease.partition.index);
        }
        Ok(())
    }

    async fn lease_holders(
        &self,
        _group: &GroupName,
        partitions: &[Partition],
    ) -> Result<Vec<Option<LeaseHolder>>> {
        let state = self.state().await?;
        let holder = |partition: &Partition| {
            let (worker, _) = *state.leases.get(&partition.index)?;
            let epoch = Epoch(state.epochs.get(&partition.index).copied().unwrap_or(0));
            Some(LeaseHolder {
                worker,
                epoch,
                ends_in_ms: 1,
            })
        };
        Ok(partitions.iter().map(holder).collect())
    }

    async fn beat(
        &self,
        _stream: &StreamName,
        _group: &GroupName,
        worker: WorkerId,
        ttl: Duration,
    ) -> Result<Vec<WorkerId>> {
        let mut state = self.state().await?;
        state.beats.insert(worker, Instant::now() + ttl);
        Ok(state.beats.keys().copied().collect())
    }

    async fn leave(&self, _: &StreamName, _: &GroupName, worker: WorkerId) -> Result<()> {
        self.state().await?.beats.remove(&worker);
        Ok(())
    }

    async fn workers(&self, _: &StreamName, _: &GroupName) -> Result<Vec<WorkerId>> {
        Ok(self.state().await?.beats.keys().copied().collect())
    }

    async fn ping(&self) -> Result<()> {
        self.state().await.map(drop)
    }

    async fn append_with(&self, _: Vec<NewEntry>, _: &AppendOptions) -> Vec<Result<Appended>> {
        vec![Err(not_asked("ownership appends nothing"))]
    }

    async fn read_after(&self, _: &Partition, _: EntryId, _: ReadLimit) -> Result<Vec<Entry>> {
        Err(not_asked("ownership reads nothing"))
    }

    async fn wait_for_entries(
        &self,
        _: &[(Partition, EntryId)],
        _: Duration,
        _: &Notify,
    ) -> Result<Vec<usize>> {
        Err(not_asked("ownership waits for no entries"))
    }

    async fn fetch(&self, _: &Lease, _: Fetch, _: ReadLimit) -> Result<Vec<Entry>> {
        Err(not_asked("ownership fetches nothing"))
    }

    async fn acknowledge(&self, _: &Lease, _: &[EntryId]) -> Result<u64> {
        Err(not_asked("ownership acknowledges nothing"))
    }

    async fn acknowledge_through(&self, _: &Lease, _: EntryId) -> Result<()> {
        Err(not_asked("ownership acknowledges nothing"))
    }

    async fn trim(&self, _: &Lease, _: u64) -> Result<u64> {
        Err(not_asked("ownership trims nothing"))
    }

    async fn reset_group(&self, _: &GroupName, _: &Partition, _: Start) -> Result<()> {
        Err(not_asked("ownership resets nothing"))
    }

    async fn park(&self, _: &Lease, _: Vec<ParkedEntry>) -> Result<()> {
        Err(not_asked("ownership parks nothing"))
    }

    async fn unpark(&self, _: &Lease, _: &[EntryId]) -> Result<u64> {
        Err(not_asked("ownership parks nothing"))
    }

    async fn put_mark(&self, _: &Lease, _: &str, _: Option<Bytes>) -> Result<()> {
        Err(not_asked("ownership marks nothing"))
    }

    async fn marks(&self, _: &GroupName, _: &Partition) -> Result<BTreeMap<String, Bytes>> {
        Err(not_asked("ownership marks nothing"))
    }

    async fn set_mark(&self, _: &GroupName, _: &Partition, _: &str, _: Bytes) -> Result<()> {
        Err(not_asked("ownership marks nothing"))
    }

    async fn clear_mark(&self, _: &GroupName, _: &Partition, _: &str) -> Result<bool> {
        Err(not_asked("ownership marks nothing"))
    }

    async fn seal(&self, _: &Partition) -> Result<()> {
        Err(not_asked("ownership seals nothing"))
    }

    async fn groups(&self, _: &Partition) -> Result<Vec<GroupName>> {
        Err(not_asked("ownership asks for no groups"))
    }

    async fn lag(&self, _: &GroupName, _: &[Partition]) -> Result<Vec<Lag>> {
        Err(not_asked("ownership measures no lag"))
    }
}

/// Ownership needs leases and beats only: any other call is a fault of it.
fn not_asked(what: &str) -> Error {
    Error::Invalid(what.to_owned())
}
