//! The Lua scripts: what must happen at once on the server.
//!
//! Each file under `scripts/` opens with its keys, arguments, reply, and why it is atomic. A
//! script is loaded at connect and named by its hash after that; a server that has forgotten it
//! (a restart, a failover, `SCRIPT FLUSH`) is sent the text again, by [`super::server`].

use super::server::Server;
use crate::{Error, Result};

/// One script: its text, and the hash by which the server knows it.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) text: &'static str,
    pub(super) sha: String,
}

/// All scripts of the store.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) append_once: Script,
    pub(super) fetch: Script,
    pub(super) acknowledge: Script,
    pub(super) acknowledge_through: Script,
    pub(super) trim: Script,
    pub(super) forward: Script,
    pub(super) reset: Script,
    pub(super) park: Script,
    pub(super) unpark: Script,
    pub(super) put_mark: Script,
    pub(super) set_mark: Script,
    pub(super) put: Script,
    pub(super) settle: Script,
    pub(super) seal: Script,
    pub(super) groups: Script,
    pub(super) lag: Script,
    pub(super) acquire: Script,
    pub(super) renew: Script,
    pub(super) release: Script,
    pub(super) holder: Script,
    pub(super) beat: Script,
    pub(super) workers: Script,
    pub(super) member_beat: Script,
    pub(super) member_leave: Script,
    pub(super) member_list: Script,
}

/// The text of a script, made of one or more files.
macro_rules! text {
    ($($file:literal),+) => {
        concat!($(include_str!(concat!("scripts/", $file, ".lua"))),+)
    };
}

impl Scripts {
    /// Loads every script.
    ///
    /// # Errors
    /// [`Error::Refused`] where the user may not run scripts.
    pub(super) async fn load(server: &Server) -> Result<Self> {
        Ok(Self {
            append_once: load(server, text!("append_once")).await?,
            fetch: load(server, text!("fence", "fetch")).await?,
            acknowledge: load(server, text!("fence", "acknowledge")).await?,
            acknowledge_through: load(server, text!("fence", "acknowledge_through")).await?,
            trim: load(server, text!("fence", "ids", "trim")).await?,
            forward: load(server, text!("fence", "ids", "forward")).await?,
            reset: load(server, text!("reset")).await?,
            park: load(server, text!("fence", "park")).await?,
            unpark: load(server, text!("fence", "unpark")).await?,
            put_mark: load(server, text!("fence", "put_mark")).await?,
            set_mark: load(server, text!("put_mark")).await?,
            put: load(server, text!("put")).await?,
            settle: load(server, text!("settle")).await?,
            seal: load(server, text!("seal")).await?,
            groups: load(server, text!("ids", "groups")).await?,
            lag: load(server, text!("ids", "lag")).await?,
            acquire: load(server, text!("acquire")).await?,
            renew: load(server, text!("renew")).await?,
            release: load(server, text!("release")).await?,
            holder: load(server, text!("holder")).await?,
            beat: load(server, text!("beat")).await?,
            workers: load(server, text!("workers")).await?,
            member_beat: load(server, text!("members", "member_beat")).await?,
            member_leave: load(server, text!("members", "member_leave")).await?,
            member_list: load(server, text!("members", "member_list")).await?,
        })
    }
}

/// Loads one script.
pub(super) async fn load(server: &Server, text: &'static str) -> Result<Script> {
    let sha = server.load(text).await?;
    let sha = String::from_utf8(sha.to_vec())
        .map_err(|source| Error::Corrupt(format!("the hash of a script: {source}")))?;
    Ok(Script { text, sha })
}
