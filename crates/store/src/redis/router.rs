//! Sends each command to the node of a Cluster that has its keys.
//!
//! ```text
//! command ─► slot of its first key ─► topology ─► the master's own connection ─► ASK: the new
//!                                        ▲                                       master's
//!            MOVED, a lost link ── CLUSTER NODES, from any node that answers
//! ```
//!
//! Each master has a connection of its own, which reconnects by itself, so a master that is gone
//! takes its own partitions along and no others. (The client's Cluster mode has one state for
//! all of them, and does not come back while a failed master is still listed.) Where a slot has
//! moved or is on its way, the command was not run, so it is sent again where the node says;
//! after a lost link it may have run, and the caller decides.
//!
//! While a slot is being handed over, `ASK` leads to the new master, over a connection of its own:
//! the word `ASKING` counts for the next command on a connection, and nothing may come between.
//! Commands with several keys, all the fenced ones among them, are put off by the servers until
//! either all their keys have gone or the slot has: they are sent again for a second, and then the
//! partition is unavailable for the moment. If the process dies here, a command that was sent may
//! still run.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustis::client::{Client, Config, ServerConfig};
use rustis::resp::cmd;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use super::failure::Failure;
use super::redirection::Redirection;
use super::server::{connect, send};
use super::topology::{Address, Topology, slot_of};

/// The shortest time between two looks at the topology.
const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// How long one node may take to say what the Cluster looks like, or to be connected to.
const NODE_TIMEOUT: Duration = Duration::from_secs(1);

/// How often one command follows a node's word to another.
const REDIRECTIONS_MAX: usize = 5;
/// How long a command is sent again whose keys are partly here and partly there.
const TRY_AGAIN_MAX: Duration = Duration::from_secs(1);
/// The first and the longest pause before it is.
const TRY_AGAIN_PAUSE_MIN: Duration = Duration::from_millis(5);
const TRY_AGAIN_PAUSE_MAX: Duration = Duration::from_millis(100);

/// What one node is asked, and can be asked again.
pub(super) trait Question: Sync {
    /// What it answers.
    type Answer: Send;

    /// The first key, which decides about the node; without one, any master will do.
    fn key(&self) -> Option<Vec<u8>>;

    /// Asks the node at the other end of a connection.
    fn ask(&self, client: &Client) -> impl Future<Output = Result<Self::Answer, Failure>> + Send;
}

/// The connections to a Cluster's masters.
pub(super) struct Router {
    config: Config,
    seeds: Vec<Address>,
    state: RwLock<Arc<State>>,
    /// When the topology was looked at last; held while it is looked at.
    looked_at: Mutex<Option<Instant>>,
    /// Connections to masters that are getting slots; held for a word and the command after it.
    asking: Mutex<HashMap<Address, Client>>,
    /// How many commands have gone over these.
    asked: AtomicU64,
}

/// The topology, and a connection to each master that could be reached.
#[derive(Default)]
pub(super) struct State {
    topology: Topology,
    masters: HashMap<Address, Client>,
}

impl State {
    /// The connections to all masters.
    pub(super) fn masters(&self) -> impl Iterator<Item = (&Address, &Client)> {
        self.masters.iter()
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
            asking: Mutex::default(),
            asked: AtomicU64::new(0),
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

    /// How many commands have gone to a master that was just getting their slot.
    pub(super) fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }

    /// Asks the node that has the key, wherever it has gone.
    pub(super) async fn route<Q: Question>(&self, question: &Q) -> Result<Q::Answer, Failure> {
        let slot = question.key().map(|key| slot_of(&key));
        let (mut redirections, mut pause) = (0, TRY_AGAIN_PAUSE_MIN);
        let mut put_off_since = None;
        loop {
            let client = self.client_of(slot).await?;
            let mut answer = question.ask(&client).await;
            if let Err(failure) = &answer
                && let Some(Redirection::Ask(to)) = failure.redirection()
            {
                redirections += 1;
                answer = self.ask_at(&to, question).await;
            }
            let Err(failure) = answer else {
                return answer;
            };
            match failure.redirection() {
                Some(Redirection::TryAgain) => {
                    let since = *put_off_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= TRY_AGAIN_MAX {
                        return Err(failure);
                    }
                    sleep(pause).await;
                    pause = (2 * pause).min(TRY_AGAIN_PAUSE_MAX);
                    continue;
                }
                Some(Redirection::Moved { slot, to }) => {
                    redirections += 1;
                    // The caller's failure is the one to tell.
                    if Box::pin(self.learn(slot, to)).await.is_err() {
                        return Err(failure);
                    }
                }
                // The new master sends us on as well: begin again with the old one.
                Some(Redirection::Ask(_)) => {}
                None => {
                    if failure.is_lost_node() {
                        let _ = Box::pin(self.look()).await;
                    }
                    return Err(failure);
                }
            }
            if redirections >= REDIRECTIONS_MAX {
                return Err(failure);
            }
        }
    }

    /// The connection to a slot's master; without a slot, to any.
    async fn client_of(&self, slot: Option<u16>) -> Result<Client, Failure> {
        if let Some(client) = self.state().client_of(slot) {
            return Ok(client);
        }
        Box::pin(self.look()).await?;
        let client = self.state().client_of(slot);
        client.ok_or(Failure::Unreachable)
    }

    /// Asks a master for what it is just getting.
    async fn ask_at<Q: Question>(&self, to: &Address, question: &Q) -> Result<Q::Answer, Failure> {
        let mut asking = self.asking.lock().await;
        let client = match asking.get(to) {
            Some(client) => client.clone(),
            None => {
                let client = Box::pin(self.connect_to(to)).await?;
                asking.insert(to.clone(), client.clone());
                client
            }
        };
        self.asked.fetch_add(1, Ordering::SeqCst);
        send(&client, cmd("ASKING")).await?;
        let answer = question.ask(&client).await;
        if answer.as_ref().is_err_and(Failure::is_lost_node) {
            asking.remove(to);
        }
        answer
    }

    /// A node has said that a slot is now this master's.
    async fn learn(&self, slot: u16, to: Address) -> Result<(), Failure> {
        let looked = self.look().await;
        let mut looked_at = self.looked_at.lock().await;
        let state = self.state();
        if state.topology.master_of(slot) == Some(&to) && state.masters.contains_key(&to) {
            return Ok(());
        }
        // The node that was looked at may not know it yet, or it was looked at just before.
        looked?;
        let mut masters = state.masters.clone();
        if !masters.contains_key(&to) {
            masters.insert(to.clone(), self.connect_to(&to).await?);
        }
        self.replace(State {
            topology: state.topology.with(slot, to),
            masters,
        });
        *looked_at = Some(Instant::now());
        Ok(())
    }

    fn replace(&self, state: State) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(state);
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
            self.replace(State { topology, masters });
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
