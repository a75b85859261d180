//! A slot of a Cluster on its way from one master to another, step by step, as `redis-cli` moves it.
//!
//! ```text
//! begin: IMPORTING, MIGRATING ─► move_keys: MIGRATE, some at a time ─► finish: SETSLOT … NODE
//! ```
//!
//! In between the old master answers `ASK` for each key that it has no longer, or never had.

use super::cluster::not_ready;
use super::dialogue;
use crate::Error;

/// How many keys are asked for, and handed over, at once.
const KEYS_AT_ONCE: usize = 100;
/// How long the server may take to hand them over, in milliseconds.
const MIGRATE_WITHIN_MS: u64 = 5_000;

/// A slot that is being handed over.
#[derive(Debug)]
pub struct SlotMove {
    slot: String,
    from: u16,
    to: u16,
    nodes: Vec<u16>,
    /// The name of the new master in the Cluster.
    to_id: String,
}

impl SlotMove {
    pub(super) async fn begin(key: &str, from: u16, to: u16, nodes: &[u16]) -> Result<Self, Error> {
        let slot = ask(from, &format!("CLUSTER KEYSLOT {key}")).await?.concat();
        let from_id = ask(from, "CLUSTER MYID").await?.concat();
        let to_id = ask(to, "CLUSTER MYID").await?.concat();
        ask(to, &format!("CLUSTER SETSLOT {slot} IMPORTING {from_id}")).await?;
        ask(from, &format!("CLUSTER SETSLOT {slot} MIGRATING {to_id}")).await?;
        let nodes = nodes.to_vec();
        Ok(Self {
            slot,
            from,
            to,
            nodes,
            to_id,
        })
    }

    /// Hands over all keys that the old master has now, and returns how many those were.
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`] if a master refuses.
    pub async fn move_keys(&self) -> Result<usize, Error> {
        let (slot, to) = (&self.slot, self.to);
        let question = format!("CLUSTER GETKEYSINSLOT {slot} {KEYS_AT_ONCE}");
        let mut moved = 0;
        loop {
            let keys = ask(self.from, &question).await?;
            if keys.is_empty() {
                return Ok(moved);
            }
            let names = keys.join(" ");
            let migrate = format!("MIGRATE 127.0.0.1 {to} \"\" 0 {MIGRATE_WITHIN_MS} KEYS {names}");
            ask(self.from, &migrate).await?;
            moved += keys.len();
        }
    }

    /// Tells the masters that the slot is the new one's, the new one first.
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`] if a master refuses, such as the old one while it still has keys.
    pub async fn finish(self) -> Result<(), Error> {
        let (slot, to_id) = (&self.slot, &self.to_id);
        let command = format!("CLUSTER SETSLOT {slot} NODE {to_id}");
        ask(self.to, &command).await?;
        ask(self.from, &command).await?;
        for port in self
            .nodes
            .iter()
            .filter(|port| ![self.to, self.from].contains(port))
        {
            // A replica hears of it from its master.
            let _ = dialogue::ask(*port, &command).await;
        }
        Ok(())
    }
}

async fn ask(port: u16, command: &str) -> Result<Vec<String>, Error> {
    let asked = dialogue::ask(port, command).await;
    asked.map_err(|refusal| not_ready(command, &refusal.to_string()))
}
