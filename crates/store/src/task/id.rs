//! What tells one task, and one attempt at it, from every other.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::{Error, Result};

/// The namespace of the ids that [`TaskId::derived`] makes.
const DERIVED: Uuid = Uuid::from_u128(0x2f6e_1c44_9b1d_4e0f_8a37_60d2_c5b1_e79a);

/// One task, from its enqueueing to its end and after. As text it is a hyphenated UUID.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(Uuid);

impl TaskId {
    /// The id of this UUID, of whichever version.
    #[must_use]
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// A fresh id (UUID version 7): ids of later tasks are mostly larger.
    #[must_use]
    pub fn fresh() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id of what follows from this task under a name: the same each time it is asked for, so
    /// that an attempt that is repeated enqueues nothing twice.
    ///
    /// # Examples
    /// ```
    /// use tidegate_store::task::TaskId;
    /// let task = TaskId::fresh();
    /// assert_eq!(task.derived("next"), task.derived("next"));
    /// assert_ne!(task.derived("next"), task.derived("callback"));
    /// ```
    #[must_use]
    pub fn derived(&self, name: &str) -> Self {
        let text = [self.0.as_bytes().as_slice(), name.as_bytes()].concat();
        Self(Uuid::new_v5(&DERIVED, &text))
    }

    /// The UUID.
    #[must_use]
    pub const fn uuid(&self) -> Uuid {
        self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TaskId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let uuid = Uuid::parse_str(text);
        uuid.map(Self)
            .map_err(|source| Error::Invalid(format!("task id {text:?}: {source}")))
    }
}

/// The fencing token of an attempt. Of one queue, a later attempt at whichever task has a larger
/// one. It is made from the store's clock, so that it grows even where a store has lost its
/// memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fence(pub u64);

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
