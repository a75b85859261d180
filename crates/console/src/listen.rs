//! Where the console listens, and who may ask it.
//!
//! Checked before anything is opened: numbers about payments are not for everybody in the
//! network, so an address that others can reach needs a token.

use std::fmt;
use std::net::SocketAddr;

use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use crate::{Error, Result};

/// The fewest bytes of a token.
pub const TOKEN_BYTES_MIN: usize = 16;
/// What stands before the token in the header `Authorization`.
const SCHEME: &str = "Bearer ";

/// An address, with the token that those who ask must know.
#[derive(Clone)]
pub struct Listen {
    address: SocketAddr,
    token: Option<SecretString>,
}

impl Listen {
    /// Takes an address. Port 0 stands for any free one.
    ///
    /// # Errors
    /// [`Error::TokenMissing`] for an address that other machines can reach without a token, and
    /// [`Error::TokenTooShort`].
    ///
    /// # Examples
    /// ```
    /// use tidegate_console::Listen;
    /// let here = "127.0.0.1:9000".parse().unwrap();
    /// assert!(Listen::new(here, None).is_ok());
    /// let everywhere = "0.0.0.0:9000".parse().unwrap();
    /// assert!(Listen::new(everywhere, None).is_err());
    /// ```
    pub fn new(address: SocketAddr, token: Option<SecretString>) -> Result<Self> {
        match &token {
            None if !address.ip().is_loopback() => Err(Error::TokenMissing(address)),
            Some(token) if token.expose_secret().len() < TOKEN_BYTES_MIN => {
                Err(Error::TokenTooShort)
            }
            _ => Ok(Self { address, token }),
        }
    }

    /// The address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether a request with this header `Authorization` may see more than that the process
    /// lives. The comparison takes as long for a wrong token as for the right one.
    pub(crate) fn admits(&self, authorization: Option<&[u8]>) -> bool {
        let Some(token) = &self.token else {
            return true;
        };
        authorization
            .and_then(|header| header.strip_prefix(SCHEME.as_bytes()))
            .is_some_and(|given| given.ct_eq(token.expose_secret().as_bytes()).into())
    }
}

impl fmt::Debug for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listen")
            .field("address", &self.address)
            .field("has_token", &self.token.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn listen(address: &str, token: Option<&str>) -> Result<Listen> {
        Listen::new(address.parse().unwrap(), token.map(Into::into))
    }

    #[test]
    fn an_address_that_others_reach_needs_a_token() {
        for address in ["0.0.0.0:0", "192.168.1.7:9000", "[::]:9000"] {
            assert!(listen(address, None).is_err(), "{address}");
            assert!(listen(address, Some(TOKEN)).is_ok(), "{address}");
        }
        for address in ["127.0.0.1:0", "[::1]:9000"] {
            assert!(listen(address, None).is_ok(), "{address}");
        }
        assert!(listen("127.0.0.1:0", Some("short")).is_err());
    }

    #[test]
    fn only_the_token_is_admitted() {
        let open = listen("127.0.0.1:0", None).unwrap();
        assert!(open.admits(None));
        let closed = listen("127.0.0.1:0", Some(TOKEN)).unwrap();
        assert!(closed.admits(Some(b"Bearer 0123456789abcdef")));
        for wrong in [
            &b"Bearer 0123456789abcdeF"[..],
            b"Bearer 0123456789abcde",
            b"0123456789abcdef",
            b"Basic 0123456789abcdef",
            b"",
        ] {
            assert!(!closed.admits(Some(wrong)));
        }
        assert!(!closed.admits(None));
    }

    #[test]
    fn the_token_is_not_shown() {
        let closed = listen("127.0.0.1:0", Some(TOKEN)).unwrap();
        assert!(!format!("{closed:?}").contains(TOKEN));
    }
}
