//! Where the servers' programs are: on the `PATH`, where Debian hides PostgreSQL's, or where the
//! project's setup has put what Debian has not.

use std::env;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::Error;

/// The one command that installs whatever is missing.
const INSTALL_HINT: &str = "cargo xtask setup";

/// Debian keeps one folder per major version here, outside of the `PATH`.
const POSTGRES_VERSIONS: &str = "/usr/lib/postgresql";

/// The setup's folders, one for each server that it fetches.
const FETCHED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/servers");

/// The virtual environment that the project's setup makes.
const PYTHON: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../target/python/bin/python"
);

/// The Python that has the programs which share a wire with Tidegate, such as Dramatiq.
///
/// # Errors
/// [`Error::MissingProgram`] where the project's setup has not made it.
pub fn python() -> Result<PathBuf, Error> {
    let file = PathBuf::from(PYTHON);
    match is_executable(&file) {
        true => Ok(file),
        false => Err(missing("target/python/bin/python")),
    }
}

/// Finds `program` on the `PATH`.
pub(crate) fn find(program: &str) -> Result<PathBuf, Error> {
    on_path(program).ok_or_else(|| missing(program))
}

/// Finds `program` on the `PATH`, or says that it is not there.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| is_executable(file))
}

/// Finds `program` in a folder of the servers that the project's setup fetches.
pub(crate) fn find_fetched(folder: &str, program: &str) -> Result<PathBuf, Error> {
    let file = Path::new(FETCHED).join(folder).join(program);
    if is_executable(&file) {
        Ok(file)
    } else {
        Err(missing(&format!("{folder}/{program}")))
    }
}

/// Finds a folder that holds both `postgres` and `initdb`, so that their versions agree.
pub(crate) fn find_postgres() -> Result<PathBuf, Error> {
    let on_path = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&on_path).collect();
    folders.extend(debian_postgres_folders());
    let complete = |folder: &PathBuf| {
        is_executable(&folder.join("postgres")) && is_executable(&folder.join("initdb"))
    };
    folders
        .into_iter()
        .find(complete)
        .ok_or_else(|| missing("postgres"))
}

/// The error for a program that is not installed.
fn missing(program: &str) -> Error {
    Error::MissingProgram {
        program: program.to_owned(),
        install_hint: INSTALL_HINT,
    }
}

/// The `bin` folders of all installed versions, the newest first.
fn debian_postgres_folders() -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(POSTGRES_VERSIONS) else {
        return Vec::new();
    };
    let mut versions: Vec<(u32, PathBuf)> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    versions.into_iter().map(|(_, folder)| folder).collect()
}

fn is_executable(file: &Path) -> bool {
    file.metadata()
        .is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_names_the_command_that_installs_it() {
        let error = find("no-such-program-anywhere").unwrap_err().to_string();
        assert!(error.contains("no-such-program-anywhere"), "{error}");
        assert!(error.contains("cargo xtask setup"), "{error}");
    }

    #[test]
    fn a_server_that_was_not_fetched_names_the_command_that_fetches_it() {
        let error = find_fetched("valkey-0", "valkey-server").unwrap_err();
        let error = error.to_string();
        assert!(error.contains("valkey-0/valkey-server"), "{error}");
        assert!(error.contains("cargo xtask setup"), "{error}");
    }

    #[test]
    fn finds_a_program_that_every_machine_has() {
        assert!(find("sh").unwrap().is_absolute());
    }
}
