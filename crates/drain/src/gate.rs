//! The gate: how many shards of the process are at work at once, and who is next.
//!
//! ```text
//! shard ─ enter ─► line ─► Turn ─ read, write, commit ─► end of the line
//!                            │ slower than TURN_MAX
//!                            └─► its place goes to another shard, its work goes on
//! ```
//!
//! Entries are only in memory between a shard's entry and the end of its turn, so the limit also
//! bounds memory. The limit itself is found by [`InFlight`]. It guarantees that shards come in the
//! order in which they stood in line, and that a shard which waits for a lock holds up no other
//! for longer than [`TURN_MAX`]. Nothing here outlives the process.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::pace::InFlight;

/// After this time a turn's place is given to the next shard in line, although its work goes on.
const TURN_MAX: Duration = Duration::from_secs(1);

/// Lets shards in, a few at once.
#[derive(Debug)]
pub(crate) struct Gate {
    places: Semaphore,
    state: Mutex<State>,
    in_line: AtomicUsize,
    at_work: AtomicUsize,
    began: Instant,
}

#[derive(Debug)]
struct State {
    flight: InFlight,
    /// Places that have to go away when somebody leaves them.
    surplus: usize,
}

/// A shard's time at work.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    gate: &'a Gate,
    place: Option<SemaphorePermit<'a>>,
}

/// Counts one more while it lives.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gate {
    pub(crate) fn new(flight: InFlight) -> Self {
        Self {
            places: Semaphore::new(flight.limit()),
            state: Mutex::new(State { flight, surplus: 0 }),
            in_line: AtomicUsize::new(0),
            at_work: AtomicUsize::new(0),
            began: Instant::now(),
        }
    }

    /// Stands in line.
    pub(crate) async fn enter(&self) -> Turn<'_> {
        let place = {
            let _counted = Counted::new(&self.in_line);
            // Nobody closes the semaphore; without a place the shard is merely not counted.
            self.places.acquire().await.ok()
        };
        self.at_work.fetch_add(1, Ordering::Relaxed);
        Turn { gate: self, place }
    }

    /// Whether shards stand in line.
    pub(crate) fn is_crowded(&self) -> bool {
        self.in_line.load(Ordering::Relaxed) > 0
    }

    /// How many shards are at work, those that have lost their place included.
    pub(crate) fn at_work(&self) -> usize {
        self.at_work.load(Ordering::Relaxed)
    }

    /// The most that are let in at present.
    pub(crate) fn limit(&self) -> usize {
        self.lock().flight.limit()
    }

    /// Learns from a commit of so many entries.
    pub(crate) fn learn(&self, entries: u64) {
        let mut state = self.lock();
        let before = state.flight.limit();
        state
            .flight
            .learn(self.began.elapsed(), entries, self.is_crowded());
        let after = state.flight.limit();
        if after > before {
            let kept = state.surplus.min(after - before);
            state.surplus -= kept;
            self.places.add_permits(after - before - kept);
        } else {
            let gone = self.places.forget_permits(before - after);
            state.surplus += before - after - gone;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // A panic elsewhere leaves numbers, and any numbers will do.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// Does the turn's work, and gives the place away when it takes long.
    pub(crate) async fn work<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        if let Ok(done) = tokio::time::timeout(TURN_MAX, &mut work).await {
            return done;
        }
        self.give_way();
        work.await
    }

    fn give_way(&mut self) {
        let Some(place) = self.place.take() else {
            return;
        };
        let mut state = self.gate.lock();
        if state.surplus > 0 {
            state.surplus -= 1;
            place.forget();
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.give_way();
        self.gate.at_work.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Arc;

    use super::*;

    fn gate(places: usize) -> Arc<Gate> {
        Arc::new(Gate::new(InFlight::new(places, places)))
    }

    #[tokio::test]
    async fn a_shard_comes_in_when_another_one_leaves() {
        let gate = gate(1);
        let first = gate.enter().await;
        let next = tokio::spawn({
            let gate = gate.clone();
            async move { drop(gate.enter().await) }
        });
        while !gate.is_crowded() {
            tokio::task::yield_now().await;
        }
        assert!(!next.is_finished());
        drop(first);
        next.await.expect("the next turn");
        assert_eq!(gate.at_work(), 0);
    }

    #[tokio::test]
    async fn a_shard_that_waits_for_a_lock_holds_up_no_other() {
        let gate = gate(1);
        let began = Instant::now();
        let stuck = tokio::spawn({
            let gate = gate.clone();
            async move { gate.enter().await.work(pending::<()>()).await }
        });
        while gate.at_work() == 0 {
            tokio::task::yield_now().await;
        }
        drop(gate.enter().await);
        assert!(began.elapsed() >= TURN_MAX && !stuck.is_finished());
        assert_eq!(gate.at_work(), 1);
        stuck.abort();
    }
}
