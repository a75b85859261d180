//! Routing: from a record's key to its partition, as runnel does it.
//!
//! Between a record and the partition that its entry is appended to. Records with one key go to one
//! partition and keep their order, whether a program in Rust or in Python sent them, as long as both
//! use one hasher and one number of partitions.
//!
//! Pure: there is nothing here that a crash could interrupt.

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
            Self::Md5 => {
                let digest: [u8; 16] = Md5::digest(key_repr.as_bytes()).into();
                u128::from_be_bytes(digest)
            }
            Self::Xxh64 => u128::from(xxh64(key_repr.as_bytes(), 0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
