//! Routing: from a record's key to its partition, as runnel does it.
//!
//! Between a record and the partition that its entry is appended to. Records with one key go to one
//! partition and keep their order, whether a program in Rust or in Python sent them, as long as both
//! use one hasher and one number of partitions.
//!
//! Pure: there is nothing here that a crash could interrupt.

use md5::block_api::compress;
use md5::{Digest as _, Md5};
use xxhash_rust::xxh64::xxh64;

/// What spreads keys over partitions. All that send to a stream must use the same one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hasher {
    /// MD5, which runnel uses where Python's `xxhash` is not installed.
    #[default]
    Md5,
    /// XXH64 with seed 0, which runnel uses where `xxhash` is installed.
    Xxh64,
}

impl Hasher {
    /// The partition of a key, given as Python's `repr` writes it
    /// (see [`python_repr`](crate::record::python_repr())). With no partitions the answer is 0.
    ///
    /// # Examples
    /// ```
    /// use tidegate_streams::Hasher;
    ///
    /// assert_eq!(Hasher::Md5.partition_of("42", 16), 6);
    /// ```
    #[must_use]
    pub fn partition_of(self, key_repr: &str, partitions: u32) -> u32 {
        let rest = self.hash_of(key_repr).checked_rem(u128::from(partitions));
        // What is left of a division by a `u32` is one.
        rest.and_then(|rest| u32::try_from(rest).ok()).unwrap_or(0)
    }

    /// The number from which the partition of a key follows, whatever their number is.
    pub(crate) fn hash_of(self, key_repr: &str) -> u128 {
        match self {
            Self::Md5 => u128::from_be_bytes(md5(key_repr.as_bytes())),
            Self::Xxh64 => u128::from(xxh64(key_repr.as_bytes(), 0)),
        }
    }
}

/// What MD5 begins with.
///
/// Source: RFC 1321, section 3.3.
const MD5_STATE: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
/// How many bytes MD5 takes at once, and where in the last block the length stands.
const MD5_BLOCK_BYTES: usize = 64;
const MD5_LENGTH_AT: usize = MD5_BLOCK_BYTES - 8;

/// The MD5 of a key. Most keys fit in one block with their length, and going there directly takes
/// half as long as the general way.
fn md5(key: &[u8]) -> [u8; 16] {
    let mut block = [0; MD5_BLOCK_BYTES];
    let (text, length) = block.split_at_mut(MD5_LENGTH_AT);
    let Some((start, [marker, ..])) = text.split_at_mut_checked(key.len()) else {
        return Md5::digest(key).into();
    };
    start.copy_from_slice(key);
    *marker = 0x80;
    length.copy_from_slice(&(8 * key.len() as u64).to_le_bytes());
    let mut state = MD5_STATE;
    compress(&mut state, &[block]);
    let mut digest = [0; 16];
    for (bytes, word) in digest.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    digest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_short_way_to_md5_leads_to_the_same(key in prop::collection::vec(any::<u8>(), 0..130)) {
            prop_assert_eq!(md5(&key), <[u8; 16]>::from(Md5::digest(&key)));
        }
    }

    #[test]
    fn the_short_way_ends_where_the_length_would_begin() {
        for len in MD5_LENGTH_AT - 2..=MD5_BLOCK_BYTES + 1 {
            let key = vec![7; len];
            assert_eq!(md5(&key), <[u8; 16]>::from(Md5::digest(&key)), "{len}");
        }
    }

    /// What Python answers: `int(md5(k).hexdigest(), 16) % n` and `xxh64(k).intdigest() % n`.
    const VECTORS: [(&str, u32, u32, u32); 14] = [
        ("42", 1, 0, 0),
        ("42", 16, 6, 9),
        ("42", 4096, 2214, 697),
        ("-1", 16, 8, 8),
        ("True", 16, 4, 0),
        ("1.5", 16, 10, 13),
        ("1e+16", 16, 2, 3),
        ("'abc'", 16, 11, 1),
        (r#""it's""#, 16, 13, 5),
        ("''", 16, 10, 13),
        (r"'é中😀\u200b'", 16, 3, 1),
        (r"b'\x00a'", 16, 7, 10),
        ("None", 16, 4, 15),
        (
            "'order-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'",
            16,
            11,
            5,
        ),
    ];

    #[test]
    fn keys_go_where_python_sends_them() {
        for (key, partitions, md5, xxh64) in VECTORS {
            assert_eq!(Hasher::Md5.partition_of(key, partitions), md5, "{key}");
            assert_eq!(Hasher::Xxh64.partition_of(key, partitions), xxh64, "{key}");
        }
    }

    #[test]
    fn with_no_partitions_there_is_nothing_to_choose() {
        assert_eq!(Hasher::Md5.partition_of("42", 0), 0);
        assert_eq!(Hasher::Xxh64.partition_of("42", 0), 0);
    }
}
