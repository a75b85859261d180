//! The ledger: who may move it, from where, and what it says.

use tidegate_drain::Error;
use tidegate_drain::sink::{Claim, Fence, LedgerRow, Sink as _};
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

async fn row(target: &Target) -> LedgerRow {
    target
        .sink
        .ledger(&shard(3).stream)
        .await
        .expect("a ledger")
        .remove(0)
}

#[tokio::test]
async fn a_stale_owner_cannot_advance_or_claim() {
    let target = Target::with("").await;
    let first = target
        .sink
        .claim(&shard(3), Epoch(1), 10)
        .await
        .expect("a claim");
    assert_eq!((first.position, first.held.len()), (EntryId::ZERO, 0));
    assert!(advance(&target, &fence(1, &first), id(5), 4).await);
    let second = target
        .sink
        .claim(&shard(3), Epoch(2), 99)
        .await
        .expect("a claim");
    assert_eq!(second.position, id(5));
    let stale = Fence {
        position: id(5),
        ..fence(1, &first)
    };
    assert!(!advance(&target, &stale, id(6), 1).await);
    let error = target
        .sink
        .claim(&shard(3), Epoch(1), 0)
        .await
        .expect_err("fenced");
    assert!(
        matches!(
            error,
            Error::Fenced {
                epoch: Epoch(1),
                ledger_epoch: Epoch(2),
                ..
            }
        ),
        "{error}"
    );
    target
        .sink
        .claim(&shard(3), Epoch(2), 0)
        .await
        .expect("the same epoch again");
    let row = row(&target).await;
    assert_eq!(
        (row.epoch, row.position, row.applied, row.preceding),
        (Epoch(2), id(5), 4, 10)
    );
    assert!(row.updated_ms > 1_600_000_000_000);
}

#[tokio::test]
async fn the_ledger_moves_only_from_where_the_owner_believes_it_is() {
    let target = Target::with("").await;
    let claim = target
        .sink
        .claim(&shard(3), Epoch(1), 0)
        .await
        .expect("a claim");
    assert!(advance(&target, &fence(1, &claim), id(5), 1).await);
    assert!(
        !advance(&target, &fence(1, &claim), id(5), 1).await,
        "applied twice"
    );
    assert_eq!(row(&target).await.applied, 1);
}

#[tokio::test]
async fn a_revision_makes_the_owner_read_the_ledger_again() {
    let target = Target::with("").await;
    let claim = target
        .sink
        .claim(&shard(3), Epoch(1), 0)
        .await
        .expect("a claim");
    let mut transaction = target.sink.begin().await.expect("a transaction");
    assert!(
        transaction
            .lock_ledger(&shard(4))
            .await
            .expect("an answer")
            .is_none()
    );
    assert!(
        transaction
            .lock_ledger(&shard(3))
            .await
            .expect("an answer")
            .is_some()
    );
    transaction.revise(&shard(3), 7).await.expect("revised");
    transaction.commit().await.expect("a commit");
    assert!(!advance(&target, &fence(1, &claim), id(5), 1).await);
    let again = target
        .sink
        .claim(&shard(3), Epoch(1), 0)
        .await
        .expect("a claim");
    assert!(advance(&target, &fence(1, &again), id(5), 1).await);
    assert_eq!(row(&target).await.applied, 8);
}

#[tokio::test]
async fn positions_use_all_64_bits() {
    let target = Target::with("").await;
    let claim = target
        .sink
        .claim(&shard(3), Epoch(1), 0)
        .await
        .expect("a claim");
    let last = EntryId::new(u64::MAX, u64::MAX);
    assert!(advance(&target, &fence(1, &claim), last, 1).await);
    assert_eq!(row(&target).await.position, last);
    let epoch = target.sink.claim(&shard(3), Epoch(u64::MAX), 0).await;
    assert!(matches!(epoch, Err(Error::Invalid(_))), "{epoch:?}");
}
