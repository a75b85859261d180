//! The bookkeeping of one transaction: which entry is applied, and which is held and why.
//!
//! When the database refuses some units, they are searched for by halves, in the order of the
//! stream, so that what is later on a row of a refused unit is parked behind it. Nothing here
//! outlives the transaction: what it holds is stored before the commit, or never was.

use std::collections::HashMap;

use tidegate_store::EntryId;

use crate::apply::{Context, Rules, Settled};
use crate::catalog::Catalog;
use crate::change::{Change, RowKey, Unresolved, resolve};
use crate::dead_letter::DeadLetter;
use crate::envelope::{Envelope, Payload};
use crate::error::{Error, Result};
use crate::held::{Held, HeldIndex, HeldState};
use crate::hyperswitch::{self, Forms};
use crate::operation::Operation;
use crate::rejection::{Code, Rejection};
use crate::sink::{Outcome, Refusal, SinkTransaction, Unit};

/// The ancestor's forms where nothing is set about them.
static NO_FORMS: std::sync::LazyLock<Forms> = std::sync::LazyLock::new(Forms::default);

/// The bookkeeping of one transaction.
pub(crate) struct Work<'a, 'h> {
    context: &'a Context<'a>,
    held: &'h mut HeldIndex,
    /// Held entries that are being tried again, with what was known of them.
    retried: HashMap<EntryId, Held>,
    letters: Vec<DeadLetter>,
    applied: Vec<EntryId>,
}

impl<'a, 'h> Work<'a, 'h> {
    pub(crate) fn new(context: &'a Context<'a>, held: &'h mut HeldIndex) -> Self {
        Self {
            context,
            held,
            retried: HashMap::new(),
            letters: Vec::new(),
            applied: Vec::new(),
        }
    }

    /// Takes a held entry out of the index for another try and returns since when its parent row
    /// is waited for: an entry that did not wait yet starts now.
    pub(crate) fn take_back(&mut self, id: EntryId) -> u64 {
        let Some(held) = self.held.get(id).cloned() else {
            return self.context.now_ms;
        };
        let since_ms = match held.state {
            HeldState::Waiting => held.since_ms,
            _ => self.context.now_ms,
        };
        self.held.release(id);
        self.retried.insert(id, held);
        since_ms
    }

    /// Adds a unit, or a dead letter for an entry that can't be one.
    pub(crate) fn decode(
        &mut self,
        envelope: Envelope,
        units: &mut Vec<(Unit, u64)>,
        since_ms: u64,
    ) {
        match decode(&envelope, self.context.catalog, self.context.rules) {
            Ok((changes, rows)) => units.push((
                Unit {
                    envelope,
                    changes,
                    rows,
                },
                since_ms,
            )),
            Err(Unresolved { rejection, rows }) => {
                // Behind a held entry even a bad one is parked: it may be good in its turn.
                let state = if self.held.has_predecessor(envelope.id, &rows) {
                    HeldState::Parked
                } else {
                    HeldState::Dead
                };
                self.hold(envelope, state, self.context.now_ms, rejection, rows);
            }
        }
    }

    /// Whether an entry names a table or column that the catalog doesn't hold.
    pub(crate) fn names_unknown(&self) -> bool {
        let is_name = |code| matches!(code, Code::UnknownTable | Code::UnknownColumn);
        self.letters
            .iter()
            .any(|letter| is_name(letter.rejection.code))
    }

    /// Writes the units' rows; what is refused, or stands behind what is held, becomes a letter.
    pub(crate) async fn write(
        &mut self,
        transaction: &mut dyn SinkTransaction,
        units: &[(Unit, u64)],
    ) -> Result<()> {
        // Slices of the batch still to be done; the last one is the next in the stream's order.
        let mut open: Vec<Vec<&(Unit, u64)>> = vec![units.iter().collect()];
        while let Some(slice) = open.pop() {
            let slice = self.park_blocked(slice);
            if slice.is_empty() {
                continue;
            }
            let refs: Vec<&Unit> = slice.iter().map(|(unit, _)| unit).collect();
            match transaction.apply(&refs).await? {
                Outcome::Applied => self
                    .applied
                    .extend(refs.iter().map(|unit| unit.envelope.id)),
                Outcome::Refused { applied, culprits } => {
                    let (done, rest) = slice.split_at(applied.min(slice.len()));
                    self.applied
                        .extend(done.iter().map(|(unit, _)| unit.envelope.id));
                    if culprits.is_empty() && rest.len() > 1 {
                        let (front, back) = rest.split_at(rest.len() / 2);
                        open.extend([back.to_vec(), front.to_vec()]);
                    } else {
                        open.push(self.refuse_all(rest, applied, culprits)?);
                    }
                }
            }
        }
        Ok(())
    }

    /// Holds the refused units and returns the others, which are to be tried again.
    fn refuse_all<'u>(
        &mut self,
        rest: &[&'u (Unit, u64)],
        applied: usize,
        culprits: Vec<(usize, Refusal)>,
    ) -> Result<Vec<&'u (Unit, u64)>> {
        let mut refusals: HashMap<usize, Refusal> = culprits.into_iter().collect();
        let mut others = Vec::with_capacity(rest.len());
        for (at, pair) in rest.iter().enumerate() {
            match refusals.remove(&(applied + at)) {
                Some(refusal) => self.refuse(&pair.0, pair.1, refusal),
                None => others.push(*pair),
            }
        }
        // Without this an inconsistent sink would be asked the same thing for ever.
        if others.len() == rest.len() {
            return Err(Error::Corrupt(
                "the sink refused a unit without naming it".to_owned(),
            ));
        }
        Ok(others)
    }

    /// Parks the units that stand behind a held entry and returns the others.
    fn park_blocked<'u>(&mut self, slice: Vec<&'u (Unit, u64)>) -> Vec<&'u (Unit, u64)> {
        let mut free = Vec::with_capacity(slice.len());
        for pair in slice {
            let unit = &pair.0;
            if self.held.has_predecessor(unit.envelope.id, &unit.rows) {
                let rejection = Rejection::new(
                    Code::Refused,
                    "an earlier operation on the same row is held; this one follows when that one \
                     is applied or discarded",
                );
                let rows = unit.rows.clone();
                let now_ms = self.context.now_ms;
                self.hold(
                    unit.envelope.clone(),
                    HeldState::Parked,
                    now_ms,
                    rejection,
                    rows,
                );
            } else {
                free.push(pair);
            }
        }
        free
    }

    fn refuse(&mut self, unit: &Unit, since_ms: u64, refusal: Refusal) {
        let waited_ms = self.context.now_ms.saturating_sub(since_ms);
        let may_wait =
            refusal.is_missing_parent && waited_ms < self.context.rules.parent_wait_ms_max;
        let (state, since_ms) = if may_wait {
            (HeldState::Waiting, since_ms)
        } else {
            (HeldState::Dead, self.context.now_ms)
        };
        let (envelope, rows) = (unit.envelope.clone(), unit.rows.clone());
        self.hold(envelope, state, since_ms, refusal.rejection, rows);
    }

    fn hold(
        &mut self,
        envelope: Envelope,
        state: HeldState,
        since_ms: u64,
        rejection: Rejection,
        rows: Vec<RowKey>,
    ) {
        self.held.hold(
            envelope.id,
            Held {
                state,
                since_ms,
                rows: rows.clone(),
            },
        );
        self.letters.push(DeadLetter {
            envelope,
            state,
            since_ms,
            rejection,
            rows,
        });
    }

    /// Stores the letters and forgets the held entries that are applied now.
    pub(crate) async fn finish(self, transaction: &mut dyn SinkTransaction) -> Result<Settled> {
        // An entry that is still held for the same cause needs no write.
        let changed: Vec<DeadLetter> = self
            .letters
            .into_iter()
            .filter(|letter| match self.retried.get(&letter.envelope.id) {
                Some(held) => held.state != letter.state || letter.state == HeldState::Dead,
                None => true,
            })
            .collect();
        if !changed.is_empty() {
            changed.iter().for_each(self.context.on_held);
            transaction.hold(self.context.shard, &changed).await?;
        }
        if !self.retried.is_empty() && !self.applied.is_empty() {
            transaction
                .release(self.context.shard, &self.applied)
                .await?;
        }
        let count = |state| changed.iter().filter(|l| l.state == state).count() as u64;
        Ok(Settled {
            applied: self.applied.len() as u64,
            dead: count(HeldState::Dead),
            waiting: count(HeldState::Waiting),
            parked: count(HeldState::Parked),
        })
    }
}

/// From an entry to its changes and the rows they touch.
pub(crate) fn decode(
    envelope: &Envelope,
    catalog: &Catalog,
    rules: &Rules,
) -> Result<(Vec<Change>, Vec<RowKey>), Unresolved> {
    let without_rows = |rejection| Unresolved {
        rejection,
        rows: Vec::new(),
    };
    let payload = envelope
        .payload(rules.entry_bytes_max)
        .map_err(without_rows)?;
    let changes = match payload {
        Payload::TypedSql(bytes) if !hyperswitch::is_db_operation(bytes) => {
            let operation = Operation::parse(bytes).map_err(without_rows)?;
            resolve(catalog, &operation)?
        }
        payload => {
            let forms = rules.forms.as_deref().unwrap_or(&NO_FORMS);
            hyperswitch::changes(&payload, envelope.id, catalog, forms)?
        }
    };
    let mut rows: Vec<RowKey> = changes
        .iter()
        .flat_map(|c| c.row.iter().chain(&c.moved_to))
        .cloned()
        .collect();
    if rows.len() > 1 {
        rows.sort_unstable();
        rows.dedup();
    }
    Ok((changes, rows))
}
