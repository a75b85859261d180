//! Waits for news of queues.
//!
//! Whoever makes a task ready puts one element into the queue's list `.wake` where none is; a
//! sleeping worker is in a blocking read of these lists, and takes it out. Whoever takes and leaves
//! work behind puts one back, so that the next sleeper wakes. A worker that dies with an element in
//! hand has woken nobody: the others look again when their time is over.

use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use rustis::resp::{CommandBuilder, cmd};
use tokio::sync::Notify;

use crate::redis::reply::Reply;
use crate::redis::server::Server;
use crate::redis::wait::News;
use crate::redis::{RedisStore, Result};
use crate::task::QueueName;

/// See [`TaskStore::wait`](crate::task::TaskStore::wait).
pub(super) async fn wait(
    store: &RedisStore,
    queues: &[QueueName],
    timeout: Duration,
    interrupt: &Notify,
) -> Result<Vec<usize>> {
    let wake = |queue| format!("{}.wake", store.keys.queue(queue));
    let lists = Wakes {
        keys: queues.iter().map(wake).collect(),
        is_cluster: store.keys.is_cluster(),
    };
    let waiter = &store.tasks.waiter;
    waiter.wait(&store.server, &lists, timeout, interrupt).await
}

/// The lists of some queues.
struct Wakes {
    keys: Vec<String>,
    is_cluster: bool,
}

impl News for Wakes {
    fn len(&self) -> usize {
        self.keys.len()
    }

    fn can_block(&self) -> bool {
        !self.is_cluster
    }

    fn blocking_read(&self, block: Duration) -> CommandBuilder {
        let keys = self.keys.iter();
        let command = keys.fold(cmd("BLPOP"), |command, key| command.key(key.as_str()));
        // To the millisecond, rounded up; 0 would be for ever.
        let block_ms = block.as_micros().div_ceil(1_000).max(1);
        command.arg(format!("{}.{:03}", block_ms / 1_000, block_ms % 1_000))
    }

    fn read(&self, mut reply: Reply) -> Result<Vec<usize>> {
        let Some(_pair) = reply.optional_list()? else {
            return Ok(Vec::new());
        };
        let key = reply.text()?;
        let is_this = |one: &String| Bytes::copy_from_slice(one.as_bytes()) == key;
        Ok(self.keys.iter().position(is_this).into_iter().collect())
    }

    async fn look(&self, server: &Server) -> Result<Vec<usize>> {
        let looks = self
            .keys
            .iter()
            .map(|key| server.call(cmd("LPOP").key(key.as_str())));
        let mut found = Vec::new();
        for (i, reply) in join_all(looks).await.into_iter().enumerate() {
            if reply?.optional_text()?.is_some() {
                found.push(i);
            }
        }
        Ok(found)
    }
}
