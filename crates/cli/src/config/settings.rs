//! The settings that the program works with, and their defaults.

use std::collections::BTreeMap;

use secrecy::SecretString;
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
    /// Where the settings of `[drain.tables.…]` come from, by key.
    pub(crate) policy_origins: BTreeMap<String, String>,
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
            policy_origins: BTreeMap::new(),
        }
    }
}
