//! The ordered map that a queue is kept in, and its keys.
//!
//! The machine asks a backend for five things and no more. A key is a letter for what it is about,
//! and then parts that sort as they should: numbers with their high bytes first, labels with a zero
//! byte behind them, which no label has.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::Result;
use crate::task::id::TaskId;

/// A key and its value; of a scan, the key is what comes behind the prefix.
pub(crate) type Pair = (Vec<u8>, Vec<u8>);

/// The map of one queue.
pub(crate) trait Map {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>>;
    /// Sets a value.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()>;
    /// Removes a key. Answers whether it was there.
    fn remove(&mut self, key: &[u8]) -> Result<bool>;
    /// Some of the keys that begin with a prefix, in order, without it, and their values.
    fn scan(&self, prefix: &[u8], skip: usize, limit: usize) -> Result<Vec<Pair>>;
    /// How many keys begin with a prefix.
    fn count(&self, prefix: &[u8]) -> Result<u64>;
}

/// A map in memory.
#[derive(Debug, Default)]
pub(crate) struct MemoryMap(BTreeMap<Vec<u8>, Vec<u8>>);

impl MemoryMap {
    fn from(&self, prefix: &[u8]) -> impl Iterator<Item = (&Vec<u8>, &Vec<u8>)> {
        let from = (Bound::Included(prefix), Bound::Unbounded);
        self.0
            .range::<[u8], _>(from)
            .take_while(move |(key, _)| key.starts_with(prefix))
    }
}

impl Map for MemoryMap {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.0.get(key).cloned())
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.0.insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) -> Result<bool> {
        Ok(self.0.remove(key).is_some())
    }

    fn scan(&self, prefix: &[u8], skip: usize, limit: usize) -> Result<Vec<Pair>> {
        let behind = |key: &Vec<u8>| key.get(prefix.len()..).unwrap_or_default().to_vec();
        let pairs = self.from(prefix).skip(skip).take(limit);
        Ok(pairs
            .map(|(key, value)| (behind(key), value.clone()))
            .collect())
    }

    fn count(&self, prefix: &[u8]) -> Result<u64> {
        Ok(self.from(prefix).count() as u64)
    }
}

/// What a key is about.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(super) enum About {
    /// id → [`Held`](super::held::Held).
    Task = b't',
    /// id → options and payload.
    Body = b'b',
    /// due, id.
    Scheduled = b's',
    /// priority, tenant, order, id.
    Ready = b'y',
    /// priority, number → tenant.
    Ring = b'R',
    /// id.
    Blocked = b'B',
    /// ordering key, number, id.
    Line = b'O',
    /// limit key, order, id.
    Limited = b'L',
    /// limit key → how many run.
    Limits = b'N',
    /// limit key → when its rate allows one more.
    Throttled = b'h',
    /// when, limit key.
    ThrottledAt = b'H',
    /// limit key, or nothing for the queue → tokens, and when they were counted.
    Rate = b'e',
    /// id.
    Running = b'G',
    /// worker → when it is taken for dead.
    Worker = b'W',
    /// id → what its worker has said last.
    Progress = b'p',
    /// since when, id.
    Dead = b'D',
    /// since when, id.
    Unknown = b'U',
    /// unique key → id.
    Unique = b'q',
    /// unique key → end, id.
    UniqueFor = b'Q',
    /// idempotency key → end, id.
    Once = b'o',
    /// id → end, result.
    Kept = b'r',
    /// group → end, callback or nothing.
    Callback = b'c',
    /// group, id.
    Member = b'm',
    /// schedule → [`Schedule`](super::tie::Schedule).
    Schedule = b'v',
    /// end, key of what ends then.
    Ends = b'x',
    /// name → number.
    Counter = b'C',
    /// There while a sleeping worker should look.
    Wake = b'k',
    /// There while a take was held up by the limit of the queue.
    Starved = b'z',
    /// There while nothing is taken.
    Paused = b'P',
}

/// The beginning of a key about something.
pub(super) fn key(about: About) -> Key {
    Key(vec![about as u8])
}

/// A key that is being made.
#[derive(Clone, Debug)]
pub(super) struct Key(Vec<u8>);

impl Key {
    /// Adds a number.
    pub(super) fn number(mut self, number: u64) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    /// Adds a text without zero bytes.
    pub(super) fn text(mut self, text: &str) -> Self {
        self.0.extend(text.as_bytes());
        self.0.push(0);
        self
    }

    /// Adds an id.
    pub(super) fn id(mut self, id: TaskId) -> Self {
        self.0.extend(id.uuid().as_bytes());
        self
    }

    /// Adds one byte.
    pub(super) fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    /// Adds another key.
    pub(super) fn key(mut self, key: &[u8]) -> Self {
        self.0.extend(key);
        self
    }
}

impl std::ops::Deref for Key {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
