//! Cells: the encoded values of a row, one after the other.
//!
//! Each cell is its length as a big-endian `i32` and then its bytes, or the length -1 for NULL.
//! This is the field format of PostgreSQL's `COPY … (FORMAT binary)`, of its binary arrays and of
//! its bound parameters, so the bytes that a column's codec writes are copied into any of the
//! three without another look. The SQLite sink uses the same framing with its own content.
//!
//! Source: PostgreSQL documentation, "COPY", section "Binary Format".

/// A growing row of cells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cells {
    bytes: Vec<u8>,
}

/// The length that stands for NULL.
const NULL: i32 = -1;

impl Cells {
    /// No cells yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// No cells yet, with room for so many bytes of frames and content.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
        }
    }

    /// Appends NULL.
    pub fn push_null(&mut self) {
        self.bytes.extend_from_slice(&NULL.to_be_bytes());
    }

    /// Appends the cell whose content `write` adds to the buffer. When `write` fails, nothing is
    /// appended.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn push_with<E>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&0_i32.to_be_bytes());
        let content = self.bytes.len();
        if let Err(error) = write(&mut self.bytes) {
            self.bytes.truncate(start);
            return Err(error);
        }
        // An entry is bounded far below 2 GiB, so its cells are.
        let length = i32::try_from(self.bytes.len() - content).unwrap_or(i32::MAX);
        if let Some(frame) = self.bytes.get_mut(start..content) {
            frame.copy_from_slice(&length.to_be_bytes());
        }
        Ok(())
    }

    /// Appends cells that are framed already.
    pub fn extend(&mut self, framed: &[u8]) {
        self.bytes.extend_from_slice(framed);
    }

    /// The framed bytes of all cells.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The cells in order; `None` is NULL.
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        Iter { rest: &self.bytes }
    }
}

impl<'a> IntoIterator for &'a Cells {
    type Item = Option<&'a [u8]>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Walks over [`Cells`].
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    rest: &'a [u8],
}

impl<'a> Iter<'a> {
    /// The next cell with its frame, as COPY wants it.
    pub fn next_framed(&mut self) -> Option<&'a [u8]> {
        let all = self.rest;
        let content = self.next()?;
        all.get(..4 + content.map_or(0, <[u8]>::len))
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let (frame, rest) = self.rest.split_first_chunk::<4>()?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*frame)) else {
            self.rest = rest;
            return Some(None);
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some(Some(content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_pushed_comes_back(cells in prop::collection::vec(
            prop::option::of(prop::collection::vec(any::<u8>(), 0..20)), 0..20)) {
            let mut row = Cells::new();
            for cell in &cells {
                match cell {
                    None => row.push_null(),
                    Some(content) => row
                        .push_with(|out| { out.extend_from_slice(content); Ok::<(), ()>(()) })
                        .expect("writing to memory"),
                }
            }
            let found: Vec<_> = row.iter().map(|cell| cell.map(<[u8]>::to_vec)).collect();
            prop_assert_eq!(found, cells);
            let mut framed = Vec::new();
            let mut iter = row.iter();
            while let Some(cell) = iter.next_framed() {
                framed.extend_from_slice(cell);
            }
            prop_assert_eq!(framed, row.as_bytes());
        }
    }

    #[test]
    fn a_failed_cell_leaves_nothing_behind() {
        let mut row = Cells::new();
        row.push_null();
        let before = row.clone();
        let failed = row.push_with(|out| {
            out.push(1);
            Err("no")
        });
        assert_eq!((failed, row), (Err("no"), before));
    }
}
