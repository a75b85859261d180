//! The drain's own tables: created once, by whoever comes first, and upgraded never backwards.

use tidegate_drain::Error;
use tidegate_drain::sink::Sink as _;
use tidegate_store::Epoch;
use tidegate_testkit::PostgresServer;

use crate::target::{Target, connect, insert, open, shard};

#[tokio::test(flavor = "multi_thread")]
async fn many_sinks_prepare_one_database_at_once() {
    let server = PostgresServer::shared().await.expect("a server");
    let database = server.create_database().await.expect("a database");
    let prepare = || {
        let url = database.url();
        tokio::spawn(async move { open(&url).await.prepare().await })
    };
    let all: Vec<_> = (0..10).map(|_| prepare()).collect();
    for one in all {
        one.await.expect("no panic").expect("prepared");
    }
    let client = connect(&database.url()).await;
    let row = client
        .query_one("SELECT count(*), max(version) FROM tidegate.meta", &[])
        .await;
    let row = row.expect("a row");
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i32>(1)), (1, 2));
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let target = Target::with("").await;
    target.run("UPDATE tidegate.meta SET version = 3").await;
    let error = target.sink.prepare().await.expect_err("refused");
    assert!(
        matches!(error, Error::Invalid(_)) && error.to_string().contains("newer"),
        "{error}"
    );
}

#[tokio::test]
async fn a_login_without_the_right_to_create_uses_what_is_there() {
    let target = Target::with(
        "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE closed (id int PRIMARY KEY)",
    )
    .await;
    let login = format!("writer_{}", target.database.name());
    target.run(&format!("
        CREATE ROLE {login} LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC;
        GRANT USAGE ON SCHEMA tidegate TO {login};
        GRANT SELECT ON tidegate.meta TO {login};
        GRANT SELECT, INSERT, UPDATE, DELETE ON tidegate.ledger, tidegate.dead_letter, tidegate.recent, t TO {login}")).await;
    let url = target
        .database
        .url()
        .replace("postgres@", &format!("{login}@"));
    let sink = open(&url).await;
    sink.prepare().await.expect("nothing to create");
    sink.claim(&shard(0), Epoch(1), 0).await.expect("a claim");
    let limited = Target { sink, ..target };
    limited.accept(&[insert("t", r#"{"id":1}"#)]).await;
    let units = crate::target::units(
        &*limited.catalog().await,
        &[insert("closed", r#"{"id":1}"#)],
    );
    let mut transaction = limited.sink.begin().await.expect("a transaction");
    let error = transaction.apply(&[&units[0]]).await.expect_err("denied");
    assert!(matches!(error, Error::SinkRefused(_)), "{error:?}");
    drop(transaction);

    let server = PostgresServer::shared().await.expect("a server");
    let empty = server.create_database().await.expect("a database");
    let error = open(&empty.url().replace("postgres@", &format!("{login}@")))
        .await
        .prepare()
        .await;
    let error = error.expect_err("denied");
    assert!(
        matches!(error, Error::SinkRefused(_)) && error.to_string().contains("grant CREATE"),
        "{error}"
    );
}

#[tokio::test]
async fn a_wrong_login_or_database_needs_somebody() {
    let target = Target::with("").await;
    for url in [
        target.database.url().replace("postgres@", "nobody_such@"),
        target
            .database
            .url()
            .replace(target.database.name(), "no_such_database"),
    ] {
        let error = open(&url).await.prepare().await.expect_err("refused");
        assert!(matches!(error, Error::SinkRefused(_)), "{error:?}");
    }
    let error = open("postgres://postgres@127.0.0.1:1/none")
        .await
        .prepare()
        .await;
    assert!(matches!(error, Err(Error::SinkUnavailable(_))), "{error:?}");
    assert!(
        target
            .sink
            .describe()
            .starts_with("postgres://postgres@127.0.0.1:")
    );
}

#[tokio::test]
async fn tables_with_rules_or_row_security_are_not_copied() {
    let schema = "
        CREATE TABLE ruled (id int PRIMARY KEY); CREATE TABLE log (id int);
        CREATE RULE r AS ON INSERT TO ruled DO ALSO INSERT INTO log VALUES (NEW.id);
        CREATE TABLE secured (id int PRIMARY KEY); ALTER TABLE secured ENABLE ROW LEVEL SECURITY";
    let target = Target::with(schema).await;
    for table in ["ruled", "secured"] {
        let rows: Vec<_> = (0..50)
            .map(|id| insert(table, &format!(r#"{{"id":{id}}}"#)))
            .collect();
        assert_eq!(target.methods(&rows).await, ["bulk"]);
        target.accept(&rows).await;
    }
    assert_eq!(target.count("SELECT count(*) FROM log").await, 50);
}

#[tokio::test]
async fn the_catalog_knows_ranks_triggers_and_partitions() {
    let schema = "
        CREATE TABLE grand (id int PRIMARY KEY);
        CREATE TABLE parent (id int PRIMARY KEY, up int REFERENCES grand);
        CREATE TABLE child (id int PRIMARY KEY, up int REFERENCES parent ON DELETE CASCADE);
        CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree);
        CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY REFERENCES a);
        ALTER TABLE a ADD FOREIGN KEY (id) REFERENCES b;
        CREATE TABLE parts (day date, id int, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
        CREATE TABLE parts_2026 PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
        CREATE VIEW v AS SELECT * FROM grand";
    let target = Target::with(schema).await;
    let catalog = target.catalog().await;
    let table = |name: &str| catalog.table(None, name).expect(name).clone();
    let ranks = ["grand", "parent", "child", "tree"].map(|name| table(name).rank);
    assert_eq!(ranks, [0, 1, 2, 0]);
    let ordered = ["grand", "parent", "child", "tree", "a", "b"].map(|name| table(name).is_ordered);
    assert_eq!(ordered, [false, true, true, false, true, true]);
    assert_eq!(table("parts").primary_key, [1, 0], "in the key's order");
    assert!(catalog.table(None, "v").is_err());
    let rows: Vec<_> = (0..40)
        .map(|id| insert("parts", &format!(r#"{{"id":{id},"day":"2026-05-05"}}"#)))
        .collect();
    target.accept(&rows).await;
    let refusal = target
        .refuse(&insert("parts", r#"{"id":1,"day":"2020-05-05"}"#))
        .await;
    assert_eq!(refusal.rejection.sqlstate.as_deref(), Some("23514"));
}
