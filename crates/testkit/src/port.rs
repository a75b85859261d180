//! A free loopback port, reserved for as long as its holder lives.
//!
//! The kernel picks the port, and the TCP socket that found it is released at once, since the server
//! is to bind it. What stays is a UDP socket on the same number: every testkit process asks for both,
//! so no other test takes the port while its server is down between a kill and a restart.

use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

/// How many numbers are tried; one is nearly always enough, as UDP ports are rarely taken.
const RESERVE_ATTEMPTS_MAX: usize = 64;

/// A reserved port of 127.0.0.1.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    /// Held, never used: while it is open, no other test reserves this number.
    _reservation: UdpSocket,
}

impl Port {
    /// Reserves a port that no TCP server listens on.
    pub(crate) fn reserve() -> io::Result<Self> {
        let mut last_error = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..RESERVE_ATTEMPTS_MAX {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let number = listener.local_addr()?.port();
            match UdpSocket::bind((Ipv4Addr::LOCALHOST, number)) {
                Ok(reservation) => {
                    return Ok(Self {
                        number,
                        _reservation: reservation,
                    });
                }
                Err(error) => last_error = error,
            }
        }
        Err(last_error)
    }

    /// The port's number.
    pub(crate) fn number(&self) -> u16 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_port_can_be_bound_by_a_server_and_is_not_handed_out_again() {
        let ports: Vec<Port> = (0..50).map(|_| Port::reserve().unwrap()).collect();
        let mut numbers: Vec<u16> = ports.iter().map(Port::number).collect();
        TcpListener::bind((Ipv4Addr::LOCALHOST, numbers[0])).unwrap();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), ports.len());
    }
}
