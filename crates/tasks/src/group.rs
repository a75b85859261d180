//! Groups: many tasks, and one that is enqueued when all of them are done.
//!
//! ```text
//! open the group ─► enqueue the members ─► each one done: counted ─► the last one: the callback
//! ```
//!
//! The group is opened before its members are enqueued, so that none can be done before. A member
//! that runs twice is counted once, so the callback comes neither early nor twice. A member that is
//! dead holds the group open until a person has it retried. If the process dies while it sends, some
//! members are not enqueued and the group stays open; a group with an [id](Group::id) can be sent
//! again, which completes it and enqueues nothing twice.

use std::time::Duration;

use tidegate_store::task::{Label, NewGroup, TaskId};
use uuid::Uuid;

use crate::client::{Sent, TaskClient};
use crate::draft::{Draft, Membership};
use crate::duration::IntoDuration;
use crate::enqueue::Enqueue;
use crate::{Error, Result};

/// How long a group is remembered unless said otherwise.
pub const GROUP_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// Tasks with a callback when all of them are done.
#[derive(Clone, Debug)]
#[must_use = "nothing is enqueued before it is sent"]
pub struct Group {
    id: Option<String>,
    members: Vec<Enqueue>,
    callback: Option<Enqueue>,
    lifetime: Result<Duration, String>,
}

/// A group that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentGroup {
    /// Its id.
    pub id: String,
    /// Its members, in the order in which they were given.
    pub members: Vec<Sent>,
    /// The callback, once it is enqueued.
    pub callback: TaskId,
}

impl Group {
    /// A group of these tasks.
    pub fn of(members: impl IntoIterator<Item = Enqueue>) -> Self {
        Self {
            id: None,
            members: members.into_iter().collect(),
            callback: None,
            lifetime: Ok(GROUP_LIFETIME),
        }
    }

    /// What is enqueued when all members are done.
    pub fn on_completion(mut self, callback: Enqueue) -> Self {
        self.callback = Some(callback);
        self
    }

    /// An id of the caller's: sending the group again under it enqueues nothing twice.
    pub fn id(mut self, id: impl ToString) -> Self {
        self.id = Some(id.to_string());
        self
    }

    /// How long the group is remembered; after that it never completes.
    pub fn lifetime(mut self, lifetime: impl IntoDuration) -> Self {
        self.lifetime = lifetime.into_duration().map_err(|error| error.to_string());
        self
    }

    /// Opens the group and sends its members.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a group without members or callback, for members that may turn out
    /// to be duplicates of other tasks, and for the first mistake in any of them; what the store
    /// says to the first member that it does not take.
    pub async fn send(self, client: &TaskClient) -> Result<SentGroup> {
        let lifetime = self.lifetime.map_err(Error::Invalid)?;
        let callback = self.callback.ok_or_else(|| {
            Error::Invalid("a group needs a callback: .on_completion(…)".to_owned())
        })?;
        let callback = callback.checked()?;
        let id = self.id.unwrap_or_else(|| Uuid::now_v7().to_string());
        let base = TaskId::new(Uuid::new_v5(&Uuid::NAMESPACE_OID, id.as_bytes()));
        let membership = Membership {
            id: id.clone(),
            queue: callback.queue.clone(),
        };
        let members = self.members.into_iter().enumerate();
        let members = members.map(|(place, member)| {
            let draft = checked_member(member)?;
            let mut draft = draft.following(base, &format!("member {place}"));
            draft.header.group = Some(membership.clone());
            Ok(draft)
        });
        let members: Vec<Draft> = members.collect::<Result<_>>()?;
        let ids = members
            .iter()
            .map(|member| Ok(member.id()?.unwrap_or(base)));
        let ids: Vec<TaskId> = ids.collect::<Result<_>>()?;
        let (queue, callback) = client.prepare(callback.following(base, "callback"))?;
        let callback_id = callback.id;
        let group = NewGroup {
            id: Label::new(&id)?,
            members: ids,
            callback,
            lifetime,
        };
        client.store().open_group(&queue, group).await?;
        let sent = client.send_drafts(members.into_iter().map(Ok).collect());
        let members = sent.await.into_iter().collect::<Result<_>>()?;
        Ok(SentGroup {
            id,
            members,
            callback: callback_id,
        })
    }
}

fn checked_member(member: Enqueue) -> Result<Draft> {
    let draft = member.checked()?;
    if draft.unique.is_some() || draft.idempotency.is_some() || draft.id.is_some() {
        return Err(Error::Invalid(format!(
            "a member of a group ({}) can have no id, unique or idempotency key of its own: as a \
             duplicate of another task it would never be done, nor would its group",
            draft.name
        )));
    }
    Ok(draft)
}
