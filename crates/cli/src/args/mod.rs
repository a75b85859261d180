//! The command line: what can be asked of the program, and the help that explains it.
//!
//! Only shapes live here. What a command does is in the module of its name.

mod drain;
mod log;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

pub(crate) use drain::{
    DeadCommand, DrainArgs, DrainCommand, LetterState, RunArgs, SendArgs, StatusArgs,
};
pub(crate) use log::{LogArgs, LogFormat};

/// Shown at the end of `tidegate --help`.
const EXAMPLES: &str = "\
Examples:
  tidegate demo                          see it work, with nothing installed
  tidegate drain send operations.jsonl   send operations to the stream
  tidegate drain run                     write them to the database, until Ctrl-C
  tidegate config show                   every setting, and where it comes from

With no configuration both the stream and the tables live in ./tidegate.sqlite.
To use Redis and PostgreSQL, write tidegate.toml (see tidegate.example.toml), or set
TIDEGATE__STORE__URL=redis://localhost and TIDEGATE__SINK__URL=postgres://localhost/payments.

Exit codes: 0 success; 1 failure, or a check that did not hold; 2 a command line that can't be
read; 130 stopped at once by a second signal.";

/// Moves a payment system's work from a fast log to its durable home: once, in order.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, max_term_width = 100, after_help = EXAMPLES)]
pub(crate) struct Cli {
    /// Read the configuration from FILE instead of ./tidegate.toml.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Take store, sink, stream and tenants from the settings of Hyperswitch's drainer: a file, or
    /// a folder with one file for each RUN_ENV. DRAINER__SECTION__KEY overrides them.
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) hyperswitch_config: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) log: LogArgs,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the main job on an embedded store: send, drain under SIGKILL, and count.
    Demo(DemoArgs),

    /// Send operations to a stream, write them to a database, and look after them.
    Drain(DrainArgs),

    /// Check or show the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),

    /// Print a completion script for a shell.
    #[command(after_help = "\
Examples:
  tidegate completions bash > ~/.local/share/bash-completion/completions/tidegate
  tidegate completions zsh > ~/.zfunc/_tidegate")]
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// What the demo is asked to do.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tidegate demo
  tidegate demo --operations 1000000 --dir /tmp/demo
  tidegate demo --json --seed 7

The demo uses no configuration: it works in a directory of its own, which is removed at the end
unless it was named with --dir.")]
pub(crate) struct DemoArgs {
    /// How many operations to send; by default as many as take some seconds.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) operations: Option<u64>,

    /// Work in DIR, and leave the files there to be looked at.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,

    /// Generate another day: the same seed gives the same operations.
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub(crate) seed: u64,

    /// Print one JSON object instead of the story.
    #[arg(long)]
    pub(crate) json: bool,

    /// Don't kill the worker.
    #[arg(long)]
    pub(crate) no_crash: bool,
}

/// What is to be done with the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check that every setting is known and has an allowed value.
    #[command(after_help = "\
Examples:
  tidegate config check
  tidegate config check --connect        also try to reach the store and the sink")]
    Check {
        /// Connect to the store and to the sink as well; nothing is created on a server.
        #[arg(long)]
        connect: bool,

        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },

    /// Show every setting, its value and where it comes from; passwords are hidden.
    #[command(after_help = "\
Every setting can be written in tidegate.toml and overridden by an environment variable
TIDEGATE__SECTION__KEY, such as TIDEGATE__DRAIN__BATCH_MAX=500.")]
    Show {
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
