//! What operations would change, looked at in a database that is only read.

use tidegate_drain::diff::{Effect, Overlay, RowDiff};
use tidegate_drain::policy::{OnConflict, Policies, TablePolicy};

use crate::target::{Target, insert, units};

const SCHEMA: &str = "
    CREATE TYPE mood AS ENUM ('sad', 'glad');
    CREATE TABLE t (id int PRIMARY KEY, amount numeric(10,2), doc json, tags text[], m mood,
        at timestamptz, is_there boolean);
    CREATE TABLE log (line text);
    INSERT INTO t VALUES (1, 1.5, '{\"a\": 1}', '{x,y}', 'sad', '2026-01-01 00:00Z', true),
        (2, 2, NULL, NULL, NULL, NULL, NULL);";

async fn diff(target: &Target, operations: &[String]) -> Vec<RowDiff> {
    let mut overlay = Overlay::default();
    for unit in &units(&*target.catalog().await, operations) {
        overlay.add(unit).expect("few rows");
    }
    overlay.diff(&target.sink).await.expect("a diff")
}

fn effects(diffs: &[RowDiff]) -> Vec<Effect> {
    diffs.iter().map(|diff| diff.effect).collect()
}

fn update(id: usize, set: &str) -> String {
    format!(r#"{{"op":"update","table":"t","key":{{"id":{id}}},"set":{set}}}"#)
}

#[tokio::test]
async fn a_diff_tells_what_would_change_and_changes_nothing() {
    let target = Target::with(SCHEMA).await;
    let before = target.rows("SELECT t::text FROM t ORDER BY id").await;
    let same = r#"{"amount":1.50,"doc":{"a":1},"tags":["x","y"],"m":"sad","at":"2026-01-01T01:00:00+01:00","is_there":true}"#;
    let diffs = diff(
        &target,
        &[
            update(1, same),
            update(2, r#"{"amount":3}"#),
            update(2, r#"{"m":"glad"}"#),
            insert("t", r#"{"id":3,"amount":7}"#),
            update(3, r#"{"amount":8}"#),
            insert("t", r#"{"id":4}"#),
            r#"{"op":"delete","table":"t","key":{"id":4}}"#.to_owned(),
            update(5, r#"{"amount":8}"#),
            insert("log", r#"{"line":"x"}"#),
            insert("log", r#"{"line":"x"}"#),
        ],
    )
    .await;
    let expected = [
        Effect::Unchanged,
        Effect::Update,
        Effect::Insert,
        Effect::Unchanged,
        Effect::Missing,
        Effect::Insert,
        Effect::Insert,
    ];
    assert_eq!(effects(&diffs), expected);
    let [_, second, third, ..] = &diffs[..] else {
        panic!("{diffs:?}");
    };
    let values: Vec<_> = second.columns.iter().map(|it| (&it.old, &it.new)).collect();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(values[1], (&text("2.00"), &Some(text("3.00"))));
    assert_eq!(values[4], (&None, &Some(text("glad"))));
    assert_eq!(values[2], (&None, &None));
    assert_eq!(
        third.columns[1].new,
        Some(text("8.00")),
        "the last one counts"
    );
    assert_eq!(
        target.rows("SELECT t::text FROM t ORDER BY id").await,
        before
    );
}

#[tokio::test]
async fn a_row_in_the_way_is_told_by_the_policy_of_its_table() {
    let mut target = Target::with(SCHEMA).await;
    let operations = [
        insert("t", r#"{"id":1,"amount":9}"#),
        insert("t", r#"{"id":2,"amount":2}"#),
        update(2, r#"{"amount":4}"#),
    ];
    for (policy, expected) in [
        (OnConflict::DeadLetter, [Effect::Conflict, Effect::Update]),
        (OnConflict::Skip, [Effect::Unchanged, Effect::Update]),
        (OnConflict::Update, [Effect::Update, Effect::Update]),
    ] {
        let of_table = TablePolicy {
            on_conflict: policy,
            ..TablePolicy::default()
        };
        target.policies = Policies([("t".to_owned(), of_table)].into());
        let found = effects(&diff(&target, &operations).await);
        assert_eq!(found, expected, "{policy:?}");
    }
}
