//! Schedules: who runs them, and what becomes of their runs.

#![expect(clippy::expect_used, reason = "a test's helpers may panic")]

mod failover;
mod running;
mod site;
