//! The packages of Node that are measured beside Tidegate; only `setup --bench` installs them.
//!
//! npm puts them below `target/node/`, where the bench looks for them, and its own list of what it has
//! installed tells whether they are there.

use std::fs;
use std::path::PathBuf;

use super::{Need, command_of, install_all, missing_from, program_folders};
use crate::error::Error;
use crate::shell::{root, run as run_command};

/// Where the bench looks for them, below the project's root.
const FOLDER: &str = "target/node";

/// What is installed, by name and version: the peer, and the client that it uses.
const PACKAGES: [(&str, &str); 2] = [("bullmq", "6.7.0"), ("ioredis", "6.0.0")];

/// What installs it, and what runs it.
const NEEDS: [Need; 2] = [
    Need {
        name: "Node",
        programs: &["node"],
        probe: &[],
        packages: &["nodejs"],
    },
    Need {
        name: "Node's installer",
        programs: &["npm"],
        probe: &[],
        packages: &["npm"],
    },
];

/// Installs what is missing.
pub(super) fn make() -> Result<(), Error> {
    if is_here() {
        println!("setup: the measured packages are here");
        return Ok(());
    }
    let missing = missing_from(&NEEDS, &program_folders());
    if !missing.is_empty() {
        install_all(&missing)?;
    }
    let folder = folder();
    fs::create_dir_all(&folder).map_err(|source| Error::Unwritable {
        path: folder,
        source,
    })?;
    let words = npm_words();
    println!("setup: {}", words.join(" "));
    run_command(command_of(
        &words.iter().map(String::as_str).collect::<Vec<_>>(),
    ))
}

fn is_here() -> bool {
    let modules = folder().join("node_modules");
    let is_installed = |(name, version): &(&str, &str)| {
        let stated = format!("\"version\": \"{version}\"");
        let description = fs::read_to_string(modules.join(name).join("package.json"));
        description.is_ok_and(|text| text.contains(&stated))
    };
    PACKAGES.iter().all(is_installed) && missing_from(&NEEDS[..1], &program_folders()).is_empty()
}

fn npm_words() -> Vec<String> {
    let folder = folder().display().to_string();
    let start = ["npm", "install", "--prefix", &folder];
    let options = ["--no-audit", "--no-fund", "--loglevel=error"];
    let words = start.into_iter().chain(options).map(str::to_owned);
    let packages = PACKAGES
        .iter()
        .map(|(name, version)| format!("{name}@{version}"));
    words.chain(packages).collect()
}

fn folder() -> PathBuf {
    root().join(FOLDER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_package_is_asked_for_by_its_version() {
        let words = npm_words().join(" ");
        for (name, version) in PACKAGES {
            assert!(words.contains(&format!("{name}@{version}")), "{words}");
        }
        assert!(words.contains("target/node"), "{words}");
    }
}
