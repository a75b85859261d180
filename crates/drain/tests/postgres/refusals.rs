//! Bad rows: found, named, kept with their reason, while all others are applied.

use tidegate_drain::Code;
use tidegate_drain::apply::Settled;
use tidegate_drain::held::HeldState;
use tidegate_drain::sink::Outcome;

use crate::target::{Target, insert};

const SCHEMA: &str = "
    CREATE TABLE account (id int PRIMARY KEY);
    INSERT INTO account SELECT generate_series(0, 9);
    CREATE TABLE payment (id int PRIMARY KEY, code text NOT NULL UNIQUE, cents int CHECK (cents > 0),
        account int REFERENCES account, note text);
    INSERT INTO payment (id, code) VALUES (-1, 'taken');
    CREATE FUNCTION no_secrets() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.note = 'secret' THEN RAISE EXCEPTION 'no secrets here'; END IF;
        RETURN NEW;
    END $$;
";
const TRIGGER: &str = "CREATE TRIGGER t BEFORE INSERT OR UPDATE ON payment FOR EACH ROW EXECUTE FUNCTION no_secrets()";

/// How many rows a batch has.
const ROWS: usize = 1_000;
/// Where the bad row is.
const BAD: usize = 617;

fn payment(id: usize) -> String {
    insert(
        "payment",
        &format!(
            r#"{{"id":{id},"code":"c{id}","cents":{},"account":{}}}"#,
            id + 1,
            id % 10
        ),
    )
}

/// A thousand payments of which some are replaced.
fn batch(bad: &[(usize, String)]) -> Vec<String> {
    let mut batch: Vec<String> = (0..ROWS).map(payment).collect();
    for (index, operation) in bad {
        batch[*index] = operation.clone();
    }
    batch
}

#[tokio::test]
async fn one_bad_row_in_a_thousand_leaves_the_others_applied() {
    let row = |values: &str| insert("payment", &format!(r#"{{"id":{BAD},{values}}}"#));
    let cases = [
        (
            row(r#""code":"taken""#),
            Code::Refused,
            "23505",
            "payment_code_key",
        ),
        (
            row(r#""code":"c1""#),
            Code::Refused,
            "23505",
            "payment_code_key",
        ),
        (
            insert("payment", r#"{"id":-1,"code":"x"}"#),
            Code::Refused,
            "23505",
            "payment_pkey",
        ),
        (
            row(r#""code":"x","cents":-5"#),
            Code::Refused,
            "23514",
            "payment_cents_check",
        ),
        (
            row(r#""code":"x","cents":-5,"account":1"#),
            Code::Refused,
            "23514",
            "payment_cents_check",
        ),
    ];
    for (operation, code, sqlstate, constraint) in cases {
        let target = Target::with(SCHEMA).await;
        let settled = target.drain(1, &batch(&[(BAD, operation.clone())])).await;
        let expected = Settled {
            applied: 999,
            dead: 1,
            ..Settled::default()
        };
        assert_eq!(settled, expected, "{operation}");
        assert_eq!(target.count("SELECT count(*) FROM payment").await, 1_000);
        let letter = target.letters().await.remove(0);
        assert_eq!(
            (letter.code.as_str(), letter.sqlstate.as_deref()),
            (code.as_str(), Some(sqlstate))
        );
        assert_eq!(letter.id.entry.ms, BAD as u64 + 1);
        assert!(letter.reason.contains(constraint), "{}", letter.reason);
        // The detail of the database's error would have told the row.
        assert!(
            !letter.reason.contains("-5") && !letter.reason.contains("(taken)"),
            "{}",
            letter.reason
        );
    }
}

#[tokio::test]
async fn many_bad_rows_of_all_kinds_are_all_found_and_nothing_else() {
    let target = Target::with(&format!("{SCHEMA}{TRIGGER}")).await;
    let bad: Vec<(usize, String)> = (0..ROWS)
        .filter(|id| id % 10 == 3)
        .map(|id| {
            let values = match id / 10 % 5 {
                0 => r#""code":"taken""#.to_owned(),
                1 => format!(r#""code":"c{id}","cents":0"#),
                2 => r#""code":null"#.to_owned(),
                3 => format!(r#""code":"c{id}","note":"secret""#),
                _ => format!(r#""code":"c{id}","account":77"#),
            };
            (id, insert("payment", &format!(r#"{{"id":{id},{values}}}"#)))
        })
        .collect();
    let settled = target.drain(1, &batch(&bad)).await;
    assert_eq!(
        settled,
        Settled {
            applied: 900,
            dead: 80,
            waiting: 20,
            parked: 0
        }
    );
    let mut found: Vec<u64> = target
        .letters()
        .await
        .iter()
        .map(|letter| letter.id.entry.ms - 1)
        .collect();
    found.sort_unstable();
    assert_eq!(
        found,
        bad.iter().map(|(id, _)| *id as u64).collect::<Vec<_>>()
    );
    let letters = target.letters().await;
    let count = |sqlstate: &str| {
        letters
            .iter()
            .filter(|l| l.sqlstate.as_deref() == Some(sqlstate))
            .count()
    };
    let counts = ["23505", "23514", "23502", "P0001", "23503"].map(count);
    assert_eq!(counts, [20; 5]);
}

#[tokio::test]
async fn all_rows_without_a_parent_are_named_at_once_and_wait() {
    let target = Target::with(SCHEMA).await;
    // Parents of some are in the same batch, of others nowhere yet.
    let mut operations: Vec<String> = (100..120)
        .map(|id| insert("account", &format!(r#"{{"id":{id}}}"#)))
        .collect();
    operations.extend((0..600).map(|id| {
        let account = match id % 3 {
            0 => 5,
            1 => 100 + id % 20,
            _ => 1_000 + id,
        };
        insert(
            "payment",
            &format!(r#"{{"id":{id},"code":"c{id}","account":{account}}}"#),
        )
    }));
    let Outcome::Refused {
        applied: 0,
        culprits,
    } = target.apply(&operations).await
    else {
        panic!("refused");
    };
    let expected: Vec<usize> = (0..600)
        .filter(|id| id % 3 == 2)
        .map(|id| id + 20)
        .collect();
    assert_eq!(
        culprits.iter().map(|(index, _)| *index).collect::<Vec<_>>(),
        expected
    );
    assert!(
        culprits
            .iter()
            .all(|(_, refusal)| refusal.is_missing_parent)
    );
    assert!(
        culprits
            .iter()
            .all(|(_, refusal)| refusal.rejection.code == Code::MissingParent)
    );
    let settled = target.drain(1, &operations).await;
    assert_eq!(
        (settled.applied, settled.waiting, settled.dead),
        (420, 200, 0)
    );
}

#[tokio::test]
async fn all_rows_that_are_there_already_are_named_at_once() {
    let target = Target::with(SCHEMA).await;
    target
        .accept(&(0..500).map(payment).collect::<Vec<_>>())
        .await;
    let again: Vec<_> = (0..ROWS).map(payment).collect();
    let Outcome::Refused {
        applied: 0,
        culprits,
    } = target.apply(&again).await
    else {
        panic!("refused");
    };
    assert_eq!(
        culprits.iter().map(|(index, _)| *index).collect::<Vec<_>>(),
        (0..500).collect::<Vec<_>>()
    );
    assert_eq!(target.count("SELECT count(*) FROM payment").await, 501);
}

#[tokio::test]
async fn of_two_rows_with_one_key_the_later_one_is_refused() {
    let target = Target::with(SCHEMA).await;
    // Different columns, so that the plan writes the later row first.
    let mut operations: Vec<_> = (0..50).map(payment).collect();
    operations.push(insert(
        "payment",
        r#"{"id":500,"code":"same","note":"first"}"#,
    ));
    operations.push(insert("payment", r#"{"id":501,"code":"same"}"#));
    operations
        .extend((60..90).map(|id| insert("payment", &format!(r#"{{"id":{id},"code":"c{id}"}}"#))));
    let settled = target.drain(1, &operations).await;
    assert_eq!((settled.applied, settled.dead), (81, 1));
    assert_eq!(
        target
            .rows("SELECT note FROM payment WHERE code = 'same'")
            .await,
        ["first"]
    );
}

#[tokio::test]
async fn a_transaction_is_applied_whole_or_not_at_all() {
    let target = Target::with(SCHEMA).await;
    let both = |id: usize, account: usize| {
        format!(
            r#"{{"op":"transaction","operations":[
                {{"op":"insert","table":"account","row":{{"id":{account}}}}},
                {{"op":"insert","table":"payment","row":{{"id":{id},"code":"c{id}","account":{account}}}}},
                {{"op":"update","table":"payment","key":{{"id":{id}}},"set":{{"note":"done"}}}}]}}"#
        )
    };
    // The second one's account is there already.
    let settled = target
        .drain(1, &[both(1, 100), both(2, 5), both(3, 101)])
        .await;
    assert_eq!((settled.applied, settled.dead), (2, 1));
    let rows = target
        .rows("SELECT id || note FROM payment WHERE id > 0 ORDER BY id")
        .await;
    assert_eq!(rows, ["1done", "3done"]);
    assert_eq!(target.letters().await[0].id.entry.ms, 2);
}

#[tokio::test]
async fn an_update_of_a_missing_row_is_refused_by_name() {
    let target = Target::with(SCHEMA).await;
    target
        .accept(&(0..100).map(payment).collect::<Vec<_>>())
        .await;
    let update = |id: usize| {
        format!(r#"{{"op":"update","table":"payment","key":{{"id":{id}}},"set":{{"note":"n"}}}}"#)
    };
    let refusal = target.refuse(&update(500)).await;
    assert_eq!(
        (
            refusal.rejection.code,
            refusal.rejection.sqlstate.as_deref()
        ),
        (Code::NoSuchRow, None)
    );
    // Every third row is missing; one comes into being in the batch itself.
    let mut operations: Vec<_> = vec![payment(502)];
    operations.extend((0..60).map(|id| update(if id % 3 == 2 { 500 + id } else { id })));
    let Outcome::Refused {
        applied: 0,
        culprits,
    } = target.apply(&operations).await
    else {
        panic!("refused");
    };
    let expected: Vec<usize> = (0..60)
        .filter(|id| id % 3 == 2 && *id != 2)
        .map(|id| id + 1)
        .collect();
    assert_eq!(
        culprits.iter().map(|(index, _)| *index).collect::<Vec<_>>(),
        expected
    );
    let settled = target.drain(1, &operations).await;
    assert_eq!((settled.applied, settled.dead), (42, 19));
    assert_eq!(
        target
            .count("SELECT count(*) FROM payment WHERE note = 'n'")
            .await,
        41
    );
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
    for (ddl, count) in [
        ("ALTER TABLE t ALTER a TYPE text", 30),
        ("ALTER TABLE t DROP a", 5),
        ("DROP TABLE t", 1),
    ] {
        target.run(ddl).await;
        let refs: Vec<_> = units.iter().take(count).collect();
        let mut transaction = tidegate_drain::Sink::begin(&target.sink)
            .await
            .expect("a transaction");
        let outcome = transaction.apply(&refs).await.expect(ddl);
        // Into a text column a number's bytes may go in by arrays, never by COPY unseen.
        assert!(
            matches!(outcome, Outcome::Refused { .. }),
            "{ddl}: {outcome:?}"
        );
        let more = crate::target::units(&catalog, &[insert("u", &format!(r#"{{"id":{count}}}"#))]);
        let outcome = transaction.apply(&[&more[0]]).await.expect("an outcome");
        assert!(matches!(outcome, Outcome::Applied), "{outcome:?}");
        transaction.commit().await.expect("a commit");
    }
    assert_eq!(target.count("SELECT count(*) FROM u").await, 3);
}
