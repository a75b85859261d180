//! Reads one reply of the server, straight from its bytes.
//!
//! Between the connection, which hands out a reply as the server wrote it, and the operations,
//! which know what shape to expect. Names and values of entries are slices of the reply: nothing
//! is copied, and a kept field keeps the whole reply in memory.
//!
//! It guarantees that any bytes whatever give a value or [`Error::Corrupt`](crate::Error): it
//! never panics, never reads past the end, and never reserves memory for more elements than the
//! remaining bytes could hold. It holds no state beyond one reply.

use std::ops::Range;

use bytes::Bytes;

use crate::entry::{Entry, EntryId, Field};
use crate::{Error, Result};

/// The fewest bytes that an element of a list takes on the wire: `_\r\n`.
const ELEMENT_BYTES_MIN: usize = 3;
/// What ends a header and a string.
const LINE_END: &[u8] = b"\r\n";

/// The next thing in a reply. A list or a map is followed by its elements.
#[derive(Debug, PartialEq, Eq)]
enum Item {
    Nil,
    Integer(i64),
    /// Where in the reply the text is: most callers want a slice of it, some only a look.
    Text(Range<usize>),
    List(usize),
    /// A map of so many pairs, which RESP3 has where RESP2 has a list.
    Map(usize),
}

/// A reply and how far it was read.
#[derive(Debug)]
pub(super) struct Reply {
    bytes: Bytes,
    at: usize,
}

impl Reply {
    /// A reply from its bytes on the wire.
    pub(super) fn new(bytes: Bytes) -> Self {
        Self { bytes, at: 0 }
    }

    /// The text of the reply, where it is an error: `CODE message`.
    pub(super) fn error(&self) -> Option<String> {
        let line = match self.bytes.split_first()? {
            (b'-', rest) => rest,
            // A bulk error has its length on a line of its own.
            (b'!', rest) => rest.splitn(2, |byte| *byte == b'\n').nth(1)?,
            _ => return None,
        };
        Some(String::from_utf8_lossy(line).trim_end().to_owned())
    }

    /// A number; servers and scripts send some of them as text.
    pub(super) fn number(&mut self) -> Result<u64> {
        let number = match self.item()? {
            Item::Integer(number) => u64::try_from(number).ok(),
            Item::Text(at) => parse_text(self.look(at)),
            _ => None,
        };
        number.ok_or_else(|| unexpected("a number"))
    }

    /// A number that may be negative.
    pub(super) fn integer(&mut self) -> Result<i64> {
        match self.item()? {
            Item::Integer(number) => Ok(number),
            _ => Err(unexpected("an integer")),
        }
    }

    /// A text.
    pub(super) fn text(&mut self) -> Result<Bytes> {
        self.optional_text()?.ok_or_else(|| unexpected("a text"))
    }

    /// A text, or none for nil.
    pub(super) fn optional_text(&mut self) -> Result<Option<Bytes>> {
        match self.item()? {
            Item::Text(at) => Ok(Some(self.bytes.slice(at))),
            Item::Nil => Ok(None),
            _ => Err(unexpected("a text or nil")),
        }
    }

    /// The id of an entry.
    pub(super) fn id(&mut self) -> Result<EntryId> {
        match self.item()? {
            Item::Text(at) => EntryId::from_text(self.look(at)),
            _ => None,
        }
        .ok_or_else(|| unexpected("an entry id"))
    }

    /// How many elements the list that comes next has.
    pub(super) fn list(&mut self) -> Result<usize> {
        self.optional_list()?.ok_or_else(|| unexpected("a list"))
    }

    /// How many elements the list that comes next has, or none for nil.
    pub(super) fn optional_list(&mut self) -> Result<Option<usize>> {
        match self.item()? {
            Item::List(len) => Ok(Some(len)),
            Item::Nil => Ok(None),
            _ => Err(unexpected("a list or nil")),
        }
    }

    /// All texts of a list.
    pub(super) fn texts(&mut self) -> Result<Vec<Bytes>> {
        (0..self.list()?).map(|_| self.text()).collect()
    }

    /// The entries that `XRANGE` answers. One that was deleted while it was pending has nil for
    /// its fields, and comes out with none.
    pub(super) fn entries(&mut self) -> Result<Vec<Entry>> {
        let len = self.list()?;
        let mut entries = Vec::with_capacity(len);
        for _ in 0..len {
            if self.list()? != 2 {
                return Err(unexpected("an entry's id and fields"));
            }
            let id = self.id()?;
            let fields = self.fields()?;
            entries.push(Entry { id, fields });
        }
        Ok(entries)
    }

    /// The entries that `XREAD` answers, with the key of each stream; none for nil, which is what
    /// comes after a timeout. RESP2 has a list of pairs where RESP3 has a map.
    pub(super) fn streams(&mut self) -> Result<Vec<(Bytes, Vec<Entry>)>> {
        let (len, as_pairs) = match self.item()? {
            Item::Nil => (0, false),
            Item::Map(len) => (len, false),
            Item::List(len) => (len, true),
            _ => return Err(unexpected("streams")),
        };
        let mut streams = Vec::with_capacity(len);
        for _ in 0..len {
            if as_pairs && self.list()? != 2 {
                return Err(unexpected("a stream's key and entries"));
            }
            streams.push((self.text()?, self.entries()?));
        }
        Ok(streams)
    }

    /// Names and values, which RESP3 has as a map and RESP2 as a list of both in turn.
    pub(super) fn pairs(&mut self) -> Result<Vec<(Bytes, Bytes)>> {
        let len = match self.item()? {
            Item::Map(len) => len,
            Item::List(len) if len % 2 == 0 => len / 2,
            _ => return Err(unexpected("names and values")),
        };
        (0..len).map(|_| Ok((self.text()?, self.text()?))).collect()
    }

    fn fields(&mut self) -> Result<Vec<Field>> {
        let Some(len) = self.optional_list()? else {
            return Ok(Vec::new());
        };
        if len % 2 != 0 {
            return Err(unexpected("a field's name and value"));
        }
        let mut fields = Vec::with_capacity(len / 2);
        for _ in 0..len / 2 {
            fields.push((self.text()?, self.text()?));
        }
        Ok(fields)
    }

    fn item(&mut self) -> Result<Item> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some((tag, line)) = first_line(rest) else {
            return Err(unexpected("more bytes"));
        };
        let line_at = self.at + 1;
        let line_end = line_at + line.len();
        let number = parse_integer(line);
        self.at = line_end + LINE_END.len();
        match (tag, number) {
            (b'$' | b'*' | b'~', Some(-1)) | (b'_', _) => Ok(Item::Nil),
            (b'$' | b'=', Some(len)) => self.bulk(tag, len),
            (b'*' | b'~' | b'%', Some(len)) => self.collection(tag, len),
            (b':', Some(number)) => Ok(Item::Integer(number)),
            (b'+', _) => Ok(Item::Text(line_at..line_end)),
            _ => Err(unexpected("a known kind of reply")),
        }
    }

    /// A string of a length that its header has said.
    fn bulk(&mut self, tag: u8, len: i64) -> Result<Item> {
        let mut start = self.at;
        let end = usize::try_from(len)
            .ok()
            .and_then(|len| start.checked_add(len));
        let end = end.filter(|end| {
            self.bytes
                .get(*end..)
                .is_some_and(|rest| rest.starts_with(LINE_END))
        });
        let end = end.ok_or_else(|| unexpected("a string of the length it says"))?;
        self.at = end + LINE_END.len();
        // A verbatim string says first what it is, such as `txt:`.
        if tag == b'=' {
            start = end.min(start + 4);
        }
        Ok(Item::Text(start..end))
    }

    fn collection(&self, tag: u8, len: i64) -> Result<Item> {
        let room = self.bytes.len().saturating_sub(self.at) / ELEMENT_BYTES_MIN;
        match (tag, usize::try_from(len)) {
            (b'%', Ok(len)) if len <= room / 2 => Ok(Item::Map(len)),
            (b'*' | b'~', Ok(len)) if len <= room => Ok(Item::List(len)),
            _ => Err(unexpected("a list of the length it says")),
        }
    }

    fn look(&self, at: Range<usize>) -> &[u8] {
        self.bytes.get(at).unwrap_or_default()
    }
}

/// The tag and the rest of the first line, which must have an end.
fn first_line(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let end = rest.iter().position(|byte| *byte == b'\r')?;
    let (line, ending) = rest.split_at_checked(end)?;
    ending.starts_with(LINE_END).then_some((*tag, line))
}

/// Reads a decimal number. Headers are most of a reply, and the general way costs several times
/// as much.
fn parse_integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let number = digits.iter().try_fold(0_i64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })?;
    Some(if negative { -number } else { number })
}

fn parse_text<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn unexpected(wanted: &str) -> Error {
    Error::Corrupt(format!("the server's reply lacks {wanted}"))
}

#[cfg(test)]
mod tests;
