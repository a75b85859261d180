//! temporary
use bytes::Bytes;
use std::time::{Duration, Instant};
use tidegate_store::*;
use tidegate_testkit::RedisServer;
fn cpu() -> f64 {
    let s = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    s.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}
#[tokio::test]
async fn rate() {
    let server = RedisServer::start().await.unwrap();
    let store = RedisStore::connect(&url::Url::parse(&server.url()).unwrap())
        .await
        .unwrap();
    let stream = StreamName::new("S").unwrap();
    let entry = |p: u32| NewEntry {
        partition: stream.partition(p),
        fields: vec![
            (
                Bytes::from_static(b"request_id"),
                Bytes::from_static(b"0123456789abcdef0123456789abcdef"),
            ),
            (
                Bytes::from_static(b"global_id"),
                Bytes::from_static(b"0123456789abcdef0123456789abcdef"),
            ),
            (
                Bytes::from_static(b"typed_sql"),
                Bytes::from(vec![b'x'; 900]),
            ),
            (
                Bytes::from_static(b"pushed_at"),
                Bytes::from_static(b"1700000000"),
            ),
        ],
    };
    for (label, parts) in [
        ("1 partition", 1),
        ("16 partitions", 16),
        ("64 partitions", 64),
    ] {
        let batch: Vec<_> = (0..10_000).map(|i| entry(i % parts)).collect();
        let batches: Vec<_> = (0..10).map(|_| batch.clone()).collect();
        let (t, c) = (Instant::now(), cpu());
        for b in batches {
            store.append(b).await.unwrap();
        }
        println!(
            "append 100k x 1kB {label}: {:.0}/s, {:.2} us cpu/entry",
            1e5 / t.elapsed().as_secs_f64(),
            (cpu() - c) * 10.0
        );
    }
    {
        let t = Instant::now();
        let c = cpu();
        for _ in 0..5000 {
            store.append(vec![entry(100)]).await.unwrap();
        }
        println!(
            "append 1 at a time: {:.0}/s, {:.2} us cpu",
            5e3 / t.elapsed().as_secs_f64(),
            (cpu() - c) * 200.0
        );
    }
    let limit = ReadLimit {
        entries: 1000,
        bytes: 8 << 20,
    };
    for round in 0..4 {
        let (t, c) = (Instant::now(), cpu());
        let mut after = EntryId::ZERO;
        let mut n = 0;
        let mut reads = 0;
        loop {
            let e = store
                .read_after(&stream.partition(0), after, limit)
                .await
                .unwrap();
            let Some(last) = e.last() else { break };
            after = last.id;
            n += e.len();
            reads += 1;
        }
        println!(
            "read_after {n} in {reads} reads, round {round}: {:.0}/s, {:.2} us cpu/entry",
            n as f64 / t.elapsed().as_secs_f64(),
            (cpu() - c) * 1e6 / n as f64
        );
    }
    let g = GroupName::new("tidegate_drain").unwrap();
    let lease = store
        .try_acquire_lease(
            &g,
            &stream.partition(0),
            WorkerId::random(),
            Duration::from_secs(60),
            Epoch(0),
        )
        .await
        .unwrap()
        .unwrap();
    let (t, c) = (Instant::now(), cpu());
    let mut n = 0;
    loop {
        let e = store.fetch(&lease, Fetch::New, limit).await.unwrap();
        if e.is_empty() {
            break;
        }
        n += e.len();
        let ids: Vec<_> = e.iter().map(|e| e.id).collect();
        store.acknowledge(&lease, &ids).await.unwrap();
        store.trim(&lease).await.unwrap();
    }
    println!(
        "fetch+ack+trim {n}: {:.0}/s, {:.2} us cpu/entry",
        n as f64 / t.elapsed().as_secs_f64(),
        (cpu() - c) * 1e6 / n as f64
    );
    let partition = stream.partition(3);
    let lease = store
        .try_acquire_lease(
            &g,
            &partition,
            WorkerId::random(),
            Duration::from_secs(60),
            Epoch(0),
        )
        .await
        .unwrap()
        .unwrap();
    let batch: Vec<_> = (0..10_000).map(|_| entry(3)).collect();
    for _ in 0..5 {
        store.append(batch.clone()).await.unwrap();
    }
    let (t, c) = (Instant::now(), cpu());
    let mut n = 0;
    let mut after = EntryId::ZERO;
    loop {
        let e = store.read_after(&partition, after, limit).await.unwrap();
        let Some(last) = e.last() else { break };
        after = last.id;
        n += e.len();
        store.acknowledge_through(&lease, after).await.unwrap();
        store.trim(&lease).await.unwrap();
    }
    println!(
        "read+ack_through+trim {n}: {:.0}/s, {:.2} us cpu/entry",
        n as f64 / t.elapsed().as_secs_f64(),
        (cpu() - c) * 1e6 / n as f64
    );
    let parts: Vec<_> = (0..64).map(|p| stream.partition(p)).collect();
    let t = Instant::now();
    for _ in 0..100 {
        store.lag(&g, &parts).await.unwrap();
    }
    println!("lag of 64: {:.0} us", t.elapsed().as_secs_f64() * 1e4);
    let mut leases = vec![];
    for p in 200..264 {
        leases.push(
            store
                .try_acquire_lease(
                    &g,
                    &stream.partition(p),
                    WorkerId::random(),
                    Duration::from_secs(60),
                    Epoch(0),
                )
                .await
                .unwrap()
                .unwrap(),
        );
    }
    let t = Instant::now();
    for _ in 0..100 {
        store
            .renew_leases(&leases, Duration::from_secs(60))
            .await
            .unwrap();
    }
    println!("renew 64: {:.0} us", t.elapsed().as_secs_f64() * 1e4);
    // wait latency
    let store = std::sync::Arc::new(store);
    let mut sum = 0.0;
    for i in 0..200 {
        let pos: Vec<_> = (300..364)
            .map(|p| {
                (
                    stream.partition(p),
                    if i == 0 {
                        EntryId::ZERO
                    } else {
                        EntryId::new(u64::MAX >> 20, 0)
                    },
                )
            })
            .collect();
        let mut pos = pos;
        pos[7] = (stream.partition(400 + i), EntryId::ZERO);
        let s2 = store.clone();
        let w = tokio::spawn(async move {
            s2.wait_for_entries(&pos, Duration::from_secs(5), &tokio::sync::Notify::new())
                .await
                .unwrap();
            Instant::now()
        });
        tokio::time::sleep(Duration::from_millis(3)).await;
        let t = Instant::now();
        store.append(vec![entry(400 + i)]).await.unwrap();
        sum += w.await.unwrap().duration_since(t).as_secs_f64();
    }
    println!("append to wake: {:.0} us", sum / 200.0 * 1e6);
}
