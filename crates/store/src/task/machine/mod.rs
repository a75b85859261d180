//! The transitions of tasks, over any ordered [`map`].
//!
//! This is what the scripts of the Redis backend do, once more and readable: the embedded backend
//! and the one in memory run it, and it is the model that the scripts are tested against. It takes
//! the time, waits for nothing and has no state of its own. A backend runs each transition whole or
//! not at all; if the process dies, its transaction never was.
//!
//! In the order of the flow: [`held`] is a task, [`steps`] are what all transitions are made of,
//! [`enqueue`], [`take`], [`finish`], [`operate`] and [`tie`] are the transitions.

mod enqueue;
mod finish;
mod held;
pub(crate) mod map;
mod operate;
mod steps;
mod take;
mod tie;

use self::held::{Held, take_number};
use self::map::{About, Key, Map, key};
use super::id::TaskId;
use crate::{Error, Result};

/// How many things whose time is over are swept away by one transition.
const SWEPT_MAX: usize = 16;

/// One transition of a queue.
#[derive(Debug)]
pub(crate) struct Machine<'a, M> {
    map: &'a mut M,
    now_ms: u64,
    /// Whether someone who sleeps should look.
    woken: bool,
}

impl<'a, M: Map> Machine<'a, M> {
    /// A transition at this time.
    pub(crate) fn new(map: &'a mut M, now_ms: u64) -> Self {
        Self {
            map,
            now_ms,
            woken: false,
        }
    }

    /// Whether someone who sleeps should look.
    pub(crate) fn has_news(&self) -> Result<bool> {
        self.is_there(&key(About::Wake))
    }

    /// Says so, if this transition has given a reason.
    fn wake(&mut self) -> Result<()> {
        if self.woken {
            self.map.put(&key(About::Wake), b"")?;
        }
        Ok(())
    }

    fn is_there(&self, key: &Key) -> Result<bool> {
        Ok(self.map.get(key)?.is_some())
    }

    fn is_empty(&self, prefix: &Key) -> Result<bool> {
        Ok(self.map.scan(prefix, 0, 1)?.is_empty())
    }

    fn number(&self, key: &Key) -> Result<u64> {
        let value = self.map.get(key)?;
        value.map_or(Ok(0), |value| number(&value))
    }

    fn counter(&self, name: &str) -> Result<u64> {
        self.number(&key(About::Counter).text(name))
    }

    /// Adds to a counter, and returns what it is then.
    fn add(&mut self, name: &str, by: u64) -> Result<u64> {
        let sum = self.counter(name)?.saturating_add(by);
        let name = key(About::Counter).text(name);
        self.map.put(&name, &sum.to_be_bytes())?;
        Ok(sum)
    }

    fn held(&self, id: TaskId) -> Result<Option<Held>> {
        let value = self.map.get(&key(About::Task).id(id))?;
        value.map(|value| Held::read(id, &value)).transpose()
    }

    /// A task that must be there, because something else says so.
    fn must_hold(&self, id: TaskId) -> Result<Held> {
        self.held(id)?
            .ok_or_else(|| Error::Corrupt(format!("task {id} is in a state and nowhere else")))
    }

    fn keep(&mut self, held: &Held) -> Result<()> {
        self.map.put(&key(About::Task).id(held.id), &held.write())
    }

    /// Puts a value that ends at a time.
    fn put_until(&mut self, at: &Key, ends_at_ms: u64, value: &[u8]) -> Result<()> {
        let value = [&ends_at_ms.to_be_bytes(), value].concat();
        self.map.put(at, &value)?;
        let index = key(About::Ends).number(ends_at_ms).key(at);
        self.map.put(&index, b"")
    }

    /// A value whose time is not over, and when it is.
    fn get_until(&self, at: &Key) -> Result<Option<(u64, Vec<u8>)>> {
        let Some(value) = self.map.get(at)? else {
            return Ok(None);
        };
        let mut rest = value.as_slice();
        let ends_at_ms = take_number(&mut rest).ok_or_else(|| corrupt("an end"))?;
        Ok((ends_at_ms > self.now_ms).then(|| (ends_at_ms, rest.to_vec())))
    }

    /// Removes some of what has come to its end.
    fn sweep(&mut self) -> Result<()> {
        let prefix = key(About::Ends);
        for (index, _) in self.map.scan(&prefix, 0, SWEPT_MAX)? {
            let mut at = index.as_slice();
            let ends_at_ms = take_number(&mut at).ok_or_else(|| corrupt("an end"))?;
            if ends_at_ms > self.now_ms {
                break;
            }
            self.map.remove(&prefix.clone().key(&index))?;
            // It may have been put again, with another end.
            let value = self.map.get(at)?.unwrap_or_default();
            if value.starts_with(&ends_at_ms.to_be_bytes()) {
                self.map.remove(at)?;
                self.forget_members(at)?;
            }
        }
        Ok(())
    }
}

fn number(value: &[u8]) -> Result<u64> {
    let mut rest = value;
    take_number(&mut rest).ok_or_else(|| corrupt("a number"))
}

fn id_of(bytes: &[u8]) -> Result<TaskId> {
    let start = bytes.len().saturating_sub(16);
    let tail = bytes.get(start..).unwrap_or_default();
    let uuid = uuid::Uuid::from_slice(tail).map_err(|_source| corrupt("a task's id"))?;
    Ok(TaskId::new(uuid))
}

fn corrupt(what: &str) -> Error {
    Error::Corrupt(format!("a queue holds something else than {what}"))
}
