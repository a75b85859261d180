//! What becomes of a change that meets another row than it expected, by the table's policy.

use tidegate_drain::apply::{Settled, apply_entries};
use tidegate_drain::policy::{OnConflict, OnMissing, Policies, TablePolicy};
use tidegate_drain::sink::Sink;
use tidegate_store::Epoch;

use crate::engine::context;
use crate::target::{Target, entry, shard};

const SCHEMA: &str = "CREATE TABLE refund (id INTEGER PRIMARY KEY, code TEXT UNIQUE, amount NUMERIC, version INTEGER)";

fn policy(change: impl FnOnce(&mut TablePolicy)) -> Policies {
    let mut policy = TablePolicy::default();
    change(&mut policy);
    Policies([("refund".to_owned(), policy)].into())
}

fn insert(id: i64, rest: &str) -> String {
    format!(r#"{{"op":"insert","table":"refund","row":{{"id":{id},{rest}}}}}"#)
}

fn update(id: i64, set: &str) -> String {
    format!(r#"{{"op":"update","table":"refund","key":{{"id":{id}}},"set":{{{set}}}}}"#)
}

async fn drain(target: &Target, operations: &[String]) -> Settled {
    let (shard, catalog) = (shard(0), target.catalog().await);
    let claim = target.sink.claim(&shard, Epoch(1), 0).await;
    let mut claim = claim.expect("a claim");
    let first = claim.position.ms + 1;
    let entries = operations
        .iter()
        .zip(first..)
        .map(|(text, ms)| entry(ms, text));
    let context = context(&shard, &catalog, 1_000);
    let entries = entries.collect();
    apply_entries(&context, &target.sink, Epoch(1), &mut claim, entries)
        .await
        .expect("settled")
}

#[tokio::test]
async fn an_insert_sent_again_is_no_conflict_and_another_row_is() {
    let mut target = Target::with(SCHEMA).await;
    let first = insert(1, r#""code":"a","amount":15"#);
    drain(&target, std::slice::from_ref(&first)).await;
    let other = insert(1, r#""code":"b""#);
    let settled = drain(&target, &[first, other.clone()]).await;
    assert_eq!((settled.applied, settled.skipped, settled.dead), (1, 1, 1));

    let target_code = |target: &Target| target.rows("SELECT code FROM refund WHERE id = 1");
    target.run("DELETE FROM tidegate_dead_letter");
    target.policies = policy(|it| it.on_conflict = OnConflict::Skip);
    let settled = drain(&target, std::slice::from_ref(&other)).await;
    assert_eq!((settled.applied, settled.skipped), (1, 1));
    assert_eq!(target_code(&target), ["t:a"]);
    target.policies = policy(|it| it.on_conflict = OnConflict::Update);
    let settled = drain(&target, &[other]).await;
    assert_eq!((settled.applied, settled.skipped), (1, 0));
    assert_eq!(target_code(&target), ["t:b"]);
}

#[tokio::test]
async fn updates_and_deletes_of_missing_rows_follow_the_policy() {
    let mut target = Target::with(SCHEMA).await;
    target.policies = policy(|it| {
        it.on_missing_update = OnMissing::Skip;
        it.on_missing_delete = OnMissing::DeadLetter;
    });
    let delete = r#"{"op":"delete","table":"refund","key":{"id":8}}"#.to_owned();
    let settled = drain(&target, &[update(7, r#""code":null"#), delete]).await;
    assert_eq!((settled.applied, settled.skipped, settled.dead), (1, 1, 1));
}

#[tokio::test]
async fn an_older_version_never_turns_a_row_back() {
    let mut target = Target::with(SCHEMA).await;
    target.policies = policy(|it| it.version = Some("version".to_owned()));
    let first = insert(1, r#""code":"a","version":9"#);
    let older = update(1, r#""code":"old","version":9"#);
    let upsert = r#"{"op":"upsert","table":"refund","row":{"id":1,"code":"old","version":8}}"#;
    let newer = update(1, r#""code":"new","version":10"#);
    let missing = update(2, r#""code":"new","version":10"#);
    let batch = [
        first.clone(),
        older,
        upsert.to_owned(),
        newer,
        first,
        missing,
    ];
    let settled = drain(&target, &batch).await;
    assert_eq!((settled.applied, settled.stale, settled.dead), (5, 3, 1));
    assert_eq!(
        target.rows("SELECT code, version FROM refund"),
        ["t:new i:10"]
    );
}
