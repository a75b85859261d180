//! Running other programs from the project's root, Cargo first of all.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::error::Error;

/// The project's root: the folder above this crate's.
pub(crate) fn root() -> PathBuf {
    // At run time, so that a checkout that was moved works without a rebuild.
    let own = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let own = own.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    own.parent().map_or_else(|| own.clone(), Path::to_path_buf)
}

/// The Cargo that runs this program, in the project's root.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root());
    command
}

/// Runs `command` with this program's own input and output.
pub(crate) fn run(mut command: Command) -> Result<(), Error> {
    let started = command.status();
    let words = words_of(&command);
    match started {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(Error::CommandFailed { command: words }),
        Err(source) => Err(Error::CommandNotStarted {
            command: words,
            source,
        }),
    }
}

/// Runs `command` in silence, and returns what it wrote.
pub(crate) fn capture(mut command: Command) -> Result<Output, Error> {
    command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::CommandNotStarted {
            command: words_of(&command),
            source,
        })
}

/// Whether `command` can be run and succeeds, in silence.
pub(crate) fn succeeds(command: Command) -> bool {
    capture(command).is_ok_and(|output| output.status.success())
}

/// Whether one of `folders` has a file of this name.
pub(crate) fn is_in(folders: &[PathBuf], program: &str) -> bool {
    folders.iter().any(|folder| folder.join(program).is_file())
}

/// The folders that programs are looked for in.
pub(crate) fn path_folders() -> Vec<PathBuf> {
    env::var_os("PATH")
        .map(|path| env::split_paths(&path).collect())
        .unwrap_or_default()
}

/// The command as one would type it, with `cargo` for the full path of it.
fn words_of(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_named_as_one_would_type_it() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "exit 3"]);
        assert_eq!(
            run(command).unwrap_err().to_string(),
            "`sh -c exit 3` failed"
        );
    }

    #[test]
    fn the_root_holds_this_crate() {
        assert!(root().join("xtask/src/shell.rs").is_file());
    }
}
