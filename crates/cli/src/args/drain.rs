//! The arguments of `tidegate drain`.

use std::net::SocketAddr;

use clap::{Args, Subcommand, ValueEnum};
use tidegate_drain::dead_letter::LetterId;
use tidegate_drain::held::HeldState;

/// The most dead letters that one list shows.
const LIST_LIMIT_MAX: i64 = 1_000_000;

/// The drain, and whose.
#[derive(Debug, Args)]
pub(crate) struct DrainArgs {
    /// Only this tenant of the configuration; without it `run` and `status` take all of them.
    #[arg(long, global = true, value_name = "ID")]
    pub(crate) tenant: Option<String>,

    #[command(subcommand)]
    pub(crate) command: DrainCommand,
}

/// What is to be done with the drain.
#[derive(Debug, Subcommand)]
pub(crate) enum DrainCommand {
    /// Send operations, one JSON object a line, to the stream.
    Send(SendArgs),

    /// Write what is in the stream to the database, until stopped.
    Run(RunArgs),

    /// Show where each shard is.
    #[command(after_help = "\
Examples:
  tidegate drain status
  tidegate drain status --all --json")]
    Status(StatusArgs),

    /// Prove that everything sent is applied, held or still in the stream.
    #[command(after_help = "\
For every shard, the entries that the stream has ever counted must be the entries that the
database and the stream can account for:
  sent = earlier + applied + dead + waiting + parked + discarded + pending
`earlier` are entries that were gone from the stream before the drain first saw it.
Exit code 1 if a sum does not come out.")]
    Verify {
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },

    /// Compare rows with the last entries on them; needs entries that are still in the stream.
    #[command(after_help = "\
Examples:
  tidegate drain audit
  tidegate drain audit --sample 10000 --json

Entries that every group has acknowledged are trimmed; what is left is compared: the last operation on
a row must show. Rows of tables with triggers, and rows without a key, can't be told.
Exit code 1 if a row differs.")]
    Audit {
        /// The most entries of each shard, the newest ones.
        #[arg(long, default_value_t = tidegate_drain::audit::SAMPLE_DEFAULT)]
        sample: usize,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },

    /// Print the SQL that a file of operations would run; run nothing.
    #[command(after_help = "\
Examples:
  tidegate drain plan operations.jsonl
  head -n 20 operations.jsonl | tidegate drain plan -
  tidegate drain plan --diff operations.jsonl

Lines that would become dead letters are listed with their reasons. Exit code 1 if there are any.")]
    Plan {
        /// A file of operations, one JSON object a line; - for the standard input.
        file: String,

        /// Show the rows that would change instead, as they are and as they would become. The
        /// database is only read.
        #[arg(long)]
        diff: bool,

        /// With --diff: without the rows' values.
        #[arg(long, requires = "diff")]
        hide_values: bool,

        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },

    /// Look at what could not be written; try it again, or give it up.
    #[command(subcommand)]
    Dead(DeadCommand),
}

/// What is to be sent, and how strictly.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidegate drain send operations.jsonl
  generate | tidegate drain send -
  tidegate drain send --strict operations.jsonl

A line is one operation:
  {\"op\":\"insert\",\"table\":\"invoice\",\"row\":{\"id\":1,\"amount\":\"9.90\"}}
  {\"op\":\"update\",\"table\":\"invoice\",\"key\":{\"id\":1},\"set\":{\"status\":\"paid\"}}
  {\"op\":\"upsert\",\"table\":\"invoice\",\"row\":{\"id\":1,\"status\":\"paid\"}}
  {\"op\":\"delete\",\"table\":\"invoice\",\"key\":{\"id\":1}}
  {\"op\":\"transaction\",\"operations\":[…]}

A line that can't be an operation is sent all the same and becomes a dead letter, so that nothing
is lost; send warns of it. Sending the same file twice sends every operation twice.")]
pub(crate) struct SendArgs {
    /// A file of operations, one JSON object a line; - for the standard input.
    pub(crate) file: String,

    /// Refuse a file with a line that would become a dead letter, before anything is sent. A
    /// pipe can't be read twice: there, stop at the first such line.
    #[arg(long)]
    pub(crate) strict: bool,

    /// Leave out the first N lines: go on where an earlier send was interrupted.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) skip_lines: u64,

    /// Print one JSON object at the end.
    #[arg(long)]
    pub(crate) json: bool,
}

/// How the drain is run.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidegate drain run
  tidegate drain run --once              until nothing is left, then exit
  tidegate drain run --json              one JSON line for each committed batch
  tidegate drain run --hyperswitch-config config/drainer.toml
  tidegate drain run --listen 127.0.0.1:9000

With --listen, GET /health, /health/ready and /metrics (Prometheus) answer there. An address that
other machines can reach needs a token: console.token, or TIDEGATE__CONSOLE__TOKEN.

Several processes may run at once: they share the shards. SIGTERM and SIGINT (Ctrl-C) finish the
batches in flight and give the shards back; a second signal exits at once, and loses nothing
either.")]
pub(crate) struct RunArgs {
    /// Exit when everything in the stream is applied or held as a dead letter.
    #[arg(long)]
    pub(crate) once: bool,

    /// Print a JSON line for each committed batch, and a summary as the last line.
    #[arg(long)]
    pub(crate) json: bool,

    /// Tell over HTTP how it goes: health, readiness and metrics. Overrides console.listen.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
}

/// Which shards to show.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Show empty shards as well.
    #[arg(long)]
    pub(crate) all: bool,

    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is to be done with dead letters.
#[derive(Debug, Subcommand)]
pub(crate) enum DeadCommand {
    /// List what is held, oldest first.
    #[command(after_help = "\
Examples:
  tidegate drain dead list
  tidegate drain dead list --state dead,waiting --limit 20

States: a dead letter was refused; a waiting one refers to a parent row that is not there yet; a
parked one follows another one on the same row; a discarded one was given up.")]
    List {
        /// Only these states; by default all but the discarded.
        #[arg(long, value_enum, value_delimiter = ',', value_name = "STATE")]
        state: Vec<LetterState>,

        /// At most this many.
        #[arg(
            long, value_name = "N", default_value_t = 100,
            value_parser = clap::value_parser!(u32).range(1..=LIST_LIMIT_MAX)
        )]
        limit: u32,

        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },

    /// Show everything that is known of one, its operation included.
    Show {
        /// Its id, as `dead list` shows it.
        id: LetterId,

        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },

    /// Try dead letters again, each followed by what is parked behind it.
    #[command(after_help = "\
Examples:
  tidegate drain dead retry 3:1700000000000-0
  tidegate drain dead retry --all

It works whether a worker is running or not. Exit code 1 if some are dead again.")]
    Retry {
        /// Its id, as `dead list` shows it.
        #[arg(required_unless_present = "all")]
        id: Option<LetterId>,

        /// All dead letters of the stream.
        #[arg(long, conflicts_with = "id")]
        all: bool,

        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },

    /// Give a dead letter up: it is kept for the record and blocks nothing any more.
    #[command(after_help = "\
What was parked behind it is applied at once. A discarded operation can't be retried; its JSON
stays readable with `dead show`.")]
    Discard {
        /// Its id, as `dead list` shows it.
        #[arg(required_unless_present = "all")]
        id: Option<LetterId>,

        /// All dead letters of the stream.
        #[arg(long, conflicts_with = "id")]
        all: bool,

        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

/// Why an entry is held, as an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LetterState {
    /// It was refused.
    Dead,
    /// Its parent row is not there yet.
    Waiting,
    /// An earlier one on the same row is held.
    Parked,
    /// It was given up.
    Discarded,
}

impl From<LetterState> for HeldState {
    fn from(state: LetterState) -> Self {
        match state {
            LetterState::Dead => Self::Dead,
            LetterState::Waiting => Self::Waiting,
            LetterState::Parked => Self::Parked,
            LetterState::Discarded => Self::Discarded,
        }
    }
}
