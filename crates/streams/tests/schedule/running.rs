//! What becomes of runs: failures, panics, overlap, a shutdown; and what is refused at the start.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tidegate_streams::{Error, Missed, Overlap, Schedule, ScheduledRun, State, When};
use tokio::sync::Semaphore;

use crate::site::{Board, Site};

const OFTEN: When = When::Every(Duration::from_millis(10));

#[tokio::test]
async fn a_run_that_panics_or_fails_is_not_the_last_one() {
    let site = Site::sqlite().await;
    let (board, runs) = (Board::default(), Arc::new(AtomicUsize::new(0)));
    let function = {
        let board = board.clone();
        move |run: ScheduledRun| {
            let run = board.begin("a", run);
            let nth = runs.fetch_add(1, Ordering::Relaxed);
            // Before the future, within it, and by an error.
            assert_ne!(nth, 0, "the first run panics");
            async move {
                let _run = run;
                assert_ne!(nth, 1, "the second run panics as well");
                if nth == 2 {
                    return Err(Error::Invalid("the third one fails".into()));
                }
                Ok(())
            }
        }
    };
    let schedule = Schedule::new(OFTEN, function).named("unlucky");
    let worker = site.hire(vec![schedule], Site::options()).await;
    board.see(|notes| notes.len() >= 5).await;
    worker.stop().await;
    assert!(board.notes().iter().all(|note| note.run.lease.is_none()));
}

/// A schedule whose runs end when they are let through the gate.
fn gated(name: &str, overlap: Overlap, board: &Board, gate: &Arc<Semaphore>) -> Schedule {
    let (board, gate) = (board.clone(), gate.clone());
    let function = move |run: ScheduledRun| {
        let (under_way, gate) = (board.begin("a", run), gate.clone());
        async move {
            let _under_way = under_way;
            gate.acquire().await.map(|permit| permit.forget())
        }
    };
    Schedule::new(OFTEN, function).named(name).overlap(overlap)
}

#[tokio::test]
async fn runs_overlap_only_where_it_is_asked_for() {
    let site = Site::sqlite().await;
    let (board, gate) = (Board::default(), Arc::new(Semaphore::new(0)));
    let schedules = vec![
        gated("skip", Overlap::Skip, &board, &gate),
        gated("queue", Overlap::Queue, &board, &gate),
        gated("allow", Overlap::Allow, &board, &gate),
    ];
    let worker = site.hire(schedules, Site::options()).await;
    // While the overlapping one runs ten times, the others had their time as often.
    board
        .see(|notes| notes.iter().filter(|it| *it.run.name == *"allow").count() >= 10)
        .await;
    assert_eq!(board.of("skip").len(), 1);
    assert_eq!(board.of("queue").len(), 1);
    gate.close();
    board
        .see(|notes| {
            let count = |name: &str| notes.iter().filter(|it| *it.run.name == *name).count();
            count("skip") >= 2 && count("queue") >= 2
        })
        .await;
    worker.stop().await;
    let (skip, queue) = (board.of("skip"), board.of("queue"));
    let waited = |notes: &[crate::site::Note]| {
        let times = notes.first().zip(notes.get(1));
        times.map(|(first, second)| second.run.planned_at.duration_since(first.run.planned_at))
    };
    // The queue had kept one from before the gate was opened; what is skipped is gone.
    assert!(waited(&skip) > waited(&queue));
}

#[tokio::test]
async fn a_shutdown_lets_a_run_end_and_begins_no_other() {
    let site = Site::sqlite().await;
    let (board, gate) = (Board::default(), Arc::new(Semaphore::new(0)));
    let schedule = gated("slow", Overlap::Skip, &board, &gate);
    let worker = site.hire(vec![schedule], Site::options()).await;
    board.see(|notes| notes.len() == 1).await;
    worker.shutdown.cancel();
    gate.add_permits(1);
    worker.stop().await;
    let notes = board.notes();
    assert_eq!(notes.len(), 1);
    assert!(
        notes
            .iter()
            .all(|note| note.ended && !note.run.cancelled.is_cancelled())
    );
}

#[tokio::test]
async fn without_schedules_there_is_nothing_to_wait_for() {
    let site = Site::sqlite().await;
    let worker = site.hire(Vec::new(), Site::options()).await;
    worker.run.await.expect("no panic").expect("no failure");
}

#[tokio::test]
async fn what_can_not_run_is_refused_at_the_start() {
    async fn report() -> Result<(), Error> {
        Ok(())
    }
    async fn needs(State(_text): State<String>) -> Result<(), Error> {
        Ok(())
    }
    let site = Site::sqlite().await;
    for (schedules, reason) in [
        (vec![Schedule::new(OFTEN, needs)], "String"),
        (
            vec![Schedule::new(OFTEN, report), Schedule::new(OFTEN, report)],
            "report",
        ),
        (
            vec![Schedule::new(OFTEN, report).named("two words")],
            "two words",
        ),
        (
            vec![Schedule::new(OFTEN, || {
                std::future::ready(Ok::<(), Error>(()))
            })],
            "closure",
        ),
        (
            vec![Schedule::new(When::Every(Duration::ZERO), report)],
            "10ms",
        ),
        (
            vec![Schedule::new(OFTEN, report).missed(Missed::RunAll { max: 0 })],
            "1 to 1000",
        ),
    ] {
        let refused = site.scheduler(schedules, Site::options()).await;
        let refusal = refused.expect_err(reason).to_string();
        assert!(refusal.contains(reason), "{reason}: {refusal}");
    }
}
