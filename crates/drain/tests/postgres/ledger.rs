//! The ledger's fences, and the dead letters beside it.

use bytes::Bytes;
use tidegate_drain::change::RowKey;
use tidegate_drain::dead_letter::{DeadLetter, DeadLetterFilter, LetterId};
use tidegate_drain::envelope::Envelope;
use tidegate_drain::held::HeldState;
use tidegate_drain::sink::{Claim, Fence, Sink as _};
use tidegate_drain::{Code, Error, Rejection};
use tidegate_store::{EntryId, Epoch};

use crate::target::{Target, shard};

fn id(ms: u64) -> EntryId {
    EntryId::new(ms, 0)
}

fn fence(epoch: u64, claim: &Claim) -> Fence {
    Fence {
        epoch: Epoch(epoch),
        position: claim.position,
        revision: claim.revision,
    }
}

/// Tries to move the ledger to `to` and commits if the fence held.
async fn advance(target: &Target, fence: &Fence, to: EntryId, applied: u64) -> bool {
    let mut transaction = target.sink.begin().await.expect("a transaction");
    let moved = transaction
        .advance(&shard(3), fence, to, applied)
        .await
        .expect("an answer");
    if moved {
        transaction.commit().await.expect("a commit");
    }
    moved
}

#[tokio::test]
async fn only_the_newest_owner_moves_the_ledger_from_where_it_is() {
    let target = Target::with("").await;
    let first = target
        .sink
        .claim(&shard(3), Epoch(1), 17)
        .await
        .expect("a claim");
    assert_eq!(
        (first.position, first.revision, first.held.len()),
        (EntryId::ZERO, 0, 0)
    );
    assert!(advance(&target, &fence(1, &first), id(5), 4).await);
    assert!(
        !advance(&target, &fence(1, &first), id(6), 1).await,
        "the position has moved"
    );

    let second = target
        .sink
        .claim(&shard(3), Epoch(2), 99)
        .await
        .expect("a claim");
    assert_eq!(second.position, id(5));
    let stale = Fence {
        epoch: Epoch(1),
        ..fence(2, &second)
    };
    assert!(
        !advance(&target, &stale, id(6), 1).await,
        "the owner has changed"
    );
    let error = target
        .sink
        .claim(&shard(3), Epoch(1), 0)
        .await
        .expect_err("fenced");
    assert!(
        matches!(
            error,
            Error::Fenced {
                ledger_epoch: Epoch(2),
                ..
            }
        ),
        "{error:?}"
    );
    assert!(
        target.sink.claim(&shard(3), Epoch(2), 0).await.is_ok(),
        "the same owner again"
    );

    let row = target
        .sink
        .ledger(&shard(3).stream)
        .await
        .expect("rows")
        .remove(0);
    assert_eq!((row.shard, row.epoch, row.position), (3, Epoch(2), id(5)));
    assert_eq!((row.applied, row.preceding), (4, 17));
    assert!(row.updated_ms > 1_700_000_000_000);
}

#[tokio::test]
async fn a_zombies_transaction_ends_without_effect_when_a_newer_owner_claims() {
    let target = Target::with("CREATE TABLE t (id int PRIMARY KEY)").await;
    let claim = target
        .sink
        .claim(&shard(3), Epoch(1), 0)
        .await
        .expect("a claim");
    let units = crate::target::units(
        &*target.catalog().await,
        &[crate::target::insert("t", r#"{"id":1}"#)],
    );
    let mut zombie = target.sink.begin().await.expect("a transaction");
    zombie.apply(&[&units[0]]).await.expect("applied");
    target
        .sink
        .claim(&shard(3), Epoch(2), 0)
        .await
        .expect("a newer claim");
    assert!(
        !zombie
            .advance(&shard(3), &fence(1, &claim), id(9), 1)
            .await
            .expect("an answer")
    );
    drop(zombie);
    assert_eq!(target.count("SELECT count(*) FROM t").await, 0);
}

#[tokio::test]
async fn a_revision_by_somebody_else_stops_the_owner() {
    let target = Target::with("").await;
    assert!(
        target
            .sink
            .begin()
            .await
            .expect("a transaction")
            .lock_ledger(&shard(3))
            .await
            .expect("an answer")
            .is_none()
    );
    let claim = target
        .sink
        .claim(&shard(3), Epoch(1), 0)
        .await
        .expect("a claim");
    let mut person = target.sink.begin().await.expect("a transaction");
    assert!(
        person
            .lock_ledger(&shard(3))
            .await
            .expect("an answer")
            .is_some()
    );
    person.revise(&shard(3), 2).await.expect("revised");
    person.commit().await.expect("a commit");
    assert!(!advance(&target, &fence(1, &claim), id(9), 1).await);
    let again = target
        .sink
        .claim(&shard(3), Epoch(1), 0)
        .await
        .expect("a claim");
    assert_eq!(again.revision, claim.revision + 1);
    assert!(advance(&target, &fence(1, &again), id(9), 1).await);
    assert_eq!(
        target.sink.ledger(&shard(3).stream).await.expect("rows")[0].applied,
        3
    );
}

fn letter(ms: u64, state: HeldState) -> DeadLetter {
    let field = |name: &'static str, value: &'static [u8]| (Bytes::from(name), Bytes::from(value));
    DeadLetter {
        // Whatever bytes a producer sends are kept.
        envelope: Envelope {
            id: id(ms),
            fields: vec![
                field("request_id", b"a\0b"),
                field("typed_sql", b"\xff\0{}"),
                field("more", b""),
            ],
        },
        state,
        since_ms: 40 + ms,
        rejection: Rejection {
            code: Code::Refused,
            sqlstate: Some("23505".to_owned()),
            reason: "a reason with \0".to_owned(),
        },
        rows: vec![RowKey::from_bytes(b"row"), RowKey::from_bytes(b"\0\xff")],
    }
}

#[tokio::test]
async fn letters_are_kept_whole_listed_in_order_and_forgotten_when_applied() {
    let target = Target::with("").await;
    target
        .sink
        .claim(&shard(3), Epoch(1), 0)
        .await
        .expect("a claim");
    let letters = [
        letter(11, HeldState::Parked),
        letter(2, HeldState::Dead),
        letter(7, HeldState::Waiting),
        DeadLetter {
            envelope: Envelope {
                id: EntryId::new(2, u64::MAX),
                ..letter(2, HeldState::Dead).envelope
            },
            ..letter(2, HeldState::Dead)
        },
    ];
    let mut transaction = target.sink.begin().await.expect("a transaction");
    transaction.hold(&shard(3), &letters).await.expect("held");
    transaction
        .hold(&shard(3), &[letter(2, HeldState::Dead)])
        .await
        .expect("held again");
    transaction.commit().await.expect("a commit");

    let mut filter = DeadLetterFilter {
        stream: shard(3).stream,
        states: Vec::new(),
        id: None,
        count_max: 100,
    };
    let listed = target.sink.dead_letters(&filter).await.expect("letters");
    let ids: Vec<_> = listed.iter().map(|letter| letter.id.to_string()).collect();
    assert_eq!(
        ids,
        ["3:2-0", "3:2-18446744073709551615", "3:7-0", "3:11-0"]
    );
    assert_eq!(
        listed
            .iter()
            .map(|letter| letter.attempts)
            .collect::<Vec<_>>(),
        [2, 1, 1, 0]
    );
    assert_eq!(listed[0].envelope.fields, letters[1].envelope.fields);
    assert_eq!(
        (listed[0].since_ms, listed[0].code.as_str()),
        (42, "refused")
    );
    filter.states = vec![HeldState::Waiting, HeldState::Parked];
    filter.count_max = 1;
    assert_eq!(
        target
            .sink
            .dead_letters(&filter)
            .await
            .expect("letters")
            .len(),
        1
    );
    filter.states.clear();
    filter.id = Some(LetterId {
        shard: 3,
        entry: id(11),
    });
    assert_eq!(
        target.sink.dead_letters(&filter).await.expect("letters")[0].state,
        HeldState::Parked
    );

    let held = target
        .sink
        .claim(&shard(3), Epoch(1), 0)
        .await
        .expect("a claim")
        .held;
    assert_eq!(
        (held.len(), held.get(id(2)).map(|held| held.rows.len())),
        (4, Some(2))
    );
    let mut transaction = target.sink.begin().await.expect("a transaction");
    transaction
        .discard(&shard(3), &[id(2)])
        .await
        .expect("discarded");
    let loaded = transaction
        .load_held(&shard(3), &[id(2), id(7), id(999)])
        .await
        .expect("loaded");
    assert_eq!(
        loaded
            .iter()
            .map(|envelope| envelope.id)
            .collect::<Vec<_>>(),
        [id(7)]
    );
    transaction
        .release(&shard(3), &[id(7), id(11)])
        .await
        .expect("released");
    transaction.commit().await.expect("a commit");
    let row = target
        .sink
        .ledger(&shard(3).stream)
        .await
        .expect("rows")
        .remove(0);
    assert_eq!(
        (row.dead, row.waiting, row.parked, row.discarded),
        (1, 0, 0, 1)
    );
}
