//! The leader's schedules, when workers come, go, die and are cut off.

use std::collections::BTreeSet;
use std::future::pending;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tidegate_streams::{Error, Missed, Schedule, ScheduledRun, When};
use tidegate_testkit::poll_until;

use crate::site::{Board, DEADLINE, Note, Site};

const INTERVAL: Duration = Duration::from_millis(20);

/// A schedule whose runs take no time.
fn tick(board: &Board, worker: &'static str) -> Schedule {
    let board = board.clone();
    let function = move |run: ScheduledRun| {
        drop(board.begin(worker, run));
        std::future::ready(Ok::<(), Error>(()))
    };
    let schedule = Schedule::new(When::Every(INTERVAL), function);
    schedule.named("tick").on_leader()
}

/// A schedule of every minute whose runs don't end. Nobody has led since a minute and a half, so
/// that one is due when a worker leads, and no other in this test.
fn endless(board: &Board, worker: &'static str) -> Schedule {
    let board = board.clone();
    let function = move |run: ScheduledRun| {
        let under_way = board.begin(worker, run);
        async move {
            let _under_way = under_way;
            pending::<Result<(), Error>>().await
        }
    };
    let schedule = Schedule::new(When::Every(Duration::from_secs(60)), function);
    schedule.named("endless").on_leader()
}

async fn nobody_has_led(site: &Site) -> Timestamp {
    let last = Timestamp::now() - SignedDuration::from_secs(90);
    site.write("endless", last).await;
    last + SignedDuration::from_secs(60)
}

fn count(notes: &[Note], worker: &str) -> usize {
    notes.iter().filter(|note| note.worker == worker).count()
}

fn other(worker: &str) -> &'static str {
    if worker == "a" { "b" } else { "a" }
}

async fn one_worker_leads_and_the_next_goes_on_where_it_stopped(site: Site) {
    let board = Board::default();
    let a = site.hire(vec![tick(&board, "a")], Site::options()).await;
    let b = site.hire(vec![tick(&board, "b")], Site::options()).await;
    board.see(|notes| notes.len() >= 10).await;
    let leader = board.notes().first().expect("a run").worker;
    let (leading, standing_by) = if leader == "a" { (a, b) } else { (b, a) };
    leading.stop().await;
    board.see(|notes| count(notes, other(leader)) >= 10).await;
    standing_by.stop().await;

    let notes = board.notes();
    let handed_over = notes.partition_point(|note| note.worker == leader);
    let (before, after) = notes.split_at(handed_over);
    assert_eq!(count(after, leader), 0, "one leader after the other");
    let last_before = before.last().expect("a run").epoch();
    assert!(after.iter().all(|note| note.epoch() > last_before));
    // The new leader keeps the cadence, and repeats nothing.
    let times: Vec<_> = notes.iter().map(|note| note.run.planned_at).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(times.iter().collect::<BTreeSet<_>>().len(), times.len());
    let first = times.first().expect("a run");
    let off_beat = times.iter().find(|time| {
        time.duration_since(*first).as_nanos() % i128::try_from(INTERVAL.as_nanos()).unwrap_or(1)
            != 0
    });
    assert_eq!(off_beat, None, "{times:?}");
}

async fn when_the_leader_dies_another_one_repeats_the_run_it_was_in(site: Site) {
    let board = Board::default();
    let due = nobody_has_led(&site).await;
    let ttl = Site::options().lease_ttl;
    let a = site.hire(vec![endless(&board, "a")], Site::options()).await;
    board.see(|notes| count(notes, "a") == 1).await;
    let b = site.hire(vec![endless(&board, "b")], Site::options()).await;
    a.kill().await;
    let killed_at = Instant::now();
    board.see(|notes| count(notes, "b") == 1).await;
    // The lease time and a second; the rest is for a busy machine.
    assert!(killed_at.elapsed() < ttl + Duration::from_secs(20));
    let notes = board.notes();
    let (cut_short, repeated) = (notes.first().expect("one"), notes.last().expect("another"));
    assert_eq!(cut_short.run.planned_at, due);
    assert_eq!(repeated.run.planned_at, due);
    assert!(repeated.epoch() > cut_short.epoch());
    b.kill().await;
}

async fn a_run_that_does_not_end_is_cut_short_after_the_grace(site: Site) {
    let board = Board::default();
    nobody_has_led(&site).await;
    let mut options = Site::options();
    options.grace = Duration::from_millis(100);
    let worker = site.hire(vec![endless(&board, "a")], options).await;
    board.see(|notes| count(notes, "a") == 1).await;
    worker.stop().await;
    let notes = board.notes();
    assert!(notes.iter().all(|note| note.ended), "{notes:?}");
    assert!(notes.iter().all(|note| note.run.cancelled.is_cancelled()));
    // Nothing is left that holds another worker up.
    let next = site.hire(vec![tick(&board, "b")], Site::options()).await;
    board.see(|notes| count(notes, "b") > 0).await;
    next.stop().await;
}

async fn missed_runs_follow_their_policy(site: Site) {
    let board = Board::default();
    let minute = When::every("1m").expect("an interval");
    let policies = [
        ("skip", Missed::Skip, 0),
        ("once", Missed::RunOnce, 1),
        ("all", Missed::RunAll { max: 3 }, 3),
    ];
    // Nobody has led for an hour and half a minute.
    let last = Timestamp::now() - SignedDuration::from_secs(3630);
    let mut schedules = Vec::new();
    for (name, missed, _) in policies {
        site.write(name, last).await;
        let board = board.clone();
        let function = move |run: ScheduledRun| {
            drop(board.begin("a", run));
            std::future::ready(Ok::<(), Error>(()))
        };
        let schedule = Schedule::new(minute.clone(), function);
        schedules.push(schedule.named(name).on_leader().missed(missed));
    }
    let worker = site.hire(schedules, Site::options()).await;
    let newest = last + SignedDuration::from_secs(3600);
    let settled = async || site.read().await.values().all(|settled| *settled == newest);
    let settled = poll_until(DEADLINE, settled).await;
    settled.expect("it is kept that nothing is left to run");
    worker.stop().await;
    for (name, _, expected) in policies {
        let notes = board.of(name);
        assert_eq!(notes.len(), expected, "{name}");
        assert!(notes.iter().all(|note| note.run.missed), "{name}");
    }
    let times: Vec<_> = board.of("all").iter().map(|it| it.run.planned_at).collect();
    assert!(times.is_sorted(), "{times:?}");
}

async fn a_schedule_that_is_gone_is_forgotten_after_a_long_time(site: Site) {
    let now = Timestamp::now();
    let days = |days: i64| now - SignedDuration::from_hours(24 * days);
    site.write("renamed long ago", days(91)).await;
    site.write("of a newer version", days(1)).await;
    let board = Board::default();
    let worker = site.hire(vec![tick(&board, "a")], Site::options()).await;
    board.see(|notes| !notes.is_empty()).await;
    worker.stop().await;
    let known: Vec<String> = site.read().await.into_keys().collect();
    assert_eq!(known, ["of a newer version", "tick"]);
}

macro_rules! on_both_stores {
    ($($test:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test] async fn $test() { super::$test(super::Site::sqlite().await).await; })*
        }
        mod redis {
            $(#[tokio::test] async fn $test() { super::$test(super::Site::redis().await).await; })*
        }
    };
}

on_both_stores!(
    one_worker_leads_and_the_next_goes_on_where_it_stopped,
    when_the_leader_dies_another_one_repeats_the_run_it_was_in,
    a_run_that_does_not_end_is_cut_short_after_the_grace,
    missed_runs_follow_their_policy,
    a_schedule_that_is_gone_is_forgotten_after_a_long_time,
);

#[tokio::test]
async fn a_leader_that_is_cut_off_stops_its_run_before_its_lease_ends() {
    let mut site = Site::redis().await;
    let board = Board::default();
    nobody_has_led(&site).await;
    let mut options = Site::options();
    // Beside which the pauses of a busy machine are short.
    options.lease_ttl = Duration::from_secs(15);
    let lease_ttl = options.lease_ttl;
    let worker = site.hire(vec![endless(&board, "a")], options).await;
    board.see(|notes| count(notes, "a") == 1).await;
    let server = site.server.as_mut().expect("a server");
    server.pause().expect("it is paused");
    let paused_at = Instant::now();
    board.see(|notes| notes.iter().all(|note| note.ended)).await;
    assert!(paused_at.elapsed() <= lease_ttl);
    assert!(
        board
            .notes()
            .iter()
            .all(|it| it.run.cancelled.is_cancelled())
    );
    server.resume().expect("it goes on");
    // It leads again, and repeats what was cut short.
    board.see(|notes| notes.len() == 2).await;
    worker.kill().await;
}
