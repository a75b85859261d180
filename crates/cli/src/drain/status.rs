//! `tidegate drain status`: where each shard is.

use std::process::ExitCode;

use serde_json::{Map, Value, json};
use tidegate_drain::status::{ShardStatus, status};

use crate::args::StatusArgs;
use crate::config::Settings;
use crate::output::{self, count};
use crate::table::{Column, Table};
use crate::{connect, failure, tenant};

/// As many characters of a worker's id tell the workers of a stream apart.
const OWNER_LENGTH: usize = 8;

/// Prints where the shards are, by tenant where there are some. One that can't be asked hides no
/// other; it is named, and makes the exit code 1.
///
/// # Errors
/// Those of the store and the sink, without tenants.
pub(crate) async fn run(args: &StatusArgs, settings: &Settings) -> miette::Result<ExitCode> {
    if settings.tenants.is_empty() {
        let shards = ask(settings).await?;
        match args.json {
            true => output::print_json(&to_json(&shards, settings))?,
            false => output::print(&text(&shards, args.all, settings))?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut code = ExitCode::SUCCESS;
    let (mut object, mut texts) = (Map::new(), Vec::new());
    for (id, settings) in tenant::each(settings)? {
        let id = id.unwrap_or_default();
        let (value, shown) = match ask(&settings).await {
            Ok(shards) => (
                to_json(&shards, &settings),
                text(&shards, args.all, &settings),
            ),
            Err(error) => {
                code = ExitCode::FAILURE;
                let error = error.to_string();
                (
                    json!({ "error": error }),
                    format!("It can't be asked: {error}\n"),
                )
            }
        };
        object.insert(id.clone(), value);
        texts.push(format!("Tenant {id}:\n{shown}"));
    }
    match args.json {
        true => output::print_json(&json!({ "tenants": object }))?,
        false => output::print(&texts.join("\n"))?,
    }
    Ok(code)
}

async fn ask(settings: &Settings) -> miette::Result<Vec<ShardStatus>> {
    let store = connect::store(settings).await?;
    let sink = connect::prepared_sink(settings).await?;
    let asked = status(&*store, &*sink, &settings.drain).await;
    asked.map_err(failure::drain)
}

fn to_json(shards: &[ShardStatus], settings: &Settings) -> Value {
    json!({
        "stream": settings.drain.stream.as_str(),
        "totals": Totals::of(shards).to_json(),
        "shards": shards.iter().map(shard_json).collect::<Vec<_>>(),
    })
}

fn text(shards: &[ShardStatus], all: bool, settings: &Settings) -> String {
    let stream = &settings.drain.stream;
    let shown: Vec<&ShardStatus> = shards
        .iter()
        .filter(|shard| all || has_entries(shard))
        .collect();
    let workers = workers(shards);
    let workers = match workers {
        0 => "no worker is running".to_owned(),
        workers => format!("{} at work", output::things(workers as u64, "worker")),
    };
    if shown.is_empty() {
        return format!("Nothing has been sent to {stream} yet; {workers}.\n");
    }
    let mut table = Table::new([
        Column::Number("shard"),
        Column::Text("owner"),
        Column::Text("position"),
        Column::Number("applied"),
        Column::Number("pending"),
        Column::Number("dead"),
        Column::Number("waiting"),
        Column::Number("parked"),
    ]);
    for shard in &shown {
        let ledger = &shard.ledger;
        let numbers = [
            ledger.applied,
            shard.pending(),
            ledger.dead,
            ledger.waiting,
            ledger.parked,
        ];
        let names = [
            shard.shard.to_string(),
            owner(shard),
            ledger.position.to_string(),
        ];
        table.row(names.into_iter().chain(numbers.map(count)));
    }
    let totals = Totals::of(shards);
    let numbers = [
        totals.applied,
        totals.pending,
        totals.dead,
        totals.waiting,
        totals.parked,
    ]
    .map(count);
    let names = ["total".to_owned(), String::new(), String::new()];
    table.row(names.into_iter().chain(numbers));
    let partitions = settings.drain.partitions;
    let hidden = match partitions as usize - shown.len().min(partitions as usize) {
        0 => String::new(),
        hidden => format!("; {hidden} empty ones are not shown (--all)"),
    };
    format!(
        "{}{stream} has {partitions} shards{hidden}; {workers}.\n",
        table.render()
    )
}

fn has_entries(shard: &ShardStatus) -> bool {
    shard.lag.appended > 0 || shard.ledger.applied > 0
}

fn workers(shards: &[ShardStatus]) -> usize {
    let owners: std::collections::BTreeSet<_> = shards.iter().filter_map(|s| s.owner).collect();
    owners.len()
}

fn owner(shard: &ShardStatus) -> String {
    match shard.owner {
        Some(owner) => owner.to_string().chars().take(OWNER_LENGTH).collect(),
        None if shard.is_foreign => "(foreign)".to_owned(),
        None => "-".to_owned(),
    }
}

fn shard_json(shard: &ShardStatus) -> Value {
    let ledger = &shard.ledger;
    json!({
        "shard": shard.shard,
        "owner": shard.owner.map(|owner| owner.to_string()),
        "foreign": shard.is_foreign,
        "epoch": ledger.epoch.0,
        "position": ledger.position.to_string(),
        "last_id": shard.lag.last_id.to_string(),
        "appended": shard.lag.appended,
        "applied": ledger.applied,
        "pending": shard.pending(),
        "dead": ledger.dead,
        "waiting": ledger.waiting,
        "parked": ledger.parked,
        "discarded": ledger.discarded,
    })
}

/// The sums over all shards.
#[derive(Debug, Default)]
struct Totals {
    applied: u64,
    pending: u64,
    dead: u64,
    waiting: u64,
    parked: u64,
    discarded: u64,
}

impl Totals {
    fn of(shards: &[ShardStatus]) -> Self {
        shards.iter().fold(Self::default(), |sum, shard| Self {
            applied: sum.applied + shard.ledger.applied,
            pending: sum.pending + shard.pending(),
            dead: sum.dead + shard.ledger.dead,
            waiting: sum.waiting + shard.ledger.waiting,
            parked: sum.parked + shard.ledger.parked,
            discarded: sum.discarded + shard.ledger.discarded,
        })
    }

    fn to_json(&self) -> Value {
        json!({
            "applied": self.applied,
            "pending": self.pending,
            "dead": self.dead,
            "waiting": self.waiting,
            "parked": self.parked,
            "discarded": self.discarded,
        })
    }
}
