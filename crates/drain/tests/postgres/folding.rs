//! Several changes of one row in a batch: written once, where the table allows it.

use tidegate_drain::sink::Sink as _;

use crate::target::{Target, insert, units};

fn update(table: &str, id: u32, set: &str) -> String {
    format!(r#"{{"op":"update","table":"{table}","key":{{"id":{id}}},"set":{set}}}"#)
}

/// A row of `id` and `v`, and then another `v`.
fn life(table: &str) -> [String; 2] {
    [
        insert(table, r#"{"id":1,"v":"1"}"#),
        update(table, 1, r#"{"v":"2"}"#),
    ]
}

impl Target {
    /// How many statements are run for these operations.
    async fn statements(&self, operations: &[String]) -> usize {
        let units = units(&*self.catalog().await, operations);
        self.sink.explain(&units).len()
    }

    /// What became of the entries that are held, oldest first.
    async fn states(&self) -> Vec<String> {
        let letters = self.letters().await.into_iter();
        letters
            .map(|letter| format!("{} {}", letter.state.as_str(), letter.code))
            .collect()
    }
}

#[tokio::test]
async fn a_row_that_is_inserted_and_updated_in_a_batch_is_written_once() {
    let schema = "CREATE TABLE t (id int PRIMARY KEY, v text, w text, j jsonb)";
    let target = Target::with(schema).await;
    let mut operations = Vec::new();
    for id in 0..100 {
        operations.push(insert("t", &format!(r#"{{"id":{id},"v":"1","j":null}}"#)));
        operations.push(update("t", id, r#"{"v":"2"}"#));
        operations.push(update("t", id, r#"{"w":"3","j":{"k":1}}"#));
    }
    assert_eq!(target.statements(&operations).await, 1);
    let settled = target.drain(1, &operations).await;
    assert_eq!(settled.applied, 300);
    let good = "SELECT count(*) FROM t WHERE v = '2' AND w = '3' AND j = '{\"k\":1}'";
    assert_eq!(target.count(good).await, 100);
    // A row version that was replaced would have left a line pointer behind it.
    let places = "SELECT max((ctid::text::point)[1])::int8 FROM t";
    assert_eq!(target.count(places).await, 100);
}

#[tokio::test]
async fn a_table_that_looks_at_every_state_gets_every_state() {
    let schema = "
        CREATE TABLE checked (id int PRIMARY KEY, v text CHECK (v <> '1'));
        CREATE TABLE singular (id int PRIMARY KEY, v text UNIQUE);
        CREATE TABLE indexed (id int PRIMARY KEY, v text); CREATE INDEX ON indexed (v);
        CREATE TABLE partly (id int PRIMARY KEY, v text, w int);
        CREATE INDEX ON partly (w) WHERE v = '1';
        CREATE TABLE computed (id int PRIMARY KEY, v text, w int);
        CREATE INDEX ON computed (w, (v::int));
        CREATE TABLE derived (id int PRIMARY KEY, v text,
            g int GENERATED ALWAYS AS (10 / length(v)) STORED);
        CREATE TABLE divided (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
        CREATE TABLE divided_1 PARTITION OF divided FOR VALUES FROM (0) TO (9);
        CREATE TABLE guarded (id int PRIMARY KEY, v text);
        ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
        CREATE DOMAIN word AS text CHECK (VALUE <> '1');
        CREATE TABLE worded (id int PRIMARY KEY, v word);
        CREATE TABLE parsed (id int PRIMARY KEY, v inet);
        CREATE TABLE whole (id int PRIMARY KEY, v text, CHECK (whole IS NOT NULL));
        CREATE TABLE ranked (id int PRIMARY KEY, v text, w int);
        CREATE FUNCTION rank_of(ranked) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1';
        CREATE INDEX ON ranked (w, rank_of(ranked));
        CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TABLE triggered (id int PRIMARY KEY, v text);
        CREATE TRIGGER x AFTER UPDATE ON triggered EXECUTE FUNCTION nothing();";
    let target = Target::with(schema).await;
    for table in [
        "checked",
        "singular",
        "indexed",
        "partly",
        "computed",
        "derived",
        "divided",
        "divided_1",
        "guarded",
        "worded",
        "parsed",
        "whole",
        "ranked",
        "triggered",
    ] {
        assert_eq!(target.statements(&life(table)).await, 2, "{table}");
    }
}

#[tokio::test]
async fn a_state_in_between_that_a_check_refuses_is_a_dead_letter() {
    let target =
        Target::with("CREATE TABLE t (id int PRIMARY KEY, v text CHECK (v <> '1'), w int)").await;
    target.drain(1, &life("t")).await;
    assert_eq!(target.states().await, ["dead refused", "parked refused"]);
    assert_eq!(target.count("SELECT count(*) FROM t").await, 0);
}

#[tokio::test]
async fn folded_changes_that_are_refused_leave_the_letters_of_the_changes_as_sent() {
    let target = Target::with("CREATE TABLE t (id int PRIMARY KEY, v text, w text)").await;
    target.run("INSERT INTO t VALUES (1, 'old')").await;
    let mut operations = life("t").to_vec();
    operations.extend([
        // No such row: the first update is dead, and the second one stands behind it.
        update("t", 2, r#"{"v":"1"}"#),
        update("t", 2, r#"{"v":"2"}"#),
        insert("t", r#"{"id":3,"v":"1"}"#),
        update("t", 3, r#"{"v":"2"}"#),
    ]);
    let settled = target.drain(1, &operations).await;
    assert_eq!((settled.applied, settled.dead, settled.parked), (2, 2, 2));
    let states = target.states().await;
    assert_eq!(states.iter().filter(|s| s.starts_with("dead")).count(), 2);
    let rows = target.rows("SELECT id || v FROM t ORDER BY id").await;
    assert_eq!(rows, ["1old", "32"]);
}

#[tokio::test]
async fn folding_can_be_turned_off() {
    let target = Target::with("CREATE TABLE t (id int PRIMARY KEY, v text)").await;
    let options = tidegate_drain::PostgresOptions {
        may_fold: false,
        ..Default::default()
    };
    let sink = tidegate_drain::PostgresSink::connect(&target.database.url(), options)
        .await
        .expect("a sink");
    let units = units(&sink.catalog().await.expect("a catalog"), &life("t"));
    assert_eq!(sink.explain(&units).len(), 2);
}
