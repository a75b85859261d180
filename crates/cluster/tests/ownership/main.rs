//! Workers that share the partitions of a stream: on a store in memory, where time is paused and
//! faults are made at will, and on the embedded store and on Redis, in real time.

#![expect(clippy::expect_used, reason = "a test that can't go on has failed")]

mod announcements;
mod arrivals;
mod faults;
mod memory_store;
mod sharing;
mod team;
