//! `processor`: moves a processor's position, and releases what it holds back.
//!
//! All of it can be done while workers run: they find out within about a second. If the process
//! dies in the middle of a reset, some partitions are moved and some are not; do it again.

use clap::Subcommand;
use jiff::Timestamp;
use serde_json::json;
use tidegate_store::{EntryId, GroupName, Partition, ReadLimit, Start, Store};
use tidegate_streams::{StreamSpec, layout, parked, quarantine};

use super::output;
use crate::{App, Error};

/// How many parked entries of a partition are shown.
const PARKED_SHOWN: ReadLimit = ReadLimit {
    entries: 1_000,
    bytes: 8 << 20,
};

/// What to do with a processor.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum ProcessorCommand {
    /// Process again from a position, or skip to one: what is pending is dropped.
    #[command(after_help = "\
Examples:
  shop processor reset settle --start 0
  shop processor reset settle --start '$'
  shop processor reset settle --start 2026-11-22T03:00:00Z
  shop processor reset settle --start 1732244400000-0 --partition 3")]
    Reset {
        /// The processor.
        name: String,
        /// 0 (the beginning), $ (the end), an entry id (the first after it), or a time.
        #[arg(long, value_parser = parse_start)]
        start: Start,
        /// Only this partition.
        #[arg(long, value_name = "N")]
        partition: Option<u32>,
    },
    /// Show partitions in quarantine, and parked keys.
    Held {
        /// The processor.
        name: String,
    },
    /// Let a partition in quarantine, or a parked key, go on.
    #[command(after_help = "\
Examples:
  shop processor release settle --partition 3
  shop processor release settle --partition 3 --key 4711")]
    Release {
        /// The processor.
        name: String,
        /// The partition.
        #[arg(long, value_name = "N")]
        partition: u32,
        /// The parked key; without it, the partition's quarantine ends.
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
    },
}

fn parse_start(text: &str) -> Result<Start, String> {
    match text {
        "0" => Ok(Start::Beginning),
        "$" => Ok(Start::End),
        _ => {
            if let Ok(time) = text.parse::<Timestamp>() {
                let ms = u64::try_from(time.as_millisecond());
                return ms
                    .map(Start::Time)
                    .map_err(|error| format!("a time before 1970: {error}"));
            }
            text.parse::<EntryId>().map(Start::After).map_err(|error| {
                format!(
                    "{error}; use 0, $, an entry id such as 1732244400000-0, or a time such as \
                     2026-11-22T03:00:00Z"
                )
            })
        }
    }
}

/// Runs the command.
pub(super) async fn run(
    app: &App,
    store: &dyn Store,
    command: &ProcessorCommand,
    as_json: bool,
) -> Result<(), Error> {
    match command {
        ProcessorCommand::Reset {
            name,
            start,
            partition,
        } => reset(app, store, name, *start, *partition, as_json).await,
        ProcessorCommand::Held { name } => held(app, store, name, as_json).await,
        ProcessorCommand::Release {
            name,
            partition,
            key,
        } => release(app, store, name, *partition, key.as_deref(), as_json).await,
    }
}

async fn reset(
    app: &App,
    store: &dyn Store,
    name: &str,
    start: Start,
    only: Option<u32>,
    as_json: bool,
) -> Result<(), Error> {
    let (group, spec) = find(app, name)?;
    let stream = spec.name()?;
    // From the oldest on: whoever gets a newer one then finds what comes before it.
    let partitions = match only {
        Some(index) => vec![checked(store, spec, index).await?],
        None => partitions(store, spec).await?,
    };
    let count = partitions.len();
    for partition in partitions {
        store.reset_group(&group, &partition, start).await?;
    }
    if as_json {
        output::json(&json!({"processor": name, "partitions_reset": count}));
    } else {
        output::line(format!("{name}: {count} partitions of {stream} were reset"));
    }
    Ok(())
}

async fn held(app: &App, store: &dyn Store, name: &str, as_json: bool) -> Result<(), Error> {
    let (group, spec) = find(app, name)?;
    let mut rows = Vec::new();
    for partition in partitions(store, spec).await? {
        let index = partition.index;
        if let Some(found) = quarantine::look(store, &group, &partition).await? {
            if as_json {
                output::json(&json!({
                    "partition": index, "quarantine": true, "entry": found.entry,
                    "reason": found.reason, "since": found.since,
                }));
            }
            rows.push([
                index.to_string(),
                "quarantine".to_owned(),
                found.entry,
                found.reason,
            ]);
        }
        let parked = parked::list(store, &group, &partition, EntryId::ZERO, PARKED_SHOWN).await?;
        for (_, entry) in parked {
            let key = String::from_utf8_lossy(&entry.key).into_owned();
            if as_json {
                output::json(&json!({
                    "partition": index, "key": key, "entry": entry.id.to_string(),
                    "reason": entry.reason,
                }));
            }
            rows.push([index.to_string(), key, entry.id.to_string(), entry.reason]);
        }
    }
    if as_json {
        return Ok(());
    }
    if rows.is_empty() {
        output::line(format!("{name} holds nothing back"));
        return Ok(());
    }
    let rows = rows.into_iter().map(|row| row.to_vec()).collect();
    output::table(&["partition", "key", "entry", "reason"], 4, rows);
    Ok(())
}

async fn release(
    app: &App,
    store: &dyn Store,
    name: &str,
    index: u32,
    key: Option<&str>,
    as_json: bool,
) -> Result<(), Error> {
    let (group, spec) = find(app, name)?;
    let partition = checked(store, spec, index).await?;
    match key {
        Some(key) => {
            if !is_parked(store, &group, &partition, key).await? {
                return Err(Error::Invalid(format!(
                    "key {key:?} is not parked in partition {index} of {name}; `processor held \
                     {name}` shows what is held back"
                )));
            }
            parked::release(store, &group, &partition, key).await?;
        }
        None => {
            if !quarantine::release(store, &group, &partition).await? {
                return Err(Error::Invalid(format!(
                    "partition {index} of {name} is not in quarantine; `processor held {name}` \
                     shows what is held back"
                )));
            }
        }
    }
    if as_json {
        output::json(&json!({"processor": name, "partition": index, "key": key, "released": true}));
    } else {
        let what = key.map_or_else(|| "the partition".to_owned(), |key| format!("key {key}"));
        output::line(format!("{name}: {what} goes on"));
    }
    Ok(())
}

async fn is_parked(
    store: &dyn Store,
    group: &GroupName,
    partition: &Partition,
    key: &str,
) -> Result<bool, Error> {
    let mut after = EntryId::ZERO;
    loop {
        let page = parked::list(store, group, partition, after, PARKED_SHOWN).await?;
        let Some((last, _)) = page.last() else {
            return Ok(false);
        };
        after = *last;
        if page.iter().any(|(_, entry)| entry.key == key.as_bytes()) {
            return Ok(true);
        }
    }
}

/// A processor's group, and the stream that it reads.
fn find<'a>(app: &'a App, name: &str) -> Result<(GroupName, &'a StreamSpec), Error> {
    let mut known = app.processors.iter().map(|one| &one.options);
    let Some(options) = known.find(|options| options.name == name) else {
        let names: Vec<&str> = app.processors.iter().map(|one| one.options.name).collect();
        return Err(Error::Invalid(format!(
            "the application has no processor {name:?}; it has: {}",
            names.join(", ")
        )));
    };
    let spec = &app.stream_named(options.stream)?.spec;
    Ok((GroupName::new(name)?, spec))
}

/// The partitions that a stream has, and had before where something of these may be left; the
/// oldest first.
async fn partitions(store: &dyn Store, spec: &StreamSpec) -> Result<Vec<Partition>, Error> {
    let layout = layout::load(store, spec).await?;
    Ok(layout.live_partitions(&spec.name()?))
}

async fn checked(store: &dyn Store, spec: &StreamSpec, index: u32) -> Result<Partition, Error> {
    let partitions = partitions(store, spec).await?;
    if let Some(found) = partitions.iter().find(|it| it.index == index) {
        return Ok(found.clone());
    }
    let indexes = partitions.iter().map(|it| it.index);
    Err(Error::Invalid(format!(
        "the stream {} has no partition {index}; it has {} to {}",
        spec.stream,
        indexes.clone().min().unwrap_or_default(),
        indexes.max().unwrap_or_default()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_a_place_an_id_or_a_time() {
        assert_eq!(parse_start("0"), Ok(Start::Beginning));
        assert_eq!(parse_start("$"), Ok(Start::End));
        assert_eq!(parse_start("7-1"), Ok(Start::After(EntryId::new(7, 1))));
        assert_eq!(parse_start("1970-01-01T00:00:01Z"), Ok(Start::Time(1_000)));
        assert!(
            parse_start("yesterday")
                .unwrap_err()
                .contains("an entry id")
        );
    }
}
