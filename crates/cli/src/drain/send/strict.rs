//! `--strict`: a look at every line before it is sent, against the target's catalog.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use miette::{Report, miette};
use tidegate_drain::catalog::Catalog;
use tidegate_drain::envelope::{Envelope, fields};
use tidegate_drain::{Options, Rejection, preview};
use tidegate_store::EntryId;

use super::warnings::NAMED_MAX;
use crate::drain::lines::Lines;
use crate::output::{clean, things};
use crate::progress;

/// Says what is to be done about a refused line.
const HELP: &str = "correct the lines, or send without --strict: they become dead letters then";

/// Knows what would become a dead letter.
pub(super) struct Inspector {
    catalog: Arc<Catalog>,
    options: Options,
}

impl Inspector {
    /// An inspector that judges as the drain would.
    pub(super) fn new(catalog: Arc<Catalog>, options: &Options) -> Self {
        Self {
            catalog,
            options: options.clone(),
        }
    }

    /// Looks at a whole file; the lines up to `skip_lines` are not meant.
    ///
    /// # Errors
    /// A file with a line that would become a dead letter.
    pub(super) fn inspect(&self, mut lines: Lines, skip_lines: u64) -> miette::Result<()> {
        let mut refused = 0;
        let unsent = |error| miette!("{}; nothing was sent", Report::from(error));
        while let Some(batch) = lines.next_batch().map_err(unsent)? {
            for line in batch.iter().filter(|line| line.number > skip_lines) {
                let Err(rejection) = self.judge(&line.bytes) else {
                    continue;
                };
                refused += 1;
                if refused <= NAMED_MAX {
                    let reason = clean(&rejection.to_string());
                    progress::warn(&format!("line {}: {reason}", line.number));
                }
            }
        }
        match refused {
            0 => Ok(()),
            refused => Err(miette!(
                help = HELP,
                "{} would be dead letters; nothing was sent",
                things(refused, "line")
            )),
        }
    }

    /// Looks at one line.
    ///
    /// # Errors
    /// A line that would become a dead letter.
    pub(super) fn require(&self, number: u64, line: &Bytes) -> miette::Result<()> {
        self.judge(line).map_err(|rejection| {
            miette!(
                help = HELP,
                "line {number}: {}",
                clean(&rejection.to_string())
            )
        })
    }

    fn judge(&self, line: &Bytes) -> Result<(), Rejection> {
        let fields = fields("", "", line.clone(), SystemTime::UNIX_EPOCH);
        let envelope = Envelope {
            id: EntryId::ZERO,
            fields,
        };
        preview::unit(&self.catalog, &self.options, envelope).map(drop)
    }
}
