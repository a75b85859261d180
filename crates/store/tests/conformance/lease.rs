//! Leases: one owner, and epochs that only grow.

use std::sync::Arc;
use std::time::Duration;

use tidegate_store::{Epoch, Error, Lease, Partition, Store, StreamName, WorkerId};

use crate::site::{LONG, SHORT, Site, eventually, group, own, partition, succeed};

async fn try_own(store: &dyn Store, ttl: Duration, floor: u64) -> Option<Lease> {
    let worker = WorkerId::random();
    store
        .try_acquire_lease(&group("readers"), &partition(0), worker, ttl, Epoch(floor))
        .await
        .unwrap()
}

pub(crate) async fn a_held_lease_is_not_given_twice(site: Site) {
    let (one, other) = (site.open().await, site.open().await);
    let lease = own(&*one, "readers", &partition(0)).await;
    for store in [&one, &other] {
        assert_eq!(try_own(&**store, LONG, 0).await, None);
        assert_eq!(
            try_own(&**store, LONG, 1_000).await,
            None,
            "whatever the floor"
        );
    }
    assert_eq!(one.renew_leases(&[lease], LONG).await.unwrap(), [true]);
}

pub(crate) async fn an_expired_lease_is_stolen_with_a_larger_epoch(site: Site) {
    let (one, other) = (site.open().await, site.open().await);
    let lease = try_own(&*one, SHORT, 0).await.unwrap();
    let next = eventually("the lease ends", || try_own(&*other, LONG, 0)).await;
    assert!(next.epoch > lease.epoch);
    assert_ne!(next.worker, lease.worker);
}

pub(crate) async fn epochs_grow_across_release(site: Site) {
    let store = site.open().await;
    let mut lease = own(&*store, "readers", &partition(0)).await;
    assert!(lease.epoch > Epoch(0));
    for _ in 0..5 {
        let next = succeed(&*store, &lease).await;
        assert!(next.epoch > lease.epoch);
        lease = next;
    }
}

pub(crate) async fn an_epoch_is_never_below_the_floor(site: Site) {
    let store = site.open().await;
    let lease = try_own(&*store, LONG, 41).await.unwrap();
    assert!(lease.epoch > Epoch(41));
    store.release_lease(&lease).await.unwrap();
    let next = try_own(&*store, LONG, 7).await.unwrap();
    assert!(
        next.epoch > lease.epoch,
        "a lower floor does not lower the epoch"
    );
    store.release_lease(&next).await.unwrap();
    let large = 1 << 40;
    assert!(try_own(&*store, LONG, large).await.unwrap().epoch > Epoch(large));
}

pub(crate) async fn renew_moves_the_end(site: Site) {
    let store = site.open().await;
    let lease = try_own(&*store, Duration::from_secs(100), 0).await.unwrap();
    assert_eq!(
        store
            .renew_leases(&[lease], Duration::from_secs(1_000))
            .await
            .unwrap(),
        [true]
    );
    let holders = store
        .lease_holders(&group("readers"), &[partition(0)])
        .await
        .unwrap();
    let ends_in_ms = holders[0].unwrap().ends_in_ms;
    assert!((900_000..=1_000_000).contains(&ends_in_ms), "{ends_in_ms}");
}

pub(crate) async fn renew_after_expiry_is_refused(site: Site) {
    let store = site.open().await;
    let lease = try_own(&*store, SHORT, 0).await.unwrap();
    eventually("the lease ends", || async {
        let holders = store
            .lease_holders(&group("readers"), &[partition(0)])
            .await
            .unwrap();
        holders[0].is_none().then_some(())
    })
    .await;
    assert_eq!(store.renew_leases(&[lease], LONG).await.unwrap(), [false]);
    assert_eq!(
        store
            .lease_holders(&group("readers"), &[partition(0)])
            .await
            .unwrap(),
        [None]
    );
}

pub(crate) async fn renew_answers_for_each_lease_in_order(site: Site) {
    let store = site.open().await;
    let held = own(&*store, "readers", &partition(0)).await;
    let lost = own(&*store, "readers", &partition(1)).await;
    let taken = succeed(&*store, &lost).await;
    let released = own(&*store, "readers", &partition(2)).await;
    store.release_lease(&released).await.unwrap();
    let asked = [lost, held, released, taken];
    assert_eq!(
        store.renew_leases(&asked, LONG).await.unwrap(),
        [false, true, false, true]
    );
    assert!(store.renew_leases(&[], LONG).await.unwrap().is_empty());
}

pub(crate) async fn a_lost_lease_is_neither_renewed_nor_released(site: Site) {
    let store = site.open().await;
    let lost = own(&*store, "readers", &partition(0)).await;
    let next = succeed(&*store, &lost).await;
    assert_eq!(
        store
            .renew_leases(std::slice::from_ref(&lost), SHORT)
            .await
            .unwrap(),
        [false]
    );
    store.release_lease(&lost).await.unwrap();
    let holder = store
        .lease_holders(&group("readers"), &[partition(0)])
        .await
        .unwrap()[0]
        .unwrap();
    assert_eq!(
        (holder.worker, holder.epoch),
        (Some(next.worker), next.epoch)
    );
    assert!(
        holder.ends_in_ms > 10_000,
        "the new owner's end has not moved"
    );
}

pub(crate) async fn release_frees_the_lease_at_once(site: Site) {
    let (one, other) = (site.open().await, site.open().await);
    let lease = own(&*one, "readers", &partition(0)).await;
    one.release_lease(&lease).await.unwrap();
    assert_eq!(
        one.lease_holders(&group("readers"), &[partition(0)])
            .await
            .unwrap(),
        [None]
    );
    assert!(try_own(&*other, LONG, 0).await.is_some());
    one.release_lease(&lease).await.unwrap();
}

pub(crate) async fn holders_are_told_with_epoch_and_end(site: Site) {
    let (one, other) = (site.open().await, site.open().await);
    let lease = own(&*one, "readers", &partition(1)).await;
    let asked = [0, 1, 2].map(partition);
    let holders = other
        .lease_holders(&group("readers"), &asked)
        .await
        .unwrap();
    let holder = holders[1].unwrap();
    assert_eq!((holders[0], holders[2]), (None, None));
    assert_eq!(
        (holder.worker, holder.epoch),
        (Some(lease.worker), lease.epoch)
    );
    assert!((1..=600_000).contains(&holder.ends_in_ms));
    assert_eq!(
        other.lease_holders(&group("others"), &asked).await.unwrap(),
        [None; 3]
    );
}

pub(crate) async fn leases_of_groups_and_partitions_are_independent(site: Site) {
    let store = site.open().await;
    let mut held = Vec::new();
    for name in ["one", "other"] {
        for index in 0..3 {
            held.push(own(&*store, name, &partition(index)).await);
        }
    }
    assert_eq!(store.renew_leases(&held, LONG).await.unwrap(), [true; 6]);
}

pub(crate) async fn two_handles_race_for_one_lease_and_one_wins(site: Site) {
    let both = [site.open().await, site.open().await];
    let mut last = Epoch(0);
    for round in 0..20 {
        let racers: Vec<_> = (0..8)
            .map(|racer| {
                let store = Arc::clone(&both[racer % 2]);
                tokio::spawn(async move { try_own(&*store, LONG, 0).await })
            })
            .collect();
        let mut winners = Vec::new();
        for racer in racers {
            winners.extend(racer.await.unwrap());
        }
        assert_eq!(winners.len(), 1, "round {round}: {winners:?}");
        assert!(winners[0].epoch > last);
        last = winners[0].epoch;
        both[0].release_lease(&winners[0]).await.unwrap();
    }
}

pub(crate) async fn a_worker_that_knows_the_epoch_takes_its_own_lease_again(site: Site) {
    let store = site.open().await;
    let first = own(&*store, "readers", &partition(0)).await;
    let again = async |floor| {
        let (group, partition) = (group("readers"), partition(0));
        store
            .try_acquire_lease(&group, &partition, first.worker, LONG, floor)
            .await
            .unwrap()
    };
    // A call from before, which comes late, takes nothing away.
    assert_eq!(again(Epoch(first.epoch.0 - 1)).await, None);
    let next = again(first.epoch).await.unwrap();
    assert!(next.epoch > first.epoch);
    assert_eq!(
        store
            .renew_leases(&[first.clone(), next], LONG)
            .await
            .unwrap(),
        [false, true]
    );
    assert_eq!(try_own(&*store, LONG, 1_000).await, None);
}

pub(crate) async fn an_app_has_one_leader_whatever_the_group(site: Site) {
    let store = site.open().await;
    let leadership = StreamName::leadership("shop").unwrap();
    let elsewhere = StreamName::leadership("bank").unwrap().partition(0);
    let lead = async |name: &str, partition: Partition| {
        store
            .try_acquire_lease(&group(name), &partition, WorkerId::random(), LONG, Epoch(0))
            .await
    };
    let leader = lead("one", leadership.partition(0)).await.unwrap().unwrap();
    assert_eq!(lead("one", leadership.partition(0)).await.unwrap(), None);
    assert_eq!(lead("other", leadership.partition(0)).await.unwrap(), None);
    assert!(lead("one", elsewhere).await.unwrap().is_some());
    assert!(matches!(
        lead("one", leadership.partition(1)).await,
        Err(Error::Invalid(_))
    ));
    store.release_lease(&leader).await.unwrap();
    let next = lead("other", leadership.partition(0)).await.unwrap();
    assert!(next.unwrap().epoch > leader.epoch);
}
