//! The program as its users meet it: the built binary, in a folder of its own.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first thing that isn't as it claims"
)]

mod configuration;
mod console;
mod dead_letters;
mod hyperswitch;
mod program;
mod sending;
mod stopping;
mod tour;
