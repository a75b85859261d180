//! Groups: a callback that is enqueued when all of some tasks are done.
//!
//! A group lives in the queue of its callback, so that the last member's step and the callback's
//! enqueueing are one. Its members may be in other queues: the runner tells the group of each one
//! before it finishes the task, and again if the task runs again, which changes nothing.

use std::time::Duration;

use super::id::TaskId;
use super::name::Label;
use super::new_task::NewTask;
use crate::{Error, Result};

/// The most members of a group.
pub const GROUP_MEMBERS_MAX: usize = 100_000;

/// A group to be opened, before its members are enqueued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewGroup {
    /// Which group.
    pub id: Label,
    /// Its members, at least 1 and at most [`GROUP_MEMBERS_MAX`].
    pub members: Vec<TaskId>,
    /// What is enqueued when all of them are done.
    pub callback: NewTask,
    /// How long the group is remembered, from its opening on: after that it never completes.
    pub lifetime: Duration,
}

impl NewGroup {
    /// Looks whether the store takes such a group. Every backend asks this before anything else.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a group without members or with too many, and for a callback that
    /// can't be enqueued.
    pub fn check(&self) -> Result<()> {
        if self.members.is_empty() || self.members.len() > GROUP_MEMBERS_MAX {
            return Err(Error::Invalid(format!(
                "the group {} has {} members; 1 to {GROUP_MEMBERS_MAX} are allowed",
                self.id,
                self.members.len()
            )));
        }
        self.callback.check()
    }
}

/// What a member's end means for its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupStep {
    /// So many members are left.
    Waiting(u64),
    /// This was the last one: the callback was enqueued by this call, and by no other.
    Completed,
    /// The group was complete before, or its lifetime is over.
    Over,
}
