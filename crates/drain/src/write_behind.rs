//! Write-behind: an operation on its way to the database, and at once the state that it leads to.
//!
//! ```text
//! put ─► one step of the store: entry into the shard + state ─► drain ─► row ─► the state ends
//!                                      ▲                                 ▲
//! newest ─► the state, if there is one ┘                 else the row ───┘
//! ```
//!
//! A service that reads what it has just written need not wait for the drain. A state and its entry
//! are written together or not at all, in the order of the shard; and a state is kept until its
//! operation is applied (not merely held), and for `drain.state_ttl` after that. So who finds no
//! state finds a row that has everything which was put before the look, and a reader never goes back
//! behind what it has read. Where Redis loses memory, it loses a state and its entry together, as
//! they are in one slot; a server that evicts keys by itself may drop a state alone.
//!
//! It holds for rows that are written in this way and in no other. If the process dies here, both
//! were written or neither; with a request id the put can be repeated.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use tidegate_store::{
    AppendOptions, Expected, Field, NewState, Partition, Put, State, Store, StreamName,
};

use crate::catalog::Catalog;
use crate::error::{Error, Result};
use crate::options::Options;
use crate::route::{Sender, shard_of};

/// Puts operations with their states, and reads the newest.
#[derive(Clone, Debug)]
pub struct WriteBehind {
    store: Arc<dyn Store>,
    sender: Sender,
    stream: StreamName,
    partitions: u32,
    entry_bytes_max: usize,
}

/// How a state is found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StateKey {
    /// The partition key of its operations: what they give as `partition_key`, or else the values
    /// of the row's primary key, joined by `_`.
    pub partition_key: String,
    /// Its name, such as `payment:7`: up to
    /// [`STATE_NAME_BYTES_MAX`](tidegate_store::state::STATE_NAME_BYTES_MAX) bytes.
    pub name: String,
}

/// What is put.
#[derive(Clone, Debug, Default)]
pub struct Write {
    /// The operation's JSON.
    pub operation: Bytes,
    /// All fields of the state that it leads to; none where it deletes the row.
    pub state: Option<Vec<Field>>,
    /// Which state must be there before. A writer that computes the new state from the one it has
    /// read names that one's version here, and reads again where it is answered
    /// [`Put::Unexpected`].
    pub expected: Expected,
    /// Names the request. Within the window of [`AppendOptions::idempotence`] a second put of the
    /// same one to the same shard writes nothing.
    pub request_id: String,
    /// Names the thing, over all its operations.
    pub global_id: String,
    /// What the put is to promise.
    pub options: AppendOptions,
}

/// The newest that is known of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Newest<Row> {
    /// A state: its operation is on its way, or was applied a short time ago.
    State(State),
    /// The row, with everything that was put before; none where there is no such row.
    Row(Option<Row>),
}

impl WriteBehind {
    /// For the stream of these options; the catalog tells which columns are a row's key.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, catalog: Arc<Catalog>, options: &Options) -> Self {
        let stream = options.stream.clone();
        Self {
            sender: Sender::new(store.clone(), catalog, stream.clone(), options.partitions),
            store,
            stream,
            partitions: options.partitions,
            entry_bytes_max: options.entry_bytes_max,
        }
    }

    /// Writes an operation and the state it leads to, both or neither.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an operation that the drain would not take, or that belongs to another
    /// shard than the state, and the store's: after one that is transient both may have been
    /// written, and with a request id the put can be repeated.
    pub async fn put(&self, key: &StateKey, write: Write) -> Result<Put> {
        let Write {
            operation,
            state,
            expected,
            request_id,
            global_id,
            options,
        } = write;
        let now = SystemTime::now();
        let outgoing = self.sender.address(operation, &request_id, &global_id, now);
        if let Some(rejection) = outgoing.rejection {
            return Err(Error::Invalid(rejection.to_string()));
        }
        let mut entry = outgoing.entry;
        if entry.partition != self.partition(key) {
            return Err(Error::Invalid(format!(
                "the operation's partition key is not that of the state {:?}; in another shard it \
                 would not be in order with the state's other operations",
                key.name
            )));
        }
        let bytes: usize = entry
            .fields
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        if bytes + key.name.len() > self.entry_bytes_max {
            return Err(Error::Invalid(format!(
                "the operation's entry has {bytes} bytes; drain.entry_bytes_max allows {}",
                self.entry_bytes_max
            )));
        }
        if options.idempotence.is_some() && !request_id.is_empty() {
            entry.request_id = Some(request_id.into());
        }
        let state = NewState {
            name: key.name.clone(),
            content: state,
            expected,
        };
        Ok(self.store.put(entry, state, &options).await?)
    }

    /// The state of this key, if there is one.
    ///
    /// # Errors
    /// The store's.
    pub async fn state(&self, key: &StateKey) -> Result<Option<State>> {
        let partition = self.partition(key);
        Ok(self.store.state(&partition, &key.name).await?)
    }

    /// The newest that is known: the state, and without one the row that `load` reads. It must read
    /// from the database that the drain writes, not from a replica that may be behind.
    ///
    /// # Errors
    /// The store's, and those of `load`.
    pub async fn newest<Row, E: From<Error>>(
        &self,
        key: &StateKey,
        load: impl AsyncFnOnce() -> Result<Option<Row>, E>,
    ) -> Result<Newest<Row>, E> {
        // The order matters: what ends between the two looks is in the database by then.
        match self.state(key).await? {
            Some(state) => Ok(Newest::State(state)),
            None => Ok(Newest::Row(load().await?)),
        }
    }

    fn partition(&self, key: &StateKey) -> Partition {
        let shard = shard_of(&key.partition_key, self.partitions);
        self.stream.partition(shard)
    }
}
