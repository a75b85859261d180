//! States that may end: those of [`write_behind`](crate::write_behind) whose operations are applied.
//!
//! Beside `shard`, after its commits: the store keeps a list of the states that are not settled, and
//! what the ledger has passed and does not hold is given an end. If the process dies before, the
//! next owner does it: at its claim it looks at the list, whatever it has read itself.

use std::time::Duration;

use tidegate_store::{Entry, EntryId, Partition, Store};
use tokio::time::Instant;

use crate::envelope::STATE;
use crate::error::Result;
use crate::held::HeldIndex;

/// How often a busy shard looks at the list.
const EVERY: Duration = Duration::from_millis(500);
/// How often it looks while all that is left belongs to held entries.
const EVERY_MAX: Duration = Duration::from_secs(15);
/// The most pages of the list that one look takes; the states of held entries come first in it.
const PAGES_MAX: usize = 400;

/// Whether there is something to settle, as far as the shard's owner knows.
#[derive(Debug)]
pub(crate) struct States {
    may_be_any: bool,
    next_at: Instant,
    every: Duration,
}

impl States {
    /// Nothing is known yet.
    pub(crate) fn unknown() -> Self {
        Self {
            may_be_any: true,
            next_at: Instant::now(),
            every: EVERY,
        }
    }

    /// Entries were read that may have states.
    pub(crate) fn saw(&mut self, entries: &[Entry]) {
        let has_state = |entry: &Entry| entry.fields.iter().any(|(name, _)| name == STATE);
        if entries.iter().any(has_state) {
            self.may_be_any = true;
            self.next_at = self.next_at.min(Instant::now() + EVERY);
        }
    }

    /// When there is something to look at; none where there is nothing.
    pub(crate) fn at(&self) -> Option<Instant> {
        self.may_be_any.then_some(self.next_at)
    }

    /// Gives an end to the states whose operations are applied.
    pub(crate) async fn settle(
        &mut self,
        store: &dyn Store,
        shard: &Partition,
        through: EntryId,
        held: &HeldIndex,
        keep_for: Duration,
    ) -> Result<()> {
        if !self.may_be_any || Instant::now() < self.next_at {
            return Ok(());
        }
        let (mut skip, mut ended) = (0, 0);
        for _ in 0..PAGES_MAX {
            let page = store.unsettled_states(shard, through, skip).await?;
            let found = page.len();
            let is_applied = |id: EntryId| id <= through && held.get(id).is_none();
            let applied: Vec<_> = page
                .into_iter()
                .filter(|state| is_applied(state.version))
                .collect();
            if found == 0 {
                break;
            }
            skip += found - applied.len();
            ended += store.settle_states(shard, &applied, keep_for).await?;
        }
        // What is held has its state until it is applied after all.
        self.may_be_any = skip > 0;
        self.every = match ended {
            0 => (self.every * 2).min(EVERY_MAX),
            _ => EVERY,
        };
        self.next_at = Instant::now() + self.every;
        Ok(())
    }
}
