//! What went wrong with one call, and what the caller can do about it.
//!
//! Two kinds of failure meet here: the connection's own, and a server's reply that is an error.
//! The first word of such a reply is its code, and the code alone decides.

use rustis::{ClientError, ErrorKind};

use super::redirection::Redirection;
use crate::Error;
use crate::append;
use crate::lease::Lease;
use crate::stream::Partition;

/// What Tidegate's scripts answer where the lease is not the caller's.
const LEASE_LOST: &str = "LEASELOST";
/// What Tidegate's scripts answer where a worker is taken for dead.
const WORKER_LOST: &str = "WORKERLOST";
/// What Tidegate's scripts answer where a key holds something unexpected.
const CORRUPT: &str = "CORRUPT";
/// What the server answers where it does not know a script.
const NO_SCRIPT: &str = "NOSCRIPT";

/// What the server answers to an append after the largest id, which is how partitions are sealed.
const SEALED: &str = "exhausted the last possible ID";

/// Errors of a server that pass by themselves: it starts, hands over, is out of memory or disk
/// for now, runs somebody's slow script, or hands a slot of a Cluster to another.
const PASSING: [&str; 15] = [
    "ASK",
    "BUSY",
    "CLUSTERDOWN",
    "IOERR",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "MOVED",
    "NOGOODSLAVE",
    "NOMASTERLINK",
    "NOQUORUM",
    "NOREPLICAS",
    "OOM",
    "READONLY",
    "TRYAGAIN",
];

/// A call that failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The connection's: whether the server ran the command is not known.
    #[error(transparent)]
    Client(#[from] rustis::Error),
    /// The server's reply is an error: `CODE message`.
    #[error("{0}")]
    Server(String),
    /// The reply did not come in the time that was given to it.
    #[error("no reply within the time allowed")]
    TimedOut,
    /// No node of the Cluster is known that has the slot and can be reached; nothing was sent.
    #[error("no node of the Cluster that has the slot can be reached")]
    Unreachable,
}

impl Failure {
    /// Whether the server does not know the script it was asked to run.
    pub(super) fn is_unknown_script(&self) -> bool {
        self.code() == Some(NO_SCRIPT)
    }

    /// Where a node of a Cluster sends the command to, which was not run.
    pub(super) fn redirection(&self) -> Option<Redirection> {
        match self {
            Self::Client(source) => match source.kind() {
                ErrorKind::Redis(reply) => Redirection::read(&reply.to_string()),
                _ => None,
            },
            Self::Server(text) => Redirection::read(text),
            Self::TimedOut | Self::Unreachable => None,
        }
    }

    /// Whether a node of a Cluster may have lost its place to another.
    pub(super) fn is_lost_node(&self) -> bool {
        match self {
            Self::Client(source) => {
                source.is_connection_error()
                    || source.is_timeout()
                    || matches!(
                        source.kind(),
                        ErrorKind::Client(ClientError::DisconnectedFromServer)
                    )
            }
            Self::Server(_) => matches!(self.code(), Some("CLUSTERDOWN" | "READONLY")),
            Self::TimedOut | Self::Unreachable => true,
        }
    }

    /// Whether the server has answered, and refused; within a transaction one of its commands.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            Self::Client(source) => matches!(source.kind(), ErrorKind::Redis(_)),
            Self::Server(_) => true,
            Self::TimedOut | Self::Unreachable => false,
        }
    }

    /// Whether the queue takes the worker for dead.
    pub(super) fn is_worker_lost(&self) -> bool {
        self.code() == Some(WORKER_LOST)
    }

    /// This failure, told to the holder of a lease.
    pub(super) fn fenced(self, lease: &Lease) -> Error {
        if self.code() == Some(LEASE_LOST) {
            let Lease {
                partition, epoch, ..
            } = lease.clone();
            return Error::LeaseLost { partition, epoch };
        }
        self.into()
    }

    /// This failure, told to whoever appends to a partition.
    pub(super) fn appending(self, partition: &Partition) -> Error {
        let is_sealed = match &self {
            Self::Client(source) => {
                matches!(source.kind(), ErrorKind::Redis(reply) if reply.to_string().contains(SEALED))
            }
            Self::Server(text) => text.contains(SEALED),
            Self::TimedOut | Self::Unreachable => false,
        };
        match is_sealed {
            true => append::sealed(partition),
            false => self.into(),
        }
    }

    fn code(&self) -> Option<&str> {
        match self {
            Self::Server(text) => text.split(' ').next(),
            Self::Client(_) | Self::TimedOut | Self::Unreachable => None,
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Client(source) => from_client(source),
            Failure::Server(text) => from_server(text),
            Failure::TimedOut | Failure::Unreachable => Self::Unavailable(Box::new(failure)),
        }
    }
}

fn from_client(source: rustis::Error) -> Error {
    if source.is_connection_error() || source.is_timeout() {
        return Error::Unavailable(Box::new(source));
    }
    match source.kind() {
        // The handshake's refusals come in this way.
        ErrorKind::Redis(reply) => from_server(reply.to_string()),
        ErrorKind::Sentinel(_)
        | ErrorKind::Client(
            ClientError::DisconnectedFromServer
            | ClientError::SendQueueFull
            | ClientError::MaxCommandAttemptsReached,
        ) => Error::Unavailable(Box::new(source)),
        ErrorKind::Client(
            ClientError::ConfigParseError
            | ClientError::InvalidUri(_)
            | ClientError::InvalidConfig(_),
        ) => Error::Invalid(format!("the store's URL can't be used: {source}")),
        _ => Error::Corrupt(source.to_string()),
    }
}

fn from_server(text: String) -> Error {
    let code = text.split(' ').next().unwrap_or_default();
    if code == CORRUPT {
        return Error::Corrupt(text);
    }
    // This one passes as well, but the server gives it no code of its own.
    let full = text.contains("max number of clients");
    if PASSING.contains(&code) || full {
        Error::Unavailable(Box::new(Failure::Server(text)))
    } else {
        Error::Refused(Box::new(Failure::Server(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_for(reply: &str) -> Error {
        Failure::Server(reply.to_owned()).into()
    }

    #[test]
    fn a_passing_trouble_is_unavailable() {
        for reply in [
            "LOADING Redis is loading the dataset in memory",
            "READONLY You can't write against a read only replica. script: 1f, on @user_script:3.",
            "BUSY Redis is busy running a script",
            "OOM command not allowed when used memory > 'maxmemory'.",
            "ERR max number of clients reached",
        ] {
            assert!(matches!(error_for(reply), Error::Unavailable(_)), "{reply}");
        }
    }

    #[test]
    fn a_lasting_trouble_is_refused() {
        for reply in [
            "WRONGTYPE Operation against a key holding the wrong kind of value",
            "NOAUTH Authentication required.",
            "WRONGPASS invalid username-password pair or user is disabled.",
            "NOPERM this user has no permissions to run the 'xadd' command",
            "BUSYGROUP Consumer Group name already exists",
        ] {
            assert!(matches!(error_for(reply), Error::Refused(_)), "{reply}");
        }
    }

    #[test]
    fn the_scripts_own_codes_keep_their_meaning() {
        assert!(matches!(
            error_for("CORRUPT k does not hold an epoch"),
            Error::Corrupt(_)
        ));
        assert!(Failure::Server("NOSCRIPT No matching script.".into()).is_unknown_script());
        assert!(!Failure::TimedOut.is_unknown_script());
    }
}
