//! Entries: what a partition holds, in the order of their ids.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use crate::Error;
use crate::stream::Partition;

/// The position of an entry in its partition: the server's clock in milliseconds and a sequence
/// number within the millisecond, as Redis Streams have it. Ids of a partition only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryId {
    /// Unix time in milliseconds at which the entry was appended.
    pub ms: u64,
    /// Tells apart the entries of one millisecond.
    pub sequence: u64,
}

impl EntryId {
    /// Before every entry.
    pub const ZERO: Self = Self { ms: 0, sequence: 0 };

    /// An id from its two parts.
    #[must_use]
    pub const fn new(ms: u64, sequence: u64) -> Self {
        Self { ms, sequence }
    }

    /// The smallest id after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        match self.sequence.checked_add(1) {
            Some(sequence) => Self {
                ms: self.ms,
                sequence,
            },
            None => Self {
                ms: self.ms.saturating_add(1),
                sequence: 0,
            },
        }
    }
}

impl EntryId {
    /// Reads an id from its text, as [`FromStr`] does. A reply has one for each entry, and the
    /// general way to read a number costs several times as much.
    pub(crate) fn from_text(text: &[u8]) -> Option<Self> {
        let mut parts = text.splitn(2, |byte| *byte == b'-');
        let ms = parse_decimal(parts.next()?)?;
        let sequence = parts.next().map_or(Some(0), parse_decimal)?;
        Some(Self { ms, sequence })
    }

    /// The largest id before every entry of this millisecond.
    pub(crate) fn last_before_ms(ms: u64) -> Self {
        ms.checked_sub(1)
            .map_or(Self::ZERO, |ms| Self::new(ms, u64::MAX))
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.sequence)
    }
}

impl FromStr for EntryId {
    type Err = Error;

    /// Reads `<ms>-<sequence>`, or `<ms>` alone for sequence 0.
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::from_text(text.as_bytes()).ok_or_else(|| {
            Error::Invalid(format!(
                "entry id {text:?}: expected <milliseconds>-<number>"
            ))
        })
    }
}

/// As many digits as any number of them fits in.
const SURE_DIGITS: usize = 19;

fn parse_decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > SURE_DIGITS {
        return std::str::from_utf8(digits).ok()?.parse().ok();
    }
    let mut number = 0_u64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number.wrapping_mul(10).wrapping_add(digit.into());
    }
    Some(number)
}

/// A field's name and value. Both are bytes: a producer in another language may send anything.
pub type Field = (Bytes, Bytes);

/// An entry as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its position.
    pub id: EntryId,
    /// Its fields in the order in which they were sent; a name may occur twice.
    pub fields: Vec<Field>,
}

impl Entry {
    /// The value of the first field of this name.
    #[must_use]
    pub fn field(&self, name: &[u8]) -> Option<&Bytes> {
        self.fields
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value)
    }

    /// The bytes of all names and values together.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.fields
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum()
    }
}

/// An entry to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEntry {
    /// Where it goes.
    pub partition: Partition,
    /// Its fields; at least one.
    pub fields: Vec<Field>,
    /// What makes a repeated append of the same entry known, where
    /// [`AppendOptions::idempotence`](crate::AppendOptions) asks for it. Not stored as a field.
    pub request_id: Option<Bytes>,
}

impl NewEntry {
    /// An entry for a partition, without a request id.
    #[must_use]
    pub fn new(partition: Partition, fields: Vec<Field>) -> Self {
        Self {
            partition,
            fields,
            request_id: None,
        }
    }

    /// The same entry with a request id.
    #[must_use]
    pub fn with_request_id(mut self, request_id: impl Into<Bytes>) -> Self {
        self.request_id = Some(request_id.into());
        self
    }

    /// The bytes of all names and values together.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let len = |(name, value): &Field| name.len() + value.len();
        self.fields.iter().map(len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_is_read_as_it_is_written(ms: u64, sequence: u64) {
            let id = EntryId::new(ms, sequence);
            prop_assert_eq!(id.to_string().parse::<EntryId>().unwrap(), id);
        }
    }

    #[test]
    fn what_is_no_id_is_refused() {
        assert_eq!("7".parse::<EntryId>().unwrap(), EntryId::new(7, 0));
        let most = EntryId::new(u64::MAX, u64::MAX);
        assert_eq!(most.to_string().parse::<EntryId>().unwrap(), most);
        let too_large = "18446744073709551616-0";
        for text in ["", "-", "7-", "-7", "7-1-2", "+7-1", " 7", "a-1", too_large] {
            let refused = text.parse::<EntryId>();
            assert!(matches!(refused, Err(Error::Invalid(_))), "{text:?}");
        }
    }
}
