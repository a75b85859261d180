//! The program under test: `tidegate`, of the same build as this one.
//!
//! Under Cargo it is built first, so that it can't be older than the sources; otherwise it is the one
//! that lies beside this program.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, Result};

/// The package and the program.
const PACKAGE: &str = "tidegate-cli";
const PROGRAM: &str = "tidegate";

/// The program that was named, or the one of our own build.
pub(super) fn find(named: Option<&Path>) -> Result<PathBuf> {
    if let Some(named) = named {
        return existing(named.to_owned());
    }
    let own = env::current_exe().map_err(Error::system("finding this program"))?;
    // Tests are in a folder below the programs.
    let folders = own.ancestors().skip(1).take(2);
    let folder = folders
        .filter(|folder| !folder.ends_with("deps"))
        .next()
        .unwrap_or_else(|| Path::new("."));
    if let Some(cargo) = env::var_os("CARGO") {
        build(Path::new(&cargo), folder)?;
    }
    existing(folder.join(PROGRAM))
}

/// Builds it where it is expected: the folder's name is the profile's.
fn build(cargo: &Path, folder: &Path) -> Result<()> {
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--package", PACKAGE, "--bin", PROGRAM]);
    if folder.ends_with("release") {
        command.arg("--release");
    }
    if let Some(target) = folder.parent() {
        command.arg("--target-dir").arg(target);
    }
    // The standard output is for the results.
    command.stdout(Stdio::null());
    let status = command.status().map_err(Error::system("starting cargo"))?;
    match status.success() {
        true => Ok(()),
        false => Err(Error::Unexpected(format!(
            "`{PROGRAM}` could not be built ({status}); name one with --tidegate"
        ))),
    }
}

/// The workers run in another directory, where a relative name would mean something else.
fn existing(path: PathBuf) -> Result<PathBuf> {
    path.canonicalize().map_err(|_absent| {
        Error::Unexpected(format!(
            "there is no {}; build it with `cargo build --package {PACKAGE}`, or name one with \
             --tidegate",
            path.display()
        ))
    })
}
