//! A server's directory, and the guardian that removes it.
//!
//! The guardian is a shell that reads its standard input, a pipe of ours, until it closes: when the
//! directory is dropped, or when this process dies in whatever way. Then it removes the directory. So
//! neither a static that is never dropped nor a killed test leaves data behind.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::unistd::{User, geteuid};

use crate::{Error, spawner};

/// Removal is repeated for a second, as a killed server's last children may still write.
const GUARDIAN: &str = r#"
cat >/dev/null
for attempt in 1 2 3 4 5 6 7 8 9 10; do
    rm -rf -- "$1" && exit
    sleep 0.1
done
"#;

/// How much of the end of a server's log goes into an error.
const LOG_TAIL_BYTES_MAX: u64 = 4096;

/// A directory in the system's temporary folder that goes when its holder goes.
#[derive(Debug)]
pub(crate) struct ServerDirectory {
    path: PathBuf,
    guardian: Child,
}

impl ServerDirectory {
    /// Makes an empty directory that only `user` can enter; `None` means the current user.
    pub(crate) fn create(prefix: &str, user: Option<&User>) -> Result<Self, Error> {
        let directory = tempfile::Builder::new()
            .prefix(prefix)
            .tempdir()
            .map_err(|source| Error::Filesystem {
                path: std::env::temp_dir(),
                source,
            })?;
        hand_over(directory.path(), user)?;
        let mut guardian = Command::new("sh");
        guardian
            .args(["-c", GUARDIAN, "sh"])
            .arg(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Out of the test's group: a test runner that kills the group must not kill it.
            .process_group(0);
        let guardian = spawner::spawn(guardian).map_err(|source| Error::Spawn {
            program: "sh".to_owned(),
            source,
        })?;
        Ok(Self {
            path: directory.keep(),
            guardian,
        })
    }

    /// Where the directory is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The server's log, opened to be appended to.
    pub(crate) fn log(&self) -> Result<File, Error> {
        let path = self.log_path();
        File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|source| Error::Filesystem { path, source })
    }

    /// The length of the log, to tell a later start's lines from an earlier one's.
    pub(crate) fn log_length(&self) -> u64 {
        fs::metadata(self.log_path()).map_or(0, |it| it.len())
    }

    /// What was logged after `from`, or the end of it when that is long.
    pub(crate) fn log_since(&self, from: u64) -> String {
        let read = || -> io::Result<String> {
            let mut file = File::open(self.log_path())?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(
                from.max(length.saturating_sub(LOG_TAIL_BYTES_MAX)),
            ))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        read().unwrap_or_else(|error| format!("(the log could not be read: {error})"))
    }

    fn log_path(&self) -> PathBuf {
        self.path.join("server.log")
    }
}

impl Drop for ServerDirectory {
    fn drop(&mut self) {
        // The end of its input is the guardian's signal.
        drop(self.guardian.stdin.take());
        self.guardian.wait().ok();
    }
}

/// A folder that outlives this process, for what is expensive to make: one for each user.
pub(crate) fn cache_folder() -> Result<PathBuf, Error> {
    let user = geteuid();
    let path = std::env::temp_dir().join(format!("tidegate-testkit-{user}"));
    let failed = |source| Error::Filesystem {
        path: path.clone(),
        source,
    };
    // Others may look inside, since a server may run as another user; only we may write.
    match fs::DirBuilder::new().mode(0o755).create(&path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    // The temporary folder is everyone's: a folder that somebody else prepared is not trusted.
    let found = fs::symlink_metadata(&path).map_err(failed)?;
    if !found.is_dir() || found.uid() != user.as_raw() {
        let why = "it exists already, and is no directory of the current user";
        return Err(failed(io::Error::other(why)));
    }
    Ok(path)
}

/// Makes `user` the owner of `path`; `None` leaves it as it is.
pub(crate) fn hand_over(path: &Path, user: Option<&User>) -> Result<(), Error> {
    let Some(user) = user else { return Ok(()) };
    chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).map_err(|source| {
        Error::Filesystem {
            path: path.to_owned(),
            source,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_goes_with_its_holder() {
        let directory = ServerDirectory::create("tidegate-test-", None).unwrap();
        let path = directory.path().to_owned();
        fs::write(path.join("file"), "data").unwrap();
        drop(directory);
        assert!(!path.exists());
    }

    #[test]
    fn the_log_is_read_from_a_position() {
        let directory = ServerDirectory::create("tidegate-test-", None).unwrap();
        io::Write::write_all(&mut directory.log().unwrap(), b"first ").unwrap();
        let position = directory.log_length();
        io::Write::write_all(&mut directory.log().unwrap(), b"second").unwrap();
        assert_eq!(directory.log_since(position), "second");
        assert_eq!(directory.log_since(0), "first second");
    }
}
