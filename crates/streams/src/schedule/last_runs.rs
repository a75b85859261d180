//! How far the leader's schedules are, kept in the store, so that the next leader goes on there.
//!
//! ```text
//! leader ─ load ─► Plan … runs end … settled ─ keep ─► mark `schedule:NAME` of the leadership
//! ```
//!
//! A mark is written under the leadership's lease: a leader that has been replaced can't set its
//! successor back. If the process dies before a write, the run is repeated or left out, as
//! [`Missed`](super::Missed) says.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use tidegate_store::{GroupName, Lease, Store, StreamName};

use crate::{Error, Result};

/// The group in whose name the one partition of the leadership is owned.
pub(super) const LEADER_GROUP: &str = "leader";
/// What the names of the marks begin with.
const PREFIX: &str = "schedule:";
/// How long a schedule that no leader has is remembered: one that is renamed leaves its mark
/// behind, and there is room for a number of them only.
const FORGET_AFTER: SignedDuration = SignedDuration::from_hours(90 * 24);

/// Up to when each of the leader's schedules is settled, by name: everything up to then has ended
/// or was left out.
///
/// # Errors
/// Those of the store, and `Corrupt` for a mark that is no time.
pub async fn last_runs(
    store: &dyn Store,
    leadership: &StreamName,
) -> Result<BTreeMap<String, Timestamp>> {
    let group = GroupName::new(LEADER_GROUP)?;
    let marks = store.marks(&group, &leadership.partition(0)).await?;
    let mut settled = BTreeMap::new();
    for (name, value) in &marks {
        let Some(schedule) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let text = String::from_utf8_lossy(value);
        let moment = text.parse().map_err(|why| {
            tidegate_store::Error::Corrupt(format!("the mark {name} of {leadership}: {why}"))
        })?;
        settled.insert(schedule.to_owned(), moment);
    }
    Ok(settled)
}

/// Keeps that everything of this schedule through `settled` has ended or was left out.
///
/// # Errors
/// Those of the store; `LeaseLost` when the leadership is another worker's, and then nothing was
/// changed.
pub(super) async fn keep(
    store: &dyn Store,
    lease: &Lease,
    schedule: &str,
    settled: Timestamp,
) -> Result<()> {
    let value = Bytes::from(settled.to_string());
    let written = store.put_mark(lease, &mark(schedule), Some(value)).await;
    written.map_err(Error::from)
}

/// Forgets the schedules that nobody has run for long and this leader doesn't know.
///
/// # Errors
/// As in [`keep`].
pub(super) async fn forget(
    store: &dyn Store,
    lease: &Lease,
    known: &BTreeMap<String, Timestamp>,
    is_ours: impl Fn(&str) -> bool,
    now: Timestamp,
) -> Result<()> {
    for (schedule, settled) in known {
        if !is_ours(schedule) && now.duration_since(*settled) > FORGET_AFTER {
            store.put_mark(lease, &mark(schedule), None).await?;
        }
    }
    Ok(())
}

fn mark(schedule: &str) -> String {
    format!("{PREFIX}{schedule}")
}
