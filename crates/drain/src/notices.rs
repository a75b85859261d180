//! Notices: the log's lines about single entries, once it is sure what became of them.
//!
//! Beside `shard`, around one transaction: entries are noted while they are held, and told when
//! the transaction is committed; after a rollback nothing was held and nothing is said. A line
//! names the entry by all its ids, and never shows its operation: `drain dead show` does. A flood
//! of bad entries becomes one line that counts them.

use std::sync::{Mutex, PoisonError};

use tidegate_store::Partition;
use tracing::{debug, info, warn};

use crate::dead_letter::DeadLetter;
use crate::envelope::{GLOBAL_ID, REQUEST_ID};
use crate::held::HeldState;
use crate::locks::{Locks, TableKey};

/// The most lines about single entries of one transaction.
const LINES_MAX: usize = 10;
/// The most characters of an id that somebody else has chosen.
const ID_CHARS_MAX: usize = 128;

/// What one transaction holds.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    noted: Mutex<Noted>,
}

#[derive(Debug, Default)]
struct Noted {
    lines: Vec<Line>,
    beyond: u64,
}

#[derive(Debug)]
struct Line {
    entry: String,
    request_id: String,
    global_id: String,
    code: &'static str,
    state: HeldState,
}

impl Notices {
    /// An entry is held, if the transaction is committed.
    pub(crate) fn note(&self, letter: &DeadLetter) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.lines.len() == LINES_MAX {
            noted.beyond += 1;
            return;
        }
        let id = |name| short(&letter.envelope.text(name));
        noted.lines.push(Line {
            entry: letter.envelope.id.to_string(),
            request_id: id(REQUEST_ID),
            global_id: id(GLOBAL_ID),
            code: letter.rejection.code.as_str(),
            state: letter.state,
        });
    }

    /// The transaction is committed.
    pub(crate) fn log(self, shard: &Partition) {
        let noted = self
            .noted
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        for line in &noted.lines {
            let Line {
                entry,
                request_id,
                global_id,
                code,
                state,
            } = line;
            let (stream, shard) = (shard.stream.as_str(), shard.index);
            match state {
                HeldState::Dead => warn!(
                    stream,
                    shard, entry, request_id, global_id, code, "an entry is a dead letter"
                ),
                _ => debug!(
                    stream,
                    shard,
                    entry,
                    request_id,
                    global_id,
                    code,
                    ?state,
                    "an entry is held back"
                ),
            }
        }
        if noted.beyond > 0 {
            warn!(%shard, entries = noted.beyond, "more entries of this batch are held");
        }
    }
}

/// Says which tables somebody else has locked by now, and which are open again.
pub(crate) fn tell_locks(shard: &Partition, before: &[TableKey], now: &Locks) {
    for table in now.locked().filter(|table| !before.contains(table)) {
        warn!(%shard, %table, "a table is locked by another session; its operations wait in line");
    }
    for table in before
        .iter()
        .filter(|table| !now.locked().any(|now| now == *table))
    {
        info!(%shard, %table, "a table is open again; its line is applied in order");
    }
}

/// As much of an id as a line may have, without what would break it.
fn short(id: &str) -> String {
    let shown = id.chars().filter(|c| !c.is_control());
    shown.take(ID_CHARS_MAX).collect()
}
