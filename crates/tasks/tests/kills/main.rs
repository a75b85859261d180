//! Tasks under fire: workers as processes of their own on real Redis, with effects in PostgreSQL,
//! that are killed, stopped and continued, and started together.
//!
//! The worker is this test binary itself, started again with the name of [`a_worker`].

#![cfg(test)]
mod killing;
mod outbox;
mod site;
mod ticking;
mod worker;

/// The body of the processes that the other tests start: without its servers it has nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the worker that the other tests start as processes"]
async fn a_worker() {
    worker::run().await;
}
