//! The whole path through the program itself, with workers as processes, on real servers.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod kills;
mod pgbench;
mod restarts;
mod same_tables;
mod support;
