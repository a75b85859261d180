//! The load of a round: operations as JSON, and what each of them does to the [`Model`]. Pure: the
//! seed and the round decide, whatever happens to the servers.
//!
//! A row belongs to the shard that its id names, so all operations on it are in one stream, in
//! their order. A good operation only touches rows that are in order; a bad one dooms the rows that it
//! touches: whatever comes later on them is parked. An account that postings refer to is inserted by
//! an operation of its own and never deleted, so that a posting can always be applied in the end,
//! even when it is sent before its account.

use std::collections::BTreeMap;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::{IndexedMutRandom, IndexedRandom};
use serde_json::{Map, Value, json};

use super::model::{Change, Held, Key, Model, Table, Unsure, Values};
use super::plan::random;

/// How many shards the stream has.
pub(super) const SHARDS: u32 = 8;
/// More than a round has operations and rows; each round has numbers and ids of its own, so that
/// what a former round left behind is recognised.
const NUMBERS: u64 = 10_000_000;
/// Of how many rows, the youngest, one is picked: the fewer, the more changes of one row meet.
const PICKED_FROM: usize = 200;
/// What a note may have.
const NOTE_CHARS_MAX: usize = 40;

/// An operation to be sent.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) number: u64,
    pub(super) shard: u32,
    pub(super) json: String,
}

/// Makes operations up, and keeps the model of what they do.
pub(super) struct Load {
    random: StdRng,
    pub(super) model: Model,
    last_number: u64,
    last_row: i64,
    /// Rows that operations may touch, the youngest last.
    open: Vec<Key>,
    /// Accounts that postings may refer to; they are open or still to be inserted.
    parents: Vec<i64>,
    doomed: Vec<Key>,
    /// The last version of rows that were deleted.
    deleted: BTreeMap<Key, i64>,
}

impl Load {
    /// The load of this round.
    pub(super) fn new(seed: u64, round: u64) -> Self {
        let first = round.saturating_mul(NUMBERS);
        Self {
            random: random(seed, round, b'l'),
            model: Model::default(),
            last_number: first,
            last_row: i64::try_from(first).unwrap_or(0),
            open: Vec::new(),
            parents: Vec::new(),
            doomed: Vec::new(),
            deleted: BTreeMap::new(),
        }
    }

    /// At least `count` more operations.
    pub(super) fn next(&mut self, count: usize) -> Vec<Operation> {
        let mut operations = Vec::with_capacity(count + 1);
        while operations.len() < count {
            match self.random.random_range(0..100) {
                0..28 => self.insert(&mut operations),
                28..58 => operations.extend(self.change_of_one_row()),
                58..92 => operations.push(self.transaction()),
                92..97 => operations.push(self.bad()),
                _ => operations.extend(self.behind_a_bad_one()),
            }
        }
        operations
    }

    /// Operations that their server may lose; nothing later refers to them.
    pub(super) fn unsure(&mut self, count: u32) -> Vec<Operation> {
        let rows: Vec<i64> = (0..SHARDS).map(|shard| self.new_id(shard)).collect();
        let mut versions: Vec<(i64, i64)> = rows.into_iter().map(|id| (id, 0)).collect();
        let mut operations = Vec::new();
        for _ in 0..count {
            let Some((id, version)) = versions.choose_mut(&mut self.random) else {
                break;
            };
            *version += 1;
            let (id, version) = (*id, *version);
            let key = (Table::Wallet, id);
            let change = match version {
                1 => Change::Insert(key, self.values(key, version)),
                _ => Change::Update(key, self.values(key, version)),
            };
            let number = self.new_number();
            let parts = vec![json_of(&change, None), history_json(number, id, version)];
            operations.push(transaction_of(number, shard_of(id), parts));
            self.model.unsure.push(Unsure {
                number,
                shard: shard_of(id),
                changes: vec![change],
                noted: (id, version),
            });
        }
        operations
    }

    /// A new row; a posting sometimes before the account that it refers to.
    fn insert(&mut self, operations: &mut Vec<Operation>) {
        let shard = self.random.random_range(0..SHARDS);
        match self.random.random_range(0..10) {
            0..2 => operations.push(self.parent()),
            2..5 => {
                let change = self.new_row(Table::Account, shard);
                operations.push(self.single(&change));
            }
            5..8 => {
                let parent = (self.parents.is_empty() || self.random.random_bool(0.2))
                    .then(|| self.parent());
                let change = self.new_row(Table::Posting, shard);
                operations.push(self.single(&change));
                operations.extend(parent);
            }
            _ => {
                let change = self.new_row(Table::Wallet, shard);
                operations.push(self.single(&change));
            }
        }
    }

    /// An account that others may refer to. It never was there before: a posting in another shard might
    /// find that one and keep it from being deleted.
    fn parent(&mut self) -> Operation {
        let shard = self.random.random_range(0..SHARDS);
        let key = (Table::Account, self.new_id(shard));
        let change = Change::Insert(key, self.values(key, 1));
        self.parents.push(key.1);
        self.single(&change)
    }

    fn change_of_one_row(&mut self) -> Option<Operation> {
        let key = self.pick(None)?;
        let change = self.change_of(key)?;
        Some(self.single(&change))
    }

    /// Several changes of one shard, and sometimes a line in the history.
    fn transaction(&mut self) -> Operation {
        let shard = self.random.random_range(0..SHARDS);
        let number = self.new_number();
        let mut parts = Vec::new();
        for _ in 0..self.random.random_range(1..=3) {
            let key = self.pick(Some(shard));
            let before = key.and_then(|key| self.model.rows.get(&key)).cloned();
            let known = key.filter(|_| self.random.random_bool(0.7));
            let change = known.and_then(|key| self.change_of(key));
            let change = change.unwrap_or_else(|| self.new_row(Table::Wallet, shard));
            let before = before.filter(|_| known.is_some());
            self.perform(&change);
            parts.push(json_of(&change, before.as_ref()));
            if let Change::Insert((Table::Wallet, id), values)
            | Change::Update((Table::Wallet, id), values) = &change
            {
                parts.push(history_json(number, *id, values.version));
                self.model.history.insert(number, (*id, values.version));
                // One line for each operation: a second one would be a doubled operation.
                break;
            }
        }
        transaction_of(number, shard, parts)
    }

    /// An operation that must become a dead letter, as must a transaction with one in it.
    fn bad(&mut self) -> Operation {
        let number = self.new_number();
        let shard = self.random.random_range(0..SHARDS);
        self.model.held.insert(number, Held::Dead);
        let key = (Table::Wallet, self.new_id(shard));
        let mut values = self.values(key, 1);
        let json = match self.random.random_range(0..7) {
            0 => "{\"op\":\"insert\",".to_owned(),
            1 => {
                json!({"op": "insert", "table": "no_such_table", "row": {"id": key.1}}).to_string()
            }
            2 => {
                values.note = Some("é".repeat(NOTE_CHARS_MAX + 1));
                json_of(&Change::Insert(key, values), None).to_string()
            }
            3 => {
                self.doomed.push(key);
                values.amount = -1;
                json_of(&Change::Insert(key, values), None).to_string()
            }
            4 => {
                self.doomed.push(key);
                json_of(&Change::Update(key, values), None).to_string()
            }
            5 => self.conflicting(shard).to_string(),
            _ => {
                let good = Change::Insert(key, values.clone());
                let other = (Table::Wallet, self.new_id(shard));
                values.amount = -1;
                self.doomed.extend([key, other]);
                let parts = [good, Change::Insert(other, values)];
                let parts = parts.iter().map(|change| json_of(change, None)).collect();
                transaction_of(number, shard, parts).json
            }
        };
        Operation {
            number,
            shard,
            json,
        }
    }

    /// An insert of a row that is there with other values; it dooms the row.
    fn conflicting(&mut self, shard: u32) -> Value {
        let is_free = |key: &Key| key.0 != Table::Account && shard_of(key.1) == shard;
        let Some(key) = self.open.iter().rev().copied().find(is_free) else {
            return json!("nothing to conflict with");
        };
        self.open.retain(|open| *open != key);
        self.doomed.push(key);
        let there = self.model.rows.get(&key);
        let other = Values {
            version: 1_000_000,
            amount: 1_000_000,
            note: Some("another row of the same key".to_owned()),
            parent: there.and_then(|values| values.parent),
        };
        json_of(&Change::Insert(key, other), None)
    }

    /// An operation on a doomed row.
    fn behind_a_bad_one(&mut self) -> Option<Operation> {
        let key = *self.doomed.choose(&mut self.random)?;
        let change = match self.random.random_bool(0.5) {
            true => Change::Delete(key),
            false => Change::Update(key, self.values(key, 2_000_000)),
        };
        let number = self.new_number();
        self.model.held.insert(number, Held::Parked);
        Some(Operation {
            number,
            shard: shard_of(key.1),
            json: json_of(&change, None).to_string(),
        })
    }

    /// An operation with this one change, which takes place.
    fn single(&mut self, change: &Change) -> Operation {
        let (_, id) = change.key();
        let before = self.model.rows.get(&change.key()).cloned();
        self.perform(change);
        Operation {
            number: self.new_number(),
            shard: shard_of(id),
            json: json_of(change, before.as_ref()).to_string(),
        }
    }

    fn perform(&mut self, change: &Change) {
        let key = change.key();
        match change {
            Change::Insert(..) => self.open.push(key),
            Change::Upsert(..) if !self.model.rows.contains_key(&key) => self.open.push(key),
            Change::Update(..) | Change::Upsert(..) => {}
            Change::Delete(_) => {
                let version = self.model.rows.get(&key).map_or(0, |values| values.version);
                self.deleted.insert(key, version);
                self.open.retain(|open| *open != key);
            }
        }
        self.model.apply(change);
    }

    /// The insert of a new row, or of one that was deleted before.
    fn new_row(&mut self, table: Table, shard: u32) -> Change {
        let mut deleted = self.deleted.keys().copied();
        let again = deleted.rfind(|key| key.0 == table && shard_of(key.1) == shard);
        let (key, version) = match again {
            Some(key) if self.random.random_bool(0.3) => {
                (key, self.deleted.remove(&key).unwrap_or(0) + 1)
            }
            _ => ((table, self.new_id(shard)), 1),
        };
        let values = self.values(key, version);
        match self.random.random_bool(0.25) {
            true => Change::Upsert(key, values),
            false => Change::Insert(key, values),
        }
    }

    /// What may happen to a row that is there.
    fn change_of(&mut self, key: Key) -> Option<Change> {
        let mut values = self.model.rows.get(&key)?.clone();
        let may_go = !self.parents.contains(&key.1);
        let verb = self.random.random_range(0..10);
        if verb == 0 && may_go {
            return Some(Change::Delete(key));
        }
        values.version += 1;
        if self.random.random_bool(0.5) {
            values.amount = self.random.random_range(0..1_000_000);
        }
        if self.random.random_bool(0.5) {
            values.note = self.note();
        }
        Some(match verb {
            1 | 2 => Change::Upsert(key, values),
            _ => Change::Update(key, values),
        })
    }

    /// One of the youngest rows, of this shard or of any.
    fn pick(&mut self, shard: Option<u32>) -> Option<Key> {
        let young = self.open.len().saturating_sub(PICKED_FROM);
        let fits = |key: &&Key| shard.is_none_or(|shard| shard_of(key.1) == shard);
        let young: Vec<Key> = self.open.iter().skip(young).filter(fits).copied().collect();
        young.choose(&mut self.random).copied()
    }

    fn values(&mut self, key: Key, version: i64) -> Values {
        Values {
            version,
            amount: self.random.random_range(0..1_000_000),
            note: self.note(),
            parent: match key.0 {
                Table::Posting => self.parents.choose(&mut self.random).copied(),
                Table::Account | Table::Wallet => None,
            },
        }
    }

    fn note(&mut self) -> Option<String> {
        let number: u16 = self.random.random();
        match number % 4 {
            0 => None,
            1 => Some(String::new()),
            2 => Some(format!("\"Zoë\"\t\\{number}\n")),
            _ => Some(format!("note {number}")),
        }
    }

    fn new_id(&mut self, shard: u32) -> i64 {
        self.last_row += 1;
        self.last_row * i64::from(SHARDS) + i64::from(shard)
    }

    fn new_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}

impl Change {
    /// The row that it touches.
    pub(super) fn key(&self) -> Key {
        match self {
            Self::Insert(key, _) | Self::Update(key, _) | Self::Upsert(key, _) => *key,
            Self::Delete(key) => *key,
        }
    }
}

/// The shard of a row.
pub(super) fn shard_of(id: i64) -> u32 {
    u32::try_from(id.rem_euclid(i64::from(SHARDS))).unwrap_or(0)
}

/// The round that an operation's number is of.
pub(super) fn round_of(number: u64) -> u64 {
    number / NUMBERS
}

/// A number of this round that its load never reaches.
pub(super) fn free_number(round: u64, index: u32) -> u64 {
    round.saturating_mul(NUMBERS) + NUMBERS - 1 - u64::from(index)
}

/// The operation that tells that everything before it in its shard is settled.
pub(super) fn marker(number: u64, shard: u32, round: u64) -> Operation {
    let row = json!({"id": shard, "round": round});
    let json = json!({"op": "upsert", "table": "marker", "row": row}).to_string();
    Operation {
        number,
        shard,
        json,
    }
}

fn transaction_of(number: u64, shard: u32, parts: Vec<Value>) -> Operation {
    let json = json!({"op": "transaction", "operations": parts}).to_string();
    Operation {
        number,
        shard,
        json,
    }
}

fn history_json(number: u64, wallet: i64, version: i64) -> Value {
    let row = json!({"operation": number, "wallet": wallet, "version": version});
    json!({"op": "insert", "table": "history", "row": row})
}

/// The JSON of a change. An update only names the columns that change, as far as it is known what
/// was there before.
fn json_of(change: &Change, before: Option<&Values>) -> Value {
    let (table, id) = change.key();
    let table = table.name();
    match change {
        Change::Insert(_, values) => {
            json!({"op": "insert", "table": table, "row": row_json(id, values)})
        }
        Change::Upsert(_, values) => {
            json!({"op": "upsert", "table": table, "row": row_json(id, values)})
        }
        Change::Delete(_) => json!({"op": "delete", "table": table, "key": {"id": id}}),
        Change::Update(_, values) => {
            let mut set = Map::from_iter([("version".to_owned(), values.version.into())]);
            if before.is_none_or(|before| before.amount != values.amount) {
                set.insert("amount".to_owned(), values.amount.into());
            }
            if before.is_none_or(|before| before.note != values.note) {
                set.insert("note".to_owned(), values.note.clone().into());
            }
            json!({"op": "update", "table": table, "key": {"id": id}, "set": set})
        }
    }
}

fn row_json(id: i64, values: &Values) -> Value {
    let mut row = Map::from_iter([
        ("id".to_owned(), id.into()),
        ("version".to_owned(), values.version.into()),
        ("amount".to_owned(), values.amount.into()),
        ("note".to_owned(), values.note.clone().into()),
    ]);
    if let Some(parent) = values.parent {
        row.insert("parent".to_owned(), parent.into());
    }
    row.into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_seed_and_the_round_decide() {
        let texts = |seed, round| {
            let operations = Load::new(seed, round).next(500);
            operations.into_iter().map(|it| it.json).collect::<Vec<_>>()
        };
        assert_eq!(texts(1, 2), texts(1, 2));
        assert_ne!(texts(1, 2), texts(1, 3));
        assert_ne!(texts(1, 2), texts(2, 2));
    }

    #[test]
    fn each_operation_is_of_the_shard_of_its_rows() {
        let mut load = Load::new(3, 1);
        let mut operations = load.next(2_000);
        operations.extend(load.unsure(100));
        for Operation { shard, json, .. } in &operations {
            let Ok(value) = serde_json::from_str::<Value>(json) else {
                continue;
            };
            let parts = value["operations"].as_array().cloned();
            for part in parts.unwrap_or_else(|| vec![value.clone()]) {
                let id = part["row"]["id"].as_i64().or(part["key"]["id"].as_i64());
                assert!(id.is_none_or(|id| shard_of(id) == *shard), "{json}");
            }
        }
        let numbers: BTreeSet<u64> = operations.iter().map(|it| it.number).collect();
        assert_eq!(numbers.len(), operations.len());
    }

    #[test]
    fn the_load_has_everything() {
        let mut load = Load::new(4, 1);
        let operations = load.next(2_000);
        let said = |text: &str| {
            operations
                .iter()
                .filter(|it| it.json.contains(text))
                .count()
        };
        for text in [
            "insert",
            "update",
            "upsert",
            "delete",
            "transaction",
            "history",
            "parent",
        ] {
            assert!(said(text) > 20, "{text}");
        }
        let held = |state| load.model.held.values().filter(|it| **it == state).count();
        assert!(held(Held::Dead) > 20 && held(Held::Parked) > 20);
        assert!(load.model.rows.len() > 200 && load.model.history.len() > 100);
    }

    #[test]
    fn a_row_is_changed_often() {
        let mut load = Load::new(5, 1);
        load.next(2_000);
        let versions = load.model.rows.values().map(|values| values.version);
        assert!(versions.max().is_some_and(|version| version > 5));
    }
}
