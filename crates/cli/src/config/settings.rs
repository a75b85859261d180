//! The settings that the program works with, and their defaults.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use secrecy::SecretString;
use tidegate_drain::hyperswitch::{Forms, Mapping};
use tidegate_drain::{Options, PostgresOptions};
use tidegate_store::StreamName;

/// The stream's name, as Hyperswitch's drainer has it by default.
const STREAM_DEFAULT: &str = "DRAINER_STREAM";
/// The number of shards, as Hyperswitch's drainer has it by default.
const PARTITIONS_DEFAULT: u32 = 64;
/// One file for the stream and the tables, so that everything works with nothing installed.
const URL_DEFAULT: &str = "sqlite://tidegate.sqlite";

/// Every setting, checked.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Where the stream is. It may hold a password.
    pub(crate) store_url: SecretString,
    /// Where the tables are. It may hold a password.
    pub(crate) sink_url: SecretString,
    /// How the sink is used where it is PostgreSQL.
    pub(crate) postgres: PostgresOptions,
    /// How the stream is drained.
    pub(crate) drain: Options,
    /// What is known of Hyperswitch's types, and the file that says it.
    pub(crate) mapping: Option<(PathBuf, Mapping)>,
    /// Whether entries with SQL are taken.
    pub(crate) query: bool,
    /// The tables that they may write.
    pub(crate) query_tables: BTreeSet<String>,
    /// Settings of Hyperswitch's drainer that have no effect, each with the reason.
    pub(crate) ignored: Vec<String>,
}

impl Settings {
    /// Tells the drain how Hyperswitch's forms are read.
    pub(crate) fn settle_forms(&mut self) {
        let mapping = self.mapping.as_ref().map(|(_, mapping)| mapping.clone());
        self.drain.forms = Some(Arc::new(Forms {
            mapping: mapping.unwrap_or_default(),
            query_tables: self.query.then(|| self.query_tables.clone()),
        }));
    }
}

impl Default for Settings {
    #[expect(
        clippy::expect_used,
        reason = "the name is a constant, and every test builds it"
    )]
    fn default() -> Self {
        let stream = StreamName::new(STREAM_DEFAULT).expect("a valid name");
        Self {
            store_url: URL_DEFAULT.into(),
            sink_url: URL_DEFAULT.into(),
            postgres: PostgresOptions::default(),
            drain: Options::new(stream, PARTITIONS_DEFAULT),
            mapping: None,
            query: false,
            query_tables: BTreeSet::new(),
            ignored: Vec::new(),
        }
    }
}
