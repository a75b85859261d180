//! What becomes of a change that meets another row than it expected, by the table's policy.

use tidegate_drain::Sink;
use tidegate_drain::apply::Settled;
use tidegate_drain::policy::{OnConflict, OnMissing, Policies, TablePolicy};

use crate::target::{Target, insert};

const SCHEMA: &str = "
    CREATE TABLE refund (id bigint PRIMARY KEY, code text UNIQUE, amount numeric(10, 2), seen timestamptz,
        detail json, place point, version bigint);
    CREATE TABLE note (id bigint PRIMARY KEY, body text);";

fn policy(change: impl FnOnce(&mut TablePolicy)) -> Policies {
    let mut policy = TablePolicy::default();
    change(&mut policy);
    Policies([("refund".to_owned(), policy)].into())
}

fn refund(id: usize, rest: &str) -> String {
    insert("refund", &format!(r#"{{"id":{id},{rest}}}"#))
}

fn update(id: usize, set: &str) -> String {
    format!(r#"{{"op":"update","table":"refund","key":{{"id":{id}}},"set":{{{set}}}}}"#)
}

fn upsert(id: usize, rest: &str) -> String {
    format!(r#"{{"op":"upsert","table":"refund","row":{{"id":{id},{rest}}}}}"#)
}

const FULL: &str = r#""code":null,"amount":1.5,"seen":"2024-02-29T01:00:00+01:00","detail":{"a": 1},"place":"(1,2)""#;

#[tokio::test]
async fn an_insert_sent_again_is_no_conflict_and_another_row_is() {
    let target = Target::with(SCHEMA).await;
    let all: Vec<_> = (0..200).map(|id| refund(id, FULL)).collect();
    assert_eq!(target.drain(1, &all).await.applied, 200);

    // In a crowd, and within one batch.
    let mut again = all.clone();
    again.push(refund(1_000, r#""code":"new""#));
    again.push(refund(1_000, r#""code":"new""#));
    again.push(refund(7, r#""code":null,"amount":9"#));
    again.push(refund(2_000, r#""code":"new""#));
    let settled = target.drain(1, &again).await;
    let expected = Settled {
        applied: 202,
        dead: 2,
        skipped: 201,
        ..Settled::default()
    };
    assert_eq!(settled, expected);
    let letters = target.letters().await;
    assert!(
        letters
            .iter()
            .all(|letter| letter.sqlstate.as_deref() == Some("23505"))
    );
    assert_eq!(target.count("SELECT count(*) FROM refund").await, 201);
    assert_eq!(
        target
            .rows("SELECT amount::text FROM refund WHERE id = 7")
            .await,
        ["1.50"]
    );
}

#[tokio::test]
async fn a_conflict_is_skipped_where_the_policy_says_so() {
    let mut target = Target::with(SCHEMA).await;
    target.policies = policy(|it| it.on_conflict = OnConflict::Skip);
    target.drain(1, &[refund(1, r#""code":"a""#)]).await;
    let batch = [
        refund(1, r#""code":"b""#),
        refund(2, r#""code":"a""#),
        refund(3, r#""code":"c""#),
    ];
    let settled = target.drain(1, &batch).await;
    assert_eq!((settled.applied, settled.skipped, settled.dead), (3, 2, 0));
    let rows = target
        .rows("SELECT id || code FROM refund ORDER BY id")
        .await;
    assert_eq!(rows, ["1a", "3c"]);
}

#[tokio::test]
async fn a_conflict_updates_the_row_where_the_policy_says_so() {
    let mut target = Target::with(SCHEMA).await;
    target.policies = policy(|it| it.on_conflict = OnConflict::Update);
    target
        .drain(
            1,
            &[
                refund(1, r#""code":"a","amount":5"#),
                refund(2, r#""code":"z""#),
            ],
        )
        .await;
    // The second one's code is another row's, which no update of its own row can mend.
    let batch = [refund(1, r#""code":"b""#), refund(3, r#""code":"z""#)];
    let settled = target.drain(1, &batch).await;
    assert_eq!((settled.applied, settled.dead), (1, 1));
    let rows = target
        .rows("SELECT id || code || coalesce(amount::text, '') FROM refund ORDER BY id")
        .await;
    assert_eq!(rows, ["1b5.00", "2z"]);
}

#[tokio::test]
async fn updates_and_deletes_of_missing_rows_follow_the_policy() {
    let mut target = Target::with(SCHEMA).await;
    let delete = |id| format!(r#"{{"op":"delete","table":"refund","key":{{"id":{id}}}}}"#);
    target.drain(1, &[refund(1, r#""code":"a""#)]).await;
    let batch: Vec<_> = (1..40).map(|id| update(id, r#""code":null"#)).collect();
    let settled = target.drain(1, &batch).await;
    assert_eq!((settled.applied, settled.dead, settled.skipped), (1, 38, 0));

    target.policies = policy(|it| it.on_missing_update = OnMissing::Skip);
    let batch: Vec<_> = (1..40)
        .map(|id| update(100 + id, r#""code":null"#))
        .collect();
    let settled = target.drain(1, &batch).await;
    assert_eq!(
        (settled.applied, settled.dead, settled.skipped),
        (39, 0, 39)
    );

    target.policies = policy(|it| it.on_missing_delete = OnMissing::DeadLetter);
    let batch: Vec<_> = [1, 201, 202, 203, 204, 205]
        .into_iter()
        .map(delete)
        .collect();
    let settled = target.drain(1, &batch).await;
    assert_eq!((settled.applied, settled.dead), (1, 5));
    let letters = target.letters().await;
    let last = letters.last().expect("a letter");
    assert!(last.reason.contains("to delete"), "{}", last.reason);
}

#[tokio::test]
async fn an_older_version_never_turns_a_row_back() {
    let mut target = Target::with(SCHEMA).await;
    target.policies = policy(|it| it.version = Some("version".to_owned()));
    let rows: Vec<_> = (1..=30)
        .map(|id| refund(id, r#""code":null,"version":10"#))
        .collect();
    target.drain(1, &rows).await;
    for (few, name) in [(1, "one"), (30, "many")] {
        let versioned = |version: usize, amount: usize| {
            move |id| update(id, &format!(r#""amount":{amount},"version":{version}"#))
        };
        let base = if few == 1 { 10 } else { 20 };
        let newer: Vec<_> = (1..=few).map(versioned(base + 5, 5)).collect();
        let settled = target.drain(1, &newer).await;
        assert_eq!((settled.applied, settled.stale), (few as u64, 0), "{name}");
        let older: Vec<_> = (1..=few).map(versioned(base + 4, 4)).collect();
        let settled = target.drain(1, &older).await;
        assert_eq!(
            (settled.applied, settled.stale),
            (few as u64, few as u64),
            "{name}"
        );
        let older: Vec<_> = (1..=few)
            .map(|id| upsert(id, &format!(r#""amount":3,"version":{}"#, base + 5)))
            .collect();
        let settled = target.drain(1, &older).await;
        assert_eq!(
            (settled.applied, settled.stale),
            (few as u64, few as u64),
            "{name}"
        );
    }
    let amounts = target
        .rows("SELECT DISTINCT amount::text FROM refund")
        .await;
    assert_eq!(amounts, ["5.00"]);
    // A replay of the inserts is older, and an update of a missing row is not.
    let settled = target.drain(1, &rows).await;
    assert_eq!((settled.stale, settled.dead), (30, 0));
    let batch: Vec<_> = (28..=33)
        .map(|id| update(id, r#""code":null,"version":1"#))
        .collect();
    let settled = target.drain(1, &batch).await;
    assert_eq!((settled.applied, settled.stale, settled.dead), (3, 3, 3));
    // Without a version nobody knows.
    let rejection = target.reject(&update(1, r#""amount":1"#)).await;
    assert!(rejection.reason.contains("\"version\""), "{rejection}");
}

#[tokio::test]
async fn a_policy_that_the_tables_do_not_bear_out_is_named() {
    let target = Target::with(SCHEMA).await;
    let catalog = target.sink.catalog().await.expect("a catalog");
    let versioned = |name: &str| TablePolicy {
        version: Some(name.to_owned()),
        ..TablePolicy::default()
    };
    for (table, policy, setting) in [
        ("refunds", TablePolicy::default(), None),
        ("refund", versioned("vers"), Some("version")),
        ("refund", versioned("id"), Some("version")),
        ("public.refund", versioned("place"), Some("version")),
    ] {
        let policies = Policies([(table.to_owned(), policy)].into());
        let faults = policies.faults(&catalog);
        assert_eq!(faults.len(), 1, "{table}");
        assert_eq!(faults[0].setting, setting, "{faults:?}");
    }
    let right = Policies([("public.refund".to_owned(), versioned("version"))].into());
    assert!(right.faults(&catalog).is_empty());
}
