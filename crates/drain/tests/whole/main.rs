//! The whole path, from entries to committed rows, on both pairs of backends.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod bad_input;
mod crash_points;
mod fencing;
mod pace;
mod support;
