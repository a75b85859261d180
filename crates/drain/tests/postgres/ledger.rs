//! The ledger's fences: who may move a shard, and from where.

use tidegate_drain::Error;
use tidegate_drain::sink::{Claim, Fence, Sink as _};
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
