//! The producer: sends operations until the store has confirmed each of them.
//!
//! Each operation's number is its request id, and what is not confirmed is sent again with the same
//! one: the store appends it once. So whatever happens between the producer and Redis, an operation
//! is in the stream once, and those of a shard are in their order. Where a server is lost with entries
//! that it had confirmed and nobody else has, no producer can know: the model allows for that.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tidegate_drain::envelope;
use tidegate_store::{
    AppendOptions, Appended, Durability, NewEntry, RedisStore, RedisUrl, Store as _, StreamName,
};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep};

use super::load::Operation;
use super::site::STREAM;
use crate::error::{Error, Result};

/// Longer than any outage of the plan, on a busy machine.
const SEND_WITHIN: Duration = Duration::from_secs(120);
/// Before what is not confirmed is sent again.
const PAUSE: Duration = Duration::from_millis(50);
/// For how long the store knows what was sent.
const KNOWN_FOR: Duration = Duration::from_secs(600);

/// Sends operations.
pub(super) struct Producer {
    store: RedisStore,
    stream: StreamName,
    /// Whether the replica has to confirm as well.
    is_replicated: AtomicBool,
    /// Held while something is sent, and by whoever must not be disturbed by it.
    turn: Mutex<()>,
    /// By the name that a dead letter would have, the operation's number.
    sent: std::sync::Mutex<HashMap<String, u64>>,
}

impl Producer {
    /// A producer that reaches Redis on this port.
    pub(super) async fn connect(port: u16) -> Result<Self> {
        let url = RedisUrl::parse(&format!("redis://127.0.0.1:{port}"))?;
        Ok(Self {
            store: RedisStore::connect(&url).await?,
            stream: StreamName::new(STREAM)?,
            is_replicated: AtomicBool::new(false),
            turn: Mutex::new(()),
            sent: std::sync::Mutex::default(),
        })
    }

    /// Whether a replica has to confirm what is sent from now on.
    pub(super) fn replicate(&self, is_replicated: bool) {
        self.is_replicated.store(is_replicated, Ordering::SeqCst);
    }

    /// Waits until nothing is on its way; nothing will be until the guard is dropped.
    pub(super) async fn pause(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Sends operations until each one is confirmed.
    ///
    /// # Errors
    /// A store that broke their order, refused them, or was away for too long.
    pub(super) async fn send(&self, operations: &[Operation]) -> Result<()> {
        let _turn = self.turn.lock().await;
        self.send_in_turn(operations).await
    }

    /// The same, for whoever has the turn.
    pub(super) async fn send_in_turn(&self, operations: &[Operation]) -> Result<()> {
        let deadline = Instant::now() + SEND_WITHIN;
        let mut left: Vec<&Operation> = operations.iter().collect();
        loop {
            left = self.try_send(left).await?;
            if left.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Error::TooSlow {
                    contestant: "the producer".to_owned(),
                    within: SEND_WITHIN,
                });
            }
            sleep(PAUSE).await;
        }
    }

    /// The number of the operation that a dead letter is of.
    pub(super) fn number_of(&self, letter: &str) -> Option<u64> {
        let sent = self
            .sent
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        sent.get(letter).copied()
    }

    /// Returns what is not confirmed.
    async fn try_send<'a>(&self, operations: Vec<&'a Operation>) -> Result<Vec<&'a Operation>> {
        let entries = operations.iter().map(|operation| self.entry(operation));
        let options = AppendOptions {
            durability: match self.is_replicated.load(Ordering::SeqCst) {
                true => Durability::Replicated { replicas: 1 },
                false => Durability::Memory,
            },
            idempotence: Some(KNOWN_FOR),
            ..AppendOptions::default()
        };
        let results = self.store.append_with(entries.collect(), &options).await;
        let mut left: Vec<&Operation> = Vec::new();
        for (operation, result) in operations.into_iter().zip(results) {
            let is_behind = left.iter().any(|before| before.shard == operation.shard);
            match result {
                Ok(Appended {
                    duplicate: false, ..
                }) if is_behind => {
                    return Err(Error::Unexpected(format!(
                        "operation {} was appended although one before it was not",
                        operation.number
                    )));
                }
                Ok(Appended { id, .. }) => {
                    let letter = format!("{}:{id}", operation.shard);
                    let mut sent = self.sent.lock().unwrap_or_else(|it| it.into_inner());
                    sent.insert(letter, operation.number);
                }
                Err(error) if error.is_transient() => left.push(operation),
                Err(tidegate_store::Error::NotDurable { .. }) => left.push(operation),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(left)
    }

    fn entry(&self, operation: &Operation) -> NewEntry {
        let number = operation.number.to_string();
        let payload = Bytes::from(operation.json.clone());
        let fields = envelope::fields(&number, &number, payload, SystemTime::now());
        NewEntry::new(self.stream.partition(operation.shard), fields).with_request_id(number)
    }
}
