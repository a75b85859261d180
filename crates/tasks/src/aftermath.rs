//! What follows from the end of a task: the next one of its pipeline, its callbacks, its group.
//!
//! ```text
//! done ─► then, on_success, the group's count ─► the store is told that it is done
//! dead ─► on_failure, on_exhausted            ─► … that it is dead
//! ```
//!
//! All of it happens before the store is told, so that nothing is left out when the process dies in
//! between; and each step is the same in a repeated attempt, so that nothing happens twice: a follower
//! has an id that is derived from the task's, and a group knows its members. While the store is away
//! it asks again.

use std::time::Duration;

use bytes::Bytes;
use tidegate_store::task::{Label, QueueName, TaskId};
use tracing::{error, warn};

use crate::client::TaskClient;
use crate::draft::{Draft, FailedTask, Header, Membership};
use crate::{Error, Result};

const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Does what follows from the success of a task.
pub(crate) async fn of_done(client: &TaskClient, id: TaskId, header: &Header, result: &Bytes) {
    let previous = || {
        let text: &[u8] = if result.is_empty() { b"null" } else { result };
        serde_json::from_slice(text).ok()
    };
    if let Some((next, rest)) = header.then.split_first() {
        let mut next = next.clone();
        next.header.then.extend_from_slice(rest);
        next.header.previous = previous();
        follow(client, id, "then", next).await;
    }
    if let Some(callback) = &header.on_success {
        let mut callback = (**callback).clone();
        callback.header.previous = previous();
        follow(client, id, "on_success", callback).await;
    }
    if let Some(group) = &header.group {
        count(client, id, group).await;
    }
}

/// Does what follows from the death of a task.
pub(crate) async fn of_dead(
    client: &TaskClient,
    id: TaskId,
    header: &Header,
    failed: &FailedTask,
    is_exhausted: bool,
) {
    let exhausted = header.on_exhausted.as_ref().filter(|_| is_exhausted);
    let callbacks = [
        (header.on_failure.as_ref(), "on_failure"),
        (exhausted, "on_exhausted"),
    ];
    for (callback, place) in callbacks {
        if let Some(callback) = callback {
            let mut callback = (**callback).clone();
            callback.header.failed = Some(failed.clone());
            follow(client, id, place, callback).await;
        }
    }
}

/// Does what follows from the death of a task that has killed too many workers.
pub(crate) async fn of_lost(client: &TaskClient, queue: &QueueName, id: TaskId) {
    let view = persist(|| async move { Ok(client.store().show(queue, id).await?) }).await;
    let Ok(Some(view)) = view else {
        return;
    };
    let Ok(header) = Header::decode(&view.options) else {
        return;
    };
    let failed = FailedTask {
        id: id.to_string(),
        name: view.name.as_str().to_owned(),
        reason: "lost".to_owned(),
        error: format!("{} workers have died with it in hand", view.lost),
    };
    of_dead(client, id, &header, &failed, true).await;
}

async fn follow(client: &TaskClient, id: TaskId, place: &str, draft: Draft) {
    let name = draft.name.clone();
    let draft = &draft.following(id, place);
    let sent = persist(|| async move {
        let mut sent = client.send_drafts(vec![Ok(draft.clone())]).await;
        sent.pop()
            .unwrap_or_else(|| Err(Error::Broken("a send without an answer".into())))
    })
    .await;
    if let Err(error) = sent {
        error!(task = %id, follower = name, place, %error, "what follows was refused and is left out");
    }
}

async fn count(client: &TaskClient, id: TaskId, group: &Membership) {
    let told = persist(|| async move {
        let queue = client.queue(&group.queue)?;
        let label = Label::new(&group.id)?;
        Ok(client.store().group_member_done(&queue, &label, id).await?)
    })
    .await;
    if let Err(error) = told {
        error!(task = %id, group = group.id, %error, "the group could not be told");
    }
}

/// Asks again while the store is away.
async fn persist<T, Asking>(ask: impl Fn() -> Asking) -> Result<T>
where
    Asking: Future<Output = Result<T>>,
{
    let mut pause = PAUSE_MIN;
    loop {
        match ask().await {
            Err(Error::Store(error)) if error.is_transient() => {
                if pause == PAUSE_MIN {
                    warn!(%error, "the store is away; what follows from a task waits");
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            answer => return answer,
        }
    }
}
