//! The witness: reads what the tables hold, past the drain and past the network.

use std::collections::BTreeMap;

use serde::Deserialize;
use tokio_postgres::{Client, Row};

use super::compare::Found;
use super::load::round_of;
use super::model::{Held, Key, Table, Values};
use super::producer::Producer;
use super::site::Site;
use crate::error::{Error, Result};

/// The most held operations that are listed.
const LETTERS_MAX: &str = "1000000";

#[derive(Deserialize)]
struct List {
    letters: Vec<Letter>,
}

#[derive(Deserialize)]
struct Letter {
    id: String,
    state: String,
    reason: String,
}

/// Everything that the tables hold now; none while an operation still waits for its parent row.
///
/// # Errors
/// A database that does not answer, and letters that nobody has sent.
pub(super) async fn look(site: &Site, producer: &Producer, round: u64) -> Result<Option<Found>> {
    let mut found = Found::default();
    if !read_held(site, producer, round, &mut found).await? {
        return Ok(None);
    }
    let tables = site.tables().await?;
    for table in Table::ALL {
        read_rows(&tables, table, &mut found.rows).await?;
    }
    let noted = "SELECT of, id, verb, version FROM noted ORDER BY position";
    for row in tables.query(noted, &[]).await? {
        let table: &str = row.try_get(0)?;
        let table = Table::from_name(table).ok_or_else(|| unexpected(table))?;
        let verb: &str = row.try_get(2)?;
        let verb = verb.chars().next().ok_or_else(|| unexpected(verb))?;
        let changes = found.noted.entry((table, row.try_get(1)?)).or_default();
        changes.push((verb, row.try_get(3)?));
    }
    let history = "SELECT operation, wallet, version FROM history";
    for row in tables.query(history, &[]).await? {
        let number: i64 = row.try_get(0)?;
        let lines = found.history.entry(number.unsigned_abs()).or_default();
        lines.push((row.try_get(1)?, row.try_get(2)?));
    }
    Ok(Some(found))
}

/// In how many shards everything is settled that was sent before the marker of this round.
pub(super) async fn shards_through(site: &Site, round: u64) -> Result<i64> {
    let round = i64::try_from(round).unwrap_or(i64::MAX);
    let count = "SELECT count(*) FROM marker WHERE round = $1";
    Ok(site
        .tables()
        .await?
        .query_one(count, &[&round])
        .await?
        .try_get(0)?)
}

async fn read_rows(tables: &Client, table: Table, rows: &mut BTreeMap<Key, Values>) -> Result<()> {
    let parent = match table {
        Table::Posting => "parent",
        Table::Account | Table::Wallet => "NULL::BIGINT",
    };
    let name = table.name();
    let select = format!("SELECT id, version, amount, note, {parent} FROM {name}");
    let values = |row: &Row| -> Result<Values> {
        Ok(Values {
            version: row.try_get(1)?,
            amount: row.try_get(2)?,
            note: row.try_get(3)?,
            parent: row.try_get(4)?,
        })
    };
    for row in tables.query(&select, &[]).await? {
        rows.insert((table, row.try_get(0)?), values(&row)?);
    }
    Ok(())
}

/// Reads what is held of this round, as `tidegate drain dead list` tells; false while something
/// waits.
async fn read_held(
    site: &Site,
    producer: &Producer,
    round: u64,
    found: &mut Found,
) -> Result<bool> {
    let arguments = ["drain", "dead", "list", "--json", "--limit", LETTERS_MAX];
    let output = site.ask(&arguments).await?;
    if !output.status.success() {
        return Err(unexpected(&String::from_utf8_lossy(&output.stderr)));
    }
    let list: List = serde_json::from_slice(&output.stdout)?;
    for Letter { id, state, reason } in list.letters {
        let number = producer.number_of(&id).ok_or_else(|| {
            Error::Unexpected(format!("letter {id} is of no operation that was sent"))
        })?;
        let state = match state.as_str() {
            "dead" => Held::Dead,
            "parked" => Held::Parked,
            _ => return Ok(false),
        };
        if round_of(number) == round {
            found.held.insert(number, state);
            found.reasons.insert(number, reason);
        }
    }
    Ok(true)
}

fn unexpected(text: &str) -> Error {
    Error::Unexpected(format!("the tables hold something unexpected: {text}"))
}
