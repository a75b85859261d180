//! What can go wrong in the console, named for what the caller can do about it.

use std::net::SocketAddr;

use crate::listen::TOKEN_BYTES_MIN;

/// What the console answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why there is no console.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Anybody in the network could ask: set a token, or listen on this machine alone.
    #[error(
        "{0} can be reached from other machines, so it needs a token of at least \
         {TOKEN_BYTES_MIN} bytes (console.token); or listen on 127.0.0.1"
    )]
    TokenMissing(SocketAddr),
    /// The token could be guessed.
    #[error("the token is too short: use at least {TOKEN_BYTES_MIN} bytes, from a random source")]
    TokenTooShort,
    /// Another program listens there, or this one may not.
    #[error("{address} can't be listened on: {source}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}
