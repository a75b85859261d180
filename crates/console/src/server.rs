//! The server: connections, within bounds.
//!
//! ```text
//! listener ─► a place among CONNECTIONS_MAX ─► HTTP/1 ─► routes
//! ```
//!
//! It owns a task for each connection and ends when all of them have. A client that sends its
//! header slowly, or none, is cut off; one that comes when all places are taken waits its turn.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::listen::Listen;
use crate::readiness::{Probe, Probes};
use crate::{Error, Result, routes};

/// The most connections at once.
pub const CONNECTIONS_MAX: usize = 64;
/// The most bytes of a request's head, and of what is read ahead.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// How long a client may take for a request's head; also how long an idle connection stays open.
const HEAD_TIME_MAX: Duration = Duration::from_secs(15);
/// The longest that a connection stays open at all.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(600);
/// How long the answers under way have at a shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);
/// The pause after the system had no connection for us (too many open files).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a process shows of itself.
#[derive(Debug)]
pub struct Console {
    pub(crate) listen: Listen,
    pub(crate) registry: Registry,
    pub(crate) probes: Probes,
}

impl Console {
    /// A console with these metrics and no probes: ready as long as it lives.
    #[must_use]
    pub fn new(listen: Listen, registry: Registry) -> Self {
        Self {
            listen,
            registry,
            probes: Probes::default(),
        }
    }

    /// Sets what the process itself depends on.
    #[must_use]
    pub fn with_probe(mut self, probe: Arc<dyn Probe>) -> Self {
        self.probes.alone = Some(probe);
        self
    }

    /// Adds what a tenant depends on; the readiness is told by tenant then.
    #[must_use]
    pub fn with_tenant(mut self, tenant: impl Into<String>, probe: Arc<dyn Probe>) -> Self {
        self.probes.by_tenant.insert(tenant.into(), probe);
        self
    }

    /// Opens the address.
    ///
    /// # Errors
    /// [`Error::Bind`].
    pub async fn bind(self) -> Result<Bound> {
        let address = self.listen.address();
        let failed = |source| Error::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Bound {
            console: Arc::new(self),
            listener,
            address,
        })
    }
}

/// A console that listens, and answers as soon as it is [run](Bound::run).
#[derive(Debug)]
pub struct Bound {
    console: Arc<Console>,
    listener: TcpListener,
    address: SocketAddr,
}

impl Bound {
    /// Where it listens: the port is known where any free one was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown`, then ends the answers under way.
    pub async fn run(self, shutdown: CancellationToken) {
        let router = routes::router(self.console);
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        loop {
            let next = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (place, self.listener.accept().await)
            };
            tokio::select! {
                (place, accepted) = next => match accepted {
                    Ok((stream, _)) => {
                        let answer = answer(stream, router.clone(), shutdown.clone());
                        connections.spawn(async move {
                            answer.await;
                            drop(place);
                        });
                    }
                    Err(error) => {
                        warn!(%error, "the console can't take a connection");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = connections.join_next() => {}
                () = shutdown.cancelled() => break,
            }
        }
        let all = async { while connections.join_next().await.is_some() {} };
        // Whoever is slower is cut off when the set is dropped.
        let _ = timeout(SHUTDOWN_GRACE, all).await;
    }
}

async fn answer(stream: TcpStream, router: axum::Router, shutdown: CancellationToken) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(HEAD_BYTES_MAX);
    let service = TowerToHyperService::new(router);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.as_mut().await
        }
        () = sleep(CONNECTION_TIME_MAX) => return,
    };
    if let Err(error) = ended {
        // Clients come and go as they like.
        debug!(%error, "a connection to the console broke off");
    }
}
