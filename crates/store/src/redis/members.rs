//! Members of an app's groups: who is alive, in the form that runnel writes.
//!
//! A member's id is in the group's list, and it beats by a key of its own that expires. The list
//! also says which partitions a member holds; that is for people, as of the member's last beat.
//! Who comes and goes is announced on the group's control stream by the very script that changes
//! the list, so each change is announced once, and none is missed. If the process dies here, its
//! beat runs out, and the next beat of any other announces its death.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rustis::resp::CommandBuilder;

use super::keys::Keys;
use super::lease::ttl_ms;
use super::reply::Reply;
use super::{RedisStore, Result};
use crate::lease::{Lease, WorkerId};
use crate::stream::{CONTROL_ENTRIES_MAX, GroupName, StreamName};

/// How the time of a join is written: readers in Python before 3.11 know this form of ISO 8601.
const JOINED_AT: &str = "%Y-%m-%dT%H:%M:%S%.6f+00:00";

/// The partitions on which workers of this handle have leases, as far as it has heard.
#[derive(Debug, Default)]
pub(super) struct Holdings(Mutex<BTreeMap<Member, BTreeSet<u32>>>);

type Member = (StreamName, GroupName, WorkerId);

impl Holdings {
    /// A lease was acquired.
    pub(super) fn add(&self, lease: &Lease) {
        let mut holdings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        holdings
            .entry(member_of(lease))
            .or_default()
            .insert(lease.partition.index);
    }

    /// A lease was given back or lost.
    pub(super) fn remove(&self, lease: &Lease) {
        let mut holdings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = holdings.get_mut(&member_of(lease)) {
            held.remove(&lease.partition.index);
            if held.is_empty() {
                holdings.remove(&member_of(lease));
            }
        }
    }

    fn of(&self, member: &Member) -> BTreeSet<u32> {
        let holdings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        holdings.get(member).cloned().unwrap_or_default()
    }
}

fn member_of(lease: &Lease) -> Member {
    let stream = lease.partition.stream.clone();
    (stream, lease.group.clone(), lease.worker)
}

/// A group of an app's stream, or of those who would lead the app.
pub(super) struct Group<'a> {
    pub(super) stream: &'a StreamName,
    pub(super) group: &'a GroupName,
    /// What stands before a worker's id in the key of its beat.
    pub(super) beats: String,
}

impl Group<'_> {
    /// See [`Store::beat`](crate::Store::beat).
    pub(super) async fn beat(
        &self,
        store: &RedisStore,
        worker: WorkerId,
        ttl: Duration,
    ) -> Result<Reply> {
        let joined_at = Timestamp::now().strftime(JOINED_AT).to_string();
        let member = (self.stream.clone(), self.group.clone(), worker);
        let held = store.holdings.of(&member);
        let arguments = |command| {
            let command = self
                .keys(store, command, worker)
                .arg(ttl_ms(ttl))
                .arg(joined_at.as_str())
                .arg(self.beats.as_str())
                .arg(CONTROL_ENTRIES_MAX);
            held.iter()
                .fold(command, |command, index| command.arg(*index))
        };
        let reply = store.server.run(&store.scripts.member_beat, arguments);
        Ok(reply.await?)
    }

    /// See [`Store::leave`](crate::Store::leave).
    pub(super) async fn leave(&self, store: &RedisStore, worker: WorkerId) -> Result<()> {
        let arguments = |command| self.keys(store, command, worker).arg(CONTROL_ENTRIES_MAX);
        store
            .server
            .run(&store.scripts.member_leave, arguments)
            .await?
            .text()?;
        Ok(())
    }

    /// See [`Store::workers`](crate::Store::workers).
    pub(super) async fn list(&self, store: &RedisStore) -> Result<Reply> {
        let arguments = |command: CommandBuilder| {
            command
                .arg(1)
                .key(store.keys.members(self.stream, self.group))
                .arg(self.beats.as_str())
        };
        let reply = store.server.run(&store.scripts.member_list, arguments);
        Ok(reply.await?)
    }

    fn keys(
        &self,
        store: &RedisStore,
        command: CommandBuilder,
        worker: WorkerId,
    ) -> CommandBuilder {
        let control = self.stream.control(self.group);
        let command = command
            .arg(2 + u32::from(control.is_some()))
            .key(store.keys.members(self.stream, self.group))
            .key(Keys::beat(&self.beats, worker));
        let command = match control {
            Some(control) => command.key(store.keys.entries(&control.partition(0))),
            None => command,
        };
        command.arg(worker.to_string())
    }
}
