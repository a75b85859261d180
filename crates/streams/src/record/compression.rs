//! Compression of a record's JSON.
//!
//! Between the JSON and the field `data`. The sender chooses; the reader sees from the first bytes
//! what was chosen, so a stream may change its compression while it is in use, and each of its
//! producers may have another. What is compressed can't be taken for JSON nor the other way round.
//!
//! Pure: there is nothing here that a crash could interrupt.

use std::borrow::Cow;
use std::io::{self, Read, Write as _};

use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use lz4_flex::frame::{FrameDecoder, FrameEncoder};

use crate::BoxError;

/// The most bytes that the JSON of one record may have when it is decompressed. A few kilobytes can
/// be made to unfold to any size, so without a bound one entry could take all of a worker's memory.
pub const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const LZ4_FRAME_MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// How the value of the field `data` is compressed. What is read tells by its first bytes, so
/// only the sender has to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// As it is.
    #[default]
    None,
    /// gzip, as runnel's `Gzip`.
    Gzip,
    /// LZ4 frames, as runnel's `LZ4`: fast, and larger than the others.
    Lz4,
    /// Zstandard: smaller than gzip and faster. runnel can't read it.
    Zstd,
}

/// Compresses a value.
pub(super) fn compress(plain: Vec<u8>, compression: Compression) -> Result<Vec<u8>, BoxError> {
    Ok(match compression {
        Compression::None => plain,
        Compression::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(&plain)?;
            encoder.finish()?
        }
        Compression::Lz4 => {
            let mut encoder = FrameEncoder::new(Vec::new());
            encoder.write_all(&plain)?;
            encoder.finish()?
        }
        Compression::Zstd => zstd::encode_all(plain.as_slice(), zstd::DEFAULT_COMPRESSION_LEVEL)?,
    })
}

/// Decompresses a value, or gives it back where it is not compressed.
///
/// # Errors
/// What is damaged, or unfolds to more than [`DECOMPRESSED_BYTES_MAX`].
pub(super) fn decompress(value: &[u8]) -> Result<Cow<'_, [u8]>, BoxError> {
    decompress_bounded(value, DECOMPRESSED_BYTES_MAX)
}

fn decompress_bounded(value: &[u8], bytes_max: usize) -> Result<Cow<'_, [u8]>, BoxError> {
    let (name, result) = if value.starts_with(&GZIP_MAGIC) {
        ("gzip", read_bounded(MultiGzDecoder::new(value), bytes_max))
    } else if value.starts_with(&LZ4_FRAME_MAGIC) {
        ("LZ4", read_bounded(FrameDecoder::new(value), bytes_max))
    } else if value.starts_with(&ZSTD_MAGIC) {
        let decoder = zstd::Decoder::with_buffer(value);
        (
            "Zstandard",
            decoder.and_then(|it| read_bounded(it, bytes_max)),
        )
    } else {
        return Ok(Cow::Borrowed(value));
    };
    match result {
        Ok(Some(plain)) => Ok(Cow::Owned(plain)),
        Ok(None) => {
            Err(format!("{name}: decompressed it would have more than {bytes_max} bytes").into())
        }
        Err(source) => Err(format!("{name}: can't be decompressed: {source}").into()),
    }
}

/// All that there is to read, or nothing where it is more than the bound.
fn read_bounded(reader: impl Read, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
    let mut plain = Vec::new();
    // One byte more tells what is too long from what is just as long as it may be.
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    reader
        .take(limit.saturating_add(1))
        .read_to_end(&mut plain)?;
    Ok((plain.len() <= bytes_max).then_some(plain))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Compression; 4] = [
        Compression::None,
        Compression::Gzip,
        Compression::Lz4,
        Compression::Zstd,
    ];

    proptest! {
        #[test]
        fn what_was_compressed_comes_back(text in "\\{[ -~é中]{0,4000}", which in 0_usize..4) {
            let compressed = compress(text.clone().into_bytes(), ALL[which]).unwrap();
            let plain = decompress(&compressed).unwrap();
            prop_assert_eq!(plain.as_ref(), text.as_bytes());
        }
    }

    #[test]
    fn each_compression_is_known_by_its_first_bytes_and_shrinks() {
        let plain = vec![b' '; 10_000];
        for compression in &ALL[1..] {
            let compressed = compress(plain.clone(), *compression).unwrap();
            assert!(compressed.len() < 200, "{compression:?}");
            assert_eq!(decompress(&compressed).unwrap().as_ref(), plain);
        }
    }

    /// `lz4.frame.compress(b'{"note":"' + b"x" * 300 + b'"}')` of Python's `lz4`, which runnel calls.
    const LZ4_OF_PYTHON: [u8; 44] = [
        0x04, 0x22, 0x4d, 0x18, 0x68, 0x40, 0x37, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xa1,
        0x15, 0x00, 0x00, 0x00, 0xaf, 0x7b, 0x22, 0x6e, 0x6f, 0x74, 0x65, 0x22, 0x3a, 0x22, 0x78,
        0x01, 0x00, 0xff, 0x16, 0x50, 0x78, 0x78, 0x78, 0x22, 0x7d, 0x00, 0x00, 0x00, 0x00,
    ];

    #[test]
    fn a_frame_that_python_wrote_is_read() {
        let plain = format!("{{\"note\":\"{}\"}}", "x".repeat(300));
        assert_eq!(
            decompress(&LZ4_OF_PYTHON).unwrap().as_ref(),
            plain.as_bytes()
        );
    }

    #[test]
    fn a_value_that_unfolds_beyond_the_bound_is_refused() {
        for compression in &ALL[1..] {
            let bomb = compress(vec![0; 1 << 20], *compression).unwrap();
            assert!(decompress_bounded(&bomb, 1 << 20).is_ok());
            let refusal = decompress_bounded(&bomb, (1 << 20) - 1).unwrap_err();
            assert!(refusal.to_string().contains("more than"), "{refusal}");
        }
    }

    #[test]
    fn a_value_that_was_cut_is_refused() {
        // LZ4 alone is content without its end mark; what was cut between two of its blocks is no
        // whole JSON then.
        for compression in &ALL[1..] {
            let whole = compress(b"[1,2,3,4,5]".repeat(100), *compression).unwrap();
            let cut = decompress(&whole[..whole.len() / 2]);
            assert!(cut.is_err(), "{compression:?}");
        }
    }
}
