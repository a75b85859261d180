//! The Lua scripts of background tasks, loaded by the first call that needs one.

use crate::Result;
use crate::redis::script::{Script, load};
use crate::redis::server::Server;

/// All scripts of a queue.
#[derive(Debug)]
pub(super) struct TaskScripts {
    pub(super) enqueue: Script,
    pub(super) take: Script,
    pub(super) finish: Script,
    pub(super) progress: Script,
    pub(super) beat: Script,
    pub(super) leave: Script,
    pub(super) recover: Script,
    pub(super) take_back: Script,
    pub(super) status: Script,
    pub(super) list: Script,
    pub(super) cancel: Script,
    pub(super) resolve: Script,
    pub(super) discard_dead: Script,
    pub(super) make_due: Script,
    pub(super) pause: Script,
    pub(super) purge: Script,
    pub(super) open_group: Script,
    pub(super) member_done: Script,
    pub(super) declare: Script,
    pub(super) tick: Script,
    pub(super) schedules: Script,
    pub(super) change_schedule: Script,
}

/// The text of a script, behind what all of them share.
macro_rules! text {
    ($file:literal) => {
        concat!(
            include_str!("../scripts/task/queue.lua"),
            include_str!(concat!("../scripts/task/", $file, ".lua"))
        )
    };
}

impl TaskScripts {
    /// Loads every script.
    pub(super) async fn load(server: &Server) -> Result<Self> {
        Ok(Self {
            enqueue: load(server, text!("enqueue")).await?,
            take: load(server, text!("take")).await?,
            finish: load(server, text!("finish")).await?,
            progress: load(server, text!("progress")).await?,
            beat: load(server, text!("beat")).await?,
            leave: load(server, text!("leave")).await?,
            recover: load(server, text!("recover")).await?,
            take_back: load(server, text!("take_back")).await?,
            status: load(server, text!("status")).await?,
            list: load(server, text!("list")).await?,
            cancel: load(server, text!("cancel")).await?,
            resolve: load(server, text!("resolve")).await?,
            discard_dead: load(server, text!("discard_dead")).await?,
            make_due: load(server, text!("make_due")).await?,
            pause: load(server, text!("pause")).await?,
            purge: load(server, text!("purge")).await?,
            open_group: load(server, text!("open_group")).await?,
            member_done: load(server, text!("member_done")).await?,
            declare: load(server, text!("declare")).await?,
            tick: load(server, text!("tick")).await?,
            schedules: load(server, text!("schedules")).await?,
            change_schedule: load(server, text!("change_schedule")).await?,
        })
    }
}
