//! Whatever is said in whatever order, and by however many at once.

use proptest::prelude::*;
use tidegate_store::{Entry, EntryId};

use super::{Event, Layout};

fn any_event() -> impl Strategy<Value = Event> {
    let (generation, partitions) = (1_u32..6, 0_u32..20);
    prop_oneof![
        1 => partitions.clone().prop_map(|partitions| Event::Created { partitions }),
        4 => (generation.clone(), partitions)
            .prop_map(|(generation, partitions)| Event::Planned { generation, partitions }),
        4 => generation.clone().prop_map(|generation| Event::Switched { generation }),
        2 => generation.prop_map(|generation| Event::Retired { generation }),
    ]
}

fn fold(events: &[Event]) -> Layout {
    let mut layout = Layout::default();
    for (ms, event) in (1..).zip(events) {
        layout.take_up(EntryId::new(ms, 0), event);
    }
    layout
}

proptest! {
    #[test]
    fn generations_follow_each_other_and_share_no_partition(
        events in prop::collection::vec(any_event(), 0..40),
    ) {
        let layout = fold(&events);
        let mut first = 0;
        for (number, generation) in (1..).zip(&layout.generations) {
            prop_assert_eq!(generation.number, number);
            prop_assert_eq!(generation.first, first);
            prop_assert!(generation.partitions > 0);
            first = generation.indexes().end;
        }
        // All but the last have ended, and only what has ended can be retired.
        let ended = layout.generations.iter().filter(|it| it.ended_at_ms.is_some()).count();
        prop_assert_eq!(ended, layout.former().len());
        prop_assert!(layout.current().is_none_or(|it| !it.is_retired && it.ended_at_ms.is_none()));
        prop_assert!(layout.live().count() <= layout.generations.len());
    }

    #[test]
    fn an_event_that_is_said_again_at_once_changes_nothing(
        events in prop::collection::vec(any_event(), 0..40),
    ) {
        let doubled: Vec<Event> = events.iter().flat_map(|event| [*event, *event]).collect();
        let (once, twice) = (fold(&events), fold(&doubled));
        let shape = |layout: &Layout| -> Vec<_> {
            let generations = layout.generations.iter();
            generations.map(|it| (it.number, it.indexes(), it.is_retired)).collect()
        };
        prop_assert_eq!(shape(&once), shape(&twice));
        prop_assert_eq!(once.planned(), twice.planned());
    }

    #[test]
    fn of_two_that_change_the_number_at_once_the_first_counts(
        mine in 1_u32..20, theirs in 1_u32..20, switches in 1_usize..3,
    ) {
        let planned = |partitions| Event::Planned { generation: 2, partitions };
        let mut events = vec![Event::Created { partitions: 4 }, planned(mine), planned(theirs)];
        events.extend([Event::Switched { generation: 2 }].repeat(switches));
        let layout = fold(&events);
        prop_assert_eq!(layout.generations.len(), 2);
        prop_assert_eq!(layout.current().unwrap().partitions, mine);
        prop_assert!(layout.planned().is_none());
    }

    #[test]
    fn a_key_has_one_place_in_each_generation(hash in any::<u128>(), events in prop::collection::vec(any_event(), 0..40)) {
        for generation in &fold(&events).generations {
            prop_assert!(generation.indexes().contains(&generation.place(hash)));
        }
    }

    #[test]
    fn an_event_comes_out_as_it_went_in(event in any_event()) {
        let entry = Entry { id: EntryId::new(1, 0), fields: event.to_fields() };
        prop_assert_eq!(Event::from_entry(&entry).unwrap(), event);
    }
}

#[test]
fn what_a_newer_version_says_is_not_guessed() {
    let fields = vec![("event".into(), "merged".into())];
    let entry = Entry {
        id: EntryId::new(1, 0),
        fields,
    };
    assert!(Event::from_entry(&entry).is_err());
}

#[test]
fn a_plan_is_made_for_another_number_only() {
    let layout = Layout::of(4);
    assert_eq!(layout.plan(4).unwrap(), None);
    let next = Event::Planned {
        generation: 2,
        partitions: 16,
    };
    assert_eq!(layout.plan(16).unwrap(), Some(next));
    for partitions in [0, 5_000] {
        assert!(layout.plan(partitions).is_err());
    }
}

#[test]
fn generations_that_ended_within_the_window_are_asked_for_request_ids() {
    let planned = |generation| Event::Planned {
        generation,
        partitions: 1 + generation,
    };
    let switched = |generation| Event::Switched { generation };
    let layout = fold(&[
        Event::Created { partitions: 4 },
        planned(2),
        switched(2),
        Event::Retired { generation: 1 },
        planned(3),
        switched(3),
    ]);
    let hour_ms = 3_600_000;
    let asked = |now_ms| {
        let window = std::time::Duration::from_millis(10);
        let asked = layout.remembering(window, now_ms);
        asked.iter().map(|it| it.number).collect::<Vec<_>>()
    };
    // They ended with the third and the sixth event.
    assert_eq!(asked(hour_ms), [1, 2]);
    assert_eq!(asked(hour_ms + 14), [2]);
    assert!(asked(hour_ms + 17).is_empty());
}

#[test]
fn of_two_plans_for_a_generation_the_first_counts_also_when_it_has_passed() {
    let planned = |generation, partitions| Event::Planned {
        generation,
        partitions,
    };
    let mut events = vec![
        Event::Created { partitions: 4 },
        planned(2, 5),
        planned(2, 6),
    ];
    let told = |events: &[Event]| {
        let layout = fold(events);
        [planned(2, 5), planned(2, 6)].map(|plan| layout.has_taken_up(&plan))
    };
    assert_eq!(told(&events), [true, false]);
    events.extend([Event::Switched { generation: 2 }, planned(3, 6)]);
    assert_eq!(told(&events), [true, false]);
}
