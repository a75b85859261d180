//! Who watches the drain: metrics, the command line, tests that stop it between two steps.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidegate_store::{Entry, EntryId};

use crate::apply::{Settled, Step};
use crate::error::Error;

/// What a committed transaction did.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The shard.
    pub shard: u32,
    /// What was settled.
    pub settled: Settled,
    /// For each entry that was read for it, the time from append to commit in milliseconds.
    pub delays_ms: Vec<u64>,
    /// Everything in the shard up to here is settled.
    pub through: EntryId,
    /// How it was read and written; none where held entries were tried again.
    pub pace: Option<Pace>,
}

/// How fast the drain is going, and what it has chosen because of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The most entries that the shard reads next.
    pub batch_entries_max: usize,
    /// From the first look at the entries to the commit's answer.
    pub took: Duration,
    /// How long the database took to answer the commit alone.
    pub answer: Duration,
    /// Shards of the process that are at work now, this one included.
    pub shards_at_work: usize,
    /// The most of them that are let work at once at present.
    pub shards_at_work_max: usize,
}

/// Is told what happens. The calls are made by the shard itself, before its next step, so they
/// must be quick.
pub trait Observer: fmt::Debug + Send + Sync {
    /// A step was taken.
    fn step(&self, _shard: u32, _step: Step) {}

    /// Entries were taken up, to be settled by the next transaction of their shard.
    fn taken(&self, _shard: u32, _entries: &[Entry]) {}

    /// A transaction was committed.
    fn committed(&self, _batch: &Batch) {}

    /// Entries that no group needs any more were deleted from the stream.
    fn trimmed(&self, _shard: u32, _entries: u64) {}

    /// A transaction was rolled back because the ledger had moved.
    fn fenced(&self, _shard: u32) {}

    /// A shard, or with none the worker itself, could not go on; it waits and tries again where
    /// the error [is worth it](Error::is_worth_waiting).
    fn failed(&self, _shard: Option<u32>, _error: &Error) {}

    /// This process began to drain a shard.
    fn began(&self, _shard: u32) {}

    /// This process drains a shard no more. `is_lost`: it did not give the lease back, it lost it.
    fn ended(&self, _shard: u32, _is_lost: bool) {}

    /// The worker has stopped in order, so long after it was asked to.
    fn stopped(&self, _took: Duration) {}
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {}

/// Several who watch, told one after the other.
#[derive(Clone, Debug, Default)]
pub struct Everyone(pub Vec<Arc<dyn Observer>>);

impl Observer for Everyone {
    fn step(&self, shard: u32, step: Step) {
        self.0.iter().for_each(|one| one.step(shard, step));
    }

    fn taken(&self, shard: u32, entries: &[Entry]) {
        self.0.iter().for_each(|one| one.taken(shard, entries));
    }

    fn committed(&self, batch: &Batch) {
        self.0.iter().for_each(|one| one.committed(batch));
    }

    fn trimmed(&self, shard: u32, entries: u64) {
        self.0.iter().for_each(|one| one.trimmed(shard, entries));
    }

    fn fenced(&self, shard: u32) {
        self.0.iter().for_each(|one| one.fenced(shard));
    }

    fn failed(&self, shard: Option<u32>, error: &Error) {
        self.0.iter().for_each(|one| one.failed(shard, error));
    }

    fn began(&self, shard: u32) {
        self.0.iter().for_each(|one| one.began(shard));
    }

    fn ended(&self, shard: u32, is_lost: bool) {
        self.0.iter().for_each(|one| one.ended(shard, is_lost));
    }

    fn stopped(&self, took: Duration) {
        self.0.iter().for_each(|one| one.stopped(took));
    }
}
