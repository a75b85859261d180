//! Enqueues, many tasks by one script.
//!
//! If the process dies here, whole portions are enqueued and others are not; the caller has no
//! answer, and enqueues again.

use futures::StreamExt as _;
use rustis::resp::CommandBuilder;

use super::codec;
use crate::Error;
use crate::append::repeated;
use crate::redis::server::Raw;
use crate::redis::{RedisStore, Result};
use crate::task::{Enqueued, NewTask, QueueName};

/// How many tasks one script enqueues: the server answers nobody else meanwhile.
const TASKS_AT_ONCE_MAX: usize = 250;
/// The most bytes of tasks that one script is sent, beyond the first.
const BYTES_AT_ONCE_MAX: usize = 1 << 20;
/// How many scripts of one call are under way.
const PORTIONS_AT_ONCE: usize = 4;

/// See [`TaskStore::enqueue`](crate::task::TaskStore::enqueue).
pub(super) async fn enqueue(
    store: &RedisStore,
    queue: &QueueName,
    tasks: &[NewTask],
) -> Vec<Result<Enqueued>> {
    if let Err(failure) = store.know_queue(queue).await {
        let again = repeated(failure);
        return tasks.iter().map(|_| Err(again())).collect();
    }
    let portions: Vec<_> = portions(tasks)
        .into_iter()
        .map(|portion| enqueue_portion(store, queue, portion))
        .collect();
    let portions = futures::stream::iter(portions).buffered(PORTIONS_AT_ONCE);
    portions.concat().await
}

/// Tasks for one script each.
fn portions(tasks: &[NewTask]) -> Vec<&[NewTask]> {
    let mut portions = Vec::new();
    let mut rest = tasks;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fit = rest.iter().take(TASKS_AT_ONCE_MAX).take_while(|task| {
            bytes += task.payload.len() + task.options.len();
            bytes <= BYTES_AT_ONCE_MAX
        });
        let (portion, later) = rest.split_at(fit.count().clamp(1, rest.len()));
        portions.push(portion);
        rest = later;
    }
    portions
}

async fn enqueue_portion(
    store: &RedisStore,
    queue: &QueueName,
    tasks: &[NewTask],
) -> Vec<Result<Enqueued>> {
    let mut results: Vec<Result<Enqueued>> = tasks
        .iter()
        .map(|task| task.check().map(|()| Enqueued::Accepted))
        .collect();
    let good = tasks.iter().zip(&mut results);
    let good = good.filter(|(_, result)| result.is_ok());
    let (good, slots): (Vec<_>, Vec<_>) = good.unzip();
    if good.is_empty() {
        return results;
    }
    let enqueued = run(store, queue, &good).await;
    match enqueued {
        Ok(duplicates) => {
            let mut slots: Vec<_> = slots.into_iter().map(Some).collect();
            for (index, former) in duplicates {
                if let Some(slot) = slots.get_mut(index).and_then(Option::take) {
                    *slot = Ok(Enqueued::Duplicate(former));
                }
            }
        }
        Err(failure) => {
            let again = repeated(failure);
            slots.into_iter().for_each(|slot| *slot = Err(again()));
        }
    }
    results
}

async fn run(
    store: &RedisStore,
    queue: &QueueName,
    tasks: &[&NewTask],
) -> Result<Vec<(usize, crate::task::TaskId)>> {
    let add = |command: CommandBuilder, task: &&NewTask| {
        command
            .arg(task.id.to_string())
            .arg(codec::spec(task, codec::is_plain(task)))
            .arg(Raw(&codec::body(task)))
    };
    let arguments = |command| tasks.iter().fold(command, add);
    let reply = store.run_task_script(|it| &it.enqueue, queue, arguments);
    let mut reply = reply.await??;
    (0..reply.list()? / 2)
        .map(|_| {
            let index = usize::try_from(reply.number()?);
            let index = index.map_err(|source| Error::Corrupt(source.to_string()))?;
            Ok((index, codec::id(&reply.text()?)?))
        })
        .collect()
}
