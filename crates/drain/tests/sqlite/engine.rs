//! The engine on this sink: good, malformed, refused and parked entries, and their second try.

use tidegate_drain::apply::{Context, Rules, Settled, apply_entries, replay};
use tidegate_drain::catalog::Catalog;
use tidegate_drain::held::HeldState;
use tidegate_drain::sink::{Claim, Sink as _};
use tidegate_store::{Entry, Epoch, Partition};

use crate::target::{Target, entry, shard};

const SCHEMA: &str = "
    CREATE TABLE account (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
    CREATE TABLE payment (id INTEGER PRIMARY KEY, account INTEGER REFERENCES account,
        cents INTEGER NOT NULL CHECK (cents > 0), state TEXT);
";

const RULES: Rules = Rules {
    entry_bytes_max: 1_000_000,
    parent_wait_ms_max: 60_000,
    forms: None,
};

pub(crate) fn context<'a>(shard: &'a Partition, catalog: &'a Catalog, now_ms: u64) -> Context<'a> {
    Context {
        shard,
        catalog,
        is_catalog_fresh: true,
        rules: &RULES,
        now_ms,
        on_step: &|_| {},
        on_held: &|_| {},
    }
}

fn entries() -> Vec<Entry> {
    let payment = |id: u8, account: u8, cents: i8| {
        format!(
            r#"{{"op":"insert","table":"payment","row":{{"id":{id},"account":{account},"cents":{cents}}}}}"#
        )
    };
    let update = |id: u8, state: &str| {
        format!(
            r#"{{"op":"update","table":"payment","key":{{"id":{id}}},"set":{{"state":"{state}"}}}}"#
        )
    };
    let operations = [
        r#"{"op":"insert","table":"account","row":{"id":1,"name":"a"}}"#.to_owned(),
        payment(1, 1, 5),
        "{not json".to_owned(),
        payment(2, 1, -5),
        update(2, "parked"),
        payment(3, 9, 5),
        update(3, "parked"),
        update(1, "applied"),
        r#"{"op":"insert","table":"nowhere","row":{}}"#.to_owned(),
    ];
    operations
        .iter()
        .zip(1..)
        .map(|(operation, ms)| entry(ms, operation))
        .collect()
}

/// Drains [`entries`] as the first owner.
async fn drained(target: &Target) -> (Claim, Settled) {
    let shard = shard(0);
    let catalog = target.catalog().await;
    let mut claim = target
        .sink
        .claim(&shard, Epoch(1), 0)
        .await
        .expect("a claim");
    let context = context(&shard, &catalog, 1_000);
    let settled = apply_entries(&context, &target.sink, Epoch(1), &mut claim, entries())
        .await
        .expect("settled");
    (claim, settled)
}

#[tokio::test]
async fn a_mixed_batch_is_settled_in_one_transaction() {
    let target = Target::with(SCHEMA).await;
    let (claim, settled) = drained(&target).await;
    assert_eq!(
        settled,
        Settled {
            applied: 3,
            dead: 3,
            waiting: 1,
            parked: 2,
            ..Settled::default()
        }
    );
    assert_eq!(
        target.rows("SELECT id, state FROM payment"),
        ["i:1 t:applied"]
    );
    let row = target
        .sink
        .ledger(&shard(0).stream)
        .await
        .expect("a ledger")
        .remove(0);
    assert_eq!(
        (row.applied, row.dead, row.waiting, row.parked),
        (3, 3, 1, 2)
    );
    assert_eq!((row.position.ms, claim.position.ms), (9, 9));

    let again = target
        .sink
        .claim(&shard(0), Epoch(2), 0)
        .await
        .expect("a claim");
    assert_eq!(again.held.len(), 6);
    let states: Vec<_> = (3..=7)
        .map(|ms| {
            again
                .held
                .get(tidegate_store::EntryId::new(ms, 0))
                .map(|held| held.state)
        })
        .collect();
    let expected = [
        Some(HeldState::Dead),
        Some(HeldState::Dead),
        Some(HeldState::Parked),
        Some(HeldState::Waiting),
        Some(HeldState::Parked),
    ];
    assert_eq!(states, expected);
}

#[tokio::test]
async fn held_entries_follow_in_order_when_their_cause_is_gone() {
    let target = Target::with(SCHEMA).await;
    drained(&target).await;
    target
        .connection()
        .execute_batch(
            "INSERT INTO account VALUES (9, 'late'); CREATE TABLE nowhere (id INTEGER PRIMARY KEY)",
        )
        .expect("a remedy");
    let (shard, catalog) = (shard(0), target.catalog().await);
    let context = context(&shard, &catalog, 2_000);
    let mut transaction = target.sink.begin().await.expect("a transaction");
    let mut held = transaction
        .lock_ledger(&shard)
        .await
        .expect("an answer")
        .expect("a claimed shard");
    let order = held.replay_order(held.dead().chain(held.due()).collect::<Vec<_>>(), 100);
    let settled = replay(&context, transaction.as_mut(), &mut held, &order)
        .await
        .expect("settled");
    transaction
        .revise(&shard, settled.applied)
        .await
        .expect("revised");
    transaction.commit().await.expect("a commit");
    // The malformed entry and the negative amount stay; the waiting payment, the update parked
    // behind it and the new table's row are applied.
    assert_eq!(settled.applied, 3);
    assert_eq!(
        target.rows("SELECT id, state FROM payment"),
        ["i:1 t:applied", "i:3 t:parked"]
    );
    assert_eq!(target.count("SELECT count(*) FROM nowhere"), 1);
    let row = target
        .sink
        .ledger(&shard.stream)
        .await
        .expect("a ledger")
        .remove(0);
    assert_eq!(
        (row.applied, row.dead, row.waiting, row.parked),
        (6, 2, 0, 1)
    );
}
