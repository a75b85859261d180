//! Sending: from records to entries in their partitions.
//!
//! ```text
//! record ─► key ─► partition ─► encode ─► append ─► id, for each
//!                      └─ in portions, one while the server takes another ─┘
//! ```
//!
//! The beginning of the flow. Records with one key go to one partition in the order in which they
//! were given, so where the store falters a partition has a prefix of them, never a gap. Where the
//! stream has got other partitions, the store refuses, and what it refused goes there, in order.
//! If the process dies here, such a prefix is what remains; nothing is kept in memory for later.

use std::collections::HashSet;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use tidegate_store::{
    AppendOptions, Appended, Bound, EntryId, Error as Failure, NewEntry, Store, StreamName,
};
use uuid::Uuid;

use crate::layout::{Generation, Layout};
use crate::portions::send_in_portions;
use crate::record::Record;
use crate::route::Route;
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
    route: Route,
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
            Err(refusal) if is_refused(refusal) => {
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
            options: spec.append_options(),
            route: Route::new(store.clone(), name.clone(), spec.partitions),
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
    /// [`Error::Unencodable`], and the store's: its partition is full, the record was appended and
    /// is not as durable as asked, or, after one that is transient, it may have been appended.
    pub async fn send(&self, record: &R) -> Result<EntryId> {
        let mut layout = self.route.layout().await?;
        loop {
            let partition = self.place(self.current(&layout)?, record, None);
            let entry = self.entry(Outgoing::from(record), partition)?;
            let answers = self.store.append_with(vec![entry], &self.options).await;
            let answer = answers.into_iter().next().unwrap_or_else(missing);
            let answer = answer.map_err(Error::Store);
            match answer {
                Err(refusal) if is_refused(&refusal) => {
                    match self.route.newer(&layout, is_sealed(&refusal)).await? {
                        Some(newer) => layout = newer,
                        None => return Err(refusal),
                    }
                }
                answer => return answer.map(|it| it.id),
            }
        }
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
        let layout = match self.route.layout().await {
            Ok(layout) => layout,
            Err(failure) => return not_tried(chunk.len(), failure, closed),
        };
        let was_closed = !closed.partitions.is_empty();
        let whole: Vec<&Outgoing<R>> = chunk.iter().collect();
        let mut answers = self.send_to(&layout, &whole, closed).await;
        if answers.iter().any(is_refusal) {
            let rest = Rest {
                layout,
                was_closed,
                answers: &mut answers,
            };
            self.send_elsewhere(chunk, rest, closed).await;
        }
        answers
    }

    /// Sends what was refused to the partitions that the stream has now, if these are others.
    async fn send_elsewhere(&self, chunk: &[Outgoing<R>], rest: Rest<'_>, closed: &mut Closed) {
        let Rest {
            mut layout,
            was_closed,
            answers,
        } = rest;
        while answers.iter().any(is_refusal) {
            let has_begun = answers.iter().any(|it| it.as_ref().is_err_and(is_sealed));
            layout = match self.route.newer(&layout, has_begun).await {
                Ok(Some(newer)) if !was_closed => newer,
                // What an earlier chunk could not send would have to come before this.
                Ok(Some(_)) => return close(answers, None, closed),
                Ok(None) => return,
                Err(failure) => return close(answers, Some(failure), closed),
            };
            closed.partitions.clear();
            let of_one = |(_, answer): &(_, &mut Result<Appended>)| {
                is_refusal(answer) || matches!(answer, Err(Error::NotTried))
            };
            let (again, places): (Vec<_>, Vec<_>) =
                chunk.iter().zip(answers.iter_mut()).filter(of_one).unzip();
            let answered = self.send_to(&layout, &again, closed).await;
            for (place, answer) in places.into_iter().zip(answered) {
                *place = answer;
            }
        }
    }

    /// Sends records to the partitions of a layout, which may be an old one.
    async fn send_to(
        &self,
        layout: &Layout,
        chunk: &[&Outgoing<R>],
        closed: &mut Closed,
    ) -> Vec<Result<Appended>> {
        let known = match self.sent_before(layout, chunk).await {
            Ok(known) => known,
            Err(failure) => return not_tried(chunk.len(), Error::Store(failure), closed),
        };
        let current = match self.current(layout) {
            Ok(current) => current,
            Err(failure) => return not_tried(chunk.len(), failure, closed),
        };
        let place_of = |it: &&Outgoing<R>| self.place(current, &it.record, it.request_id.as_ref());
        let partitions: Vec<u32> = chunk.iter().map(place_of).collect();
        let still = &*closed;
        let answers = send_in_portions(&partitions, |places| {
            let routed = places.into_iter().filter_map(|place| {
                Some(Routed {
                    outgoing: chunk.get(place)?,
                    partition: *partitions.get(place)?,
                    known: known.get(place).copied().flatten(),
                })
            });
            self.send_portion(routed.collect(), still)
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
        portion: Vec<Routed<'_, R>>,
        closed: &Closed,
    ) -> Vec<Result<Appended>> {
        let mut entries = Vec::with_capacity(portion.len());
        // Of each record that goes nowhere the answer.
        let mut places = Vec::with_capacity(portion.len());
        for it in portion {
            places.push(match it.known {
                Some(known) => Err(Ok(known)),
                None if closed.has(it.partition) => Err(Err(Error::NotTried)),
                None => self
                    .entry(it.outgoing.as_ref(), it.partition)
                    .map(|entry| entries.push(entry))
                    .map_err(Err),
            });
        }
        let appended = if entries.is_empty() {
            Vec::new()
        } else {
            self.store.append_with(entries, &self.options).await
        };
        let mut appended = appended.into_iter();
        let mut next = || {
            let answer = appended.next().unwrap_or_else(missing);
            answer.map_err(Error::Store)
        };
        let answers = places.into_iter().map(|place| match place {
            Ok(()) => next(),
            Err(answer) => answer,
        });
        answers.collect()
    }

    /// For each record the entry that was appended for its request id to partitions that the
    /// stream had before; empty where there can be none. A partition knows only its own ids.
    async fn sent_before(
        &self,
        layout: &Layout,
        chunk: &[&Outgoing<R>],
    ) -> tidegate_store::Result<Vec<Option<Appended>>> {
        let Some(window) = self.options.idempotence else {
            return Ok(Vec::new());
        };
        if layout.former().is_empty() {
            return Ok(Vec::new());
        }
        let mut known: Vec<Option<Appended>> = vec![None; chunk.len()];
        let options = AppendOptions {
            bound: Bound::Closed,
            ..self.options
        };
        let now_ms = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0);
        for generation in layout.remembering(window, now_ms) {
            let ask = |it: &Outgoing<R>| {
                let request_id = it.request_id.as_ref()?;
                let place = self.place(&generation, &it.record, Some(request_id));
                // A closed append writes no fields; an entry has to have one all the same.
                let fields = vec![(Bytes::new(), Bytes::new())];
                let entry = NewEntry::new(self.name.partition(place), fields);
                Some(entry.with_request_id(request_id.clone()))
            };
            let (places, asked): (Vec<_>, Vec<_>) = chunk
                .iter()
                .zip(known.iter_mut())
                .filter(|(_, known)| known.is_none())
                .filter_map(|(it, place)| Some((place, ask(it)?)))
                .unzip();
            if asked.is_empty() {
                break;
            }
            let answers = self.store.append_with(asked, &options).await;
            for (place, answer) in places.into_iter().zip(answers) {
                match answer {
                    Ok(appended) => *place = Some(appended),
                    Err(Failure::Sealed { .. }) => {}
                    Err(failure) => return Err(failure),
                }
            }
        }
        Ok(known)
    }

    fn current<'l>(&self, layout: &'l Layout) -> Result<&'l Generation> {
        let none = || Error::Invalid(format!("stream {} has no partitions", self.name));
        layout.current().ok_or_else(none)
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

    fn place(&self, generation: &Generation, record: &R, request_id: Option<&Bytes>) -> u32 {
        let hasher = self.spec.hasher;
        generation.place(match (record.partition_key(), request_id) {
            (Some(key), _) => hasher.hash_of(&key),
            // A partition knows the request ids that it has seen itself, so a record that is sent
            // again must come to the same one.
            (None, Some(id)) => hasher.hash_of(&String::from_utf8_lossy(id)),
            (None, None) => self.turn.fetch_add(1, Ordering::Relaxed).into(),
        })
    }
}

/// A record, where it goes, and the entry that it is already.
struct Routed<'a, R> {
    outgoing: &'a Outgoing<R>,
    partition: u32,
    known: Option<Appended>,
}

/// What is left of a chunk of which the store has refused a part.
struct Rest<'a> {
    /// The layout with which it was tried.
    layout: Arc<Layout>,
    /// Whether something of an earlier chunk was refused.
    was_closed: bool,
    answers: &'a mut [Result<Appended>],
}

fn is_sealed(error: &Error) -> bool {
    matches!(error, Error::Store(Failure::Sealed { .. }))
}

/// Whether a partition takes nothing more, for now or for ever; another one may.
fn is_refused(error: &Error) -> bool {
    matches!(error, Error::Store(Failure::Full { .. })) || is_sealed(error)
}

fn is_refusal(answer: &Result<Appended>) -> bool {
    answer.as_ref().is_err_and(is_refused)
}

/// Answers for records before which something failed that concerns all.
fn not_tried(count: usize, failure: Error, closed: &mut Closed) -> Vec<Result<Appended>> {
    let rest = (1..count).map(|_| Err(Error::NotTried));
    let first = if closed.all { Error::NotTried } else { failure };
    closed.all = true;
    [Err(first)].into_iter().chain(rest).take(count).collect()
}

/// Gives up what was refused: the first of it with the reason, if there is one.
fn close(answers: &mut [Result<Appended>], mut failure: Option<Error>, closed: &mut Closed) {
    closed.all = true;
    for answer in answers.iter_mut().filter(|answer| is_refusal(answer)) {
        *answer = Err(failure.take().unwrap_or(Error::NotTried));
    }
}

/// The store answered for fewer entries than it was given, which it promises not to.
fn missing() -> tidegate_store::Result<Appended> {
    let text = "the store answered for fewer entries than it was given";
    Err(Failure::Corrupt(text.into()))
}
