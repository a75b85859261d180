use proptest::prelude::*;

use super::*;

fn rules(max_retries: u32, max_age_s: Option<u64>, on_unknown: OnUnknown) -> Rules {
    Rules {
        max_retries,
        backoff: Backoff {
            min: Duration::from_secs(1),
            max: Duration::from_secs(60),
        },
        max_age: max_age_s.map(Duration::from_secs),
        on_unknown,
    }
}

fn advices() -> impl Strategy<Value = Advice> {
    prop_oneof![
        Just(Advice::Default),
        (0_u64..10_000).prop_map(|s| Advice::RetryAfter(Duration::from_secs(s))),
        Just(Advice::Permanent),
        Just(Advice::Unknown),
    ]
}

fn endings() -> impl Strategy<Value = Ending> {
    prop_oneof![
        Just(Ending::Done),
        advices().prop_map(Ending::Failed),
        Just(Ending::NotRetryable),
        Just(Ending::TimedOut),
        Just(Ending::Panicked),
        Just(Ending::Cancelled),
        Just(Ending::Returned),
        Just(Ending::CutShort),
        Just(Ending::TooOld),
        Just(Ending::Unreadable),
        Just(Ending::Unregistered),
    ]
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let on_unknown = prop_oneof![Just(OnUnknown::Retry), Just(OnUnknown::Park)];
    (0_u32..20, prop::option::of(0_u64..10_000), on_unknown)
        .prop_map(|(retries, age, on_unknown)| rules(retries, age, on_unknown))
}

proptest! {
    #[test]
    fn only_a_success_is_done_and_only_a_shutdown_returns(
        ending in endings(), rules in any_rules(), attempt in 1_u32..40, age_s in 0_u64..20_000,
        chance in 0.0_f64..=1.0,
    ) {
        let next = decide(ending, &rules, attempt, Duration::from_secs(age_s), chance);
        prop_assert_eq!(next == Transition::Done, ending == Ending::Done);
        let shutdown = matches!(ending, Ending::Returned | Ending::CutShort);
        prop_assert!(shutdown || next != Transition::Returned);
        prop_assert_eq!(next == Transition::Cancelled, ending == Ending::Cancelled);
    }

    #[test]
    fn a_task_that_is_to_be_parked_is_never_tried_again_blindly(
        rules in any_rules(), attempt in 1_u32..40, age_s in 0_u64..20_000, chance in 0.0_f64..=1.0,
    ) {
        let rules = Rules { on_unknown: OnUnknown::Park, ..rules };
        for ending in [
            Ending::TimedOut, Ending::Panicked, Ending::CutShort, Ending::Failed(Advice::Unknown),
        ] {
            let next = decide(ending, &rules, attempt, Duration::from_secs(age_s), chance);
            prop_assert_eq!(next, Transition::Unknown);
        }
    }

    #[test]
    fn no_task_is_tried_more_often_or_longer_than_declared(
        advice in advices(), rules in any_rules(), attempt in 1_u32..40, age_s in 0_u64..20_000,
        chance in 0.0_f64..=1.0,
    ) {
        let age = Duration::from_secs(age_s);
        if let Transition::Retry(pause) = decide(Ending::Failed(advice), &rules, attempt, age, chance) {
            prop_assert!(attempt <= rules.max_retries);
            prop_assert!(rules.max_age.is_none_or(|max| age + pause <= max));
            if let Advice::RetryAfter(delay) = advice {
                prop_assert_eq!(pause, delay);
            }
        }
    }
}

#[test]
fn ten_retries_are_eleven_attempts() {
    let rules = rules(10, None, OnUnknown::Retry);
    let failed = Ending::Failed(Advice::Default);
    let next = |attempt| decide(failed, &rules, attempt, Duration::ZERO, 0.5);
    assert!(matches!(next(10), Transition::Retry(_)));
    assert_eq!(next(11), Transition::Dead(Death::Exhausted));
}

#[test]
fn a_task_of_another_version_waits_for_it_and_then_dies() {
    let rules = rules(0, None, OnUnknown::Retry);
    let next = |attempt| decide(Ending::Unregistered, &rules, attempt, Duration::ZERO, 1.0);
    assert!(matches!(next(UNREGISTERED_RETRIES), Transition::Retry(_)));
    assert_eq!(
        next(UNREGISTERED_RETRIES + 1),
        Transition::Dead(Death::Unregistered)
    );
}
