//! The verification against files that somebody has tampered with: it must be able to fail.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rusqlite::Connection;
use tidegate_drain::observer::Unobserved;
use tidegate_drain::route::Sender;
use tidegate_drain::{Worker, status};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::config::Settings;
use crate::connect;
use crate::demo::place::Place;
use crate::demo::scenario::Scenario;

const OPERATIONS: u64 = 1_200;
const DEADLINE: Duration = Duration::from_secs(60);

/// Sends a day and drains it in this process.
async fn drained() -> (Place, Settings, Ends) {
    let place = Place::take(None).expect("a place");
    place.furnish().expect("furnished");
    let settings = place.settings().expect("settings");
    let ends = connect::open(&settings).await.expect("open");
    ends.sink.prepare().await.expect("prepared");
    let catalog = ends.sink.catalog().await.expect("a catalog");
    let options = settings.drain.clone();
    let sender = Sender::new(
        ends.store.clone(),
        catalog,
        options.stream.clone(),
        options.partitions,
    );
    let address = |told: crate::demo::scenario::Told| {
        let payload = Bytes::from(told.payload);
        sender
            .address(
                payload,
                &told.request_id,
                &told.global_id,
                SystemTime::now(),
            )
            .entry
    };
    let entries = Scenario::new(1, OPERATIONS).map(address).collect();
    sender.send(entries).await.expect("sent");

    let stop = CancellationToken::new();
    let (store, sink) = (ends.store.clone(), ends.sink.clone());
    let worker = Worker::new(store, sink, options, Arc::new(Unobserved)).expect("a worker");
    let worker = tokio::spawn(worker.run(stop.clone()));
    tokio::time::timeout(DEADLINE, until_drained(&ends, &settings))
        .await
        .expect("drained");
    stop.cancel();
    worker.await.expect("no panic").expect("a good end");
    (place, settings, ends)
}

async fn until_drained(ends: &Ends, settings: &Settings) {
    while !status::is_drained(&*ends.store, &*ends.sink, &settings.drain)
        .await
        .expect("known")
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn verified(place: &Place, settings: &Settings, ends: &Ends) -> Findings {
    let mut model = Model::default();
    for told in Scenario::new(1, OPERATIONS) {
        model.apply(&told.request_id, told.fact);
    }
    verify(model, place.file(), ends, &settings.drain, OPERATIONS)
        .await
        .expect("readable")
}

#[tokio::test(flavor = "multi_thread")]
async fn tampering_with_the_data_is_found() {
    let (place, settings, ends) = drained().await;
    let untouched = verified(&place, &settings, &ends).await;
    assert!(
        untouched.is_right(),
        "{:?}",
        untouched.differences().collect::<Vec<_>>()
    );
    assert!(untouched.applied > 0 && untouched.letters.found > 0);

    // Each is added to those before it. Found must be: lost, doubled, and sums that are wrong.
    let tamperings = [
        (
            "UPDATE payment SET status = 'x' WHERE rowid = (SELECT min(rowid) FROM payment)",
            (1, 0, 0),
        ),
        (
            "INSERT INTO payment_event SELECT * FROM payment_event LIMIT 1",
            (1, 1, 0),
        ),
        (
            "DELETE FROM payment_event WHERE rowid = \
             (SELECT rowid FROM payment_event LIMIT 1 OFFSET 4)",
            (2, 1, 0),
        ),
        (
            "UPDATE tidegate_ledger SET applied = applied + 1 WHERE shard = 3",
            (2, 1, 2),
        ),
        (
            "UPDATE tidegate_dead_letter SET code = 'refused' \
             WHERE rowid = (SELECT min(rowid) FROM tidegate_dead_letter)",
            (3, 1, 2),
        ),
        (
            "DELETE FROM tidegate_dead_letter \
             WHERE rowid = (SELECT max(rowid) FROM tidegate_dead_letter)",
            // The total comes out again, one too many and one too few; the shards still don't.
            (4, 1, 2),
        ),
    ];
    let database = Connection::open(place.file()).expect("a file");
    for (sql, wanted) in tamperings {
        assert_eq!(database.execute(sql, []).expect("a statement"), 1, "{sql}");
        let findings = verified(&place, &settings, &ends).await;
        assert!(
            !findings.is_right() && findings.differences().next().is_some(),
            "{sql}"
        );
        let found = (findings.lost(), findings.duplicated(), findings.sums.len());
        assert_eq!(
            found,
            wanted,
            "{sql}: {:?}",
            findings.differences().collect::<Vec<_>>()
        );
    }
}
