//! Which server program: the one that the system has, or one that `cargo xtask setup` has fetched.
//!
//! What is missing is an error that names the command, never a test that is left out.

use std::path::PathBuf;

use crate::{Error, program};

/// A make and version of server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Distribution {
    /// The `redis-server` found on the `PATH`; on Debian 12 it is Redis 7.0.
    #[default]
    System,
    /// Redis 8.
    Redis8,
    /// Valkey 9.
    Valkey9,
}

impl Distribution {
    /// The program that serves.
    pub(super) fn program(self) -> Result<PathBuf, Error> {
        match self {
            Self::System => program::find("redis-server"),
            Self::Redis8 => program::find_fetched("redis-8", "redis-server"),
            Self::Valkey9 => program::find_fetched("valkey-9", "valkey-server"),
        }
    }
}
