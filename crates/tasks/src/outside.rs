//! Attempts at what is no task of a store's, such as a message of another system's queue.
//!
//! Whoever runs a task's function for such a queue makes its context here, and keeps that queue's word
//! about retries. If the process dies, it is that queue's affair.

use std::sync::Arc;

use bytes::Bytes;
use tidegate_store::task::{Fence, OnLost, Priority, Taken, TaskId, TaskName};
use tidegate_streams::{Error as StateError, StateMap};
use tokio_util::sync::CancellationToken;

use crate::Result;
use crate::client::TaskClient;
use crate::context::TaskContext;
use crate::draft::Header;
use crate::options::TaskOptions;
use crate::task::{Running, Task};

/// An attempt that another system makes.
#[derive(Clone, Debug)]
pub struct Outside {
    /// Which task: the same in all its attempts.
    pub id: TaskId,
    /// Its name.
    pub name: String,
    /// The name of its queue.
    pub queue: String,
    /// Which attempt it is, from 1 on.
    pub attempt: u32,
    /// When it was enqueued, in milliseconds since 1970.
    pub enqueued_at_ms: u64,
    /// The time now, by the same clock.
    pub now_ms: u64,
}

impl TaskContext {
    /// The context of an attempt that another system makes. What it sends goes to the client's store;
    /// there is no task in it whose progress could be told, so that is refused.
    ///
    /// # Errors
    /// [`Error::Store`](crate::Error) for names that no task or queue can have.
    pub fn outside(attempt: Outside, client: TaskClient) -> Result<Self> {
        let queue = client.queue(&attempt.queue)?;
        let taken = Taken {
            id: attempt.id,
            name: TaskName::new(&attempt.name)?,
            payload: Bytes::new(),
            options: Bytes::new(),
            attempt: attempt.attempt,
            lost: 0,
            fence: Fence::default(),
            priority: Priority::Normal,
            ordering_key: None,
            limit_key: None,
            tenant: None,
            on_lost: OnLost::default(),
            enqueued_at_ms: attempt.enqueued_at_ms,
            taken_at_ms: attempt.now_ms,
        };
        let cancelled = CancellationToken::new();
        Ok(Self::new(
            queue,
            &taken,
            Header::default(),
            cancelled,
            client,
        ))
    }
}

/// A task that several hold is the task.
impl<T: Task> Task for Arc<T> {
    type Arguments = T::Arguments;

    fn options(&self) -> TaskOptions {
        (**self).options()
    }

    fn check(&self, state: &StateMap) -> Result<(), StateError> {
        (**self).check(state)
    }

    fn call(&self, context: TaskContext, arguments: Self::Arguments, state: &StateMap) -> Running {
        (**self).call(context, arguments, state)
    }
}
