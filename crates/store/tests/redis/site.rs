//! The words that these tests share, and a program that is not Tidegate.

use std::time::Duration;

use bytes::Bytes;
use tidegate_store::{
    Entry, EntryId, Epoch, Error, GroupName, Lease, NewEntry, Partition, ReadLimit, RedisStore,
    RedisUrl, Store, StreamName, WorkerId,
};
use tidegate_testkit::{RedisServer, poll_until};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

pub(crate) const LIMIT: ReadLimit = ReadLimit {
    entries: 1_000,
    bytes: 1 << 20,
};
pub(crate) const TTL: Duration = Duration::from_secs(60);
/// What a test waits for at most before it fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) fn shard(index: u32) -> Partition {
    StreamName::new("DRAINER_STREAM").unwrap().partition(index)
}

pub(crate) fn drain() -> GroupName {
    GroupName::new("tidegate_drain").unwrap()
}

pub(crate) fn group(name: &str) -> GroupName {
    GroupName::new(name).unwrap()
}

pub(crate) fn entry(index: u32, value: &str) -> NewEntry {
    let value = Bytes::copy_from_slice(value.as_bytes());
    let fields = vec![(Bytes::from_static(b"typed_sql"), value)];
    NewEntry::new(shard(index), fields)
}

pub(crate) async fn open(url: &str) -> Result<RedisStore, Error> {
    RedisStore::connect(&RedisUrl::parse(url)?).await
}

pub(crate) async fn acquire(
    store: &RedisStore,
    group: &GroupName,
    partition: &Partition,
) -> Option<Lease> {
    store
        .try_acquire_lease(group, partition, WorkerId::random(), TTL, Epoch(0))
        .await
        .unwrap()
}

pub(crate) async fn read_all(
    store: &RedisStore,
    partition: &Partition,
) -> Result<Vec<Entry>, Error> {
    store.read_after(partition, EntryId::ZERO, LIMIT).await
}

/// A program that is not Tidegate: it sends one command by hand, and gets the reply's text.
pub(crate) async fn stranger(server: &RedisServer, command: &str) -> Vec<String> {
    let mut connection = BufReader::new(
        TcpStream::connect(("127.0.0.1", server.port()))
            .await
            .unwrap(),
    );
    connection
        .write_all(format!("{command}\r\n").as_bytes())
        .await
        .unwrap();
    reply(&mut connection).await
}

async fn reply(connection: &mut BufReader<TcpStream>) -> Vec<String> {
    let mut header = String::new();
    connection.read_line(&mut header).await.unwrap();
    let (tag, value) = header.trim_end().split_at(1);
    match tag {
        "*" => {
            let mut elements = Vec::new();
            for _ in 0..value.parse::<usize>().unwrap() {
                elements.extend(Box::pin(reply(connection)).await);
            }
            elements
        }
        "$" if value == "-1" => vec!["nil".to_owned()],
        "$" => {
            let mut text = vec![0; value.parse::<usize>().unwrap() + 2];
            connection.read_exact(&mut text).await.unwrap();
            vec![String::from_utf8_lossy(&text).trim_end().to_owned()]
        }
        _ => vec![value.to_owned()],
    }
}

/// Asks again until the store answers, as a worker does while a server restarts.
pub(crate) async fn until_available<T>(mut ask: impl AsyncFnMut() -> Result<T, Error>) -> T {
    let mut answer = None;
    let available = poll_until(DEADLINE, async || match ask().await {
        Err(error) if error.is_transient() => false,
        last => {
            answer = Some(last.unwrap());
            true
        }
    });
    available.await.unwrap();
    answer.unwrap()
}
