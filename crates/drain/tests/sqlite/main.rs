//! The SQLite sink as a target database: what it writes, refuses, keeps and survives.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod durability;
mod engine;
mod ledger;
mod letters;
mod policies;
mod refusals;
mod schemas;
mod speed;
mod target;
mod types;
