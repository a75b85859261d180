//! Workers with owners that do nothing but own, and a board on which everyone sees who owns what.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidegate_cluster::{Arrivals, Error, Handle, Options, OwnedLease, OwnedLeases, Ownership};
use tidegate_store::{Epoch, GroupName, Store, StreamName, WorkerId};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub(crate) const PARTITIONS: u32 = 16;
/// How long a test waits for what must happen.
const DEADLINE: Duration = Duration::from_secs(60);

/// Who owns what, as the owners themselves say.
#[derive(Debug, Default)]
pub(crate) struct Board {
    owners: BTreeMap<u32, (WorkerId, Epoch)>,
    /// The largest epoch that an owner of the partition ever had.
    epochs: BTreeMap<u32, Epoch>,
    /// Owners that met another one, or a larger epoch.
    violations: Vec<String>,
}

impl Board {
    pub(crate) fn count(&self, worker: &Worker) -> usize {
        self.owners
            .values()
            .filter(|(owner, _)| *owner == worker.id())
            .count()
    }

    pub(crate) fn owns(&self, worker: &Worker, index: u32) -> bool {
        self.owners
            .get(&index)
            .is_some_and(|(owner, _)| *owner == worker.id())
    }

    pub(crate) fn epoch(&self, index: u32) -> Option<Epoch> {
        self.owners.get(&index).map(|(_, epoch)| *epoch)
    }

    pub(crate) fn partitions(&self, worker: &Worker) -> Vec<u32> {
        let owned = self.owners.iter().filter(|(_, (id, _))| *id == worker.id());
        owned.map(|(index, _)| *index).collect()
    }

    /// The largest epoch of all present owners.
    pub(crate) fn largest_epoch(&self) -> Option<Epoch> {
        self.owners.values().map(|(_, epoch)| *epoch).max()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    fn enter(&mut self, index: u32, worker: WorkerId, epoch: Epoch) {
        let present = self.owners.insert(index, (worker, epoch));
        let former = self.epochs.insert(index, epoch);
        // A panic in the owner's task would not fail the test.
        if present.is_some() || former >= Some(epoch) {
            self.violations.push(format!(
                "partition {index}: epoch {epoch} after {former:?}, with {present:?} present"
            ));
        }
    }
}

/// What the workers of a test have in common.
#[derive(Clone, Debug)]
pub(crate) struct Team {
    store: Arc<dyn Store>,
    pub(crate) options: Options,
    board: watch::Sender<Board>,
    /// Partitions whose owners don't hear that a release was requested.
    pub(crate) stalled: Vec<u32>,
}

#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) handle: Handle,
    pub(crate) shutdown: CancellationToken,
    pub(crate) run: JoinHandle<Result<(), Error>>,
    /// Takes the leases and starts their owners.
    pub(crate) owning: JoinHandle<()>,
    /// Makes the owner of this partition hand it back by its own wish.
    pub(crate) give_up: watch::Sender<Option<u32>>,
}

impl Worker {
    pub(crate) fn id(&self) -> WorkerId {
        self.handle.worker()
    }
}

impl Team {
    pub(crate) fn new(store: Arc<dyn Store>, lease_ttl: Duration) -> Self {
        let options = Options {
            stream: StreamName::new("orders").expect("a valid name"),
            group: GroupName::new("drain").expect("a valid name"),
            first_partition: 0,
            partitions: PARTITIONS,
            lease_ttl,
            release_grace: lease_ttl * 4,
        };
        Self {
            store,
            options,
            board: watch::Sender::default(),
            stalled: Vec::new(),
        }
    }

    /// Starts another worker.
    pub(crate) fn hire(&self) -> Worker {
        let (ownership, handle, leases) = self.prepare(&self.store, WorkerId::random());
        self.start(ownership, handle, leases)
    }

    /// Starts the worker of this name, who comes back as the same.
    pub(crate) fn hire_static(&self, name: &str) -> Worker {
        let (ownership, handle, leases) = self.prepare(&self.store, WorkerId::named(name));
        self.start(ownership.as_static_member(), handle, leases)
    }

    /// Starts a worker that has a store of its own and hears announcements.
    pub(crate) fn hire_attentive(&self, store: &Arc<dyn Store>) -> Worker {
        let (ownership, handle, leases) = self.prepare(store, WorkerId::random());
        let worker = self.start(ownership, handle.clone(), leases);
        let (store, end) = (Arc::clone(store), worker.shutdown.clone());
        tokio::spawn(async move {
            let arrivals = Arrivals::default();
            tokio::join!(
                arrivals.run(Arc::clone(&store), end.clone()),
                handle.heed_announcements(&*store, &arrivals, end.clone()),
            );
        });
        worker
    }

    fn prepare(
        &self,
        store: &Arc<dyn Store>,
        worker: WorkerId,
    ) -> (Ownership, Handle, OwnedLeases) {
        let (store, options) = (Arc::clone(store), self.options.clone());
        Ownership::new(store, worker, options).expect("valid options")
    }

    fn start(&self, ownership: Ownership, handle: Handle, leases: OwnedLeases) -> Worker {
        let shutdown = CancellationToken::new();
        let run = tokio::spawn(ownership.run(shutdown.clone()));
        let give_up = watch::Sender::default();
        let owning = own_all(
            leases,
            self.board.clone(),
            self.stalled.clone(),
            give_up.clone(),
        );
        let owning = tokio::spawn(owning);
        Worker {
            handle,
            shutdown,
            run,
            owning,
            give_up,
        }
    }

    /// Waits until the board is as it should be.
    pub(crate) async fn see(&self, what: &str, is_so: impl Fn(&Board) -> bool) {
        assert!(
            self.becomes(DEADLINE, is_so).await,
            "{what}: {:?}",
            self.board.borrow()
        );
        assert!(
            self.board.borrow().violations.is_empty(),
            "{:?}",
            self.board.borrow()
        );
    }

    /// Looks at the board as it is now.
    pub(crate) fn look<T>(&self, at: impl FnOnce(&Board) -> T) -> T {
        at(&self.board.borrow())
    }

    /// Sees that the board stays as it is for a while.
    pub(crate) async fn see_no_change(&self, duration: Duration, is_so: impl Fn(&Board) -> bool) {
        let changes = self.becomes(duration, |board| !is_so(board)).await;
        assert!(!changes, "{:?}", self.board.borrow());
    }

    async fn becomes(&self, within: Duration, is_so: impl Fn(&Board) -> bool) -> bool {
        let mut board = self.board.subscribe();
        timeout(within, board.wait_for(|board| is_so(board)))
            .await
            .is_ok()
    }

    /// Waits until each worker owns this many partitions, and everything is owned.
    pub(crate) async fn see_counts(&self, counts: &[(&Worker, usize)]) {
        let mut expected: Vec<usize> = counts.iter().map(|(_, count)| *count).collect();
        expected.sort_unstable();
        self.see(&format!("counts {expected:?}"), |board| {
            let mut seen: Vec<usize> = counts
                .iter()
                .map(|(worker, _)| board.count(worker))
                .collect();
            seen.sort_unstable();
            seen == expected && board.owners.len() == PARTITIONS as usize
        })
        .await;
    }
}

async fn own_all(
    mut leases: OwnedLeases,
    board: watch::Sender<Board>,
    stalled: Vec<u32>,
    give_up: watch::Sender<Option<u32>>,
) {
    while let Some(lease) = leases.next().await {
        let stalled = stalled.contains(&lease.lease().partition.index);
        tokio::spawn(own(lease, board.clone(), stalled, give_up.subscribe()));
    }
}

async fn own(
    owned: OwnedLease,
    board: watch::Sender<Board>,
    stalled: bool,
    mut give_up: watch::Receiver<Option<u32>>,
) {
    let lease = owned.lease().clone();
    let index = lease.partition.index;
    board.send_modify(|board| board.enter(index, lease.worker, lease.epoch));
    give_up.mark_unchanged();
    let wished = async {
        while give_up.changed().await.is_ok() {
            if *give_up.borrow() == Some(index) {
                return;
            }
        }
        std::future::pending().await
    };
    tokio::select! {
        () = owned.release_requested().cancelled(), if !stalled => {}
        () = owned.lost().cancelled() => {}
        () = wished => {}
    }
    board.send_modify(|board| {
        board.owners.remove(&index);
    });
    owned.hand_back();
}
