//! Leadership: which one of the workers runs the schedules that are to run once.
//!
//! ```text
//! Ownership of one partition ─ OwnedLease ─► leader ─► one runner per schedule ─ hand back
//! ```
//!
//! It guarantees that at most one worker believes to lead at any time, as far as clocks run at the
//! same speed: a leader's runs are cut short before its lease ends. Where that is not enough, a
//! run carries the lease, whose epoch fences its effects. A leader that goes in order says so, and
//! another worker leads at once. If the process dies here, another one does when the lease has ended.

use std::sync::Arc;
use std::time::Duration;

use tidegate_cluster::{Arrivals, OwnedLease, Ownership};
use tidegate_store::{GroupName, Lease, Store, StreamName, WorkerId};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Schedule;
use super::last_runs::{self, LEADER_GROUP};
use super::runner::{self, Ended, Ending, RETRY_PAUSE, Surroundings, Tenure};
use crate::{Error, Result};

/// What is needed to lead.
pub(super) struct Leader {
    pub(super) store: Arc<dyn Store>,
    pub(super) stream: StreamName,
    pub(super) worker: WorkerId,
    pub(super) lease_ttl: Duration,
    pub(super) grace: Duration,
    pub(super) schedules: Vec<Arc<Schedule>>,
    pub(super) surroundings: Surroundings,
    /// Through which it is heard at once that a leader goes.
    pub(super) arrivals: Option<Arc<Arrivals>>,
}

impl Leader {
    /// Stands for leadership, and leads whenever this worker has it, until `shutdown`.
    ///
    /// # Errors
    /// What the store refuses and time won't mend.
    pub(super) async fn run(self, shutdown: CancellationToken) -> Result<()> {
        let options = tidegate_cluster::Options {
            stream: self.stream.clone(),
            group: GroupName::new(LEADER_GROUP)?,
            first_partition: 0,
            partitions: 1,
            lease_ttl: self.lease_ttl,
            release_grace: self.grace,
        };
        // A schedule that fails for good ends the ownership; `shutdown` itself is the caller's.
        let stop = shutdown.child_token();
        let _stop_when_dropped = stop.clone().drop_guard();
        let (ownership, handle, mut leases) =
            Ownership::new(self.store.clone(), self.worker, options)?;
        let end_of_heeding = CancellationToken::new();
        let _ends_when_dropped = end_of_heeding.clone().drop_guard();
        if let Some(arrivals) = self.arrivals.clone() {
            let store = self.store.clone();
            tokio::spawn(async move {
                handle
                    .heed_announcements(&*store, &arrivals, end_of_heeding)
                    .await;
            });
        }
        let mut ownership = JoinSet::from_iter([ownership.run(stop.clone())]);
        let mut failure = None;
        while let Some(owned) = leases.next().await {
            if let Err(error) = self.lead(owned).await {
                failure.get_or_insert(error);
                stop.cancel();
            }
        }
        while let Some(ended) = ownership.join_next().await {
            ended.map_err(|panic| Error::Invalid(format!("the ownership stopped: {panic}")))??;
        }
        failure.map_or(Ok(()), Err)
    }

    /// One tenure: from the lease to its end, or to the wish of others.
    async fn lead(&self, owned: OwnedLease) -> Result<()> {
        let epoch = owned.lease().epoch;
        info!(%epoch, "this worker leads");
        let ending = Ending {
            stop: owned.release_requested().child_token(),
            cancel: owned.lost().child_token(),
        };
        let ended = match self.begin(owned.lease(), &ending).await {
            Ok(Some(tenure)) => {
                let (schedules, surroundings) = (&self.schedules, &self.surroundings);
                run_all(schedules, Some(&tenure), surroundings, &ending, self.grace).await
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        info!(%epoch, "this worker leads no longer");
        owned.hand_back();
        ended
    }
}

impl Leader {
    /// Reads what former leaders have kept, waiting for a store that is away. None when the tenure
    /// ends before that.
    async fn begin(&self, lease: &Lease, ending: &Ending) -> Result<Option<Tenure>> {
        loop {
            match self.try_begin(lease).await {
                Ok(tenure) => return Ok(Some(tenure)),
                Err(error) => {
                    if !runner::outlasts(error)? {
                        return Ok(None);
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY_PAUSE) => {}
                // The other one follows when the lease is lost.
                () = ending.stop.cancelled() => return Ok(None),
            }
        }
    }

    async fn try_begin(&self, lease: &Lease) -> Result<Tenure> {
        let (store, now) = (&*self.store, self.surroundings.now());
        let kept = last_runs::last_runs(store, &self.stream).await?;
        let is_ours = |name: &str| self.schedules.iter().any(|it| *it.name == *name);
        last_runs::forget(store, lease, &kept, is_ours, now).await?;
        Ok(Tenure {
            lease: lease.clone(),
            store: self.store.clone(),
            last_runs: Arc::new(kept),
        })
    }
}

/// Runs schedules side by side until the ending comes; after `stop`, runs have `grace` to end.
///
/// # Errors
/// The first one of a schedule; the others have ended then.
pub(super) async fn run_all(
    schedules: &[Arc<Schedule>],
    tenure: Option<&Tenure>,
    surroundings: &Surroundings,
    ending: &Ending,
    grace: Duration,
) -> Result<()> {
    let mut runners: JoinSet<Result<Ended>> = schedules
        .iter()
        .map(|schedule| {
            runner::run(
                schedule.clone(),
                tenure.cloned(),
                surroundings.clone(),
                ending.clone(),
            )
        })
        .collect();
    let grace_ends = async {
        ending.stop.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    tokio::pin!(grace_ends);
    let mut failure = None;
    let mut cut_short = false;
    loop {
        let ended = tokio::select! {
            ended = runners.join_next() => match ended {
                Some(ended) => ended,
                None => return failure.map_or(Ok(()), Err),
            },
            () = &mut grace_ends, if !cut_short => {
                warn!("scheduled runs are cut short: the grace has ended");
                cut_short = true;
                ending.cancel.cancel();
                continue;
            }
        };
        let problem = match ended {
            Ok(Ok(Ended::Told)) => continue,
            Ok(Ok(Ended::LeaseLost)) => None,
            Ok(Err(error)) => Some(error),
            Err(panic) => Some(Error::Invalid(format!("a schedule stopped: {panic}"))),
        };
        ending.cancel.cancel();
        failure = failure.or(problem);
    }
}
