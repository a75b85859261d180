//! The ancestor's lock: its drainer and Tidegate never work on a shard together.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use tidegate_drain::options::GROUP;
use tidegate_store::{Epoch, GroupName, WorkerId};

use crate::site::Site;

/// What Redis answers to a command, as the ancestor's client would send it.
fn command(port: u16, command: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    write!(stream, "{command}\r\n").expect("sent");
    let mut answer = String::new();
    BufReader::new(stream)
        .read_line(&mut answer)
        .expect("an answer");
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_the_ancestor_has_locked_is_left_alone_until_it_is_freed() {
    let site = Site::start().await;
    let lock = "{shard_0}_DRAINER_STREAM_in_use";
    command(site.redis.port(), &format!("SET {lock} true NX EX 300"));
    let group = GroupName::new(GROUP).expect("a name");
    let shard = site.options.stream.partition(0);
    let ttl = Duration::from_secs(5);
    let take = || {
        site.store
            .try_acquire_lease(&group, &shard, WorkerId::random(), ttl, Epoch(0))
    };
    assert!(take().await.expect("an answer").is_none());
    // The ancestor frees its lock without a look at whose it is.
    command(site.redis.port(), &format!("DEL {lock}"));
    let lease = take().await.expect("an answer").expect("the lease");
    let refused = command(site.redis.port(), &format!("SET {lock} true NX EX 300"));
    assert!(
        !refused.contains("OK"),
        "the ancestor must be kept out: {refused}"
    );
    command(site.redis.port(), &format!("DEL {lock}"));
    let stale = site
        .store
        .acknowledge_through(&lease, tidegate_store::EntryId::new(1, 0))
        .await;
    assert!(
        matches!(stale, Err(tidegate_store::Error::LeaseLost { .. })),
        "{stale:?}"
    );
}
