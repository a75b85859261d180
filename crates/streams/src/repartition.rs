//! Repartition: another number of partitions for a stream in use.
//!
//! ```text
//! plan ─► seal the current partitions ─► switch ─► every group catches up ─► retire
//! ```
//!
//! Senders meet a sealed partition, look at the layout and go on in the new ones, at once;
//! workers begin with these when their group has done all that is in the old ones. So each key
//! keeps its order, and nothing waits for this code: it can die between any two steps. Before the
//! first seal nothing has happened; after it, whoever sends finishes the switch; after the switch,
//! only the old partitions' acknowledged entries are left to be deleted. Doing it again goes on
//! from there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use tidegate_store::{Epoch, GroupName, Partition, Store, StreamName, WorkerId};

use crate::backlog::{Backlog, backlog};
use crate::layout::{Event, Generation, Layout, log};
use crate::spec::StreamSpec;
use crate::{Error, Result, quarantine};

/// How many partitions are sealed at once.
const SEALED_AT_ONCE: usize = 32;
/// How long a lease for a trim lasts where this process dies.
const TRIM_TTL: Duration = Duration::from_secs(10);

/// A change of the number of a stream's partitions.
#[derive(Debug)]
pub struct Repartition {
    store: Arc<dyn Store>,
    stream: StreamName,
    layout: Layout,
}

/// Something that stands still, and would hold its group up in the old partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// The group.
    pub group: GroupName,
    /// The partition.
    pub partition: u32,
    /// How many entries are parked there.
    pub parked: u64,
    /// Whether it is in quarantine.
    pub is_in_quarantine: bool,
}

impl Repartition {
    /// Looks at the stream as it is. One that is new gets the partitions of its description.
    ///
    /// # Errors
    /// The store's.
    pub async fn begin(store: Arc<dyn Store>, spec: &StreamSpec) -> Result<Self> {
        let stream = spec.name()?;
        let layout = log::ensure(&*store, &stream, spec.partitions).await?;
        Ok(Self {
            store,
            stream,
            layout,
        })
    }

    /// What is known of the stream's partitions.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// What stands still in the current partitions: later entries could not be processed before a
    /// person has dealt with it.
    ///
    /// # Errors
    /// The store's.
    pub async fn obstacles(&self, groups: &BTreeSet<GroupName>) -> Result<Vec<Obstacle>> {
        let mut obstacles = Vec::new();
        let partitions = self.layout.live_partitions(&self.stream);
        for group in groups {
            let parked: Vec<Partition> = partitions
                .iter()
                .filter_map(|it| Some(it.stream.parked(group)?.partition(it.index)))
                .collect();
            let lags = self.store.lag(group, &parked).await?;
            for (partition, lag) in partitions.iter().zip(lags) {
                let found = quarantine::look(&*self.store, group, partition).await?;
                if lag.held > 0 || found.is_some() {
                    obstacles.push(Obstacle {
                        group: group.clone(),
                        partition: partition.index,
                        parked: lag.held,
                        is_in_quarantine: found.is_some(),
                    });
                }
            }
        }
        Ok(obstacles)
    }

    /// Decides on the number; what another has decided and not finished is finished first.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a number that can't be, [`Error::Busy`] where another has decided on
    /// a different one at the same time, and the store's.
    pub async fn plan(&mut self, partitions: u32) -> Result<()> {
        self.finish().await?;
        let Some(event) = self.layout.plan(partitions)? else {
            return Ok(());
        };
        self.say(event).await?;
        // Others may have brought it about meanwhile, and planned what comes after it.
        match self.layout.has_taken_up(&event) {
            true => Ok(()),
            false => Err(Error::Busy {
                partition: log::partition_of(&self.stream)?,
            }),
        }
    }

    /// Seals the current partitions and switches to those that were planned, if any were.
    ///
    /// # Errors
    /// The store's.
    pub async fn finish(&mut self) -> Result<()> {
        self.layout = finish(&*self.store, &self.stream, &self.layout).await?;
        Ok(())
    }

    /// The former generations that may have something to process or to replay.
    #[must_use]
    pub fn former(&self) -> Vec<Generation> {
        let former = self.layout.former().iter();
        former.filter(|it| !it.is_retired).copied().collect()
    }

    /// All groups that have read from the stream.
    ///
    /// # Errors
    /// The store's.
    pub async fn groups(&self) -> Result<BTreeSet<GroupName>> {
        let mut groups = BTreeSet::new();
        for partition in self.layout.live_partitions(&self.stream) {
            groups.extend(self.store.groups(&partition).await?);
        }
        Ok(groups)
    }

    /// What these groups still have to do in the former partitions.
    ///
    /// # Errors
    /// The store's.
    pub async fn backlog(&self, groups: &BTreeSet<GroupName>) -> Result<Vec<Backlog>> {
        let mut all = Vec::new();
        for generation in self.former() {
            let partitions = generation.partitions_of(&self.stream);
            for group in groups {
                all.extend(backlog(&*self.store, group, &partitions).await?);
            }
        }
        Ok(all)
    }

    /// Deletes what every group has acknowledged in the former partitions, and takes them out of
    /// the workers' sight once nothing is left. Answers whether nothing is: while a worker still
    /// has one of them, something may be.
    ///
    /// To be called without a [backlog](Self::backlog); an entry that some group has not
    /// acknowledged is not deleted even so.
    ///
    /// # Errors
    /// The store's.
    pub async fn retire(&mut self) -> Result<bool> {
        for generation in self.former() {
            for partition in generation.partitions_of(&self.stream) {
                if !self.empty(&partition).await? {
                    return Ok(false);
                }
            }
            self.say(Event::Retired {
                generation: generation.number,
            })
            .await?;
        }
        Ok(true)
    }

    /// Deletes what every group has acknowledged of a partition, in the name of one of them.
    async fn empty(&self, partition: &Partition) -> Result<bool> {
        let groups = self.store.groups(partition).await?;
        if let Some(group) = groups.first() {
            let (worker, floor) = (WorkerId::random(), Epoch(0));
            let lease = self
                .store
                .try_acquire_lease(group, partition, worker, TRIM_TTL, floor)
                .await?;
            let Some(lease) = lease else {
                return Ok(false);
            };
            let trimmed = self.store.trim(&lease, 0).await;
            self.store.release_lease(&lease).await?;
            trimmed?;
        }
        let nobody = GroupName::new("nobody")?;
        let lags = self
            .store
            .lag(&nobody, std::slice::from_ref(partition))
            .await?;
        Ok(lags.iter().all(|lag| lag.held == 0))
    }

    async fn say(&mut self, event: Event) -> Result<()> {
        log::append(&*self.store, &self.stream, event).await?;
        log::refresh(&*self.store, &self.stream, &mut self.layout).await?;
        Ok(())
    }
}

/// Brings about what was planned: seals every partition of the current generation, so that nobody
/// can append there any more, and then says so. Whoever meets a sealed partition does it; done
/// twice or by several at once it is done once.
///
/// # Errors
/// The store's.
pub(crate) async fn finish(
    store: &dyn Store,
    stream: &StreamName,
    layout: &Layout,
) -> Result<Layout> {
    let mut layout = layout.clone();
    log::refresh(store, stream, &mut layout).await?;
    let (Some(planned), Some(current)) = (layout.planned(), layout.current()) else {
        return Ok(layout);
    };
    let partitions = current.partitions_of(stream);
    let sealing = futures::stream::iter(&partitions).map(Ok::<_, tidegate_store::Error>);
    sealing
        .try_for_each_concurrent(SEALED_AT_ONCE, |partition| store.seal(partition))
        .await?;
    let generation = planned.generation;
    log::append(store, stream, Event::Switched { generation }).await?;
    log::refresh(store, stream, &mut layout).await?;
    Ok(layout)
}
