//! A transaction of the sink: each step runs on a blocking thread and hands the connection back.
//!
//! ```text
//! caller ─ step ─► blocking thread, with the connection ─► answer, and the connection
//! ```
//!
//! A caller that stops waiting in the middle of a step loses the transaction: when the step ends,
//! nobody takes the connection back and it is rolled back. The same happens when the whole
//! transaction is dropped, and when the process dies.

use async_trait::async_trait;
use tidegate_store::{EntryId, Partition};

use super::column::ShardKey;
use super::script::Script;
use super::writer::{OpenTransaction, blocking};
use super::{compare, ledger, letters, run};
use crate::change::Change;
use crate::dead_letter::DeadLetter;
use crate::envelope::Envelope;
use crate::error::{Error, Result};
use crate::held::HeldIndex;
use crate::recent::Addition;
use crate::sink::{Fence, Found, Outcome, Passed, SinkTransaction, Unit};

/// An open transaction on the file.
#[derive(Debug)]
pub(super) struct SqliteTransaction {
    /// None while a step runs, and after one that was given up.
    open: Option<OpenTransaction>,
    passed: Passed,
    /// What the ledger is to remember with its next move.
    addition: Option<Addition>,
}

impl SqliteTransaction {
    pub(super) fn new(open: OpenTransaction) -> Self {
        Self {
            open: Some(open),
            passed: Passed::default(),
            addition: None,
        }
    }

    async fn step<T, W>(&mut self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&OpenTransaction) -> Result<T> + Send + 'static,
    {
        let open = self.take()?;
        let (open, answer) = blocking(move || {
            let answer = work(&open);
            Ok((open, answer))
        })
        .await?;
        self.open = Some(open);
        answer
    }

    fn take(&mut self) -> Result<OpenTransaction> {
        let gone = || Error::SinkUnavailable("the transaction was given up in a step".into());
        self.open.take().ok_or_else(gone)
    }
}

#[async_trait]
impl SinkTransaction for SqliteTransaction {
    async fn apply(&mut self, units: &[&Unit]) -> Result<Outcome> {
        let script = Script::new(units.iter().copied());
        let (outcome, passed) = self.step(move |open| run::run(open, &script)).await?;
        self.passed += passed;
        Ok(outcome)
    }

    fn passed(&self) -> Passed {
        self.passed
    }

    async fn compare(&mut self, changes: &[&Change]) -> Result<Vec<Found>> {
        let changes: Vec<Change> = changes.iter().map(|change| (*change).clone()).collect();
        self.step(move |open| compare::compare(open.connection()?, &changes))
            .await
    }

    async fn hold(&mut self, shard: &Partition, letters: &[DeadLetter]) -> Result<()> {
        let (key, letters) = (ShardKey::from(shard), letters.to_vec());
        self.step(move |open| letters::hold(open.connection()?, &key, &letters))
            .await
    }

    async fn load_held(&mut self, shard: &Partition, ids: &[EntryId]) -> Result<Vec<Envelope>> {
        let (key, ids) = (ShardKey::from(shard), ids.to_vec());
        self.step(move |open| letters::load(open.connection()?, &key, &ids))
            .await
    }

    async fn release(&mut self, shard: &Partition, ids: &[EntryId]) -> Result<()> {
        let (key, ids) = (ShardKey::from(shard), ids.to_vec());
        self.step(move |open| letters::release(open.connection()?, &key, &ids))
            .await
    }

    async fn discard(&mut self, shard: &Partition, ids: &[EntryId]) -> Result<()> {
        let (key, ids) = (ShardKey::from(shard), ids.to_vec());
        self.step(move |open| letters::discard(open.connection()?, &key, &ids))
            .await
    }

    fn remember(&mut self, addition: Addition) {
        self.addition = Some(addition);
    }

    async fn advance(
        &mut self,
        shard: &Partition,
        fence: &Fence,
        position: EntryId,
        applied: u64,
    ) -> Result<bool> {
        let (key, fence) = (ShardKey::from(shard), *fence);
        let addition = self.addition.take();
        self.step(move |open| {
            let connection = open.connection()?;
            if let Some(addition) = &addition {
                ledger::remember(connection, &key, addition)?;
            }
            ledger::advance(connection, &key, &fence, position, applied)
        })
        .await
    }

    async fn lock_ledger(&mut self, shard: &Partition) -> Result<Option<HeldIndex>> {
        let key = ShardKey::from(shard);
        self.step(move |open| {
            let connection = open.connection()?;
            let exists = ledger::exists(connection, &key)?;
            exists.then(|| letters::index(connection, &key)).transpose()
        })
        .await
    }

    async fn revise(&mut self, shard: &Partition, applied: u64) -> Result<()> {
        let key = ShardKey::from(shard);
        self.step(move |open| ledger::revise(open.connection()?, &key, applied))
            .await
    }

    async fn commit(mut self: Box<Self>) -> Result<()> {
        let open = self.take()?;
        blocking(move || open.commit()).await
    }
}
