//! A Python of the tests' own: a virtual environment with the packages of the programs that Tidegate
//! shares a wire with.
//!
//! It is made without an installer of its own, which Debian has in a package apart; the machine's
//! pip installs into it. A file in it names the packages and their versions. It is written last, so that
//! what was cut short, or is of other versions, is made again.

use std::fs;
use std::path::PathBuf;

use crate::error::Error;
use crate::setup::command_of;
use crate::shell::{root, run as run_command};

/// Where the testkit looks for it, below the project's root.
const FOLDER: &str = "target/python";
/// The file that says which packages are in it.
const STAMP: &str = "packages";

/// What is installed, in versions that are known to work together.
const PACKAGES: [&str; 2] = ["dramatiq==2.2.1", "redis==8.1.0"];

/// Whether it has all packages, in these versions.
pub(super) fn is_here() -> bool {
    fs::read_to_string(folder().join(STAMP)).is_ok_and(|stamp| stamp == PACKAGES.join(" "))
        && program().is_file()
}

/// Makes it anew, with all packages.
pub(super) fn make() -> Result<(), Error> {
    println!("setup: missing: Python with {}", PACKAGES.join(", "));
    let folder = folder();
    let _ = fs::remove_dir_all(&folder);
    let made = [venv_words(), pip_words()].iter().try_for_each(|words| {
        println!("setup: {}", words.join(" "));
        run_command(command_of(
            &words.iter().map(String::as_str).collect::<Vec<_>>(),
        ))
    });
    made.map_err(|failure| Error::Missing {
        missing: format!("Python with {}", PACKAGES.join(", ")),
        why: "they come from Python's package registry, and could not be installed from there",
        command: format!("{} && cargo xtask setup", pip_words().join(" ")),
        source: Some(Box::new(failure)),
    })?;
    let stamp = folder.join(STAMP);
    fs::write(&stamp, PACKAGES.join(" ")).map_err(|source| Error::Unwritable {
        path: stamp,
        source,
    })
}

fn venv_words() -> Vec<String> {
    let folder = folder().display().to_string();
    ["python3", "-m", "venv", "--without-pip", &folder]
        .map(str::to_owned)
        .to_vec()
}

fn pip_words() -> Vec<String> {
    let program = program().display().to_string();
    let start = ["python3", "-m", "pip", "--python", &program];
    let options = ["--quiet", "--disable-pip-version-check", "install"];
    let words = start.into_iter().chain(options).chain(PACKAGES);
    words.map(str::to_owned).collect()
}

fn program() -> PathBuf {
    folder().join("bin/python")
}

fn folder() -> PathBuf {
    root().join(FOLDER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_is_asked_for_by_its_version() {
        assert!(PACKAGES.iter().all(|package| package.contains("==")));
        let words = pip_words().join(" ");
        assert!(words.ends_with(&PACKAGES.join(" ")), "{words}");
    }

    #[test]
    fn the_machines_pip_installs_into_the_environment_and_nowhere_else() {
        let words = pip_words().join(" ");
        assert!(words.contains("--python"), "{words}");
        assert!(words.contains("target/python/bin/python"), "{words}");
    }
}
