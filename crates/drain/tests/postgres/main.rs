//! The PostgreSQL sink as a target database: what it writes, refuses, keeps and survives.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod cases;
mod constraints;
mod crowds;
mod diff;
mod folding;
mod ledger;
mod letters;
mod locks;
mod names;
mod outage;
mod policies;
mod properties;
mod refusals;
mod schema;
mod speed;
mod target;
mod tls;
mod types;
