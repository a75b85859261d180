//! The whole path, from entries to committed rows, on both pairs of backends.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod audit;
mod bad_input;
mod crash_points;
mod drift;
mod failover;
mod fencing;
mod locks;
mod pace;
mod states;
mod support;
