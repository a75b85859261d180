//! Faults, as they are done to the site. Each returns when it is over and everything runs again.

use std::time::Duration;

use rustis::client::Client;
use rustis::resp::cmd;
use tidegate_testkit::{FaultProxy, RedisServer, poll_until};
use tokio::time::{Instant, sleep, sleep_until};

use super::load::{Operation, marker};
use super::plan::{End, Fault, Scheduled};
use super::producer::Producer;
use super::site::Site;
use crate::error::{Error, Result};

/// How long a replica may take to have everything and to be able to keep it.
const FOLLOWS_WITHIN: Duration = Duration::from_secs(60);
/// In front of every real marker: tells that a replica has everything before it.
const BEFORE_ALL_ROUNDS: u64 = 0;

/// Whatever a fault needs.
pub(super) struct Stage<'a> {
    pub(super) site: &'a Site,
    pub(super) producer: &'a Producer,
    /// What is sent to a master that will be lost.
    pub(super) unsure: &'a [Operation],
    /// A number that no operation has.
    pub(super) free_number: u64,
}

/// Does the faults of one place, one after the other.
///
/// # Errors
/// A server or a process that does not do what it is told.
pub(super) async fn perform_all(
    stage: &Stage<'_>,
    begin: Instant,
    faults: Vec<&Scheduled>,
) -> Result<()> {
    for scheduled in faults {
        sleep_until(begin + scheduled.at).await;
        stage.perform(&scheduled.fault).await?;
    }
    Ok(())
}

impl Stage<'_> {
    async fn perform(&self, fault: &Fault) -> Result<()> {
        let site = self.site;
        match fault {
            Fault::KillWorker { worker, away } => self.kill_worker(*worker, *away).await?,
            Fault::FreezeWorker { worker, time } => {
                if let Some(worker) = site.workers.get(*worker) {
                    worker.lock().await.freeze(*time).await?;
                }
            }
            Fault::RestartRedis { end, away } => {
                let mut redis = site.redis.lock().await;
                match end {
                    End::Kill => redis.kill().await?,
                    End::Stop => redis.stop().await?,
                }
                sleep(*away).await;
                redis.restart().await?;
            }
            Fault::FreezeRedis { time } => {
                let mut redis = site.redis.lock().await;
                redis.pause()?;
                sleep(*time).await;
                redis.resume()?;
            }
            Fault::Failover { replicated, away } => self.fail_over(*replicated, *away).await?,
            Fault::LosingFailover { drained, away, .. } => {
                self.fail_over_and_lose(*drained, *away).await?;
            }
            Fault::RestartPostgres { end, away } => {
                let mut postgres = site.postgres.lock().await;
                match end {
                    End::Kill => postgres.kill().await?,
                    End::Stop => postgres.stop().await?,
                }
                sleep(*away).await;
                postgres.restart().await?;
            }
            Fault::FreezePostgres { time } => {
                let mut postgres = site.postgres.lock().await;
                postgres.pause()?;
                sleep(*time).await;
                postgres.resume()?;
            }
            Fault::Cut { .. }
            | Fault::Stall { .. }
            | Fault::Delay { .. }
            | Fault::Divide { .. }
            | Fault::Refuse { .. } => {
                disturb(site, fault).await;
            }
        }
        Ok(())
    }

    async fn kill_worker(&self, worker: usize, away: Duration) -> Result<()> {
        let Some(worker) = self.site.workers.get(worker) else {
            return Ok(());
        };
        let mut worker = worker.lock().await;
        worker.kill(self.site).await?;
        sleep(away).await;
        worker.start(self.site)
    }

    /// A replica follows, every append waits for it, and then it takes the master's place.
    async fn fail_over(&self, replicated: Duration, away: Duration) -> Result<()> {
        let mut redis = self.site.redis.lock().await;
        let replica = follow(&redis).await?;
        self.producer.replicate(true);
        sleep(replicated).await;
        // An entry on its way may reach the tables and never be confirmed; nothing but a fresh look
        // at the tables could tell the producer, so none is on its way now.
        let paused = self.producer.pause().await;
        self.confirm_on_replica().await?;
        redis.kill().await?;
        promote(&replica).await?;
        sleep(away).await;
        *redis = replica;
        self.site.point_to_redis(redis.port());
        self.producer.replicate(false);
        drop(paused);
        Ok(())
    }

    /// A replica follows and is cut off; the master takes more entries, and is lost.
    async fn fail_over_and_lose(&self, drained: Duration, away: Duration) -> Result<()> {
        let mut redis = self.site.redis.lock().await;
        let replica = follow(&redis).await?;
        let paused = self.producer.pause().await;
        self.producer.replicate(true);
        self.confirm_on_replica().await?;
        self.producer.replicate(false);
        promote(&replica).await?;
        self.producer.send_in_turn(self.unsure).await?;
        sleep(drained).await;
        redis.kill().await?;
        sleep(away).await;
        *redis = replica;
        self.site.point_to_redis(redis.port());
        drop(paused);
        Ok(())
    }

    /// A replica confirms with one entry everything that was written before it.
    async fn confirm_on_replica(&self) -> Result<()> {
        let probe = marker(self.free_number, 0, BEFORE_ALL_ROUNDS);
        self.producer.send_in_turn(&[probe]).await
    }
}

/// A replica of this master that has everything, and can keep it.
async fn follow(master: &RedisServer) -> Result<RedisServer> {
    let replica = RedisServer::builder()
        .aof(true)
        .setting("repl-diskless-sync-delay", "0")
        .replica_of(master.port())
        .start()
        .await?;
    let client = Client::connect(replica.url()).await?;
    let follows = async || {
        let info: rustis::Result<String> = client.send(cmd("INFO"), None).await;
        let info = info.unwrap_or_default();
        let says = |line: &str| info.lines().any(|it| it.trim_end() == line);
        // What the master sent is on the disk once the rewrite that it begins with is through.
        says("master_link_status:up")
            && says("aof_enabled:1")
            && says("aof_rewrite_in_progress:0")
            && says("aof_rewrite_scheduled:0")
    };
    poll_until(FOLLOWS_WITHIN, follows).await?;
    Ok(replica)
}

/// The replica becomes a master, with what it has.
async fn promote(replica: &RedisServer) -> Result<()> {
    let client = Client::connect(replica.url()).await?;
    let promote = cmd("REPLICAOF").arg("NO").arg("ONE");
    client.send::<()>(promote, None).await.map_err(Error::from)
}

async fn disturb(site: &Site, fault: &Fault) {
    let resume_after = async |proxy: &FaultProxy, time: Duration| {
        sleep(time).await;
        proxy.resume();
    };
    match fault {
        Fault::Cut { link } => site.link(*link).cut(),
        Fault::Stall {
            link,
            way,
            time,
            is_cut,
        } => {
            let proxy = site.link(*link);
            proxy.stall(*way);
            sleep(*time).await;
            if *is_cut {
                proxy.cut();
            }
            proxy.resume();
        }
        Fault::Delay { link, by, time } => {
            site.link(*link).delay(*by);
            resume_after(site.link(*link), *time).await;
        }
        Fault::Divide { link, bytes, time } => {
            site.link(*link).divide(*bytes);
            resume_after(site.link(*link), *time).await;
        }
        Fault::Refuse { link, time } => {
            site.link(*link).refuse();
            resume_after(site.link(*link), *time).await;
        }
        _ => {}
    }
}
