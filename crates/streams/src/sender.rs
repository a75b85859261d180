//! Sending: from records to entries in their partitions.
//!
//! ```text
//! record ─► encode ─► key ─► partition ─► append, a chunk of entries at a time ─► id, for each
//! ```
//!
//! The beginning of the flow. Records with one key go to one partition in the order in which they
//! were given, so where the store falters a partition has a prefix of them, never a gap. If the
//! process dies here, such a prefix is what remains; nothing is kept in memory for later.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tidegate_store::{EntryId, NewEntry, Store, StreamName};
use uuid::Uuid;

use crate::record::Record;
use crate::spec::StreamSpec;
use crate::trace::TraceParent;
use crate::{Error, Result};

/// How many records are encoded and appended at once, which bounds the memory of a large send beyond
/// the records themselves.
const CHUNK_RECORDS_MAX: usize = 4_096;

/// Sends records of one type to one stream.
#[derive(Debug)]
pub struct Sender<R> {
    store: Arc<dyn Store>,
    spec: StreamSpec,
    name: StreamName,
    /// Where the next record without a key goes. It begins at random, so that many short-lived
    /// programs that send a record each don't all choose the same partition.
    turn: AtomicU32,
    record: PhantomData<fn(R)>,
}

/// A record and what goes with it.
#[derive(Clone, Debug)]
pub struct Outgoing<R> {
    /// The record.
    pub record: R,
    /// The trace that it belongs to, which travels in the entry.
    pub trace: Option<TraceParent>,
}

impl<R> From<R> for Outgoing<R> {
    fn from(record: R) -> Self {
        Self {
            record,
            trace: None,
        }
    }
}

impl<R: Record> Sender<R> {
    /// A sender to the stream.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the stream is described in a way that is not allowed.
    pub fn new(store: Arc<dyn Store>, spec: StreamSpec) -> Result<Self> {
        let name = spec.name()?;
        let (turn, _) = Uuid::new_v4().as_u64_pair();
        Ok(Self {
            store,
            spec,
            name,
            turn: AtomicU32::new(u32::try_from(turn >> 32).unwrap_or_default()),
            record: PhantomData,
        })
    }

    /// Sends one record and returns its id in its partition.
    ///
    /// # Errors
    /// [`Error::Unencodable`], and the store's; after one that is transient the record may have been
    /// sent.
    pub async fn send(&self, record: &R) -> Result<EntryId> {
        let entry = self.address(record, None)?;
        self.append(vec![entry]).await.pop().unwrap_or_else(missing)
    }

    /// Sends many records in few round trips, and answers for each.
    ///
    /// A record that can't be encoded is left out, and the others are sent. Where the store refuses
    /// or can't be reached, the answers to the records that it may not have taken say so, and of
    /// those that come after them none is tried ([`Error::NotTried`]).
    pub async fn send_many(&self, records: Vec<R>) -> Vec<Result<EntryId>> {
        self.send_each(records.into_iter().map(Outgoing::from).collect())
            .await
    }

    /// As [`send_many`](Self::send_many), for records with what goes with them.
    pub async fn send_each(&self, outgoing: Vec<Outgoing<R>>) -> Vec<Result<EntryId>> {
        let mut answers = Vec::with_capacity(outgoing.len());
        let mut failed = false;
        for chunk in outgoing.chunks(CHUNK_RECORDS_MAX) {
            if failed {
                answers.extend(chunk.iter().map(|_| Err(Error::NotTried)));
                continue;
            }
            let sent = self.send_chunk(chunk).await;
            failed = sent.iter().any(|it| matches!(it, Err(Error::Store(_))));
            answers.extend(sent);
        }
        answers
    }

    async fn send_chunk(&self, chunk: &[Outgoing<R>]) -> Vec<Result<EntryId>> {
        let mut entries = Vec::with_capacity(chunk.len());
        let mut refusals = Vec::with_capacity(chunk.len());
        for it in chunk {
            match self.address(&it.record, it.trace.as_ref()) {
                Ok(entry) => {
                    entries.push(entry);
                    refusals.push(None);
                }
                Err(refusal) => refusals.push(Some(refusal)),
            }
        }
        let mut appended = self.append(entries).await.into_iter();
        let mut answer = |refusal: Option<Error>| match refusal {
            Some(refusal) => Err(refusal),
            None => appended.next().unwrap_or_else(missing),
        };
        refusals.into_iter().map(&mut answer).collect()
    }

    /// The entry of a record.
    fn address(&self, record: &R, trace: Option<&TraceParent>) -> Result<NewEntry> {
        let mut fields = record
            .encode(self.spec.compression)
            .map_err(Error::Unencodable)?;
        fields.extend(trace.map(TraceParent::field));
        let partition = match record.partition_key() {
            Some(key) => self.spec.hasher.partition_of(&key, self.spec.partitions),
            None => self.next_turn(),
        };
        Ok(NewEntry {
            partition: self.name.partition(partition),
            fields,
            request_id: None,
        })
    }

    fn next_turn(&self) -> u32 {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        turn.checked_rem(self.spec.partitions).unwrap_or(0)
    }

    /// Appends entries and answers for each.
    async fn append(&self, entries: Vec<NewEntry>) -> Vec<Result<EntryId>> {
        let count = entries.len();
        match self.store.append(entries).await {
            Ok(ids) => ids.into_iter().map(Ok).collect(),
            Err(failure) => (0..count)
                .map(|_| Err(Error::Store(again(&failure))))
                .collect(),
        }
    }
}

/// The same failure once more, since each of the entries has an answer of its own.
fn again(failure: &tidegate_store::Error) -> tidegate_store::Error {
    use tidegate_store::Error as Failure;
    let text = failure.to_string();
    match failure {
        Failure::Unavailable(source) => Failure::Unavailable(source.to_string().into()),
        Failure::Refused(source) => Failure::Refused(source.to_string().into()),
        Failure::Corrupt(_) => Failure::Corrupt(text),
        _ => Failure::Invalid(text),
    }
}

/// The store answered for fewer entries than it was given, which it promises not to.
fn missing() -> Result<EntryId> {
    let text = "the store answered for fewer entries than it was given";
    Err(tidegate_store::Error::Corrupt(text.into()).into())
}
