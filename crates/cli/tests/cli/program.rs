//! The program, run in a temporary folder with nothing configured but what a test says.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;

/// A folder in which the program is run.
pub(crate) struct Place {
    folder: TempDir,
}

/// What a run of the program came to.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    /// An empty folder.
    pub(crate) fn empty() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    /// A folder with the default database, which holds these tables.
    pub(crate) fn with_tables(sql: &str) -> Self {
        let place = Self::empty();
        place.database().execute_batch(sql).expect("the tables");
        place
    }

    /// A file of the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder itself.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).expect("written");
    }

    /// The default database.
    pub(crate) fn database(&self) -> Connection {
        Connection::open(self.path("tidegate.sqlite")).expect("the database")
    }

    /// One number out of the default database.
    pub(crate) fn number(&self, sql: &str) -> i64 {
        self.database()
            .query_row(sql, [], |row| row.get(0))
            .expect("a number")
    }

    /// A call of the program that has not been started; the words of `line` are its arguments.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command
            .args(line.split_whitespace())
            .current_dir(self.folder());
        for (name, _) in std::env::vars_os() {
            let of_program = ["TIDEGATE", "DRAINER__", "RUN_ENV"];
            if of_program
                .iter()
                .any(|start| name.to_string_lossy().starts_with(start))
            {
                command.env_remove(name);
            }
        }
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, line: &str) -> Ran {
        Ran::from(self.command(line).output().expect("the program"))
    }

    /// Runs the program to its end with some environment variables.
    pub(crate) fn run_with(&self, line: &str, env: &[(&str, &str)]) -> Ran {
        Ran::from(
            self.command(line)
                .envs(env.iter().copied())
                .output()
                .expect("the program"),
        )
    }

    /// Runs the program to its end with an input.
    pub(crate) fn run_fed(&self, line: &str, input: &[u8]) -> Ran {
        let mut child = self
            .command(line)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program");
        let mut stdin = child.stdin.take().expect("its input");
        // A program that has seen enough closes its input; that is its own affair.
        let _ = stdin.write_all(input);
        drop(stdin);
        Ran::from(child.wait_with_output().expect("the program"))
    }

    /// Runs the program to its end, which must be a good one, and returns its output.
    pub(crate) fn done(&self, line: &str) -> String {
        self.run(line).succeeded(line).out
    }

    /// As [`done`](Self::done); the output is one JSON object.
    pub(crate) fn json(&self, line: &str) -> Value {
        self.run(line).succeeded(line).json()
    }
}

impl Ran {
    /// Requires exit code 0.
    pub(crate) fn succeeded(self, line: &str) -> Self {
        assert_eq!(self.code, 0, "{line}\n{}\n{}", self.out, self.err);
        self
    }

    /// The output as one JSON object.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }

    /// Requires that each part stands in what was printed as an error.
    pub(crate) fn says(&self, parts: &[&str]) {
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is not in: {}", self.err);
        }
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("an exit code"),
            out: String::from_utf8(output.stdout).expect("UTF-8"),
            err: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}
