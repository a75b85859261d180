//! The verification: what is there is counted, by three who don't know each other.
//!
//! * Every row of every table is compared with the model.
//! * Every dead letter is compared with the operations that were spoiled on purpose.
//! * The drain's own sum has to come out: what was sent is applied or dead, shard by shard.

use std::path::PathBuf;

use miette::{IntoDiagnostic, WrapErr};
use tidegate_drain::dead_letter::DeadLetterFilter;
use tidegate_drain::envelope::REQUEST_ID;
use tidegate_drain::held::HeldState;
use tidegate_drain::{Options, status};

use super::compare::TableFindings;
use super::letters::{self, Letter, LetterFindings};
use super::model::Model;
use super::tables;
use crate::connect::Ends;
use crate::failure;

/// What was found.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings {
    /// Each table.
    pub(super) tables: Vec<TableFindings>,
    /// The dead letters.
    pub(super) letters: LetterFindings,
    /// Operations applied, by the ledger.
    pub(super) applied: u64,
    /// Where the drain's own sum does not come out.
    pub(super) sums: Vec<String>,
}

impl Findings {
    /// Rows that are missing or differ, and operations that are neither applied nor dead as they
    /// should be.
    pub(super) fn lost(&self) -> u64 {
        self.tables.iter().map(|table| table.lost).sum::<u64>() + self.letters.lost
    }

    /// Rows and dead letters that are there once more than they should.
    pub(super) fn duplicated(&self) -> u64 {
        self.tables
            .iter()
            .map(|table| table.duplicated)
            .sum::<u64>()
            + self.letters.duplicated
    }

    /// Whether everything is as it must be.
    pub(super) fn is_right(&self) -> bool {
        self.lost() == 0 && self.duplicated() == 0 && self.sums.is_empty()
    }

    /// The first differences, in words.
    pub(super) fn differences(&self) -> impl Iterator<Item = &str> {
        let tables = self.tables.iter().flat_map(|table| &table.differences);
        tables
            .chain(&self.letters.differences)
            .chain(&self.sums)
            .map(String::as_str)
    }
}

/// Counts everything. The worker has ended before.
///
/// # Errors
/// A file that can't be read.
pub(super) async fn verify(
    model: Model,
    file: PathBuf,
    ends: &Ends,
    options: &Options,
    sent: u64,
) -> miette::Result<Findings> {
    let letters = letters::compare(model.dead_letters(), held(ends, options).await?);
    let reading = tokio::task::spawn_blocking(move || {
        tables::open(&file).and_then(|database| tables::compare_all(&model, &database))
    });
    let tables = reading
        .await
        .into_diagnostic()?
        .into_diagnostic()
        .wrap_err("the tables can't be read")?;
    let (applied, sums) = take_sums(ends, options, sent).await?;
    Ok(Findings {
        tables,
        letters,
        applied,
        sums,
    })
}

async fn held(ends: &Ends, options: &Options) -> miette::Result<Vec<Letter>> {
    let filter = DeadLetterFilter {
        stream: options.stream.clone(),
        states: vec![HeldState::Dead, HeldState::Waiting, HeldState::Parked],
        id: None,
        count_max: u32::MAX,
    };
    let stored = ends
        .sink
        .dead_letters(&filter)
        .await
        .map_err(failure::drain)?;
    let letters = stored.into_iter().map(|letter| Letter {
        request_id: letter.envelope.text(REQUEST_ID),
        state: letter.state.as_str(),
        code: letter.code,
    });
    Ok(letters.collect())
}

/// What is applied by the ledger, and every sum that does not come out.
async fn take_sums(
    ends: &Ends,
    options: &Options,
    sent: u64,
) -> miette::Result<(u64, Vec<String>)> {
    let proofs = status::verify(&ends.store, &*ends.sink, options)
        .await
        .map_err(failure::drain)?;
    let broken = proofs.iter().filter(|proof| !proof.holds());
    let mut sums: Vec<String> = broken
        .map(|proof| {
            let (shard, appended) = (proof.status.shard, proof.status.lag.appended);
            format!(
                "shard {shard}: {appended} entries were sent, {} found",
                proof.accounted()
            )
        })
        .collect();
    let ledgers = || proofs.iter().map(|proof| &proof.status.ledger);
    let applied: u64 = ledgers().map(|ledger| ledger.applied).sum();
    let dead: u64 = ledgers().map(|ledger| ledger.dead).sum();
    if applied + dead != sent {
        sums.push(format!(
            "{sent} operations were sent, {applied} are applied and {dead} dead"
        ));
    }
    Ok((applied, sums))
}

#[cfg(test)]
mod tests;
