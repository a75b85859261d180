//! Who watches the drain: metrics, the command line, tests that stop it between two steps.

use std::fmt;

use crate::apply::{Settled, Step};

/// What a committed transaction did.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The shard.
    pub shard: u32,
    /// What was settled.
    pub settled: Settled,
    /// For each entry that was read for it, the time from append to commit in milliseconds.
    pub delays_ms: Vec<u64>,
}

/// Is told what happens. The calls are made by the shard itself, before its next step, so they
/// must be quick.
pub trait Observer: fmt::Debug + Send + Sync {
    /// A step was taken.
    fn step(&self, _shard: u32, _step: Step) {}

    /// A transaction was committed.
    fn committed(&self, _batch: &Batch) {}

    /// A transaction was rolled back because the ledger had moved.
    fn fenced(&self, _shard: u32) {}
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {}
