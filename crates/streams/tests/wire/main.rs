//! Python programs and Tidegate understand each other: keys go to the same partitions, and records
//! are read on either side as they were sent on the other.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests end a test that can't go on"
)]

mod order;
mod python;

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;
use order::{ByNote, ByPaid, ByRate, Native, ORDERS};
use python::peer;
use tidegate_store::{EntryId, ReadLimit, Store, StoreUrl, connect};
use tidegate_streams::record::python_repr;
use tidegate_streams::{Compression, Hasher, Outgoing, Record, Sender, StreamSpec, TraceParent};
use tidegate_testkit::RedisServer;

const ALL: ReadLimit = ReadLimit {
    entries: 1_000,
    bytes: 16 << 20,
};

async fn store_of(server: &RedisServer) -> Arc<dyn Store> {
    let url = StoreUrl::parse(&server.url()).expect("a URL");
    connect(&url).await.expect("a store")
}

fn spec(stream: &str, hasher: Hasher, compression: Compression) -> StreamSpec {
    StreamSpec {
        hasher,
        compression,
        ..StreamSpec::new("shop", stream)
    }
}

/// The streams of `peer.py`: how each of them routes and compresses.
fn specs() -> [StreamSpec; 4] {
    [
        spec("prim", Hasher::Xxh64, Compression::None),
        spec("json", Hasher::Md5, Compression::None),
        spec("gzip", Hasher::Xxh64, Compression::Gzip),
        spec("lz4", Hasher::Md5, Compression::Lz4),
    ]
}

/// Reads all records of a stream, each with its partition.
async fn read_all<R: Record>(store: &Arc<dyn Store>, spec: &StreamSpec) -> Vec<(u32, R)> {
    let name = spec.name().expect("a name");
    let mut records = Vec::new();
    for index in 0..spec.partitions {
        let partition = name.partition(index);
        let read = store.read_after(&partition, EntryId::ZERO, ALL).await;
        for entry in read.expect("entries") {
            records.push((index, R::decode(&entry.fields).expect("a record")));
        }
    }
    records
}

/// All orders are there, unchanged, and each is where Tidegate would have sent it.
async fn check_received<R>(store: &Arc<dyn Store>, spec: &StreamSpec, id: fn(&R) -> u32)
where
    R: Record + From<u32> + PartialEq + Debug,
{
    let mut records: Vec<(u32, R)> = read_all(store, spec).await;
    for (partition, record) in &records {
        let key = record.partition_key().expect("a key");
        let expected = spec.hasher.partition_of(&key, spec.partitions);
        assert_eq!(*partition, expected, "{key} in {}", spec.stream);
    }
    records.sort_by_key(|(_, record)| id(record));
    let records: Vec<R> = records.into_iter().map(|(_, record)| record).collect();
    assert_eq!(records, (0..ORDERS).map(R::from).collect::<Vec<_>>());
}

async fn send_orders<R: Record + From<u32>>(store: &Arc<dyn Store>, spec: StreamSpec) {
    let sender = Sender::new(Arc::clone(store), spec).expect("a sender");
    let (one_by_one, together) = (0..ORDERS / 4, ORDERS / 4..ORDERS);
    for number in one_by_one {
        sender.send(&R::from(number)).await.expect("sent");
    }
    for sent in sender.send_many(together.map(R::from).collect()).await {
        sent.expect("sent");
    }
}

#[tokio::test]
async fn what_a_python_producer_sends_is_routed_alike_and_read() {
    let server = RedisServer::start().await.unwrap();
    let sent = peer(&["send", &server.port().to_string()]).await;
    assert_eq!(sent, ["sent 800"]);

    let store = store_of(&server).await;
    let [prim, json, gzip, lz4] = specs();
    check_received::<Native>(&store, &prim, |it| it.order_id).await;
    check_received::<ByNote>(&store, &json, |it| it.order_id).await;
    check_received::<ByRate>(&store, &gzip, |it| it.order_id).await;
    check_received::<ByPaid>(&store, &lz4, |it| it.order_id).await;
}

#[tokio::test]
async fn what_tidegate_sends_is_read_by_a_python_worker() {
    let server = RedisServer::start().await.unwrap();
    let store = store_of(&server).await;
    let [prim, json, gzip, lz4] = specs();
    send_orders::<Native>(&store, prim).await;
    send_orders::<ByNote>(&store, json).await;
    send_orders::<ByRate>(&store, gzip).await;
    send_orders::<ByPaid>(&store, lz4).await;

    let received = peer(&["receive", &server.port().to_string()]).await;
    assert_eq!(received, ["received 800"]);
}

#[tokio::test]
async fn keys_have_the_text_and_the_partition_that_python_gives_them() {
    let lines = peer(&["repr", "7", "4000"]).await;
    assert!(lines.len() > 20_000, "{}", lines.len());
    for line in lines {
        let (kind, value, repr, md5, xxh64): (String, String, String, u32, u32) =
            serde_json::from_str(&line).unwrap();
        let ours = match kind.as_str() {
            "int" => python_repr(&value.parse::<i128>().unwrap()),
            "float" => python_repr(&f64::from_bits(u64::from_str_radix(&value, 16).unwrap())),
            "bool" => python_repr(&(value == "True")),
            "bytes" => python_repr(&bytes_of(&value)),
            _ => python_repr(&value),
        };
        assert_eq!(ours, repr, "{kind}");
        assert_eq!(Hasher::Md5.partition_of(&ours, 16), md5, "{repr}");
        assert_eq!(Hasher::Xxh64.partition_of(&ours, 16), xxh64, "{repr}");
    }
}

fn bytes_of(hexadecimal: &str) -> Bytes {
    let digits: Vec<u8> = hexadecimal
        .chars()
        .filter_map(|it| it.to_digit(16))
        .filter_map(|it| u8::try_from(it).ok())
        .collect();
    let pairs = digits.chunks(2);
    pairs.map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[tokio::test]
async fn a_trace_is_a_field_more_and_disturbs_no_reader() {
    let server = RedisServer::start().await.unwrap();
    let store = store_of(&server).await;
    let [prim, json, ..] = specs();
    let trace: TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        .parse()
        .unwrap();
    let sender = Sender::<ByNote>::new(Arc::clone(&store), json.clone()).unwrap();
    let traced = Outgoing {
        trace: Some(trace.clone()),
        ..Outgoing::from(ByNote::from(1))
    };
    let ids = sender.send_each(vec![traced]).await;
    assert!(ids[0].is_ok(), "{ids:?}");
    let sender = Sender::<Native>::new(Arc::clone(&store), prim.clone()).unwrap();
    sender.send(&Native::from(1)).await.unwrap();

    let [(_, raw)] = &read_all::<tidegate_streams::Raw>(&store, &json).await[..] else {
        panic!("one record was sent")
    };
    assert_eq!(TraceParent::of(&raw.fields), Some(trace));
    assert_eq!(ByNote::decode(&raw.fields).unwrap(), ByNote::from(1));
    let [(_, raw)] = &read_all::<tidegate_streams::Raw>(&store, &prim).await[..] else {
        panic!("one record was sent")
    };
    assert_eq!(raw.fields.len(), 5, "none but its own");
}
