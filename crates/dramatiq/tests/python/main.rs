//! Beside real Python: unmodified programs of Dramatiq send, work, die and look for results, and so
//! do Tidegate's, on one Redis.
//!
//! Python is that of `cargo xtask setup`. A worker of ours that is to be killed is this test binary
//! itself, started again with the name of [`a_worker`].

#![cfg(test)]
#![expect(
    clippy::print_stdout,
    reason = "the worker's process tells the tests what it does"
)]

mod actors;
mod codec;
mod deaths;
mod mixed;
mod ours;
mod site;
mod tasks;
mod theirs;

/// The body of the processes that the other tests start: without its server it has nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the worker that the other tests start as processes"]
async fn a_worker() {
    site::work_as_a_process().await;
}
