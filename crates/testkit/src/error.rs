//! What can go wrong while a test starts, stops or waits for something.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// Why a server or a process could not be started, stopped or waited for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program that the tests need is not installed; the hint is the command that installs it.
    #[error("`{program}` was not found on this machine; install it with `{install_hint}`")]
    MissingProgram {
        /// The name of the program that was looked for.
        program: String,
        /// The one command that installs it.
        install_hint: &'static str,
    },
    /// The operating system refused to start the program.
    #[error("`{program}` could not be started")]
    Spawn {
        /// The program.
        program: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The program ended although it was still needed.
    #[error("`{program}` ended early ({status}); its output ends with:\n{output}")]
    EndedEarly {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it wrote.
        output: String,
    },
    /// The server did not answer its probe in time.
    #[error("`{program}` was not ready within {within:?}; its output ends with:\n{output}")]
    NotReady {
        /// The program.
        program: String,
        /// How long it was given.
        within: Duration,
        /// The end of what it wrote.
        output: String,
    },
    /// The program was told to stop, and did not in time.
    #[error("`{program}` did not stop within {within:?}")]
    NotStopped {
        /// The program.
        program: String,
        /// How long it was given.
        within: Duration,
    },
    /// The program is stopped, and the call needs it to run.
    #[error("`{program}` is not running")]
    NotRunning {
        /// The program.
        program: String,
    },
    /// No line of the program's output matched in time.
    #[error("no awaited line from `{program}` within {within:?}; its output ends with:\n{output}")]
    LineNotSeen {
        /// The program.
        program: String,
        /// How long the line was waited for.
        within: Duration,
        /// The end of what it wrote.
        output: String,
    },
    /// What [`poll_until`](crate::poll_until) waited for did not come true in time.
    #[error("the condition awaited at {location} did not come true within {within:?}")]
    ConditionNotMet {
        /// The file and line of the call.
        location: &'static std::panic::Location<'static>,
        /// How long the condition was waited for.
        within: Duration,
    },
    /// No free port was found, or each one was taken before the server could bind it.
    #[error("no free loopback port for `{program}` after {attempts} attempts")]
    NoFreePort {
        /// The program that needed it.
        program: String,
        /// How many ports were tried.
        attempts: usize,
    },
    /// A proxy has no port to listen on.
    #[error("the proxy can't listen")]
    Proxy(#[source] io::Error),
    /// A file or a directory could not be made, read or handed over to the server's user.
    #[error("{path}: the file or directory could not be prepared", path = path.display())]
    Filesystem {
        /// Where.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A signal could not be delivered.
    #[error("the signal to `{program}` could not be sent")]
    Signal {
        /// The program.
        program: String,
        /// What the operating system said.
        source: nix::errno::Errno,
    },
    /// The database refused what the testkit asked of it.
    #[error("PostgreSQL refused the request")]
    Sql(#[from] tokio_postgres::Error),
}
