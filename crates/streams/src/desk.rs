//! The desk: where a person lists dead letters, sends them again, and discards them.
//!
//! ```text
//! dead.<stream> ─► listed ─► retry: its entry is appended to its key's partition ┐
//!                       └──► discard ────────────────────────────────────────────┴─► settled
//! ```
//!
//! It owns the partition of dead letters through a lease, so that one command at a time is at
//! work. A letter that was retried or discarded is acknowledged, and deleted once none before it
//! is open. A retried entry gets a new id and comes after what was sent since. If the process
//! dies between the two steps of a retry, the letter is still open, and retrying it again within
//! a day appends nothing twice.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tidegate_store::{
    AppendOptions, Bound, Entry, EntryId, Epoch, Error as Failure, Fetch, Field, GroupName, Lease,
    NewEntry, ReadLimit, Store, WorkerId,
};
use tokio::time::Instant;

use crate::dead_letter::{DeadLetter, REPEAT_WINDOW, decode, stream_of};
use crate::layout::Generation;
use crate::record::Record;
use crate::route::Route;
use crate::spec::StreamSpec;
use crate::{Error, Result};

/// The group whose open entries are the open letters.
const GROUP: &str = "desk";
/// How long a command that died keeps others waiting, and the longest that one step may take.
const LEASE_TTL: Duration = Duration::from_secs(30);
/// How long a command waits for another one to end.
const BUSY_MAX: Duration = Duration::from_secs(5);
/// How often it asks.
const BUSY_PAUSE: Duration = Duration::from_millis(50);
/// How many letters are read at once.
const PAGE: ReadLimit = ReadLimit {
    entries: 500,
    bytes: 4 << 20,
};

/// The dead letters of one stream, held by one command.
#[derive(Debug)]
pub struct Desk {
    store: Arc<dyn Store>,
    spec: StreamSpec,
    lease: Lease,
    route: Route,
    key_of: Option<KeyOf>,
}

/// Finds the key of a record in an entry's fields; none where it has none or can't be decoded.
pub type KeyOf = fn(&[Field]) -> Option<String>;

/// The [`KeyOf`] of a type of records.
#[must_use]
pub fn key_of<R: Record>(fields: &[Field]) -> Option<String> {
    let record = R::decode(fields).ok()?;
    record.partition_key().map(Cow::into_owned)
}

impl Desk {
    /// Takes the dead letters of a stream. Waits a few seconds for another command to end.
    ///
    /// # Errors
    /// [`Error::Busy`] while another command is at work; the store's.
    pub async fn open(store: Arc<dyn Store>, spec: StreamSpec) -> Result<Self> {
        let partition = stream_of(&spec)?.partition(0);
        let (group, worker) = (GroupName::new(GROUP)?, WorkerId::random());
        let until = Instant::now() + BUSY_MAX;
        let lease = loop {
            let taken = store
                .try_acquire_lease(&group, &partition, worker, LEASE_TTL, Epoch(0))
                .await?;
            match taken {
                Some(lease) => break lease,
                None if Instant::now() >= until => return Err(Error::Busy { partition }),
                None => tokio::time::sleep(BUSY_PAUSE).await,
            }
        };
        let route = Route::new(store.clone(), spec.name()?, spec.partitions);
        let desk = Self {
            store,
            spec,
            lease,
            route,
            key_of: None,
        };
        // What has come since the last command becomes an open letter.
        while !desk.fetch(Fetch::New, PAGE).await?.is_empty() {}
        Ok(desk)
    }

    /// Lets entries be sent again whose partitions the stream has no more: their keys say where to.
    #[must_use]
    pub fn with_keys(self, key_of: KeyOf) -> Self {
        let key_of = Some(key_of);
        Self { key_of, ..self }
    }

    /// Up to `count` open letters after this one, the oldest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn list(&self, after: EntryId, count: usize) -> Result<Vec<DeadLetter>> {
        let limit = ReadLimit {
            entries: count.clamp(1, PAGE.entries),
            bytes: PAGE.bytes,
        };
        let entries = self.fetch(Fetch::Pending(after), limit).await?;
        Ok(entries.iter().filter_map(decode).collect())
    }

    /// Sends the entries of these letters to their partitions again. Answers how many there were:
    /// a letter that is not open is passed over.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the stream has no such partition any more and nobody knows the
    /// [keys](Self::with_keys), and the store's; the letters before the one that failed have been
    /// retried.
    pub async fn retry(&self, letters: &[EntryId]) -> Result<usize> {
        let mut retried = 0;
        for id in letters {
            let Some(letter) = self.open_letter(*id).await? else {
                continue;
            };
            self.send_again(letter).await?;
            self.settle(&[*id]).await?;
            retried += 1;
        }
        self.store.trim(&self.lease, 0).await?;
        Ok(retried)
    }

    /// Gives these letters up for good. Answers how many there were.
    ///
    /// # Errors
    /// The store's.
    pub async fn discard(&self, letters: &[EntryId]) -> Result<u64> {
        let discarded = self.settle(letters).await?;
        self.store.trim(&self.lease, 0).await?;
        Ok(discarded)
    }

    /// Lets the next command take the letters at once.
    ///
    /// # Errors
    /// The store's; the letters are free after half a minute then.
    pub async fn close(self) -> Result<()> {
        Ok(self.store.release_lease(&self.lease).await?)
    }

    async fn open_letter(&self, id: EntryId) -> Result<Option<DeadLetter>> {
        let limit = ReadLimit { entries: 1, ..PAGE };
        let entries = self.fetch(Fetch::Pending(before(id)), limit).await?;
        let letter = entries.first().filter(|entry| entry.id == id);
        Ok(letter.and_then(decode))
    }

    async fn send_again(&self, letter: DeadLetter) -> Result<()> {
        let mut layout = self.route.layout().await?;
        loop {
            // A desk that died may have sent it already to a partition that is sealed since.
            for generation in layout.former() {
                let is_known = self.place(generation, &letter).is_ok();
                if is_known && self.append(generation, &letter, Bound::Closed).await? {
                    return Ok(());
                }
            }
            if let Some(current) = layout.current()
                && self.append(current, &letter, Bound::None).await?
            {
                return Ok(());
            }
            match self.route.newer(&layout, true).await? {
                Some(newer) => layout = newer,
                None => return Ok(()),
            }
        }
    }

    /// Appends the entry of a letter to its partition in a generation, where that takes it or
    /// knows it.
    async fn append(
        &self,
        generation: &Generation,
        letter: &DeadLetter,
        bound: Bound,
    ) -> Result<bool> {
        let place = self.place(generation, letter)?;
        let partition = self.spec.name()?.partition(place);
        let entry = NewEntry::new(partition, letter.fields.clone())
            .with_request_id(format!("retry:{}", letter.id));
        let options = AppendOptions {
            idempotence: Some(REPEAT_WINDOW),
            bound,
            ..AppendOptions::default()
        };
        for appended in self.store.append_with(vec![entry], &options).await {
            match appended {
                Err(Failure::Sealed { .. }) => return Ok(false),
                appended => drop(appended?),
            }
        }
        Ok(true)
    }

    /// The partition in which it was, or that its key has in another generation.
    fn place(&self, generation: &Generation, letter: &DeadLetter) -> Result<u32> {
        if generation.indexes().contains(&letter.partition) {
            return Ok(letter.partition);
        }
        let Some(key_of) = self.key_of else {
            return Err(Error::Invalid(format!(
                "dead letter {}: the stream has no partition {} any more, and what the key of the \
                 entry is nobody has said",
                letter.id, letter.partition
            )));
        };
        // What has no key can be anywhere.
        let key = key_of(&letter.fields).unwrap_or_else(|| letter.id.to_string());
        Ok(generation.place(self.spec.hasher.hash_of(&key)))
    }

    async fn fetch(&self, fetch: Fetch, limit: ReadLimit) -> Result<Vec<Entry>> {
        self.keep().await?;
        Ok(self.store.fetch(&self.lease, fetch, limit).await?)
    }

    async fn settle(&self, ids: &[EntryId]) -> Result<u64> {
        self.keep().await?;
        let mut settled = 0;
        for ids in ids.chunks(PAGE.entries) {
            settled += self.store.acknowledge(&self.lease, ids).await?;
        }
        Ok(settled)
    }

    /// Renews the lease: a command may wait for a person in between.
    async fn keep(&self) -> Result<()> {
        let leases = std::slice::from_ref(&self.lease);
        let held = self.store.renew_leases(leases, LEASE_TTL).await?;
        if held.first() == Some(&true) {
            return Ok(());
        }
        Err(Error::LeaseLost {
            partition: self.lease.partition.clone(),
        })
    }
}

/// The largest id before this one.
fn before(id: EntryId) -> EntryId {
    match (id.sequence.checked_sub(1), id.ms.checked_sub(1)) {
        (Some(sequence), _) => EntryId::new(id.ms, sequence),
        (None, Some(ms)) => EntryId::new(ms, u64::MAX),
        (None, None) => EntryId::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_follows_the_id_before_is_the_id(ms in 0_u64..10, sequence in 0_u64..3) {
            let id = EntryId::new(ms, sequence);
            prop_assume!(id != EntryId::ZERO);
            prop_assert!(before(id) < id);
            prop_assert_eq!(before(id).next(), id);
        }
    }
}
