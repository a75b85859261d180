//! The workloads: which operations are sent, and what the table must hold at the end.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::payment::{Payment, PaymentChange, PaymentKey, TABLE, mix};
use crate::error::Result;

/// How many payments back an update may reach. It is a batch of every shard with the defaults, so
/// that some updates meet their row in the same batch and some in an earlier one.
const REACH: u64 = 4_000;

/// How many operations tell the mean size of all.
const SAMPLE: u64 = 10_000;

/// Which operations are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Workload {
    /// New rows.
    Inserts,
    /// In turn a new row, and an update by primary key of a row that was sent before.
    Mixed,
}

/// An operation of the load.
#[derive(Debug)]
pub(super) enum Operation {
    /// A new row.
    Insert(Box<Payment>, PaymentKey),
    /// A change of a row.
    Update(PaymentChange, PaymentKey, u64),
}

/// An insert as it travels.
#[derive(Serialize)]
struct InsertJson<'a> {
    op: &'static str,
    table: &'static str,
    row: &'a Payment,
}

/// An update as it travels.
#[derive(Serialize)]
struct UpdateJson<'a> {
    op: &'static str,
    table: &'static str,
    key: &'a PaymentKey,
    set: &'a PaymentChange,
}

impl Workload {
    /// All of them.
    pub(super) const ALL: [Self; 2] = [Self::Inserts, Self::Mixed];

    /// The operation at a place of the load, counted from 0.
    pub(super) fn operation(self, place: u64) -> Operation {
        let insert = |number| {
            let key = PaymentKey::new(number);
            Operation::Insert(Box::new(Payment::new(number)), key)
        };
        match self {
            Self::Inserts => insert(place),
            Self::Mixed if place.is_multiple_of(2) => insert(place / 2),
            Self::Mixed => {
                let newest = place / 2;
                let number = newest - mix(place) % (newest + 1).min(REACH);
                Operation::Update(
                    PaymentChange::new(number, place),
                    PaymentKey::new(number),
                    number,
                )
            }
        }
    }

    /// The rows of the table when the first `operations` are done.
    pub(super) fn rows(self, operations: u64) -> Vec<Payment> {
        let mut rows: Vec<Payment> = Vec::new();
        for place in 0..operations {
            match self.operation(place) {
                Operation::Insert(row, _) => rows.push(*row),
                Operation::Update(change, _, number) => {
                    let row = usize::try_from(number).ok().and_then(|at| rows.get_mut(at));
                    if let Some(row) = row {
                        row.apply(&change);
                    }
                }
            }
        }
        rows
    }

    /// The mean size of an operation's JSON.
    pub(super) fn mean_bytes(self, operations: u64) -> Result<u64> {
        let sample = operations.clamp(1, SAMPLE);
        let mut bytes = 0;
        for place in 0..sample {
            bytes += self.operation(place).to_json()?.len() as u64;
        }
        Ok(bytes / sample)
    }
}

impl Operation {
    /// The row that it is about.
    pub(super) fn key(&self) -> &PaymentKey {
        match self {
            Self::Insert(_, key) | Self::Update(_, key, _) => key,
        }
    }

    /// The operation as it travels.
    pub(super) fn to_json(&self) -> Result<Bytes> {
        let table = TABLE;
        let json = match self {
            Self::Insert(row, _) => serde_json::to_vec(&InsertJson {
                op: "insert",
                table,
                row,
            }),
            Self::Update(set, key, _) => serde_json::to_vec(&UpdateJson {
                op: "update",
                table,
                key,
                set,
            }),
        };
        Ok(json?.into())
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inserts => "inserts",
            Self::Mixed => "half inserts, half updates",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_insert_has_about_a_kilobyte() {
        let bytes = Workload::Inserts.mean_bytes(SAMPLE).unwrap();
        assert!((1_039..=1_049).contains(&bytes), "{bytes}");
    }

    #[test]
    fn updates_are_of_rows_that_were_sent_before() {
        let mut rows = 0;
        for place in 0..20_000 {
            match Workload::Mixed.operation(place) {
                Operation::Insert(..) => rows += 1,
                Operation::Update(_, _, number) => assert!(number < rows, "{place}"),
            }
        }
        assert_eq!(Workload::Mixed.rows(20_000).len(), 10_000);
    }
}
