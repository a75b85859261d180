//! The scripts of Dramatiq's queues.

use crate::Result;
use crate::redis::script::{Script, load};
use crate::redis::server::Server;

/// All of them, by what they do.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) enqueue: Script,
    pub(super) fetch: Script,
    pub(super) settle: Script,
    pub(super) file: Script,
    pub(super) due: Script,
    pub(super) promote: Script,
    pub(super) beat: Script,
    pub(super) recover: Script,
    pub(super) forget: Script,
    pub(super) expire: Script,
    pub(super) revive: Script,
}

macro_rules! text {
    ($file:literal) => {
        include_str!(concat!("../scripts/dramatiq/", $file, ".lua"))
    };
}

impl Scripts {
    pub(super) async fn load(server: &Server) -> Result<Self> {
        Ok(Self {
            enqueue: load(server, text!("enqueue")).await?,
            fetch: load(server, text!("fetch")).await?,
            settle: load(server, text!("settle")).await?,
            file: load(server, text!("file")).await?,
            due: load(server, text!("due")).await?,
            promote: load(server, text!("promote")).await?,
            beat: load(server, text!("beat")).await?,
            recover: load(server, text!("recover")).await?,
            forget: load(server, text!("forget")).await?,
            expire: load(server, text!("expire")).await?,
            revive: load(server, text!("revive")).await?,
        })
    }
}
