//! The claims of one worker step by step, and those of several in the random [`World`].

use proptest::prelude::*;
use tidegate_store::LeaseHolder;

use super::event::any_event;
use super::model_store::{group, id, lease, stream};
use super::world::{PARTITIONS, TIMING, TTL, World};
use super::*;

proptest! {
    #[test]
    fn leases_are_safe_in_any_world_and_even_in_a_calm_one(
        events in prop::collection::vec(any_event(), 0..300),
    ) {
        let mut world = World::new();
        for event in events {
            world.happen(event);
        }
        world.end_the_haunting();
        // The dead are forgotten after a lease's time, and their partitions are taken then.
        let rounds = TTL.as_millis() / TIMING.survey_pause(false).as_millis() + 8;
        (0..rounds).for_each(|_| world.calm_round());

        prop_assert!(world.is_settled());
        let counts = world.counts();
        prop_assert_eq!(counts.iter().sum::<usize>(), PARTITIONS as usize);
        prop_assert!(counts.iter().max() <= counts.iter().min().map(|least| least + 1).as_ref());
    }
}

/// Claims that hold partition 0 of 1 with epoch 1, since `now`.
fn holding_one(now: Instant) -> Claims {
    let mut claims = Claims::new(stream(), group(), id(0), TIMING);
    claims.surveyed(View {
        workers: vec![id(0)],
        holders: vec![None],
    });
    assert_eq!(claims.take_steps(), [Step::Acquire(0)]);
    claims.acquired(0, Some(lease(0, id(0), 1)), now, now);
    assert_eq!(claims.take_steps(), [Step::HandOver(lease(0, id(0), 1))]);
    claims
}

fn seen(worker: Option<WorkerId>, epoch: u64) -> Vec<Option<LeaseHolder>> {
    vec![Some(LeaseHolder {
        worker,
        epoch: Epoch(epoch),
        ends_in_ms: 1,
    })]
}

#[test]
fn trust_ends_before_the_lease_without_a_word_from_the_store() {
    let now = Instant::now();
    let mut claims = holding_one(now);
    let ends_at = claims.trusted_until().expect("a lease is held");
    assert!(ends_at < now + TTL);
    claims.expire(ends_at);
    assert_eq!(claims.take_steps(), [Step::Lose(lease(0, id(0), 1))]);
    assert!(claims.held().is_empty());
}

#[test]
fn a_newer_epoch_in_the_store_ends_the_lease() {
    let mut claims = holding_one(Instant::now());
    claims.surveyed(View {
        workers: vec![id(0), id(1)],
        holders: seen(Some(id(1)), 2),
    });
    assert_eq!(claims.take_steps(), [Step::Lose(lease(0, id(0), 1))]);
}

#[test]
fn a_lost_partition_is_not_taken_again_before_its_owner_has_stopped() {
    let now = Instant::now();
    let mut claims = holding_one(now);
    claims.expire(now + TTL);
    claims.surveyed(View {
        workers: vec![id(0)],
        holders: vec![None],
    });
    assert_eq!(claims.take_steps(), [Step::Lose(lease(0, id(0), 1))]);
    claims.handed_back(0, Epoch(1));
    claims.released(0);
    claims.surveyed(View {
        workers: vec![id(0)],
        holders: vec![None],
    });
    assert_eq!(
        claims.take_steps(),
        [Step::Release(lease(0, id(0), 1)), Step::Acquire(0)]
    );
}

#[test]
fn an_acquisition_that_took_longer_than_its_lease_is_given_back() {
    let now = Instant::now();
    let mut claims = Claims::new(stream(), group(), id(0), TIMING);
    claims.surveyed(View {
        workers: vec![id(0)],
        holders: vec![None],
    });
    claims.acquired(0, Some(lease(0, id(0), 1)), now, now + TTL);
    assert_eq!(
        claims.take_steps(),
        [Step::Acquire(0), Step::Release(lease(0, id(0), 1))]
    );
}

#[test]
fn a_lease_that_this_worker_does_not_know_of_is_given_back() {
    let mut claims = Claims::new(stream(), group(), id(0), TIMING);
    claims.surveyed(View {
        workers: vec![id(0)],
        holders: seen(Some(id(0)), 4),
    });
    assert_eq!(claims.take_steps(), [Step::Release(lease(0, id(0), 4))]);
}

#[test]
fn a_partition_that_another_program_holds_is_waited_for() {
    let mut claims = Claims::new(stream(), group(), id(0), TIMING);
    assert!(!claims.surveyed(View {
        workers: vec![id(0)],
        holders: seen(None, 0)
    }));
    assert!(claims.take_steps().is_empty());
}

#[test]
fn a_partition_under_release_is_renewed_until_it_is_handed_back() {
    let now = Instant::now();
    let mut claims = holding_one(now);
    claims.stop();
    claims.renewed(&claims.held(), &[true], now + TTL / 2);
    assert!(claims.trusted_until() > Some(now + TTL));
    claims.handed_back(0, Epoch(1));
    assert!(claims.held().is_empty());
    assert_eq!(
        claims.take_steps(),
        [Step::RequestRelease(0), Step::Release(lease(0, id(0), 1))]
    );
}

#[test]
fn a_view_older_than_the_lease_does_not_take_it_back() {
    let now = Instant::now();
    let mut claims = Claims::new(stream(), group(), id(1), TIMING);
    claims.surveyed(View {
        workers: vec![id(1)],
        holders: vec![None],
    });
    claims.acquired(0, Some(lease(0, id(1), 1)), now, now);
    claims.take_steps();
    // Worker 0 comes first: it would get the partition if it were free.
    assert!(claims.surveyed(View {
        workers: vec![id(0), id(1)],
        holders: vec![None]
    }));
    assert!(claims.take_steps().is_empty());
}

#[test]
fn an_answer_about_a_former_lease_is_ignored() {
    let now = Instant::now();
    let mut claims = holding_one(now);
    let former = claims.held();
    claims.handed_back(0, Epoch(1));
    claims.released(0);
    claims.surveyed(View {
        workers: vec![id(0)],
        holders: vec![None],
    });
    claims.acquired(0, Some(lease(0, id(0), 2)), now, now);
    claims.take_steps();
    claims.renewed(&former, &[false], now);
    assert!(claims.take_steps().is_empty());
}

#[test]
fn a_static_worker_takes_again_what_it_finds_and_leaves_it_at_the_end() {
    let now = Instant::now();
    let mut claims = Claims::new(stream(), group(), id(0), TIMING);
    claims.become_static();
    let view = View {
        workers: vec![id(0)],
        holders: seen(Some(id(0)), 4),
    };
    claims.surveyed(view.clone());
    assert_eq!(claims.take_steps(), [Step::TakeAgain(0, Epoch(4))]);
    claims.acquired(0, Some(lease(0, id(0), 5)), now, now);
    claims.stop();
    assert_eq!(
        claims.take_steps(),
        [Step::HandOver(lease(0, id(0), 5)), Step::RequestRelease(0)]
    );
    claims.handed_back(0, Epoch(5));
    assert!(claims.is_empty());
    claims.surveyed(view);
    assert_eq!(claims.take_steps(), []);
}

#[test]
fn a_static_worker_gives_back_what_belongs_to_another() {
    let mut claims = Claims::new(stream(), group(), id(0), TIMING);
    claims.become_static();
    let mut holders = seen(Some(id(0)), 4);
    holders.extend(seen(Some(id(0)), 7));
    claims.surveyed(View {
        workers: vec![id(0), id(1)],
        holders,
    });
    assert_eq!(
        claims.take_steps(),
        [
            Step::TakeAgain(0, Epoch(4)),
            Step::Release(lease(1, id(0), 7))
        ]
    );
}
