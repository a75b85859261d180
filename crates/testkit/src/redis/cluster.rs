//! A Redis Cluster of a test's own: three masters and a replica of each.
//!
//! The flow of a start: six servers → each master gets its slots → they meet → the replicas follow
//! their masters → every node says that the cluster is whole.

use tokio::time::{Instant, sleep};

use super::{RedisServer, SlotMove, dialogue};
use crate::Error;
use crate::deadline::PROBE_INTERVAL;
use crate::port::Port;
use crate::server::READY_WITHIN;

/// The masters; as many replicas follow, in the same order.
const MASTERS: usize = 3;
/// The slots of every Redis Cluster.
const SLOTS: usize = 16_384;
/// How long a node may be silent until the others think of a failover.
const NODE_TIMEOUT_MS: &str = "2000";
/// The same for nodes that are to stay what they are, however busy the machine is.
const PATIENT_NODE_TIMEOUT_MS: &str = "60000";
/// How many ports are tried for a node's talk with the others.
const BUS_ATTEMPTS_MAX: usize = 3;

/// A running cluster; all its nodes are killed, and their directories removed, when the handle is
/// dropped.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    server: RedisServer,
    /// Where the nodes talk among themselves.
    bus: Port,
}

impl RedisCluster {
    /// Starts six servers and makes a cluster of them, with a replica for each master.
    ///
    /// # Errors
    ///
    /// [`Error::MissingProgram`] without `redis-server`, [`Error::NotReady`] if the nodes don't
    /// find together; otherwise whatever prevented the start of a node.
    pub async fn start() -> Result<Self, Error> {
        Self::start_with(NODE_TIMEOUT_MS).await
    }

    /// The same, for tests that have nothing to do with failovers. A machine that is so busy that
    /// a master does not get to run for a second would cause one, and that takes acknowledged
    /// writes along.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn start_patient() -> Result<Self, Error> {
        Self::start_with(PATIENT_NODE_TIMEOUT_MS).await
    }

    async fn start_with(node_timeout_ms: &str) -> Result<Self, Error> {
        let mut nodes = Vec::with_capacity(2 * MASTERS);
        for _ in 0..2 * MASTERS {
            nodes.push(Node::start(node_timeout_ms).await?);
        }
        let cluster = Self { nodes };
        cluster.join().await?;
        Ok(cluster)
    }

    /// The address for clients: `redis+cluster://127.0.0.1:PORT,…`, with all nodes.
    #[must_use]
    pub fn url(&self) -> String {
        let hosts: Vec<_> = self
            .nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.server.port()))
            .collect();
        format!("redis+cluster://{}", hosts.join(","))
    }

    /// The ports of the nodes.
    #[must_use]
    pub fn ports(&self) -> Vec<u16> {
        self.nodes.iter().map(|node| node.server.port()).collect()
    }

    /// Deletes all data, so that the next of several tests that share the cluster begins anew.
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`] if a master does not do so in time.
    pub async fn clear(&self) -> Result<(), Error> {
        for node in &self.nodes {
            node.until("FLUSHALL", |reply| match reply {
                Ok(_done) => true,
                // A replica follows its master.
                Err(refusal) => refusal.starts_with("READONLY"),
            })
            .await?;
        }
        Ok(())
    }

    /// Kills the master that has `key` (`SIGKILL`), once a replica follows it, and returns the port
    /// on which it listened. Some four seconds later its replica takes over.
    ///
    /// # Errors
    ///
    /// [`Error::NotRunning`] if no node knows the master, [`Error::NotReady`] if no replica follows
    /// it in time.
    pub async fn kill_master_of(&mut self, key: &str) -> Result<u16, Error> {
        let master = self.master_of(key).await?;
        self.until_followed(master).await?;
        let is_master = |node: &&mut Node| node.server.port() == master;
        let node = self.nodes.iter_mut().find(is_master);
        node.ok_or_else(not_running)?.server.kill().await?;
        Ok(master)
    }

    /// Begins to hand the slot of `key` over to another master; see there.
    ///
    /// # Errors
    ///
    /// [`Error::NotRunning`] if no node knows the master, [`Error::NotReady`] if a node refuses.
    pub async fn begin_slot_move(&self, key: &str) -> Result<SlotMove, Error> {
        let from = self.master_of(key).await?;
        let mut masters = self.nodes.iter().take(MASTERS).map(|it| it.server.port());
        let to = masters.find(|port| *port != from);
        SlotMove::begin(key, from, to.ok_or_else(not_running)?, &self.ports()).await
    }

    /// The port of the master that has `key`.
    async fn master_of(&self, key: &str) -> Result<u16, Error> {
        for node in &self.nodes {
            let port = node.server.port();
            let asked = dialogue::ask(port, &format!("EXISTS {key}")).await;
            let owner = match asked {
                Ok(_) => Some(port),
                Err(refusal) => moved_to(&refusal.to_string()),
            };
            if let Some(owner) = owner {
                return Ok(owner);
            }
        }
        Err(not_running())
    }

    /// Waits until a replica has what this master has, and goes on following it.
    async fn until_followed(&self, master: u16) -> Result<(), Error> {
        let end = Instant::now() + READY_WITHIN;
        let is_following = format!("master_port:{master}\r\nmaster_link_status:up");
        loop {
            for node in &self.nodes {
                let info = node.ask("INFO replication").await;
                if info.is_ok_and(|texts| texts.concat().contains(&is_following)) {
                    return Ok(());
                }
            }
            if Instant::now() >= end {
                return Err(not_ready("INFO replication", "no replica"));
            }
            sleep(PROBE_INTERVAL).await;
        }
    }

    /// Kills the replica of the master that has `key` (`SIGKILL`), and returns the ports on which
    /// the master listens and the replica listened. It is known only as long as no other node has
    /// taken its master's place.
    ///
    /// # Errors
    ///
    /// [`Error::NotRunning`] if no node knows the master.
    pub async fn kill_replica_of(&mut self, key: &str) -> Result<(u16, u16), Error> {
        let master = self.master_of(key).await?;
        let (masters, replicas) = self.nodes.split_at_mut(MASTERS);
        let place = masters.iter().position(|it| it.server.port() == master);
        let replica = place.and_then(|place| replicas.get_mut(place));
        let replica = replica.ok_or_else(not_running)?;
        replica.server.kill().await?;
        Ok((master, replica.server.port()))
    }

    /// Starts the node on `port` again, after it was killed; it follows the node that has taken
    /// its place.
    ///
    /// # Errors
    ///
    /// [`Error::NotRunning`] for an unknown port; otherwise whatever prevented the start.
    pub async fn restart(&mut self, port: u16) -> Result<(), Error> {
        let node = self
            .nodes
            .iter_mut()
            .find(|node| node.server.port() == port);
        match node {
            Some(node) => node.server.restart().await,
            None => Err(not_running()),
        }
    }

    /// Makes one cluster of the nodes.
    async fn join(&self) -> Result<(), Error> {
        let (masters, replicas) = self.nodes.split_at(MASTERS);
        for (number, node) in self.nodes.iter().enumerate() {
            let epoch = number + 1;
            node.tell(&format!("CLUSTER SET-CONFIG-EPOCH {epoch}"))
                .await?;
        }
        for (number, node) in masters.iter().enumerate() {
            let slots = (number * SLOTS / MASTERS, (number + 1) * SLOTS / MASTERS - 1);
            node.tell(&format!("CLUSTER ADDSLOTSRANGE {} {}", slots.0, slots.1))
                .await?;
        }
        for node in &self.nodes {
            for other in &self.nodes {
                let (port, bus) = (other.server.port(), other.bus.number());
                node.tell(&format!("CLUSTER MEET 127.0.0.1 {port} {bus}"))
                    .await?;
            }
        }
        for node in &self.nodes {
            node.until("CLUSTER NODES", |reply| {
                let all_known = |nodes: &String| {
                    nodes.lines().count() == 2 * MASTERS && !nodes.contains("handshake")
                };
                reply.is_ok_and(|texts| texts.first().is_some_and(all_known))
            })
            .await?;
        }
        for (master, replica) in masters.iter().zip(replicas) {
            let id = master.ask("CLUSTER MYID").await?.concat();
            replica.tell(&format!("CLUSTER REPLICATE {id}")).await?;
        }
        for replica in replicas {
            replica
                .until_says("INFO replication", "master_link_status:up")
                .await?;
        }
        for node in &self.nodes {
            node.until_says("CLUSTER INFO", "cluster_state:ok").await?;
            node.until("CLUSTER NODES", |reply| {
                reply.is_ok_and(|texts| {
                    texts.concat().matches(" slave ").count()
                        + texts.concat().matches(",slave ").count()
                        == MASTERS
                })
            })
            .await?;
        }
        Ok(())
    }
}

impl Node {
    /// The server looks for another port for itself where the one that was found is taken in the
    /// meantime; the other one is looked for here.
    async fn start(timeout_ms: &str) -> Result<Self, Error> {
        for _ in 1..BUS_ATTEMPTS_MAX {
            match Self::try_start(timeout_ms).await {
                Err(Error::NoFreePort { .. }) => {}
                done => return done,
            }
        }
        Self::try_start(timeout_ms).await
    }

    async fn try_start(timeout_ms: &str) -> Result<Self, Error> {
        let bus = Port::reserve().map_err(|source| Error::Spawn {
            program: "redis-server".to_owned(),
            source,
        })?;
        let server = RedisServer::builder()
            .setting("cluster-enabled", "yes")
            .setting("cluster-port", bus.number().to_string())
            .setting("cluster-node-timeout", timeout_ms)
            .setting("repl-diskless-sync-delay", "0")
            .start()
            .await?;
        Ok(Self { server, bus })
    }

    async fn ask(&self, command: &str) -> Result<Vec<String>, Error> {
        dialogue::ask(self.server.port(), command)
            .await
            .map_err(|refusal| not_ready(command, &refusal.to_string()))
    }

    async fn tell(&self, command: &str) -> Result<(), Error> {
        self.until(command, |reply| reply.is_ok()).await
    }

    async fn until_says(&self, command: &str, text: &str) -> Result<(), Error> {
        self.until(command, |reply| {
            reply.is_ok_and(|texts| texts.concat().contains(text))
        })
        .await
    }

    /// Repeats a command until its reply is what is wanted.
    async fn until(
        &self,
        command: &str,
        is_wanted: impl Fn(Result<Vec<String>, String>) -> bool,
    ) -> Result<(), Error> {
        let end = Instant::now() + READY_WITHIN;
        loop {
            let reply = dialogue::ask(self.server.port(), command)
                .await
                .map_err(|refusal| refusal.to_string());
            let shown = format!("{reply:?}");
            if is_wanted(reply) {
                return Ok(());
            }
            if Instant::now() >= end {
                return Err(not_ready(command, &shown));
            }
            sleep(PROBE_INTERVAL).await;
        }
    }
}

fn not_running() -> Error {
    Error::NotRunning {
        program: "redis-server".to_owned(),
    }
}

pub(super) fn not_ready(command: &str, reply: &str) -> Error {
    Error::NotReady {
        program: "redis-server".to_owned(),
        within: READY_WITHIN,
        output: format!("{command}: {reply}"),
    }
}

/// The port in `MOVED 1234 127.0.0.1:7001`.
fn moved_to(refusal: &str) -> Option<u16> {
    let address = refusal.strip_prefix("MOVED ")?.rsplit_once(':')?;
    address.1.trim().parse().ok()
}
