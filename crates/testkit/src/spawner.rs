//! The one thread that starts child processes, and the wrapper that makes them die with us.
//!
//! ```text
//! any test's thread ── Request{command} ──▶ spawner thread ── fork, exec ──▶ setpriv ──▶ the server
//!                  ◀── io::Result<Child> ──
//! ```
//!
//! The kernel's parent-death signal fires when the *thread* that forked has ended, not the process.
//! A test's thread ends before a server that several tests share; this thread ends with the process.
//! If the process dies, by whatever signal, the kernel kills each child. Without `setpriv` (it is
//! part of util-linux) children die only when their handles are dropped.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use crate::program;

/// A command on its way to the spawner, and the way back for the child.
struct Request {
    command: Command,
    reply: SyncSender<io::Result<Child>>,
}

/// The way to the spawner thread, which is started by the first request.
static REQUESTS: Mutex<Option<Sender<Request>>> = Mutex::new(None);

/// Starts `command` on the thread that lives as long as the process does.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    let (reply, answer) = sync_channel(1);
    requests()?
        .send(Request { command, reply })
        .map_err(io::Error::other)?;
    answer.recv().map_err(io::Error::other)?
}

/// A command for `program` that the kernel kills when this process is gone.
pub(crate) fn mortal(program: &OsStr) -> Command {
    static SETPRIV: OnceLock<Option<PathBuf>> = OnceLock::new();
    match SETPRIV.get_or_init(|| program::on_path("setpriv")) {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

fn requests() -> io::Result<Sender<Request>> {
    let mut requests = REQUESTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(sender) = &*requests {
        return Ok(sender.clone());
    }
    let (sender, receiver) = channel::<Request>();
    thread::Builder::new()
        .name("testkit-spawner".to_owned())
        .spawn(move || {
            for mut request in receiver {
                // Who asked waits for the reply; if it has gone, its child must not stay behind.
                if let Err(unsent) = request.reply.send(request.command.spawn())
                    && let Ok(mut child) = unsent.0
                {
                    child.kill().and_then(|()| child.wait()).ok();
                }
            }
        })?;
    *requests = Some(sender.clone());
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_outlives_the_thread_that_asked_for_it() {
        let ask = || {
            let mut command = mortal(OsStr::new("sleep"));
            command.arg("600");
            spawn(command)
        };
        let mut child = thread::spawn(ask).join().unwrap().unwrap();
        // A second child proves that the first one's parent thread has had time to end.
        let mut second = spawn(Command::new("true")).unwrap();
        second.wait().unwrap();
        let running = child.try_wait().unwrap().is_none();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(running);
    }
}
