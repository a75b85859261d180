//! Forward: ids go on behind what a reader has settled, and take new entries with them.

use tidegate_store::{EntryId, Error, Forward};

use crate::site::{Site, append, ids, lag, numbers, own, partition, read_all, succeed, texts};

const FAR: EntryId = EntryId::new(9_000_000_000_000, 5);

pub(crate) async fn new_entries_are_carried_behind_what_is_settled(site: Site) {
    let store = site.open().await;
    let all = append(&*store, &partition(0), 0..10).await;
    let lease = own(&*store, "readers", &partition(0)).await;
    // The last two came in behind the caller's back.
    let forward = Forward {
        through: FAR,
        seen: all[7],
        carried: vec![all[4], all[6]],
        settled: 100,
    };
    let carried = store.move_last_id_forward(&lease, &forward).await.unwrap();
    assert_eq!(carried, 4);
    let entries = read_all(&*store, &partition(0)).await;
    assert_eq!(
        texts(&entries),
        ["0", "1", "2", "3", "5", "7", "4", "6", "8", "9"]
    );
    let (old, new) = ids(&entries)
        .into_iter()
        .partition::<Vec<_>, _>(|id| *id <= FAR);
    assert_eq!((old.len(), new.len()), (6, 4));
    append(&*store, &partition(0), 10..12).await;
    let now = lag(&*store, "readers", &partition(0)).await;
    assert_eq!((now.appended, now.held), (106, 12));
    // The second time nothing is left to do.
    let forward = Forward {
        through: FAR,
        seen: FAR,
        carried: Vec::new(),
        settled: 100,
    };
    let carried = store.move_last_id_forward(&lease, &forward).await.unwrap();
    assert_eq!(carried, 0);
    let now = lag(&*store, "readers", &partition(0)).await;
    assert_eq!((now.appended, now.held), (106, 12));
}

pub(crate) async fn what_came_after_a_carried_entry_stays_after_it(site: Site) {
    let store = site.open().await;
    let all = append(&*store, &partition(0), 0..6).await;
    let lease = own(&*store, "readers", &partition(0)).await;
    let forward = Forward {
        through: all[3],
        seen: all[3],
        carried: vec![all[2]],
        settled: 4,
    };
    let carried = store.move_last_id_forward(&lease, &forward).await.unwrap();
    assert_eq!(carried, 3);
    let entries = read_all(&*store, &partition(0)).await;
    assert_eq!(texts(&entries), ["0", "1", "3", "2", "4", "5"]);
    assert!(ids(&entries)[3] > all[3]);
}

pub(crate) async fn an_empty_partition_goes_on_behind_what_is_settled(site: Site) {
    let store = site.open().await;
    let lease = own(&*store, "readers", &partition(0)).await;
    let forward = Forward {
        through: FAR,
        settled: 7,
        ..Forward::default()
    };
    assert_eq!(
        store.move_last_id_forward(&lease, &forward).await.unwrap(),
        0
    );
    let now = lag(&*store, "readers", &partition(0)).await;
    assert_eq!((now.appended, now.held, now.last_id), (7, 0, FAR));
    let id = append(&*store, &partition(0), 0..1).await[0];
    assert!(id > FAR);
    assert_eq!(
        texts(&read_all(&*store, &partition(0)).await),
        numbers(0..1)
    );
}

pub(crate) async fn a_stale_owner_moves_no_ids(site: Site) {
    let store = site.open().await;
    append(&*store, &partition(0), 0..3).await;
    let lease = own(&*store, "readers", &partition(0)).await;
    succeed(&*store, &lease).await;
    let forward = Forward {
        through: FAR,
        ..Forward::default()
    };
    let refused = store.move_last_id_forward(&lease, &forward).await;
    assert!(
        matches!(refused, Err(Error::LeaseLost { .. })),
        "{refused:?}"
    );
    assert!(append(&*store, &partition(0), 3..4).await[0] < FAR);
}
