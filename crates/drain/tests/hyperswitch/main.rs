//! Entries of Hyperswitch, made as its own code makes them, drained to rows.
//!
//! The older form is written by types that look like the ancestor's, and the newer one by diesel
//! itself: neither is our decoder turned round.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod fuzz;
mod lock;
mod query;
mod site;
mod typed_sql;
