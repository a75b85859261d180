use std::time::Duration;

use proptest::prelude::*;

use super::*;

const MINUTE: When = When::Every(Duration::from_secs(60));

/// A moment in seconds after the beginning.
fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).expect("within the calendar")
}

fn plan(overlap: Overlap, missed: Missed) -> Plan {
    Plan::new(MINUTE, overlap, missed, None, at(0))
}

fn planned(starting: &[Occurrence]) -> Vec<Timestamp> {
    starting.iter().map(|it| it.planned_at).collect()
}

#[test]
fn it_starts_at_its_time_and_once() {
    let mut plan = plan(Overlap::Skip, Missed::RunOnce);
    assert_eq!(plan.wake_at(), Some(at(60)));
    assert!(plan.advance(at(59)).is_empty());
    let starting = plan.advance(at(60));
    assert_eq!(planned(&starting), [at(60)]);
    assert!(starting.iter().all(|it| !it.missed));
    assert!(plan.advance(at(61)).is_empty());
    assert_eq!(plan.wake_at(), Some(at(120)));
}

#[test]
fn without_overlap_what_comes_during_a_run_is_left_out() {
    let mut plan = plan(Overlap::Skip, Missed::RunOnce);
    plan.advance(at(60));
    assert!(plan.advance(at(120)).is_empty());
    plan.ended(at(60));
    assert!(plan.advance(at(121)).is_empty());
    assert_eq!(planned(&plan.advance(at(180))), [at(180)]);
}

#[test]
fn a_queue_of_one_holds_one() {
    let mut plan = plan(Overlap::Queue, Missed::RunOnce);
    plan.advance(at(60));
    assert!(plan.advance(at(120)).is_empty());
    assert!(plan.advance(at(180)).is_empty());
    plan.ended(at(60));
    assert_eq!(planned(&plan.advance(at(181))), [at(120)]);
    plan.ended(at(120));
    assert!(plan.advance(at(182)).is_empty());
}

#[test]
fn with_overlap_runs_stand_beside_one_another_up_to_a_bound() {
    let mut plan = plan(Overlap::Allow, Missed::RunOnce);
    let started: usize = (1..=RUNS_MAX as i64 + 5)
        .map(|minute| plan.advance(at(minute * 60)).len())
        .sum();
    assert_eq!(started, RUNS_MAX);
}

#[test]
fn missed_occurrences_follow_their_policy() {
    let hour_later = at(3600 + 30);
    let skipping = &mut plan(Overlap::Skip, Missed::Skip);
    assert!(skipping.advance(hour_later).is_empty());
    assert_eq!(skipping.settled(), at(3600));
    assert_eq!(skipping.wake_at(), Some(at(3660)));

    let once = &mut plan(Overlap::Skip, Missed::RunOnce);
    let starting = once.advance(hour_later);
    assert_eq!(planned(&starting), [at(3600)]);
    assert!(starting.iter().all(|it| it.missed));

    let all = &mut plan(Overlap::Skip, Missed::RunAll { max: 3 });
    let mut run = Vec::new();
    let mut starting = all.advance(hour_later);
    while let Some(one) = starting.pop() {
        assert!(starting.is_empty(), "one after the other");
        run.push(one.planned_at);
        all.ended(one.planned_at);
        starting = all.advance(hour_later);
    }
    assert_eq!(run, [at(3480), at(3540), at(3600)]);
    assert_eq!(all.settled(), at(3600));
}

#[test]
fn a_run_that_was_cut_short_is_repeated_unless_missed_ones_are_left_out() {
    for (missed, repeated) in [(Missed::Skip, 0), (Missed::RunOnce, 1)] {
        let mut plan = plan(Overlap::Skip, missed);
        assert_eq!(plan.advance(at(60)).len(), 1);
        let kept = plan.settled();
        let mut next = Plan::new(MINUTE, Overlap::Skip, missed, Some(kept), at(70));
        assert_eq!(next.advance(at(70)).len(), repeated, "{missed:?}");
    }
}

#[test]
fn a_clock_that_was_set_back_holds_nothing_up() {
    let mut plan = plan(Overlap::Skip, Missed::RunOnce);
    plan.advance(at(100_000));
    plan.ended(at(99_960));
    assert!(plan.advance(at(0)).is_empty());
    assert_eq!(planned(&plan.advance(at(60))), [at(60)]);

    let ahead = Plan::new(MINUTE, Overlap::Skip, Missed::Skip, Some(at(9999)), at(0));
    assert_eq!(ahead.wake_at(), Some(at(60)));
    let a_little = Plan::new(MINUTE, Overlap::Skip, Missed::Skip, Some(at(2)), at(0));
    assert_eq!(a_little.wake_at(), Some(at(62)));
}

/// Something that happens to a schedule.
#[derive(Clone, Debug)]
enum Event {
    Passes(i64),
    Ends(usize),
    /// The worker dies, and another one goes on with what was kept.
    Dies,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        (1_i64..200).prop_map(Event::Passes),
        (0_usize..8).prop_map(Event::Ends),
        Just(Event::Dies),
    ];
    prop::collection::vec(event, 1..80)
}

proptest! {
    #[test]
    fn with_run_all_every_occurrence_ends_and_none_twice(
        events in events(), overlap in prop_oneof![Just(Overlap::Allow), Just(Overlap::Queue)],
    ) {
        // Everything that came is settled in the end, although only the oldest is kept.
        let missed = Missed::RunAll { max: CATCH_UP_MAX };
        let mut plan = Plan::new(MINUTE, overlap, missed, None, at(0));
        let (mut now, mut running, mut done) = (0, Vec::new(), BTreeSet::new());
        for event in events {
            match event {
                Event::Passes(seconds) => now += seconds,
                Event::Ends(which) if !running.is_empty() => {
                    let ended = running.remove(which % running.len());
                    plan.ended(ended);
                    done.insert(ended);
                }
                Event::Ends(_) => {}
                Event::Dies => {
                    running.clear();
                    plan = Plan::new(MINUTE, overlap, missed, Some(plan.settled()), at(now));
                }
            }
            for occurrence in plan.advance(at(now)) {
                prop_assert!(!running.contains(&occurrence.planned_at));
                running.push(occurrence.planned_at);
            }
            prop_assert!(plan.ended.len() <= plan.unfinished().count() + 1);
            if overlap == Overlap::Allow {
                // What is called settled has ended.
                let settled = plan.settled();
                let mut expected = at(0);
                while expected < settled {
                    expected = MINUTE.next_after(expected).expect("a next one");
                    prop_assert!(done.contains(&expected), "{} is not done", expected);
                }
            }
        }
    }
}
