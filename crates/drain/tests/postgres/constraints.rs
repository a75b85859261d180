//! Triggers, deferred constraints, parents with children, tables that change.

use tidegate_drain::held::HeldState;
use tidegate_drain::sink::{Outcome, SinkTransaction};
use tidegate_drain::{Error, Result, Sink};
use tidegate_store::Epoch;

use crate::refusals::{SCHEMA, payment};
use crate::target::{Target, insert};

async fn begin(sink: &dyn Sink) -> Result<Box<dyn SinkTransaction>> {
    sink.begin().await
}

#[tokio::test]
async fn a_trigger_that_keeps_rows_back_refuses_nothing() {
    let schema = "
        CREATE TABLE t (id int PRIMARY KEY, v int);
        CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN IF NEW.v = 0 THEN RETURN NULL; END IF; RETURN NEW; END $$;
        CREATE TRIGGER t BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION skip()";
    let target = Target::with(schema).await;
    let row = |id: usize, v: usize| insert("t", &format!(r#"{{"id":{id},"v":{v}}}"#));
    target
        .accept(&(0..40).map(|id| row(id, id % 2)).collect::<Vec<_>>())
        .await;
    assert_eq!(target.count("SELECT count(*) FROM t").await, 20);
    let update = |id: usize, v: u8| {
        format!(r#"{{"op":"update","table":"t","key":{{"id":{id}}},"set":{{"v":{v}}}}}"#)
    };
    target
        .accept(&[update(1, 0), update(3, 2), update(5, 0)])
        .await;
    assert_eq!(
        target
            .rows("SELECT v::text FROM t WHERE id IN (1, 3, 5) ORDER BY id")
            .await,
        ["1", "2", "1"]
    );
    let settled = target
        .drain(1, &[update(1, 0), update(2, 0), update(3, 3)])
        .await;
    assert_eq!((settled.applied, settled.dead), (2, 1));
}

#[tokio::test]
async fn a_violation_that_is_deferred_is_found_inside_the_savepoint() {
    let schema = "
        CREATE TABLE parent (id int PRIMARY KEY);
        CREATE TABLE child (id int PRIMARY KEY,
            parent int REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
        CREATE TABLE place (id int PRIMARY KEY, position int UNIQUE DEFERRABLE)";
    let target = Target::with(schema).await;
    let child =
        |id: usize, parent: usize| insert("child", &format!(r#"{{"id":{id},"parent":{parent}}}"#));
    // Inside of one transaction the child may come first.
    let unit = r#"{"op":"transaction","operations":[
        {"op":"insert","table":"child","row":{"id":1,"parent":1}},
        {"op":"insert","table":"parent","row":{"id":1}}]}"#;
    let mut operations: Vec<_> = (2..50).map(|id| child(id, 1)).collect();
    operations.push(child(50, 99));
    operations.insert(0, unit.to_owned());
    let settled = target.drain(1, &operations).await;
    assert_eq!((settled.applied, settled.waiting), (49, 1));
    assert_eq!(target.letters().await[0].state, HeldState::Waiting);
    // Two rows change places.
    let place =
        |id: u8, position: u8| insert("place", &format!(r#"{{"id":{id},"position":{position}}}"#));
    target.accept(&[place(1, 1), place(2, 2)]).await;
    let swap = r#"{"op":"transaction","operations":[
        {"op":"update","table":"place","key":{"id":1},"set":{"position":2}},
        {"op":"update","table":"place","key":{"id":2},"set":{"position":1}}]}"#;
    target.accept(&[swap]).await;
}

#[tokio::test]
async fn a_parent_with_children_can_not_go_and_does_not_wait() {
    let target = Target::with(SCHEMA).await;
    target.accept(&[payment(3)]).await;
    let refusal = target
        .refuse(r#"{"op":"delete","table":"account","key":{"id":3}}"#)
        .await;
    assert_eq!(refusal.rejection.sqlstate.as_deref(), Some("23503"));
    assert!(!refusal.is_missing_parent && refusal.rejection.reason.contains("still refer"));
}

#[tokio::test]
async fn a_table_that_changed_behind_our_back_refuses_and_the_rest_goes_on() {
    let target = Target::with(
        "CREATE TABLE t (id int PRIMARY KEY, a int); CREATE TABLE u (id int PRIMARY KEY)",
    )
    .await;
    let catalog = target.catalog().await;
    let operations: Vec<_> = (0..30)
        .map(|id| insert("t", &format!(r#"{{"id":{id},"a":1}}"#)))
        .collect();
    let units = crate::target::units(&catalog, &operations);
    for (ddl, count, is_taken) in [
        // Into a text column a number's bytes go by arrays, which convert it, never by COPY unseen.
        ("ALTER TABLE t ALTER a TYPE text", 30, true),
        ("ALTER TABLE t DROP a", 5, false),
        ("DROP TABLE t", 1, false),
    ] {
        target.run(ddl).await;
        let refs: Vec<_> = units.iter().take(count).collect();
        let mut transaction = begin(&target.sink).await.expect("a transaction");
        let outcome = transaction.apply(&refs).await.expect(ddl);
        assert_eq!(
            matches!(outcome, Outcome::Applied),
            is_taken,
            "{ddl}: {outcome:?}"
        );
        if is_taken {
            transaction.commit().await.expect("a commit");
            let taken = target.count("SELECT count(*) FROM t WHERE a = '1'").await;
            assert_eq!(taken, 30);
            transaction = begin(&target.sink).await.expect("a transaction");
        }
        let more = crate::target::units(&catalog, &[insert("u", &format!(r#"{{"id":{count}}}"#))]);
        let outcome = transaction.apply(&[&more[0]]).await.expect("an outcome");
        assert!(matches!(outcome, Outcome::Applied), "{outcome:?}");
        transaction.commit().await.expect("a commit");
    }
    assert_eq!(target.count("SELECT count(*) FROM u").await, 3);
}

#[tokio::test]
async fn a_copy_refused_from_the_start_is_tried_again_by_insert() {
    let target = Target::with("CREATE TABLE t (id int PRIMARY KEY)").await;
    let operations: Vec<_> = (0..50)
        .map(|id| insert("t", &format!(r#"{{"id":{id}}}"#)))
        .collect();
    let units = crate::target::units(&*target.catalog().await, &operations);
    let refs: Vec<_> = units.iter().collect();
    // A view can be looked at and inserted into, and takes no COPY.
    target
        .run("ALTER TABLE t RENAME TO u; CREATE VIEW t AS SELECT * FROM u")
        .await;
    let mut transaction = begin(&target.sink).await.expect("a transaction");
    let outcome = transaction.apply(&refs).await.expect("an outcome");
    let is_unsure =
        matches!(&outcome, Outcome::Refused { applied: 0, culprits } if culprits.is_empty());
    assert!(is_unsure, "{outcome:?}");
    // Whoever searches comes to single entries in the end, and those are inserted.
    for one in refs.chunks(1) {
        let outcome = transaction.apply(one).await.expect("an outcome");
        assert!(matches!(outcome, Outcome::Applied), "{outcome:?}");
    }
    transaction.commit().await.expect("a commit");
    assert_eq!(target.count("SELECT count(*) FROM u").await, 50);
}

#[tokio::test]
async fn a_type_made_anew_is_known_when_the_catalog_is_read_again() {
    let target = Target::with("CREATE TYPE mood AS ENUM ('sad')").await;
    for label in ["sad", "ok"] {
        target
            .run(&format!(
                "DROP TYPE mood CASCADE; CREATE TYPE mood AS ENUM ('{label}');
                DROP TABLE IF EXISTS t; CREATE TABLE t (id int PRIMARY KEY, m mood)"
            ))
            .await;
        for count in [1, 5, 40] {
            let rows: Vec<_> = (0..count)
                .map(|id| {
                    insert(
                        "t",
                        &format!(r#"{{"id":{},"m":"{label}"}}"#, count * 100 + id),
                    )
                })
                .collect();
            target.accept(&rows).await;
        }
    }
}

#[tokio::test]
async fn a_constraint_deferred_behind_our_back_is_met_at_the_commit_and_then_looked_at() {
    let schema = "CREATE TABLE parent (id int PRIMARY KEY);
        CREATE TABLE child (id int PRIMARY KEY, parent int)";
    let target = Target::with(schema).await;
    let operation = insert("child", r#"{"id":1,"parent":9}"#);
    let units = crate::target::units(&*target.catalog().await, &[operation]);
    let refs: Vec<_> = units.iter().collect();
    target
        .run("ALTER TABLE child ADD FOREIGN KEY (parent) REFERENCES parent DEFERRABLE INITIALLY DEFERRED")
        .await;
    let mut transaction = begin(&target.sink).await.expect("a transaction");
    let outcome = transaction.apply(&refs).await.expect("an outcome");
    assert!(matches!(outcome, Outcome::Applied), "{outcome:?}");
    let committed = transaction.commit().await;
    assert!(
        matches!(committed, Err(Error::SinkUnavailable(_))),
        "{committed:?}"
    );
    let mut transaction = begin(&target.sink).await.expect("a transaction");
    let outcome = transaction.apply(&refs).await.expect("an outcome");
    assert!(matches!(outcome, Outcome::Refused { .. }), "{outcome:?}");
}

#[tokio::test]
async fn what_was_done_before_an_attempt_stays_when_it_is_taken_back() {
    let target = Target::with(SCHEMA).await;
    let operations = [
        payment(1),
        insert("payment", r#"{"id":2,"code":"taken"}"#),
        payment(3),
        insert("payment", r#"{"id":4,"code":"x","cents":0}"#),
    ];
    let units = crate::target::units(&*target.catalog().await, &operations);
    let shard = crate::target::shard(0);
    target
        .sink
        .claim(&shard, Epoch(1), 0)
        .await
        .expect("a claim");
    for first in [0, 1] {
        let mut transaction = begin(&target.sink).await.expect("a transaction");
        transaction.revise(&shard, 5).await.expect("revised");
        // A refusal first, or a success first: what follows is the same.
        for unit in units.iter().skip(first) {
            let outcome = transaction.apply(&[unit]).await.expect("an outcome");
            let is_good = unit.envelope.id.ms % 2 == 1;
            assert_eq!(matches!(outcome, Outcome::Applied), is_good, "{outcome:?}");
            transaction.revise(&shard, 1).await.expect("revised");
        }
        transaction.commit().await.expect("a commit");
        target.run("DELETE FROM payment WHERE id > 0").await;
    }
    let row = target
        .sink
        .ledger(&shard.stream)
        .await
        .expect("rows")
        .remove(0);
    assert_eq!(row.applied, 5 + 4 + 5 + 3);
}

#[tokio::test]
async fn a_trigger_of_the_whole_statement_refuses_and_the_connection_stays_in_step() {
    let schema = "
        CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY);
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'closed for today'; END $$;
        CREATE TRIGGER before BEFORE INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION fail()";
    let target = Target::with(schema).await;
    let rows = |table: &str| -> Vec<String> {
        let ids = 0..50;
        ids.map(|id| insert(table, &format!(r#"{{"id":{id}}}"#)))
            .collect()
    };
    let catalog = target.catalog().await;
    let (bad, good) = (
        crate::target::units(&catalog, &rows("t")),
        crate::target::units(&catalog, &rows("u")),
    );
    let mut transaction = begin(&target.sink).await.expect("a transaction");
    let outcome = transaction.apply(&bad.iter().collect::<Vec<_>>()).await;
    assert!(
        matches!(outcome, Ok(Outcome::Refused { .. })),
        "{outcome:?}"
    );
    let outcome = transaction.apply(&good.iter().collect::<Vec<_>>()).await;
    assert!(matches!(outcome, Ok(Outcome::Applied)), "{outcome:?}");
    let held = transaction.load_held(&crate::target::shard(0), &[]).await;
    assert_eq!(held.expect("an answer").len(), 0);
    transaction.commit().await.expect("a commit");
    assert_eq!(target.count("SELECT count(*) FROM u").await, 50);
}
