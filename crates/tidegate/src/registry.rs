//! The streams of an application, by name, with the types of their records forgotten.
//!
//! It stands between the application, which knows its records' types, and the command line, which
//! gets names and JSON. Nothing here outlives the process.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use tidegate_store::{EntryId, Store};
use tidegate_streams::desk::{KeyOf, key_of};
use tidegate_streams::{BoxError, Record, Sender, StreamSpec};

use crate::Error;

/// A stream that the application has named.
#[derive(Clone)]
pub(crate) struct Registered {
    pub(crate) spec: StreamSpec,
    records: Arc<dyn Records>,
}

impl Registered {
    pub(crate) fn new<R: Record>(spec: StreamSpec) -> Self {
        Self {
            spec,
            records: Arc::new(Typed::<R>(PhantomData)),
        }
    }

    /// A sender of records that are given as JSON.
    pub(crate) fn sender(&self, store: Arc<dyn Store>) -> Result<Box<dyn SendsJson>, Error> {
        self.records.sender(store, self.spec.clone())
    }

    /// What finds the keys of its records.
    pub(crate) fn key_of(&self) -> KeyOf {
        self.records.key_of()
    }
}

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.spec.fmt(f)
    }
}

/// Sends records that are given as JSON.
#[async_trait]
pub(crate) trait SendsJson: Send + Sync {
    /// Sends one record for each line, and answers for each, in their order. A line that is no
    /// record is not sent, and the others are.
    async fn send(&self, lines: &[Vec<u8>]) -> Vec<Result<EntryId, BoxError>>;
}

trait Records: Send + Sync {
    fn sender(&self, store: Arc<dyn Store>, spec: StreamSpec) -> Result<Box<dyn SendsJson>, Error>;

    fn key_of(&self) -> KeyOf;
}

struct Typed<R>(PhantomData<fn() -> R>);

impl<R: Record> Records for Typed<R> {
    fn sender(&self, store: Arc<dyn Store>, spec: StreamSpec) -> Result<Box<dyn SendsJson>, Error> {
        Ok(Box::new(JsonSender(Sender::<R>::new(store, spec)?)))
    }

    fn key_of(&self) -> KeyOf {
        key_of::<R>
    }
}

struct JsonSender<R>(Sender<R>);

#[async_trait]
impl<R: Record> SendsJson for JsonSender<R> {
    async fn send(&self, lines: &[Vec<u8>]) -> Vec<Result<EntryId, BoxError>> {
        let mut refusals = Vec::with_capacity(lines.len());
        let mut records = Vec::with_capacity(lines.len());
        for line in lines {
            match R::from_json(line) {
                Ok(record) => {
                    records.push(record);
                    refusals.push(None);
                }
                Err(refusal) => refusals.push(Some(refusal)),
            }
        }
        let mut sent = self.0.send_many(records).await.into_iter();
        let answer = |refusal: Option<BoxError>| match refusal {
            Some(refusal) => Err(refusal),
            None => match sent.next() {
                Some(sent) => sent.map_err(Into::into),
                None => Err("the sender answered for fewer records than it was given".into()),
            },
        };
        refusals.into_iter().map(answer).collect()
    }
}
