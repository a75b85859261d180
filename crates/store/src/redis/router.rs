//! Sends each command to the node of a Cluster that has its keys.
//!
//! ```text
//! command ─► slot of its first key ─► topology ─► the master's own connection
//!                                        ▲
//!            MOVED, a lost link ── CLUSTER NODES, from any node that answers
//! ```
//!
//! Each master has a connection of its own, which reconnects by itself, so a master that is gone
//! takes its own partitions along and no others. (The client's Cluster mode has one state for
//! all of them, and does not come back while a failed master is still listed.) Where a slot has
//! moved, the command was not run, so it is sent once more; after a lost link it may have run,
//! and the caller decides. A slot that is just being handed over is unavailable for keys that have
//! left already. If the process dies here, a command that was sent may still run.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustis::client::{Client, Config, ServerConfig};
use rustis::resp::{Command, cmd};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::failure::Failure;
use super::server::connect;
use super::topology::{Address, Topology, slot_of};

/// The shortest time between two looks at the topology.
const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// How long one node may take to say what the Cluster looks like, or to be connected to.
const NODE_TIMEOUT: Duration = Duration::from_secs(1);

/// The connections to a Cluster's masters.
pub(super) struct Router {
    config: Config,
    seeds: Vec<Address>,
    state: RwLock<Arc<State>>,
    /// When the topology was looked at last; held while it is looked at.
    looked_at: Mutex<Option<Instant>>,
}

/// The topology, and a connection to each master that could be reached.
#[derive(Default)]
pub(super) struct State {
    topology: Topology,
    masters: HashMap<Address, Client>,
}

impl State {
    /// The connections to all masters.
    pub(super) fn masters(&self) -> impl Iterator<Item = &Client> {
        self.masters.values()
    }

    fn client_of(&self, slot: Option<u16>) -> Option<Client> {
        match slot {
            Some(slot) => self.masters.get(self.topology.master_of(slot)?),
            None => {
                let connected = self.masters.values().find(|client| client.is_connected());
                connected.or_else(|| self.masters.values().next())
            }
        }
        .cloned()
    }
}

impl Router {
    /// Connects to a Cluster by some of its nodes.
    pub(super) async fn connect(config: Config, seeds: Vec<Address>) -> Result<Self, Failure> {
        let router = Self {
            config,
            seeds,
            state: RwLock::default(),
            looked_at: Mutex::default(),
        };
        Box::pin(router.look()).await?;
        Ok(router)
    }

    /// What is known of the Cluster now.
    pub(super) fn state(&self) -> Arc<State> {
        // The state is replaced as a whole: a panic elsewhere has not broken it.
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&state)
    }

    /// The connection for a command, by its first key; without one, to any master.
    pub(super) async fn client_for(&self, command: &Command) -> Result<Client, Failure> {
        let slot = command.keys().next().map(|key| slot_of(&key));
        if let Some(client) = self.state().client_of(slot) {
            return Ok(client);
        }
        Box::pin(self.look()).await?;
        let client = self.state().client_of(slot);
        client.ok_or(Failure::Unreachable)
    }

    /// After a failure looks whether the Cluster has changed, and says whether the command, which
    /// was not run, may be sent again.
    pub(super) async fn learn_from(&self, failure: &Failure) -> bool {
        let has_moved = failure.has_moved();
        if has_moved || failure.is_lost_node() {
            // The caller's failure is the one to tell.
            let looked = Box::pin(self.look()).await;
            return has_moved && looked.is_ok();
        }
        false
    }

    /// Asks one node after the other what the Cluster looks like, and connects to its masters.
    async fn look(&self) -> Result<(), Failure> {
        let mut looked_at = self.looked_at.lock().await;
        if looked_at.is_some_and(|at| at.elapsed() < LOOK_PAUSE) {
            return Ok(());
        }
        let before = self.state();
        let looked = self.topology(&before).await;
        *looked_at = Some(Instant::now());
        let topology = looked?;
        let mut masters = HashMap::new();
        for range in &topology.ranges {
            let address = &range.master;
            if masters.contains_key(address) {
                continue;
            }
            let client = match before.masters.get(address) {
                Some(client) => Ok(client.clone()),
                None => self.connect_to(address).await,
            };
            match client {
                Ok(client) => {
                    masters.insert(address.clone(), client);
                }
                Err(failure) => {
                    tracing::warn!(host = address.0, port = address.1, %failure,
                        "a master of the Cluster can't be reached");
                }
            }
        }
        let changed = topology != before.topology || masters.len() != before.masters.len();
        if changed {
            let state = Arc::new(State { topology, masters });
            *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
        }
        Ok(())
    }

    /// What the first node that answers says.
    async fn topology(&self, before: &State) -> Result<Topology, Failure> {
        let mut last = Failure::Unreachable;
        for (address, client) in &before.masters {
            if client.is_connected() {
                match self.ask(address, client).await {
                    Ok(topology) => return Ok(topology),
                    Err(failure) => last = failure,
                }
            }
        }
        let known = before.topology.nodes.iter();
        for address in known.chain(&self.seeds) {
            let asked = match self.connect_to(address).await {
                Ok(client) => self.ask(address, &client).await,
                Err(failure) => Err(failure),
            };
            match asked {
                Ok(topology) => return Ok(topology),
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }

    async fn ask(&self, address: &Address, client: &Client) -> Result<Topology, Failure> {
        let asked = client.send::<String>(cmd("CLUSTER").arg("NODES"), None);
        let text = timeout(NODE_TIMEOUT, asked).await;
        let text = text.map_err(|_elapsed| Failure::TimedOut)??;
        let by_name = self.config.tls_config.is_some();
        let topology = Topology::read(&text, address, by_name);
        if topology.ranges.is_empty() {
            return Err(Failure::Unreachable);
        }
        Ok(topology)
    }

    async fn connect_to(&self, address: &Address) -> Result<Client, Failure> {
        let mut config = self.config.clone();
        let (host, port) = address.clone();
        config.server = ServerConfig::Standalone { host, port };
        let client = timeout(NODE_TIMEOUT, connect(config)).await;
        client.map_err(|_elapsed| Failure::TimedOut)?
    }
}
