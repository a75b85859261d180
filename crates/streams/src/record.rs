//! Records: what a user sends and gets, and how it looks as an entry.
//!
//! A record stands between the user's types and the store's entries. Nothing is kept here: if the
//! process dies, an entry was appended or it was not.

use std::borrow::Cow;

use tidegate_store::Field;

use crate::BoxError;

/// How the value of the field `data` is compressed. What is read tells by its first bytes, so
/// only the sender has to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// As it is.
    #[default]
    None,
}

/// A value that can be sent to a stream and read from it.
///
/// It is derived in the ordinary case; see the facade's `#[derive(Record)]`.
pub trait Record: Sized + Send + 'static {
    /// The key that decides the partition, as Python's `repr` would write it, which is what
    /// runnel hashes; none to spread such records evenly.
    fn partition_key(&self) -> Option<Cow<'_, str>>;

    /// The fields of the entry.
    ///
    /// # Errors
    /// What can't be written as an entry, with its reason.
    fn encode(&self, compression: Compression) -> Result<Vec<Field>, BoxError>;

    /// Reads the record from an entry's fields.
    ///
    /// # Errors
    /// What isn't such a record, with its reason.
    fn decode(fields: &[Field]) -> Result<Self, BoxError>;
}

/// An entry's fields as they are, for a processor that decodes for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    /// The fields in the order in which they were sent.
    pub fields: Vec<Field>,
}

impl Record for Raw {
    fn partition_key(&self) -> Option<Cow<'_, str>> {
        None
    }

    fn encode(&self, _compression: Compression) -> Result<Vec<Field>, BoxError> {
        Ok(self.fields.clone())
    }

    fn decode(fields: &[Field]) -> Result<Self, BoxError> {
        Ok(Self {
            fields: fields.to_vec(),
        })
    }
}
