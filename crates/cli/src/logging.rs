//! The log: lines on the standard error, for people or for machines.

use std::io::{self, IsTerminal, Write};

use miette::miette;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

use crate::args::{LogArgs, LogFormat};
use crate::progress;

/// What other libraries log: they may show more of a connection than we would. The Redis client
/// and the PostgreSQL pool repeat for every attempt what we say once.
const OTHERS_LEVEL: &str = "warn,rustis=off,deadpool=off,deadpool_postgres=off";
/// The levels that name Tidegate's own parts as a whole.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Starts the log.
///
/// # Errors
/// A level that can't be read.
pub(crate) fn start(args: &LogArgs) -> miette::Result<()> {
    let directives = directives(args);
    let filter: Targets = directives.parse().map_err(|error| {
        miette!(
            help = "use off, error, warn, info, debug or trace, or a list such as \
                    tidegate_drain=debug,tidegate_store=info",
            "the log level {directives:?} can't be read: {error}"
        )
    })?;
    let with_colours = io::stderr().is_terminal() && console::colors_enabled_stderr();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| BesideBars)
        .with_ansi(with_colours)
        .with_target(false);
    let log = tracing_subscriber::registry().with(filter);
    match args.log_format {
        LogFormat::Human => log.with(lines).init(),
        LogFormat::Json => log
            .with(lines.json().flatten_event(true).with_target(true))
            .init(),
    }
    Ok(())
}

/// The filter: a plain level is meant for Tidegate, whose targets all begin with its name.
fn directives(args: &LogArgs) -> String {
    let level = match (&args.log_level, args.verbose) {
        (Some(level), _) if LEVELS.contains(&level.to_ascii_lowercase().as_str()) => level.as_str(),
        (Some(directives), _) => return directives.clone(),
        (None, 0) => "info",
        (None, 1) => "debug",
        (None, _) => "trace",
    };
    format!("{OTHERS_LEVEL},tidegate={level}")
}

/// Writes a line above the progress bars, where there are any.
struct BesideBars;

impl Write for BesideBars {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        progress::beside_bars(|| io::stderr().lock().write(line))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(log_level: Option<&str>, verbose: u8) -> LogArgs {
        let log_level = log_level.map(str::to_owned);
        LogArgs {
            verbose,
            log_level,
            log_format: LogFormat::Human,
        }
    }

    #[test]
    fn a_level_is_meant_for_our_own_parts() {
        let ours = |level| format!("{OTHERS_LEVEL},tidegate={level}");
        assert_eq!(directives(&args(None, 0)), ours("info"));
        assert_eq!(directives(&args(None, 1)), ours("debug"));
        assert_eq!(directives(&args(Some("error"), 2)), ours("error"));
        assert_eq!(
            directives(&args(Some("tidegate_store=trace"), 0)),
            "tidegate_store=trace"
        );
    }
}
