//! Why a command of the tooling failed.

use std::io;
use std::path::PathBuf;

/// Why a command failed; the text is what its user reads.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A step or more of `check` found something; the findings are printed already.
    #[error("{failed} of {steps} checks failed")]
    ChecksFailed {
        /// How many steps failed.
        failed: usize,
        /// How many steps ran.
        steps: usize,
    },
    /// A command that was run ended with a failure, and has said why.
    #[error("`{command}` failed")]
    CommandFailed {
        /// The command, as one would type it.
        command: String,
    },
    /// A command could not be started at all.
    #[error("`{command}` could not be started")]
    CommandNotStarted {
        /// The command, as one would type it.
        command: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// Something that the tests need is missing, and could not be installed.
    #[error("missing: {missing}\n  {why}\n  run: {command}")]
    Missing {
        /// What is missing.
        missing: String,
        /// Why it was not installed.
        why: &'static str,
        /// The command that installs it.
        command: String,
        /// What happened when it was tried, if it was.
        source: Option<Box<Error>>,
    },
    /// A file or a folder of the project could not be read.
    #[error("{path} could not be read", path = path.display())]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file or a folder could not be written.
    #[error("{path} could not be written", path = path.display())]
    Unwritable {
        /// Which one.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}
