//! Lines: a file of operations, read in bounded pieces.
//!
//! A batch is what one read brought, so a pipe that goes slowly is passed on as it goes, and a
//! file in large pieces. Never more than a piece and one line are in memory.

use std::fs::File;
use std::io::{self, Read};

use bytes::{Bytes, BytesMut};
use miette::{Report, miette};

use crate::output::count;

/// The name under which the standard input is a file.
const STDIN: &str = "-";
/// How much one read asks for.
const PIECE_BYTES: usize = 256 << 10;
/// The most lines of one batch.
const BATCH_LINES_MAX: usize = 2_000;

/// One line that is not blank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Its number in the file, from 1; blank lines count.
    pub(crate) number: u64,
    /// Its bytes, without the line's end.
    pub(crate) bytes: Bytes,
}

/// Why there is no next line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The file can't be read.
    #[error("after line {line}, the file can't be read: {source}")]
    Read {
        /// The last line that was read.
        line: u64,
        /// Why.
        source: io::Error,
    },
    /// A line is larger than an entry may be.
    #[error("line {line} is longer than {bytes_max} bytes")]
    TooLong {
        /// Its number.
        line: u64,
        /// What drain.entry_bytes_max allows.
        bytes_max: usize,
    },
}

/// Reads lines, batch by batch.
pub(crate) struct Lines {
    input: Box<dyn Read + Send>,
    /// The size of the file; none for a pipe, which can be read once only.
    pub(crate) bytes: Option<u64>,
    buffer: BytesMut,
    /// The line that was read last.
    number: u64,
    consumed_bytes: u64,
    bytes_max: usize,
    is_at_end: bool,
}

impl Lines {
    /// Opens a file, or the standard input for [`STDIN`], whose lines have at most `bytes_max`
    /// bytes.
    ///
    /// # Errors
    /// A file that can't be opened.
    pub(crate) fn open(file: &str, bytes_max: usize) -> miette::Result<Self> {
        if file == STDIN {
            return Ok(Self::new(Box::new(io::stdin()), None, bytes_max));
        }
        let failed = |error: io::Error| -> Report {
            miette!(
                help = "name a file of operations, one JSON object a line, or - for the standard input",
                "{file}: {error}"
            )
        };
        let opened = File::open(file).map_err(failed)?;
        let metadata = opened.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        let bytes = metadata.is_file().then_some(metadata.len());
        Ok(Self::new(Box::new(opened), bytes, bytes_max))
    }

    fn new(input: Box<dyn Read + Send>, bytes: Option<u64>, bytes_max: usize) -> Self {
        Self {
            input,
            bytes,
            buffer: BytesMut::new(),
            number: 0,
            consumed_bytes: 0,
            bytes_max,
            is_at_end: false,
        }
    }

    /// How far into the file the lines go that were read.
    pub(crate) fn consumed_bytes(&self) -> u64 {
        self.consumed_bytes
    }

    /// Reads the next lines; none at the end. It blocks for as long as the input does.
    ///
    /// # Errors
    /// An input that fails, and a line that is too long; the lines before it have been returned.
    pub(crate) fn next_batch(&mut self) -> Result<Option<Vec<Line>>, Error> {
        // The runtime must not wait for a pipe.
        tokio::task::block_in_place(|| self.read_batch())
    }

    fn read_batch(&mut self) -> Result<Option<Vec<Line>>, Error> {
        loop {
            let mut batch = Vec::new();
            while batch.len() < BATCH_LINES_MAX {
                match self.take_line() {
                    Ok(Some(line)) => batch.extend(line),
                    // The lines before it are good; the next call comes back here.
                    Err(_) if !batch.is_empty() => break,
                    Err(error) => return Err(error),
                    Ok(None) => break,
                }
            }
            if !batch.is_empty() {
                return Ok(Some(batch));
            }
            if self.is_at_end {
                return Ok(None);
            }
            self.fill()?;
        }
    }

    /// Takes a line out of the buffer: none where it holds no whole one, an empty answer where
    /// the line is blank.
    fn take_line(&mut self) -> Result<Option<Option<Line>>, Error> {
        let end = self.buffer.iter().position(|byte| *byte == b'\n');
        let length = match end {
            Some(end) => end,
            None if self.is_at_end && !self.buffer.is_empty() => self.buffer.len(),
            None if self.buffer.len() > self.bytes_max + 1 => self.buffer.len(),
            None => return Ok(None),
        };
        let has_return = self
            .buffer
            .get(..length)
            .is_some_and(|line| line.ends_with(b"\r"));
        let text_length = length - usize::from(has_return);
        if text_length > self.bytes_max {
            return Err(Error::TooLong {
                line: self.number + 1,
                bytes_max: self.bytes_max,
            });
        }
        let taken = self
            .buffer
            .split_to(length + usize::from(end.is_some()))
            .freeze();
        self.number += 1;
        self.consumed_bytes += taken.len() as u64;
        let bytes = taken.slice(..text_length);
        let is_blank = bytes.iter().all(u8::is_ascii_whitespace);
        Ok(Some((!is_blank).then_some(Line {
            number: self.number,
            bytes,
        })))
    }

    fn fill(&mut self) -> Result<(), Error> {
        let filled = self.buffer.len();
        self.buffer.resize(filled + PIECE_BYTES, 0);
        let room = self.buffer.get_mut(filled..).unwrap_or_default();
        let read = loop {
            match self.input.read(room) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        let length = *read.as_ref().unwrap_or(&0);
        self.buffer.truncate(filled + length);
        self.is_at_end = length == 0;
        read.map(drop).map_err(|source| Error::Read {
            line: self.number,
            source,
        })
    }
}

impl From<Error> for Report {
    fn from(error: Error) -> Self {
        match error {
            Error::Read { .. } => miette!("{error}"),
            Error::TooLong { line, bytes_max } => miette!(
                help =
                    "raise drain.entry_bytes_max for every process, or send less in one operation",
                "line {line} is too long: drain.entry_bytes_max allows {} bytes",
                count(bytes_max as u64)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// Gives out its pieces one read at a time, as a pipe does.
    struct Pipe(VecDeque<Vec<u8>>);

    impl Read for Pipe {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            let Some(piece) = self.0.pop_front() else {
                return Ok(0);
            };
            room[..piece.len()].copy_from_slice(&piece);
            Ok(piece.len())
        }
    }

    fn lines(pieces: &[&[u8]], bytes_max: usize) -> Lines {
        let pieces = pieces.iter().map(|piece| piece.to_vec()).collect();
        Lines::new(Box::new(Pipe(pieces)), None, bytes_max)
    }

    fn texts(batch: Option<Vec<Line>>) -> Vec<(u64, Vec<u8>)> {
        batch
            .unwrap_or_default()
            .into_iter()
            .map(|l| (l.number, l.bytes.to_vec()))
            .collect()
    }

    #[test]
    fn a_batch_is_what_one_read_brought() {
        let mut lines = lines(&[b"a\n\n  \nb\r\nc", b"d\n", b"e"], 9);
        let first = texts(lines.read_batch().expect("lines"));
        assert_eq!(first, [(1, b"a".to_vec()), (4, b"b".to_vec())]);
        assert_eq!(
            texts(lines.read_batch().expect("lines")),
            [(5, b"cd".to_vec())]
        );
        assert_eq!(
            texts(lines.read_batch().expect("lines")),
            [(6, b"e".to_vec())]
        );
        assert_eq!(lines.read_batch().expect("the end"), None);
        assert_eq!((lines.number, lines.consumed_bytes()), (6, 13));
    }

    #[test]
    fn a_line_that_is_too_long_comes_after_the_good_ones() {
        for pieces in [
            &[&b"ab\nabcd\nab\n"[..]][..],
            &[b"ab\nab", b"cd"],
            &[b"ab\n", b"abcdefg"],
        ] {
            let mut lines = lines(pieces, 3);
            assert_eq!(
                texts(lines.read_batch().expect("lines")),
                [(1, b"ab".to_vec())]
            );
            let error = lines.read_batch().expect_err("must be refused");
            assert!(
                matches!(
                    error,
                    Error::TooLong {
                        line: 2,
                        bytes_max: 3
                    }
                ),
                "{error}"
            );
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_stay_as_they_are() {
        let mut lines = lines(&[b"\xff\xfe\n"], 9);
        assert_eq!(
            texts(lines.read_batch().expect("lines")),
            [(1, b"\xff\xfe".to_vec())]
        );
    }
}
