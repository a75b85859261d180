//! The contest: every contestant in turn, each on an empty table and with a fresh load.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tidegate_store::{Store, StoreUrl};
use tokio_postgres::Client;

use super::DrainArgs;
use super::copy::CopyData;
use super::delay::{Delay, DelayRun, RATES};
use super::load;
use super::payment::{CREATE, TABLE};
use super::run::{Contestant, Run};
use super::workload::Workload;
use crate::error::{Error, Result};
use crate::servers::Servers;
use crate::usage::{Processes, Usage};

/// One run of each contestant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    /// COPY from memory.
    pub(super) limit: Usage,
    /// The drainer without batches.
    pub(super) baseline: Usage,
    /// Ours.
    pub(super) tidegate: Usage,
}

/// What a whole table holds, in a form that can be compared: the number of rows and the sum of
/// all rows' hashes, each taken over all columns.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Contents {
    rows: i64,
    hash: String,
}

/// Everything that outlasts a round.
pub(super) struct Contest {
    servers: Servers,
    store: Arc<dyn Store>,
    processes: Processes,
    args: DrainArgs,
    /// What the table must hold after so many operations of a workload.
    expected: BTreeMap<(Workload, u64), Contents>,
}

impl Contest {
    /// Creates the table, and finds out what it must hold after each run.
    pub(super) async fn prepare(servers: Servers, args: &DrainArgs) -> Result<Self> {
        let store = tidegate_store::connect(&StoreUrl::parse(&servers.redis_url())?).await?;
        servers.postgres.batch_execute(CREATE).await?;
        let mut contest = Self {
            store,
            processes: servers.processes().await?,
            servers,
            args: args.clone(),
            expected: BTreeMap::new(),
        };
        for workload in Workload::ALL {
            for operations in [args.operations, args.baseline_operations] {
                contest.expect(workload, operations).await?;
            }
        }
        Ok(contest)
    }

    /// Runs each contestant once.
    pub(super) async fn round(&self, workload: Workload) -> Result<Round> {
        Ok(Round {
            limit: self.run(Contestant::Limit, workload).await?,
            baseline: self.run(Contestant::Baseline, workload).await?,
            tidegate: self.run(Contestant::Tidegate, workload).await?,
        })
    }

    /// Measures the delay at each rate.
    pub(super) async fn delays(&self) -> Result<Vec<Delay>> {
        let Self { servers, args, .. } = self;
        let mut delays = Vec::new();
        for per_second in RATES.into_iter().filter(|_| args.delay_seconds > 0) {
            eprintln!("delay at {per_second} operations/s");
            servers.empty_redis().await?;
            clear(&servers.postgres).await?;
            let run = DelayRun {
                per_second,
                seconds: args.delay_seconds,
                shards: args.shards,
                connections: args.connections,
                redis_url: servers.redis_url(),
                postgres_url: servers.postgres_url(),
            };
            delays.push(run.spawn().await?);
        }
        Ok(delays)
    }

    async fn run(&self, contestant: Contestant, workload: Workload) -> Result<Usage> {
        let Self { servers, args, .. } = self;
        let (workload, operations) = match contestant {
            // A limit of its own for updates would depend on how they are folded.
            Contestant::Limit => (Workload::Inserts, args.operations),
            Contestant::Baseline => (workload, args.baseline_operations),
            Contestant::Tidegate => (workload, args.operations),
        };
        servers.empty_redis().await?;
        if contestant != Contestant::Limit {
            load::load(&*self.store, workload, operations, args.shards).await?;
        }
        clear(&servers.postgres).await?;
        let run = Run {
            contestant,
            workload,
            operations,
            shards: args.shards,
            batch: args.batch,
            connections: args.connections,
            redis_url: servers.redis_url(),
            postgres_url: servers.postgres_url(),
            processes: self.processes,
        };
        let usage = run.spawn().await?;
        self.check(contestant, workload, operations).await?;
        eprintln!(
            "  {contestant}: {operations} operations in {:.2} s, others had {:.1} cores",
            usage.elapsed_seconds,
            usage.others_cores(),
        );
        Ok(usage)
    }

    async fn expect(&mut self, workload: Workload, operations: u64) -> Result<()> {
        eprintln!("preparing {operations} operations, {workload}");
        clear(&self.servers.postgres).await?;
        CopyData::encode(workload.rows(operations))?
            .send(&self.servers.postgres)
            .await?;
        let contents = Contents::of_table(&self.servers.postgres).await?;
        self.expected.insert((workload, operations), contents);
        Ok(())
    }

    async fn check(
        &self,
        contestant: Contestant,
        workload: Workload,
        operations: u64,
    ) -> Result<()> {
        let found = Contents::of_table(&self.servers.postgres).await?;
        let expected = self.expected.get(&(workload, operations));
        if expected == Some(&found) {
            return Ok(());
        }
        Err(Error::WrongResult {
            contestant: contestant.to_string(),
            found: found.to_string(),
            expected: expected.map(ToString::to_string).unwrap_or_default(),
        })
    }
}

/// Empties the table, forgets the drain's own tables, and leaves PostgreSQL nothing to catch up
/// with.
async fn clear(client: &Client) -> Result<()> {
    client
        .batch_execute("DROP SCHEMA IF EXISTS tidegate CASCADE")
        .await?;
    client.batch_execute(&format!("TRUNCATE {TABLE}")).await?;
    Ok(client.batch_execute("CHECKPOINT").await?)
}

impl Contents {
    async fn of_table(client: &Client) -> Result<Self> {
        let query = format!(
            "SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)), 0)::text FROM {TABLE} t"
        );
        let row = client.query_one(&query, &[]).await?;
        Ok(Self {
            rows: row.try_get(0)?,
            hash: row.try_get(1)?,
        })
    }
}

impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows with hash {}", self.rows, self.hash)
    }
}
