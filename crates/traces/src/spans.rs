//! Spans: one for each batch, made when it is over.
//!
//! A shard has one batch in work at a time. Its beginning and its links are remembered here until
//! it is committed, or given up with an error; a batch that is tried again gets a new span.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use opentelemetry::KeyValue;
use opentelemetry::trace::{Link, Span, SpanKind, Status, Tracer};
use tidegate_drain::observer::Batch;
use tidegate_drain::{Error, Observer};
use tidegate_store::Entry;

use crate::trace_parent;

/// The most links of a span: the producers of the first entries stand for all of them.
pub const LINKS_MAX: usize = 128;
/// What each span is called.
const NAME: &str = "drain batch";

/// Makes the spans of one stream.
pub struct Spans<T> {
    tracer: T,
    tenant: Option<String>,
    stream: String,
    open: Mutex<HashMap<u32, Open>>,
}

/// A batch in work.
struct Open {
    began: SystemTime,
    entries: usize,
    links: Vec<Link>,
}

impl<T> Spans<T> {
    /// Spans by this tracer.
    #[must_use]
    pub fn new(tracer: T, tenant: Option<&str>, stream: &str) -> Self {
        Self {
            tracer,
            tenant: tenant.map(str::to_owned),
            stream: stream.to_owned(),
            open: Mutex::default(),
        }
    }

    fn take(&self, shard: u32) -> Option<Open> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(&shard)
    }
}

impl<T: Tracer> Spans<T> {
    fn finish(&self, shard: u32, end: impl FnOnce(&mut T::Span)) {
        let Some(open) = self.take(shard) else { return };
        let number = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        let mut attributes = vec![
            KeyValue::new("messaging.system", "tidegate"),
            KeyValue::new("messaging.destination.name", self.stream.clone()),
            KeyValue::new("messaging.destination.partition.id", shard.to_string()),
            KeyValue::new("messaging.batch.message_count", number(open.entries)),
        ];
        if let Some(tenant) = &self.tenant {
            attributes.push(KeyValue::new("tidegate.tenant", tenant.clone()));
        }
        let builder = self.tracer.span_builder(NAME);
        let builder = builder
            .with_kind(SpanKind::Consumer)
            .with_start_time(open.began)
            .with_links(open.links)
            .with_attributes(attributes);
        let mut span = builder.start(&self.tracer);
        end(&mut span);
        span.end();
    }
}

impl<T> Observer for Spans<T>
where
    T: Tracer + Send + Sync,
{
    fn taken(&self, shard: u32, entries: &[Entry]) {
        let mut links = Vec::new();
        for context in entries.iter().filter_map(trace_parent::of) {
            // What one request sent together has one link.
            if !links.iter().any(|link: &Link| link.span_context == context) {
                links.push(Link::with_context(context));
            }
            if links.len() == LINKS_MAX {
                break;
            }
        }
        let taken = Open {
            began: SystemTime::now(),
            entries: entries.len(),
            links,
        };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.insert(shard, taken);
    }

    fn committed(&self, batch: &Batch) {
        let settled = batch.settled;
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.finish(batch.shard, |span| {
            span.set_attribute(KeyValue::new("tidegate.applied", number(settled.applied)));
            span.set_attribute(KeyValue::new("tidegate.dead", number(settled.dead)));
        });
    }

    fn fenced(&self, shard: u32) {
        self.finish(shard, |span| {
            span.set_status(Status::error("the ledger had moved"));
        });
    }

    fn failed(&self, shard: Option<u32>, error: &Error) {
        let Some(shard) = shard else { return };
        self.finish(shard, |span| span.set_status(Status::error(error.kind())));
    }

    fn ended(&self, shard: u32, _is_lost: bool) {
        self.finish(shard, |span| {
            span.set_status(Status::error("the shard was given up"))
        });
    }
}

impl<T> std::fmt::Debug for Spans<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spans")
            .field("tenant", &self.tenant)
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}
