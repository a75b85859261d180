//! A PostgreSQL cluster of a test's own, or one that the tests of a process share.
//!
//! `initdb` takes seconds, so it runs once per machine: its result is kept as a template in the
//! temporary folder, and each server starts on a copy. PostgreSQL refuses to run as root; then
//! its programs run as the user `postgres`, or `nobody` where there is none.

mod database;
mod server;
mod template;

pub use database::{Database, postgres_client};
pub use server::{PostgresBuilder, PostgresServer};
