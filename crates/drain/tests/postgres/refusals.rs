//! Bad rows: found, named, kept with their reason, while all others are applied.

use tidegate_drain::Code;
use tidegate_drain::apply::Settled;

use crate::target::{Target, insert};

pub(crate) const SCHEMA: &str = "
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

pub(crate) fn payment(id: usize) -> String {
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
        *batch.get_mut(*index).expect("within the batch") = operation.clone();
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
            ..Settled::default()
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
    let both = |id: usize, account: usize, code: &str| {
        format!(
            r#"{{"op":"transaction","operations":[
                {{"op":"insert","table":"account","row":{{"id":{account}}}}},
                {{"op":"insert","table":"payment","row":{{"id":{id},"code":"{code}","account":{account}}}}},
                {{"op":"update","table":"payment","key":{{"id":{id}}},"set":{{"note":"done"}}}}]}}"#
        )
    };
    // The second one's code is there already.
    let batch = [
        both(1, 100, "c1"),
        both(2, 102, "taken"),
        both(3, 101, "c3"),
    ];
    let settled = target.drain(1, &batch).await;
    assert_eq!((settled.applied, settled.dead), (2, 1));
    let rows = target
        .rows("SELECT id || note FROM payment WHERE id > 0 ORDER BY id")
        .await;
    assert_eq!(rows, ["1done", "3done"]);
    assert_eq!(target.letters().await[0].id.entry.ms, 2);
}
