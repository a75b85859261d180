//! Keys that fail while their owners are killed, and that are released while owners are killed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;
use tidegate_store::{EntryId, ParkedEntry, ReadLimit};
use tidegate_streams::parked;

use crate::effects;
use crate::feed::{Feed, KEYS};
use crate::site::{Hand, SOON, Site, redis, seeded};
use crate::worker::{LINGER_MS, ON_ERROR, PARKED, is_bad};

const VARIABLES: [(&str, &str); 2] = [(ON_ERROR, PARKED), (LINGER_MS, "10")];
const KILLS: usize = 4;
const RECORDS_PER_KILL: u64 = 4_000;

/// Kills one of the workers after a while, and hires another one.
async fn replace_one(site: &Site, random: &mut StdRng, hands: &mut Vec<Hand>) {
    tokio::time::sleep(Duration::from_millis(random.random_range(0..1_000))).await;
    let mut victim = hands.swap_remove(random.random_range(0..hands.len()));
    victim.process.kill().expect("killed");
    hands.push(site.hire_with(&VARIABLES).await);
}

/// Lets all keys go on that are parked, as a person does who looks at the list.
async fn release(site: &Site) {
    let group = Site::group();
    let limit = ReadLimit {
        entries: 10_000,
        bytes: 16 << 20,
    };
    for partition in Site::partitions() {
        let listed = parked::list(&*site.store, &group, &partition, EntryId::ZERO, limit).await;
        let listed = listed.expect("a list");
        let key = |entry: &ParkedEntry| String::from_utf8_lossy(&entry.key).into_owned();
        let keys: BTreeSet<String> = listed.iter().map(|(_, entry)| key(entry)).collect();
        for key in keys {
            let released = parked::release(&*site.store, &group, &partition, &key).await;
            released.expect("asked");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parked_keys_keep_their_order_whoever_is_killed() {
    let redis = redis().await;
    let site = Site::at(redis.url()).await;
    let (mut random, mut feed) = (seeded(50), Feed::new(&site));
    std::fs::write(site.poison(), "").expect("poison");
    let mut hands = vec![
        site.hire_with(&VARIABLES).await,
        site.hire_with(&VARIABLES).await,
    ];
    for _ in 0..KILLS {
        feed.send(RECORDS_PER_KILL).await;
        replace_one(&site, &mut random, &mut hands).await;
    }
    // The other keys go on.
    let bad = (0..KEYS).filter(|key| is_bad(&key.to_string())).count() as u64;
    site.done(feed.sent / KEYS * (KEYS - bad)).await;
    let done = effects::count(&site.client).await;
    assert_eq!(done, feed.sent / KEYS * (KEYS - bad));

    std::fs::remove_file(site.poison()).expect("no more poison");
    release(&site).await;
    for _ in 0..KILLS {
        feed.send(RECORDS_PER_KILL).await;
        replace_one(&site, &mut random, &mut hands).await;
    }
    let began = Instant::now();
    while effects::count(&site.client).await < feed.sent {
        assert!(began.elapsed() < SOON, "released keys don't go on");
        // A key may have failed once more, just before the poison was gone.
        release(&site).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    for hand in hands {
        hand.stop().await;
    }
    let effects = site.check(feed.sent).await;
    eprintln!("{} unfenced effects repeated", site.doubled(&effects).len());
}
