//! Sending: from records to entries in their partitions.
//!
//! ```text
//! record ─► key ─► partition ─► encode ─► append ─► id, for each
//!                      └─ in portions, one while the server takes another ─┘
//! ```
//!
//! The beginning of the flow. Records with one key go to one partition in the order in which they
//! were given, so where the store falters a partition has a prefix of them, never a gap. If the
//! process dies here, such a prefix is what remains; nothing is kept in memory for later.

use std::collections::HashSet;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use tidegate_store::{
    AppendOptions, Appended, EntryId, Error as Failure, NewEntry, Store, StreamName,
};
use uuid::Uuid;

use crate::portions::send_in_portions;
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
    options: AppendOptions,
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
    /// What makes a second send of the same record known: then it is not appended again, for as long
    /// as [`idempotence`](tidegate_store::AppendOptions::idempotence) says.
    pub request_id: Option<Bytes>,
    /// The trace that it belongs to, which travels in the entry.
    pub trace: Option<TraceParent>,
}

impl<R> From<R> for Outgoing<R> {
    fn from(record: R) -> Self {
        Self {
            record,
            request_id: None,
            trace: None,
        }
    }
}

impl<R> Outgoing<R> {
    fn as_ref(&self) -> Outgoing<&R> {
        Outgoing {
            record: &self.record,
            request_id: self.request_id.clone(),
            trace: self.trace.clone(),
        }
    }
}

/// Which records of one call can still be sent, so that a partition has no gap.
#[derive(Default)]
struct Closed {
    /// Partitions that refused an entry.
    partitions: HashSet<u32>,
    /// Whether the store failed as a whole, and would for each record that is tried.
    all: bool,
}

impl Closed {
    fn has(&self, partition: u32) -> bool {
        self.all || self.partitions.contains(&partition)
    }

    /// Learns from the answer to an entry of the partition.
    fn learn(&mut self, partition: u32, answer: &Result<Appended>) {
        match answer {
            Ok(_) => {}
            // Appended, or never to be: what comes after it leaves no gap.
            Err(
                Error::Store(Failure::NotDurable { .. } | Failure::Invalid(_))
                | Error::Invalid(_)
                | Error::Unencodable(_),
            ) => {}
            // Why is known already.
            Err(Error::NotTried) => {}
            Err(Error::Store(Failure::Full { .. })) => {
                self.partitions.insert(partition);
            }
            Err(_) => self.all = true,
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
            options: spec.append_options(),
            spec,
            name,
            turn: AtomicU32::new(u32::try_from(turn >> 32).unwrap_or_default()),
            record: PhantomData,
        })
    }

    /// Sends one record and returns its id in its partition.
    ///
    /// # Errors
    /// [`Error::Unencodable`], and the store's: its partition is full, the record was appended and
    /// is not as durable as asked, or, after one that is transient, it may have been appended.
    pub async fn send(&self, record: &R) -> Result<EntryId> {
        let partition = self.partition_of(record, None);
        let entry = self.entry(Outgoing::from(record), partition)?;
        let answers = self.store.append_with(vec![entry], &self.options).await;
        let appended = answers.into_iter().next().unwrap_or_else(missing)?;
        Ok(appended.id)
    }

    /// Sends many records in few round trips, and answers for each as [`send`](Self::send) does.
    ///
    /// A record that can't be encoded is left out, and the others are sent. Where a partition is
    /// full, none that comes later and belongs there is tried ([`Error::NotTried`]); where the store
    /// is away, none at all. So it can all be sent again from the first that failed, in order.
    pub async fn send_many(&self, records: Vec<R>) -> Vec<Result<EntryId>> {
        let outgoing = records.into_iter().map(Outgoing::from).collect();
        let answers = self.send_each(outgoing).await;
        let id = |answer: Result<Appended>| answer.map(|it| it.id);
        answers.into_iter().map(id).collect()
    }

    /// As [`send_many`](Self::send_many), for records with what goes with them. The answers tell
    /// whether a record was there already, by its request id.
    pub async fn send_each(&self, outgoing: Vec<Outgoing<R>>) -> Vec<Result<Appended>> {
        let mut answers = Vec::with_capacity(outgoing.len());
        let mut closed = Closed::default();
        for chunk in outgoing.chunks(CHUNK_RECORDS_MAX) {
            answers.extend(self.send_chunk(chunk, &mut closed).await);
        }
        answers
    }

    async fn send_chunk(
        &self,
        chunk: &[Outgoing<R>],
        closed: &mut Closed,
    ) -> Vec<Result<Appended>> {
        let partition_of = |it: &Outgoing<R>| self.partition_of(&it.record, it.request_id.as_ref());
        let partitions: Vec<u32> = chunk.iter().map(partition_of).collect();
        let known = &*closed;
        let answers = send_in_portions(&partitions, |places| {
            let routed = places.into_iter().filter_map(|place| {
                let (it, partition) = (chunk.get(place)?, partitions.get(place)?);
                Some((it, *partition))
            });
            self.send_portion(routed.collect(), known)
        })
        .await;
        let answer = |answer: Option<_>| answer.unwrap_or_else(|| missing().map_err(Error::Store));
        let answers: Vec<_> = answers.into_iter().map(answer).collect();
        for (partition, answer) in partitions.into_iter().zip(&answers) {
            closed.learn(partition, answer);
        }
        answers
    }

    /// Encodes and appends records, and answers for each of them.
    async fn send_portion(
        &self,
        portion: Vec<(&Outgoing<R>, u32)>,
        closed: &Closed,
    ) -> Vec<Result<Appended>> {
        let mut entries = Vec::with_capacity(portion.len());
        // Of each record that goes nowhere the reason.
        let mut places = Vec::with_capacity(portion.len());
        for (it, partition) in portion {
            places.push(match closed.has(partition) {
                true => Err(Error::NotTried),
                false => self
                    .entry(it.as_ref(), partition)
                    .map(|it| entries.push(it)),
            });
        }
        let appended = if entries.is_empty() {
            Vec::new()
        } else {
            self.store.append_with(entries, &self.options).await
        };
        let mut appended = appended.into_iter();
        let mut next = |()| {
            appended
                .next()
                .unwrap_or_else(missing)
                .map_err(Error::Store)
        };
        let answers = places.into_iter().map(|it| it.and_then(&mut next));
        answers.collect()
    }

    /// The entry of a record.
    fn entry(&self, outgoing: Outgoing<&R>, partition: u32) -> Result<NewEntry> {
        let Outgoing {
            record,
            request_id,
            trace,
        } = outgoing;
        if request_id.is_some() && self.options.idempotence.is_none() {
            return Err(Error::Invalid(format!(
                "a record with a request id: stream {} does not say for how long to know it again; \
                 set `append.idempotence`",
                self.name
            )));
        }
        let mut fields = record
            .encode(self.spec.compression)
            .map_err(Error::Unencodable)?;
        fields.extend(trace.as_ref().map(TraceParent::field));
        let entry = NewEntry::new(self.name.partition(partition), fields);
        Ok(match request_id {
            Some(id) => entry.with_request_id(id),
            None => entry,
        })
    }

    fn partition_of(&self, record: &R, request_id: Option<&Bytes>) -> u32 {
        let StreamSpec {
            hasher, partitions, ..
        } = self.spec;
        match (record.partition_key(), request_id) {
            (Some(key), _) => hasher.partition_of(&key, partitions),
            // A partition knows the request ids that it has seen itself, so a record that is sent
            // again must come to the same one.
            (None, Some(id)) => hasher.partition_of(&String::from_utf8_lossy(id), partitions),
            (None, None) => {
                let turn = self.turn.fetch_add(1, Ordering::Relaxed);
                turn.checked_rem(partitions).unwrap_or(0)
            }
        }
    }
}

/// The store answered for fewer entries than it was given, which it promises not to.
fn missing() -> tidegate_store::Result<Appended> {
    let text = "the store answered for fewer entries than it was given";
    Err(Failure::Corrupt(text.into()))
}
