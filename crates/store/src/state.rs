//! States: what a reader needs to know of a thing before its operations have reached their home.
//!
//! Beside an append: a state is written with the entry that leads to it, in one step of the server,
//! and carries that entry's id. So the order of the entries of a partition is the order of the
//! states that they lead to, whoever writes, and there is never a state without its entry. If the
//! process dies here, both were written or neither.

use bytes::Bytes;

use crate::append::{AppendOptions, Appended, Bound};
use crate::entry::{EntryId, Field};
use crate::{Error, Result};

/// The most bytes a state's name may have: it becomes part of a key.
pub const STATE_NAME_BYTES_MAX: usize = 512;
/// The most fields a state may have.
pub const STATE_FIELDS_MAX: usize = 1_000;
/// How the names begin that are the store's own.
pub const RESERVED: &[u8] = b"__";

/// A state as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The id of the entry that led to it: of two states of one name the one with the larger id is
    /// newer.
    pub version: EntryId,
    /// The fields; none where the thing was deleted.
    pub content: Option<Vec<Field>>,
}

/// A state to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewState {
    /// Its name within the partition.
    pub name: String,
    /// All of its fields: what was there before is replaced. None where the thing is deleted.
    pub content: Option<Vec<Field>>,
    /// What must be there before.
    pub expected: Expected,
}

/// What must be in the place of a state for it to be replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expected {
    /// Whatever is there.
    #[default]
    Anything,
    /// No state.
    Nothing,
    /// The state of this version.
    Version(EntryId),
}

/// What became of a state and its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// Both are written, or were before, by their request id.
    Done(Appended),
    /// Neither is: another state is there than was expected, of this version, or none.
    Unexpected(Option<EntryId>),
}

/// A state whose entry may not have been settled yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsettledState {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: EntryId,
}

/// Whether a state may be written so.
///
/// # Errors
/// [`Error::Invalid`], and then nothing may be written.
pub(crate) fn check(state: &NewState, options: &AppendOptions) -> Result<()> {
    let name = state.name.as_str();
    if name.is_empty() || name.len() > STATE_NAME_BYTES_MAX {
        return Err(Error::Invalid(format!(
            "the name of a state has {} bytes: use 1 to {STATE_NAME_BYTES_MAX}",
            name.len()
        )));
    }
    let fields = state.content.as_deref().unwrap_or_default();
    if state.content.is_some() && (fields.is_empty() || fields.len() > STATE_FIELDS_MAX) {
        return Err(Error::Invalid(format!(
            "the state {name:?} has {} fields: use 1 to {STATE_FIELDS_MAX}",
            fields.len()
        )));
    }
    if fields
        .iter()
        .any(|(field, _): &(Bytes, Bytes)| field.starts_with(RESERVED))
    {
        return Err(Error::Invalid(format!(
            "the state {name:?} has a field whose name begins with \"__\"; those are Tidegate's own"
        )));
    }
    match options.bound {
        Bound::None | Bound::HighWater(_) => Ok(()),
        Bound::DropOldest(_) | Bound::Closed => Err(Error::Invalid(
            "an entry with a state can be refused where there are too many, and nothing else"
                .into(),
        )),
    }
}
