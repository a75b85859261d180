//! Where a node of a Cluster sends those who ask it for keys that it does not have.
//!
//! While a slot is handed over, key by key, the old master answers `ASK` for each key that it has
//! no longer, and `TRYAGAIN` where a command's keys are on either side; after it, `MOVED`. None of
//! these commands was run, so each may be sent again.

use super::topology::Address;

/// What a node answers instead of running a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Redirection {
    /// The slot is this master's.
    Moved { slot: u16, to: Address },
    /// The slot is being handed over to this master, which has the key already, or would get it.
    Ask(Address),
    /// The slot is being handed over, and some of the keys are there.
    TryAgain,
}

impl Redirection {
    /// Reads an error of a server: `MOVED slot host:port`, `ASK slot host:port`, `TRYAGAIN …`.
    /// None for any other, and where the host is left open.
    pub(super) fn read(error: &str) -> Option<Self> {
        let mut words = error.split(' ');
        let code = words.next()?;
        if code == "TRYAGAIN" {
            return Some(Self::TryAgain);
        }
        let slot = words.next()?.parse().ok()?;
        let (host, port) = words.next()?.rsplit_once(':')?;
        let to = (host.to_owned(), port.parse().ok()?);
        match code {
            _ if host.is_empty() => None,
            "MOVED" => Some(Self::Moved { slot, to }),
            "ASK" => Some(Self::Ask(to)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirections_are_told_from_other_errors() {
        let to = ("::1".to_owned(), 7001);
        let read = Redirection::read;
        assert_eq!(read("ASK 5 ::1:7001"), Some(Redirection::Ask(to.clone())));
        assert_eq!(
            read("MOVED 16383 ::1:7001"),
            Some(Redirection::Moved { slot: 16_383, to })
        );
        assert_eq!(
            read("TRYAGAIN Multiple keys request during rehashing of slot"),
            Some(Redirection::TryAgain)
        );
        for other in [
            "ERR MOVED 5 ::1:7001",
            "ASK",
            "ASK 5",
            "ASK 5 :7001",
            "ASK five h:1",
            "CLUSTERDOWN The cluster is down",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
