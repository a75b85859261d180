//! Names: a stream, one of its partitions, a consumer group.
//!
//! A name is checked once, here, so that no backend has to doubt it later: it becomes part of a
//! Redis key, and a brace in it would move the key to another slot of a Cluster.

use std::fmt;
use std::sync::Arc;

use crate::{Error, Result};

/// The most bytes a stream's or a group's name may have.
pub const NAME_BYTES_MAX: usize = 128;

/// The name of a stream, such as `DRAINER_STREAM`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamName(Arc<str>);

impl StreamName {
    /// Takes a name of 1 to [`NAME_BYTES_MAX`] letters, digits, `_`, `-`, `.` or `:`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for any other text.
    ///
    /// # Examples
    /// ```
    /// use tidegate_store::StreamName;
    /// assert!(StreamName::new("DRAINER_STREAM").is_ok());
    /// assert!(StreamName::new("{shard}").is_err());
    /// ```
    pub fn new(name: &str) -> Result<Self> {
        check_name("stream", name).map(Self)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Partition `index` of this stream.
    #[must_use]
    pub fn partition(&self, index: u32) -> Partition {
        Partition {
            stream: self.clone(),
            index,
        }
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a consumer group: readers who share one position in each partition.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupName(Arc<str>);

impl GroupName {
    /// Takes a name under the rules of [`StreamName::new`].
    ///
    /// # Errors
    /// [`Error::Invalid`] for a text that breaks them.
    pub fn new(name: &str) -> Result<Self> {
        check_name("group", name).map(Self)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One partition of a stream: the unit of order and of ownership.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    /// The stream it belongs to.
    pub stream: StreamName,
    /// Its index, from 0.
    pub index: u32,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stream, self.index)
    }
}

fn check_name(what: &'static str, name: &str) -> Result<Arc<str>> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(allowed) {
        return Err(Error::Invalid(format!(
            "{what} name {name:?}: use 1 to {NAME_BYTES_MAX} letters, digits, '_', '-', '.' or ':'"
        )));
    }
    Ok(name.into())
}
