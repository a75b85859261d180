//! The bookkeeping of one transaction: which entry is applied, and which is held and why.
//!
//! When the database refuses some units, they are searched for by halves, in the order of the
//! stream, so that what is later on a row of a refused unit is parked behind it. A unit that met a
//! row in its place is looked at first: see `triage`. Nothing here
//! outlives the transaction: what it holds is stored before the commit, or never was.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;

use tidegate_store::EntryId;

use crate::apply::{Context, Rules, Settled};
use crate::catalog::Catalog;
use crate::change::{Change, RowKey, Unresolved, resolve};
use crate::dead_letter::DeadLetter;
use crate::envelope::{Envelope, Payload};
use crate::error::{Error, Result};
use crate::held::{Held, HeldIndex, HeldState};
use crate::hyperswitch::{self, Forms};
use crate::locks::{Lock, TableKey};
use crate::operation::Operation;
use crate::rejection::{Code, Doubt, Rejection};
use crate::sink::{Found, Outcome, Passed, Refusal, SinkTransaction, Unit};
use crate::triage;

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
    /// What was left out of units that are applied.
    passed: Passed,
}

/// A unit to be applied, with the time since when its parent row is waited for.
type Waiting = (Unit, u64);

/// A unit of the batch, as it was read or as it was mended.
#[derive(Clone)]
enum Item<'u> {
    Read(&'u Waiting),
    Mended(Arc<(Waiting, Passed)>),
}

impl Deref for Item<'_> {
    type Target = Waiting;

    fn deref(&self) -> &Waiting {
        match self {
            Self::Read(waiting) => waiting,
            Self::Mended(mended) => &mended.0,
        }
    }
}

impl<'a, 'h> Work<'a, 'h> {
    pub(crate) fn new(context: &'a Context<'a>, held: &'h mut HeldIndex) -> Self {
        Self {
            context,
            held,
            retried: HashMap::new(),
            letters: Vec::new(),
            applied: Vec::new(),
            passed: Passed::default(),
        }
    }

    /// Takes a held entry out of the index for another try and returns since when its parent row
    /// is waited for: an entry that did not wait yet starts now.
    pub(crate) fn take_back(&mut self, id: EntryId) -> u64 {
        let Some(held) = self.held.get(id).cloned() else {
            return self.context.now_ms;
        };
        let since_ms = match (held.state, &held.lock) {
            (HeldState::Waiting, Lock::None) => held.since_ms,
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
                let held = Held {
                    state,
                    since_ms: self.context.now_ms,
                    rows,
                    lock: Lock::None,
                };
                self.hold(envelope, held, rejection);
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

    /// Looks whether the database refused an entry for what the catalog says is right.
    ///
    /// # Errors
    /// [`Error::CatalogContradicted`] where a table has surely changed, [`Error::CatalogStale`] where
    /// it may have.
    pub(crate) fn require_catalog(&self) -> Result<()> {
        let mut doubt = Doubt::None;
        for letter in &self.letters {
            doubt = doubt.max(letter.rejection.catalog_doubt());
        }
        match doubt {
            Doubt::None => Ok(()),
            Doubt::Possible => Err(Error::CatalogStale),
            Doubt::Certain => Err(Error::CatalogContradicted),
        }
    }

    /// Writes the units' rows; what is refused, or stands behind what is held, becomes a letter.
    pub(crate) async fn write(
        &mut self,
        transaction: &mut dyn SinkTransaction,
        units: &[(Unit, u64)],
    ) -> Result<()> {
        // Slices of the batch still to be done; the last one is the next in the stream's order.
        let mut open: Vec<Vec<Item<'_>>> = vec![units.iter().map(Item::Read).collect()];
        while let Some(slice) = open.pop() {
            let slice = self.set_aside(slice);
            if slice.is_empty() {
                continue;
            }
            let refs: Vec<&Unit> = slice.iter().map(|item| &item.0).collect();
            match transaction.apply(&refs).await? {
                Outcome::Applied => self.keep(&slice),
                Outcome::Refused { applied, culprits } => {
                    let (done, rest) = slice.split_at(applied.min(slice.len()));
                    self.keep(done);
                    if culprits.is_empty() && rest.len() > 1 {
                        let (front, back) = rest.split_at(rest.len() / 2);
                        open.extend([back.to_vec(), front.to_vec()]);
                    } else {
                        let from_here =
                            |(at, why): (usize, Refusal)| Some((at.checked_sub(applied)?, why));
                        let culprits = culprits.into_iter().filter_map(from_here);
                        let culprits: HashMap<usize, Refusal> = culprits.collect();
                        let mended = mend(transaction, rest, &culprits).await?;
                        open.push(self.refuse_all(rest, culprits, mended)?);
                    }
                }
            }
        }
        Ok(())
    }

    /// These units are applied.
    fn keep(&mut self, items: &[Item<'_>]) {
        self.applied
            .extend(items.iter().map(|item| item.0.envelope.id));
        for item in items {
            if let Item::Mended(mended) = item {
                self.passed += mended.1;
            }
        }
    }

    /// Holds the refused units and returns the others, which are to be tried again.
    fn refuse_all<'u>(
        &mut self,
        rest: &[Item<'u>],
        mut refusals: HashMap<usize, Refusal>,
        mut mended: HashMap<usize, Item<'u>>,
    ) -> Result<Vec<Item<'u>>> {
        let mut others = Vec::with_capacity(rest.len());
        let is_changed = !mended.is_empty();
        for (at, item) in rest.iter().enumerate() {
            match (mended.remove(&at), refusals.remove(&at)) {
                (Some(mended), _) => others.push(mended),
                (None, Some(refusal)) => self.refuse(&item.0, item.1, refusal),
                (None, None) => others.push(item.clone()),
            }
        }
        // Without this an inconsistent sink would be asked the same thing for ever.
        if others.len() == rest.len() && !is_changed {
            return Err(Error::Corrupt(
                "the sink refused a unit without naming it".to_owned(),
            ));
        }
        Ok(others)
    }

    /// Holds the units that stand behind a held entry or in line for a table, and returns the
    /// others.
    fn set_aside<'u>(&mut self, slice: Vec<Item<'u>>) -> Vec<Item<'u>> {
        let mut free = Vec::with_capacity(slice.len());
        for item in slice {
            let unit = &item.0;
            let id = unit.envelope.id;
            if self.held.has_predecessor(id, &unit.rows) {
                self.park(unit);
                continue;
            }
            let is_again = self.retried.contains_key(&id);
            let tables = self.held.line(&unit.changes, is_again);
            if tables.is_empty() {
                free.push(item);
            } else {
                self.stand_in_line(unit, tables);
            }
        }
        free
    }

    fn park(&mut self, unit: &Unit) {
        let rejection = Rejection::new(
            Code::Refused,
            "an earlier operation on the same row is held; this one follows when that one is \
             applied or discarded",
        );
        let held = Held {
            state: HeldState::Parked,
            since_ms: self.context.now_ms,
            rows: unit.rows.clone(),
            lock: Lock::None,
        };
        self.hold(unit.envelope.clone(), held, rejection);
    }

    fn stand_in_line(&mut self, unit: &Unit, tables: Vec<TableKey>) {
        let names: Vec<String> = tables.iter().map(ToString::to_string).collect();
        let reason = format!(
            "operations on {} wait in line, because another session has or had a lock there; they \
             are applied in order when it is gone",
            names.join(", ")
        );
        let held = Held {
            state: HeldState::Waiting,
            since_ms: self.context.now_ms,
            rows: unit.rows.clone(),
            lock: Lock::Tables(tables),
        };
        let rejection = Rejection::new(Code::Locked, reason);
        self.hold(unit.envelope.clone(), held, rejection);
    }

    fn refuse(&mut self, unit: &Unit, since_ms: u64, refusal: Refusal) {
        let waited_ms = self.context.now_ms.saturating_sub(since_ms);
        let may_come =
            refusal.is_missing_parent && waited_ms < self.context.rules.parent_wait_ms_max;
        let (state, since_ms) = if may_come || refusal.lock != Lock::None {
            (HeldState::Waiting, since_ms)
        } else {
            (HeldState::Dead, self.context.now_ms)
        };
        if let Lock::Tables(tables) = &refusal.lock {
            self.held.locks_mut().lock(tables);
        }
        let held = Held {
            state,
            since_ms,
            rows: unit.rows.clone(),
            lock: refusal.lock,
        };
        self.hold(unit.envelope.clone(), held, refusal.rejection);
    }

    fn hold(&mut self, envelope: Envelope, held: Held, rejection: Rejection) {
        self.letters.push(DeadLetter {
            state: held.state,
            since_ms: held.since_ms,
            rows: held.rows.clone(),
            rejection,
            envelope,
        });
        if let Some(letter) = self.letters.last() {
            self.held.hold(letter.envelope.id, held);
        }
    }

    /// Stores the letters and forgets the held entries that are applied now.
    pub(crate) async fn finish(self, transaction: &mut dyn SinkTransaction) -> Result<Settled> {
        // An entry that is still held for the same cause needs no write.
        let changed: Vec<DeadLetter> = self
            .letters
            .into_iter()
            .filter(|letter| match self.retried.get(&letter.envelope.id) {
                Some(held) => {
                    let is_locked = letter.rejection.code == Code::Locked;
                    held.state != letter.state
                        || letter.state == HeldState::Dead
                        || is_locked != (held.lock != Lock::None)
                }
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
        let mut passed = self.passed;
        passed += transaction.passed();
        let count = |state| changed.iter().filter(|l| l.state == state).count() as u64;
        Ok(Settled {
            applied: self.applied.len() as u64,
            dead: count(HeldState::Dead),
            waiting: count(HeldState::Waiting),
            parked: count(HeldState::Parked),
            skipped: passed.skipped,
            stale: passed.stale,
        })
    }
}

/// Looks at the refused units that met a row in their place, and returns those that can be tried
/// again in another way.
async fn mend<'u>(
    transaction: &mut dyn SinkTransaction,
    rest: &[Item<'u>],
    culprits: &HashMap<usize, Refusal>,
) -> Result<HashMap<usize, Item<'u>>> {
    let mut at: Vec<usize> = culprits
        .iter()
        .filter(|(_, refusal)| refusal.is_conflict)
        .map(|(at, _)| *at)
        .collect();
    at.sort_unstable();
    let suspects: Vec<(usize, &Item<'u>)> = at
        .into_iter()
        .filter_map(|at| Some((at, rest.get(at)?)))
        .collect();
    let changes = suspects.iter().flat_map(|(_, item)| &item.0.changes);
    let asked: Vec<&Change> = changes.filter(|change| triage::is_open(change)).collect();
    if asked.is_empty() {
        return Ok(HashMap::new());
    }
    let mut answers = transaction.compare(&asked).await?.into_iter();
    let mut mended = HashMap::new();
    for (at, item) in suspects {
        let unit = &item.0;
        let found = unit.changes.iter().map(|change| {
            let is_asked = triage::is_open(change);
            let answer = is_asked.then(|| answers.next());
            answer.flatten().unwrap_or(Found::Nothing)
        });
        let found: Vec<Found> = found.collect();
        if let Some(again) = triage::mend(&unit.changes, &found) {
            let unit = Unit {
                envelope: unit.envelope.clone(),
                changes: again.changes,
                rows: unit.rows.clone(),
            };
            let mut passed = again.passed;
            if let Item::Mended(before) = item {
                passed += before.1;
            }
            mended.insert(at, Item::Mended(Arc::new(((unit, item.1), passed))));
        }
    }
    Ok(mended)
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
