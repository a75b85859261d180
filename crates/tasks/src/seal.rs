//! Arguments that are sealed before they leave the process: AES-256 in GCM, under a key with an id.
//!
//! A client seals with the keyring's newest key and writes its id beside the task; a worker opens
//! with whichever key the task names. So a key is replaced by adding the new one everywhere, then
//! sealing with it, and dropping the old one when its last task is gone. The task's name is bound
//! to the arguments: sealed arguments of one task open as no other's. Keys never leave this file; if
//! the process dies there is nothing to lose.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use bytes::Bytes;

use crate::{Error, Result};

/// The bytes of a key.
pub const KEY_BYTES: usize = 32;

/// The keys of an application, by their ids. Without any, nothing is sealed.
#[derive(Clone, Default)]
pub struct Keyring {
    newest: Option<String>,
    keys: BTreeMap<String, Arc<RandomizedNonceKey>>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("newest", &self.newest)
            .field("ids", &self.keys.keys())
            .finish_non_exhaustive()
    }
}

impl Keyring {
    /// A ring that seals and opens with this key.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an empty id.
    pub fn new(id: &str, key: &[u8; KEY_BYTES]) -> Result<Self> {
        let mut ring = Self::default().with_former(id, key)?;
        ring.newest = Some(id.to_owned());
        Ok(ring)
    }

    /// Another key that only opens: a former one, or one that is to come.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an empty id.
    pub fn with_former(mut self, id: &str, key: &[u8; KEY_BYTES]) -> Result<Self> {
        if id.is_empty() {
            return Err(Error::Invalid("a key needs an id, such as 2026-11".into()));
        }
        let key = RandomizedNonceKey::new(&AES_256_GCM, key)
            .map_err(|_unspecified| Error::Invalid(format!("the key {id} can't be used")))?;
        self.keys.insert(id.to_owned(), Arc::new(key));
        Ok(self)
    }

    /// Whether it seals anything.
    pub(crate) fn seals(&self) -> bool {
        self.newest.is_some()
    }

    /// The sealed arguments, and the id of the key.
    ///
    /// # Errors
    /// [`Error::Broken`] where the cryptography fails.
    pub(crate) fn seal(&self, task: &str, arguments: &[u8]) -> Result<Option<(Bytes, String)>> {
        let Some(id) = &self.newest else {
            return Ok(None);
        };
        let broken = || Error::Broken("the arguments could not be sealed".to_owned());
        let key = self.keys.get(id).ok_or_else(broken)?;
        let mut text = arguments.to_vec();
        let nonce = key
            .seal_in_place_append_tag(Aad::from(task.as_bytes()), &mut text)
            .map_err(|_unspecified| broken())?;
        let mut sealed = nonce.as_ref().to_vec();
        sealed.extend_from_slice(&text);
        Ok(Some((sealed.into(), id.clone())))
    }

    /// The arguments that were sealed under this key.
    ///
    /// # Errors
    /// [`Error::Unreadable`] for a key that the ring lacks, and for what was not sealed so.
    pub(crate) fn open(&self, task: &str, id: &str, sealed: &[u8]) -> Result<Bytes> {
        let unreadable = |reason: String| Error::Unreadable {
            task: task.to_owned(),
            reason,
        };
        let key = self.keys.get(id).ok_or_else(|| {
            unreadable(format!(
                "they are sealed with the key {id:?}, which is missing here"
            ))
        })?;
        let damaged = || unreadable(format!("they don't open with the key {id:?}"));
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN).ok_or_else(damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_unspecified| damaged())?;
        let mut text = text.to_vec();
        let opened = key
            .open_in_place(nonce, Aad::from(task.as_bytes()), &mut text)
            .map_err(|_unspecified| damaged())?;
        Ok(Bytes::copy_from_slice(opened))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_open_with_the_key_they_name_and_as_no_other_task() {
        let old = Keyring::new("2025", &[1; 32]).unwrap();
        let (sealed, id) = old.seal("pay", b"secret").unwrap().unwrap();
        assert!(!sealed.windows(6).any(|it| it == b"secret"));
        let rotated = Keyring::new("2026", &[2; 32]).unwrap();
        let rotated = rotated.with_former("2025", &[1; 32]).unwrap();
        assert_eq!(rotated.open("pay", &id, &sealed).unwrap(), "secret");
        assert_eq!(rotated.seal("pay", b"x").unwrap().unwrap().1, "2026");
        assert!(rotated.open("refund", &id, &sealed).is_err());
        let dropped = Keyring::new("2026", &[2; 32]).unwrap();
        let refusal = dropped.open("pay", &id, &sealed).unwrap_err().to_string();
        assert!(refusal.contains("2025"), "{refusal}");
        assert!(rotated.open("pay", &id, b"short").is_err());
    }

    #[test]
    fn keys_are_not_printed() {
        let ring = Keyring::new("2026", &[7; 32]).unwrap();
        assert!(!format!("{ring:?}").contains('7'), "{ring:?}");
    }
}
