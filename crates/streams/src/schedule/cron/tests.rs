use std::collections::BTreeMap;

use jiff::civil::{Date, date};
use proptest::prelude::*;

use super::*;

/// North and south, a change at midnight, one of half an hour, and none at all.
const ZONES: [&str; 7] = [
    "Europe/Berlin",
    "America/New_York",
    "America/Santiago",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "Asia/Beirut",
    "Asia/Kolkata",
];

fn cron(expression: &str, zone: &str) -> Cron {
    Cron::parse(expression, zone).expect("a valid expression")
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time stamp")
}

/// The occurrences after `from` and through `to`.
fn between(cron: &Cron, from: &str, to: &str) -> Vec<String> {
    let (mut now, to) = (at(from), at(to));
    let mut found = Vec::new();
    while let Some(next) = cron.next_after(now).filter(|next| *next <= to) {
        found.push(next.to_string());
        now = next;
    }
    found
}

#[test]
fn a_named_time_that_happens_twice_runs_the_first_time() {
    let nightly = cron("30 2 * * *", "Europe/Berlin");
    let found = between(&nightly, "2025-10-25T12:00:00Z", "2025-10-27T12:00:00Z");
    assert_eq!(found, ["2025-10-26T00:30:00Z", "2025-10-27T01:30:00Z"]);
    // Whoever starts in the second of the two hours doesn't run it again.
    let found = between(&nightly, "2025-10-26T01:10:00Z", "2025-10-26T12:00:00Z");
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_named_time_that_is_skipped_runs_when_the_gap_ends() {
    let nightly = cron("30 2 * * *", "Europe/Berlin");
    let found = between(&nightly, "2025-03-29T12:00:00Z", "2025-03-31T12:00:00Z");
    assert_eq!(found, ["2025-03-30T01:00:00Z", "2025-03-31T00:30:00Z"]);
}

#[test]
fn several_named_times_in_one_gap_are_one_run() {
    let two = cron("10,50 2,14 * * *", "Europe/Berlin");
    let found = between(&two, "2025-03-30T00:00:00Z", "2025-03-30T20:00:00Z");
    assert_eq!(
        found,
        [
            "2025-03-30T01:00:00Z",
            "2025-03-30T12:10:00Z",
            "2025-03-30T12:50:00Z"
        ]
    );
}

#[test]
fn a_wildcard_follows_the_clock_on_the_wall() {
    let half_hours = cron("*/30 * * * *", "Europe/Berlin");
    let spring = between(&half_hours, "2025-03-30T00:00:00Z", "2025-03-30T02:00:00Z");
    assert_eq!(spring.len(), 4, "{spring:?}");
    let autumn = between(&half_hours, "2025-10-26T00:00:00Z", "2025-10-26T02:00:00Z");
    assert_eq!(autumn.len(), 4, "{autumn:?}");
}

#[test]
fn what_can_never_happen_is_refused() {
    for (expression, zone) in [
        ("0 0 30 2 *", "UTC"),
        ("61 * * * *", "UTC"),
        ("", "UTC"),
        ("0 0 * * *", "Europe/Atlantis"),
    ] {
        let error = Cron::parse(expression, zone).expect_err(expression);
        assert!(matches!(error, Error::Invalid(_)), "{error}");
    }
}

/// Days around a change of the clocks are a few out of a thousand: whole years are looked at.
fn day() -> impl Strategy<Value = Date> {
    (2015_i16..2030, 0_i64..366).prop_map(|(year, days)| {
        date(year, 1, 1)
            .checked_add(jiff::Span::new().days(days))
            .expect("within the calendar")
    })
}

proptest! {
    #[test]
    fn a_named_time_happens_once_on_each_day(
        start in day(), hour in 0_i8..24, minute in 0_i8..60, zone in 0_usize..ZONES.len(),
    ) {
        let zone = ZONES.get(zone).copied().unwrap_or("UTC");
        let daily = cron(&format!("{minute} {hour} * * *"), zone);
        let zoned = start.to_zoned(daily.time_zone.clone()).expect("a day");
        let mut now = Timestamp::from_second(zoned.timestamp().as_second() - 1).expect("a time");
        let mut runs: BTreeMap<Date, u32> = BTreeMap::new();
        for _ in 0..400 {
            let next = daily.next_after(now).expect("a next day");
            prop_assert!(next > now);
            *runs.entry(daily.time_zone.to_datetime(next).date()).or_default() += 1;
            now = next;
        }
        prop_assert!(runs.values().all(|count| *count == 1), "{zone} {runs:?}");
        prop_assert_eq!(runs.len(), 400);
        let (first, last) = (runs.keys().next(), runs.keys().last());
        let days = last.zip(first).map(|(last, first)| (*last - *first).get_days());
        prop_assert_eq!(days, Some(399), "a day was left out in {}", zone);
    }

    #[test]
    fn the_next_occurrence_is_the_same_from_everywhere_before_it(
        start in day(), hour in 0_i8..24, minute in 0_i8..60, zone in 0_usize..ZONES.len(),
        wild in any::<bool>(), back_s in 1_i64..100_000,
    ) {
        let zone = ZONES.get(zone).copied().unwrap_or("UTC");
        let text = if wild { format!("*/7 {hour} * * *") } else { format!("{minute} {hour} * * *") };
        let schedule = cron(&text, zone);
        let from = start.to_zoned(schedule.time_zone.clone()).expect("a day").timestamp();
        let next = schedule.next_after(from).expect("a next one");
        // From any moment between the two the answer is the same.
        let wait_s = next.as_second() - from.as_second();
        let earlier = Timestamp::from_second(next.as_second() - 1 - back_s % wait_s).expect("a time");
        prop_assert_eq!(schedule.next_after(earlier), Some(next));
    }
}
