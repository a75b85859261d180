//! The fields of an entry as one blob, and back.
//!
//! ```text
//! blob   = count field*
//! field  = length(name) name length(value) value
//! count, length = unsigned LEB128: seven bits a byte, lowest first, the high bit says "more"
//! ```
//!
//! A blob is read whole or not at all: whatever else is found in the file, a cut or a changed
//! byte, is [`Error::Corrupt`], never a panic and never a guess. Names and values of one entry
//! share one allocation.

use bytes::Bytes;

use crate::entry::Field;
use crate::{Error, Result};

/// Seven bits a byte: a `u64` needs no more than ten.
const VARINT_BYTES_MAX: usize = 10;

/// Room for a length in front of each name and value, for most of them.
const LENGTH_BYTES_USUAL: usize = 2;

/// Writes fields as a blob.
pub(super) fn encode(fields: &[Field]) -> Vec<u8> {
    let payload: usize = fields
        .iter()
        .map(|(name, value)| name.len() + value.len() + 2 * LENGTH_BYTES_USUAL)
        .sum();
    let mut blob = Vec::with_capacity(payload + VARINT_BYTES_MAX);
    write_length(&mut blob, fields.len());
    for (name, value) in fields {
        for part in [name, value] {
            write_length(&mut blob, part.len());
            blob.extend_from_slice(part);
        }
    }
    blob
}

/// Reads the fields from a blob.
///
/// # Errors
/// [`Error::Corrupt`] for every blob that [`encode`] does not write.
pub(super) fn decode(blob: Bytes) -> Result<Vec<Field>> {
    let mut reader = Reader { blob, at: 0 };
    let count = reader.length()?;
    // A field takes two bytes at least, so a damaged count can't ask for more room than this.
    let mut fields = Vec::with_capacity(count.min(reader.blob.len() / 2));
    for _ in 0..count {
        let name = reader.part()?;
        let value = reader.part()?;
        fields.push((name, value));
    }
    if reader.at == reader.blob.len() {
        Ok(fields)
    } else {
        Err(corrupt("bytes after the end"))
    }
}

fn write_length(blob: &mut Vec<u8>, length: usize) {
    let mut rest = length;
    loop {
        let low = u8::try_from(rest & 0x7f).unwrap_or(0x7f);
        rest >>= 7;
        if rest == 0 {
            blob.push(low);
            return;
        }
        blob.push(low | 0x80);
    }
}

struct Reader {
    blob: Bytes,
    at: usize,
}

impl Reader {
    fn length(&mut self) -> Result<usize> {
        let mut length: u64 = 0;
        for nth in 0..VARINT_BYTES_MAX {
            let byte = *self
                .blob
                .get(self.at)
                .ok_or_else(|| corrupt("it ends in a length"))?;
            self.at += 1;
            let low = u64::from(byte & 0x7f);
            let shifted = low << (7 * nth);
            // The tenth byte has room for one bit only, and a length has one spelling only.
            let has_lost_bits = shifted >> (7 * nth) != low;
            let is_padded = byte == 0 && nth > 0;
            if has_lost_bits || is_padded {
                return Err(corrupt("a malformed length"));
            }
            length |= shifted;
            if byte & 0x80 == 0 {
                return usize::try_from(length)
                    .map_err(|source| corrupt(&format!("a length: {source}")));
            }
        }
        Err(corrupt("a length without an end"))
    }

    fn part(&mut self) -> Result<Bytes> {
        let length = self.length()?;
        match self
            .at
            .checked_add(length)
            .filter(|end| *end <= self.blob.len())
        {
            Some(end) => {
                let part = self.blob.slice(self.at..end);
                self.at = end;
                Ok(part)
            }
            None => Err(corrupt("it ends in a name or value")),
        }
    }
}

fn corrupt(what: &str) -> Error {
    Error::Corrupt(format!("the fields of an entry can't be read: {what}"))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn part() -> impl Strategy<Value = Bytes> {
        vec(any::<u8>(), 0..300).prop_map(Bytes::from)
    }

    proptest! {
        #[test]
        fn fields_come_back_as_they_were(fields in vec((part(), part()), 0..20)) {
            prop_assert_eq!(decode(encode(&fields).into()).unwrap(), fields);
        }

        #[test]
        fn a_cut_blob_is_corrupt(fields in vec((part(), part()), 1..5), cut in any::<prop::sample::Index>()) {
            let mut blob = encode(&fields);
            blob.truncate(cut.index(blob.len()));
            prop_assert!(matches!(decode(blob.into()), Err(Error::Corrupt(_))));
        }

        #[test]
        fn any_bytes_are_fields_or_corrupt_and_fields_have_one_spelling(blob in vec(any::<u8>(), 0..64)) {
            match decode(blob.clone().into()) {
                Ok(fields) => prop_assert_eq!(encode(&fields), blob),
                Err(error) => prop_assert!(matches!(error, Error::Corrupt(_))),
            }
        }
    }

    #[test]
    fn a_damaged_count_asks_for_no_room() {
        let blob = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0, 0];
        assert!(matches!(
            decode(Bytes::copy_from_slice(&blob)),
            Err(Error::Corrupt(_))
        ));
    }
}
