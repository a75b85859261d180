//! The flags of the log, which goes to the standard error.

use clap::{Args, ValueEnum};

/// What is logged, and how.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// Log more: -v shows what the workers do, -vv every step.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Log from this level on: off, error, warn, info, debug or trace; or a list of
    /// target=level for single parts.
    #[arg(long, global = true, value_name = "LEVEL", env = "TIDEGATE_LOG")]
    pub(crate) log_level: Option<String>,

    /// How a line of the log looks.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        env = "TIDEGATE_LOG_FORMAT"
    )]
    pub(crate) log_format: LogFormat,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line, for machines.
    Json,
}
