//! A TCP proxy that misbehaves on command: it cuts, stalls, delays, divides and refuses.
//!
//! ```text
//! client ──▶ listener ──▶ one task for each connection ──▶ the server
//!                           ▲    requests ─▶  ◀─ replies
//!             FaultProxy ───┘ orders: stall a way, delay, cut, refuse, another server
//! ```
//!
//! An order holds for the connections that are open and for those to come, until
//! [`resume`](FaultProxy::resume). A stalled way is not read from, so what the sender can send
//! is bounded by the kernel's buffers. What was taken from one end and not yet passed on is lost
//! when the connection is cut, as on a real network. The proxy ends when it is dropped: all of its
//! connections are closed.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use crate::Error;

/// The most bytes of a connection and a direction that are on their way inside the proxy.
const CHUNK_BYTES_MAX: usize = 16 << 10;

/// The moment between two pieces: long enough for the receiver to read the first by itself.
const BETWEEN_PIECES: Duration = Duration::from_millis(1);

/// One direction of a connection, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client to the server.
    Requests,
    /// From the server to the client: what was asked for is done, and nobody hears of it.
    Replies,
    /// Both.
    Both,
}

/// A proxy on a loopback port of its own, in front of a server on another.
#[derive(Debug)]
pub struct FaultProxy {
    port: u16,
    orders: watch::Sender<Orders>,
    open: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

/// What the connections are to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Orders {
    server_port: u16,
    stalled: Option<Way>,
    delay: Duration,
    piece_bytes_max: usize,
    is_refusing: bool,
    /// How often all connections were cut: one that began before the last time has to end.
    cuts: u64,
}

impl FaultProxy {
    /// Starts a proxy in front of the server on `server_port` of 127.0.0.1. It passes everything on
    /// until it is told otherwise. It runs on the runtime of its caller.
    ///
    /// # Errors
    ///
    /// [`Error::Proxy`] if there is no port to listen on.
    pub async fn start(server_port: u16) -> Result<Self, Error> {
        let listen = async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let port = listener.local_addr()?.port();
            Ok((listener, port))
        };
        let (listener, port) = listen.await.map_err(Error::Proxy)?;
        let orders = watch::Sender::new(Orders {
            server_port,
            stalled: None,
            delay: Duration::ZERO,
            piece_bytes_max: CHUNK_BYTES_MAX,
            is_refusing: false,
            cuts: 0,
        });
        let open = Arc::new(AtomicUsize::new(0));
        let accepting = tokio::spawn(accept(listener, orders.subscribe(), Arc::clone(&open)));
        Ok(Self {
            port,
            orders,
            open,
            accepting,
        })
    }

    /// The port that clients connect to; it stays the same.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many connections are open now.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Leads new connections to another server; those that are open stay where they are.
    pub fn point_to(&self, server_port: u16) {
        self.orders.send_modify(|it| it.server_port = server_port);
    }

    /// Closes all open connections at both ends; new ones are let in.
    pub fn cut(&self) {
        self.orders.send_modify(|it| it.cuts += 1);
    }

    /// Passes nothing on in this direction, and keeps the connections open. It replaces an earlier
    /// stall.
    pub fn stall(&self, way: Way) {
        self.orders.send_modify(|it| it.stalled = Some(way));
    }

    /// Holds each piece of data back for so long, in both directions.
    pub fn delay(&self, delay: Duration) {
        self.orders.send_modify(|it| it.delay = delay);
    }

    /// Passes everything on in pieces of at most so many bytes, with a moment between two of them, so
    /// that the other end has to put its messages together.
    pub fn divide(&self, piece_bytes_max: usize) {
        let piece_bytes_max = piece_bytes_max.clamp(1, CHUNK_BYTES_MAX);
        self.orders
            .send_modify(|it| it.piece_bytes_max = piece_bytes_max);
    }

    /// Closes all open connections, and each new one at once.
    pub fn refuse(&self) {
        self.orders.send_modify(|it| {
            it.is_refusing = true;
            it.cuts += 1;
        });
    }

    /// Ends every stall, delay, division and refusal; what was stalled arrives now.
    pub fn resume(&self) {
        self.orders.send_modify(|it| {
            it.stalled = None;
            it.delay = Duration::ZERO;
            it.piece_bytes_max = CHUNK_BYTES_MAX;
            it.is_refusing = false;
        });
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        // The connections' tasks belong to this one, and end with it.
        self.accepting.abort();
    }
}

impl Orders {
    fn stalls(&self, way: Way) -> bool {
        self.stalled
            .is_some_and(|stalled| stalled == way || stalled == Way::Both)
    }
}

async fn accept(listener: TcpListener, orders: watch::Receiver<Orders>, open: Arc<AtomicUsize>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // One that is gone already is no reason to stop listening.
                let Ok((client, _)) = accepted else { continue };
                let (orders, open) = (orders.clone(), Arc::clone(&open));
                connections.spawn(async move {
                    open.fetch_add(1, Ordering::Relaxed);
                    serve(client, orders).await;
                    open.fetch_sub(1, Ordering::Relaxed);
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Passes on until both ends have closed, one of them fails, or the connection is cut.
async fn serve(mut client: TcpStream, orders: watch::Receiver<Orders>) {
    let Orders {
        server_port,
        is_refusing,
        cuts,
        ..
    } = *orders.borrow();
    if is_refusing {
        return;
    }
    let mut until_cut = orders.clone();
    let pass_on = async {
        let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, server_port)).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let requests = pump(Way::Requests, from_client, to_server, orders.clone());
        let replies = pump(Way::Replies, from_server, to_client, orders.clone());
        tokio::try_join!(requests, replies)
    };
    tokio::select! {
        // First of all: what was stalled before a cut and is resumed after it must not arrive.
        biased;
        _cut = until_cut.wait_for(|orders| orders.cuts != cuts) => {}
        // Whoever is at the two ends sees the connection close; nobody else wants to know why.
        _ended = pass_on => {}
    }
}

/// Passes one direction on until its sender has closed it.
async fn pump(
    way: Way,
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut orders: watch::Receiver<Orders>,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES_MAX];
    loop {
        passage(way, &mut orders).await?;
        let count = from.read(&mut chunk).await?;
        // A stall may have begun while nothing came.
        let now = passage(way, &mut orders).await?;
        if !now.delay.is_zero() {
            sleep(now.delay).await;
        }
        let mut pieces = match chunk.get(..count) {
            None | Some([]) => return to.shutdown().await,
            Some(bytes) => bytes.chunks(now.piece_bytes_max).peekable(),
        };
        while let Some(piece) = pieces.next() {
            to.write_all(piece).await?;
            if pieces.peek().is_some() {
                sleep(BETWEEN_PIECES).await;
            }
        }
    }
}

/// Waits until this direction is not stalled, and returns what holds then.
async fn passage(way: Way, orders: &mut watch::Receiver<Orders>) -> io::Result<Orders> {
    let open = orders.wait_for(|orders| !orders.stalls(way)).await;
    open.map(|orders| *orders).map_err(io::Error::other)
}
