//! The initialised data directory that each cluster is a copy of.
//!
//! It is made once per machine and server version, under a lock that the processes of a test run
//! share, next to its final place; the rename is what makes it valid, so a process that dies
//! halfway leaves nothing that another one would mistake for a template.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use nix::unistd::{User, geteuid};

use crate::Error;
use crate::directory::{cache_folder, hand_over};

/// Part of the template's name: to be raised whenever `initdb` gets other arguments.
const TEMPLATE_FORMAT: u32 = 1;

/// Whom root becomes to run PostgreSQL, in the order of preference.
const SERVER_USERS: [&str; 2] = ["postgres", "nobody"];

/// The user that PostgreSQL's programs run as: `None` for the current one, which is not root.
pub(super) fn server_user() -> Result<Option<User>, Error> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    for name in SERVER_USERS {
        if let Ok(Some(user)) = User::from_name(name) {
            return Ok(Some(user));
        }
    }
    let why =
        io::Error::other("PostgreSQL refuses root, and neither `postgres` nor `nobody` exists");
    Err(Error::Spawn {
        program: "initdb".to_owned(),
        source: why,
    })
}

/// Runs `command` as `user`; without one, as the current user.
pub(super) fn run_as(command: &mut Command, user: Option<&User>) {
    if let Some(user) = user {
        // Without groups of its own set, the standard library drops root's as well.
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
}

/// Copies the template to `target`, which must not exist; makes the template if it is missing.
///
/// The work blocks, for seconds if the template is to be made, and so it has a thread of its own.
pub(super) async fn copy_to(
    target: PathBuf,
    programs: PathBuf,
    user: Option<User>,
) -> Result<(), Error> {
    let work = move || {
        let template = find_or_make(&programs, user.as_ref())?;
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(&template).arg(target);
        run(copy, "cp")?;
        Ok(())
    };
    let failed = |error| Error::Spawn {
        program: "cp".to_owned(),
        source: io::Error::other(error),
    };
    tokio::task::spawn_blocking(work).await.map_err(failed)?
}

fn find_or_make(programs: &Path, user: Option<&User>) -> Result<PathBuf, Error> {
    let folder = cache_folder()?;
    let template = folder.join(format!(
        "postgres-{}-format-{TEMPLATE_FORMAT}",
        version(programs)?
    ));
    if template.is_dir() {
        return Ok(template);
    }
    let lock_path = template.with_extension("lock");
    let failed = |path: &Path, source| Error::Filesystem {
        path: path.to_owned(),
        source,
    };
    let lock = File::create(&lock_path).map_err(|source| failed(&lock_path, source))?;
    lock.lock().map_err(|source| failed(&lock_path, source))?;
    // Somebody else may have made it while we waited.
    if !template.is_dir() {
        let draft = tempfile::Builder::new()
            .prefix("draft-")
            .tempdir_in(&folder)
            .map_err(|source| failed(&folder, source))?;
        hand_over(draft.path(), user)?;
        let data = draft.path().join("data");
        initdb(programs, &data, user)?;
        fs::rename(&data, &template).map_err(|source| failed(&template, source))?;
    }
    Ok(template)
}

/// Initialises `data`. Nothing is synced: a template lost in a power cut is simply made again.
fn initdb(programs: &Path, data: &Path, user: Option<&User>) -> Result<(), Error> {
    let mut command = Command::new(programs.join("initdb"));
    command.arg("--pgdata").arg(data);
    command.args([
        "--username=postgres",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C",
    ]);
    command.args(["--no-sync", "--no-instructions"]);
    run_as(&mut command, user);
    // The current folder may be closed to the other user.
    command.current_dir("/");
    run(command, "initdb")?;
    Ok(())
}

/// The version as a part of a file's name, such as `15.4`, of `postgres (PostgreSQL) 15.4 (Debian …)`.
fn version(programs: &Path) -> Result<String, Error> {
    let mut command = Command::new(programs.join("postgres"));
    command.arg("--version");
    let output = run(command, "postgres")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.split_ascii_whitespace().nth(2).unwrap_or("unknown");
    Ok(version.replace(|it: char| !it.is_ascii_alphanumeric() && it != '.', "-"))
}

fn run(mut command: Command, program: &str) -> Result<Output, Error> {
    let program = program.to_owned();
    match command.output() {
        Ok(output) if output.status.success() => Ok(output),
        Ok(failure) => {
            let output = String::from_utf8_lossy(&failure.stderr).into_owned();
            Err(Error::EndedEarly {
                program,
                status: failure.status,
                output,
            })
        }
        Err(source) => Err(Error::Spawn { program, source }),
    }
}
