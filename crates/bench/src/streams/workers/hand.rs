//! A hired worker, as its parent sees it.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tidegate_store::{Epoch, GroupName, Lag, LeaseHolder, Partition, Store, WorkerId};
use tidegate_testkit::Process;

use super::worker::{GROUP, Job, WORKING};
use crate::error::{Error, Result};

/// Longer than any step takes on a machine that can be measured on.
pub(super) const SOON: Duration = Duration::from_secs(120);

/// A worker process.
pub(super) struct Hand {
    process: Process,
    pub(super) id: WorkerId,
}

impl Hand {
    /// Starts a worker, and waits until it can be asked to end.
    pub(super) async fn hire(job: &Job) -> Result<Self> {
        let program = std::env::current_exe().map_err(Error::system("finding this program"))?;
        let mut command = Command::new(program);
        command.args([Job::COMMAND, &serde_json::to_string(job)?]);
        let process = Process::spawn(&command)?;
        let line = process.wait_for_line(|line| line.starts_with(WORKING), SOON);
        let line = line.await?;
        let id = line.strip_prefix(WORKING).unwrap_or_default().parse()?;
        Ok(Self { process, id })
    }

    /// Sends it a signal, and waits for nothing.
    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.pid()).unwrap_or_default();
        kill(Pid::from_raw(pid), signal)
            .map_err(|errno| Error::system("signalling a worker")(errno.into()))
    }

    /// Waits for its next first event of a partition, and says of which and under which epoch.
    pub(super) async fn first_event(&self) -> Result<(u32, Epoch)> {
        let mut begun = None;
        let parse = |line: &str| {
            let (partition, epoch) = line.split_once(' ')?;
            Some((partition.parse().ok()?, Epoch(epoch.parse().ok()?)))
        };
        let is_begun = |line: &str| {
            begun = parse(line);
            begun.is_some()
        };
        self.process.wait_for_line(is_begun, SOON).await?;
        begun.ok_or_else(|| Error::Unexpected("a line was seen and is gone".into()))
    }

    /// Its number at the operating system.
    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits for its end.
    pub(super) async fn ended(mut self) -> Result<()> {
        self.process.wait(SOON).await?;
        Ok(())
    }
}

/// Looks at who owns what.
pub(super) struct Lookout {
    store: Arc<dyn Store>,
    group: GroupName,
    partitions: Vec<Partition>,
}

impl Lookout {
    /// On the partitions that the job's workers share.
    pub(super) fn new(store: Arc<dyn Store>, job: &Job) -> Result<Self> {
        let stream = job.spec().name()?;
        Ok(Self {
            store,
            group: GroupName::new(GROUP)?,
            partitions: (0..job.partitions)
                .map(|index| stream.partition(index))
                .collect(),
        })
    }

    /// Who holds each partition.
    pub(super) async fn holders(&self) -> Result<Vec<Option<LeaseHolder>>> {
        let holders = self.store.lease_holders(&self.group, &self.partitions);
        Ok(holders.await?)
    }

    /// How many entries were delivered to the group and not acknowledged, in all partitions.
    pub(super) async fn pending(&self) -> Result<u64> {
        Ok(self.lag().await?.iter().map(|lag| lag.pending).sum())
    }

    /// How many entries wait in the partition where most of them do.
    pub(super) async fn most_undelivered(&self) -> Result<u64> {
        let waiting = self.lag().await?.into_iter().map(|lag| lag.undelivered);
        Ok(waiting.max().unwrap_or_default())
    }

    async fn lag(&self) -> Result<Vec<Lag>> {
        Ok(self.store.lag(&self.group, &self.partitions).await?)
    }
}
