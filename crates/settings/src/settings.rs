//! The settings that the program works with, and their defaults.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use secrecy::SecretString;
use tidegate_console::Listen;
use tidegate_drain::hyperswitch::{Forms, Mapping};
use tidegate_drain::tenants::OnStoreLost;
use tidegate_drain::{Options, PostgresOptions};
use tidegate_store::StreamName;

use crate::Origin;
use crate::tenant::{self, TenantSettings};

/// The stream's name, as Hyperswitch's drainer has it by default.
const STREAM_DEFAULT: &str = "DRAINER_STREAM";
/// The number of shards, as Hyperswitch's drainer has it by default.
const PARTITIONS_DEFAULT: u32 = 64;
/// One file for the stream and the tables, so that everything works with nothing installed.
const URL_DEFAULT: &str = "sqlite://tidegate.sqlite";

/// Every setting, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the stream is. It may hold a password.
    pub store_url: SecretString,
    /// Where the tables are. It may hold a password.
    pub sink_url: SecretString,
    /// How the sink is used where it is PostgreSQL.
    pub postgres: PostgresOptions,
    /// How the stream is drained.
    pub drain: Options,
    /// Where the settings of `[drain.tables.…]` come from, by key.
    pub policy_origins: BTreeMap<String, Origin>,
    /// What follows when the store is lost.
    pub on_store_lost: OnStoreLost,
    /// What the process tells over HTTP.
    pub console: ConsoleSettings,
    /// Where spans are sent.
    pub traces: TraceSettings,
    /// What is known of Hyperswitch's types, and the file that says it.
    pub mapping: Option<(PathBuf, Mapping)>,
    /// Whether entries with SQL are taken.
    pub query: bool,
    /// The tables that they may write.
    pub query_tables: BTreeSet<String>,
    /// Settings of Hyperswitch's drainer that have no effect, each with the reason.
    pub ignored: Vec<String>,
    /// What each tenant has of its own, by its id. Empty where there is but one owner of it all.
    pub tenants: BTreeMap<String, TenantSettings>,
}

/// What the process tells over HTTP.
#[derive(Clone, Debug, Default)]
pub struct ConsoleSettings {
    /// Where it listens; nowhere by default.
    pub listen: Option<SocketAddr>,
    /// What those who ask must know.
    pub token: Option<SecretString>,
}

impl ConsoleSettings {
    /// Where to listen, checked; none for nowhere.
    ///
    /// # Errors
    /// An address that needs a token, and a token that is none.
    pub fn checked(&self) -> tidegate_console::Result<Option<Listen>> {
        self.listen
            .map(|address| Listen::new(address, self.token.clone()))
            .transpose()
    }
}

/// Where spans are sent.
#[derive(Clone, Debug, Default)]
pub struct TraceSettings {
    /// A collector of OpenTelemetry that takes OTLP over HTTP; nowhere by default.
    pub otlp_url: Option<String>,
}

impl Settings {
    /// Tells the drain how Hyperswitch's forms are read.
    pub(crate) fn settle_forms(&mut self) {
        let mapping = self.mapping.as_ref().map(|(_, mapping)| mapping.clone());
        let is_told = mapping.is_some() || self.query;
        let forms = || Forms {
            mapping: mapping.unwrap_or_default(),
            query_tables: self.query.then(|| self.query_tables.clone()),
        };
        self.drain.forms = is_told.then(|| Arc::new(forms()));
    }

    /// The settings of each tenant, whole, by its id.
    ///
    /// # Errors
    /// A key prefix that makes no stream's name.
    pub fn tenants(&self) -> tidegate_store::Result<BTreeMap<String, Self>> {
        let tenants = self.tenants.iter();
        tenants
            .map(|(id, own)| Ok((id.clone(), own.over(id, self)?)))
            .collect()
    }

    /// Each tenant with its settings; where there is none, everything belongs to nobody in
    /// particular.
    ///
    /// # Errors
    /// A key prefix that makes no stream's name.
    pub fn each(&self) -> tidegate_store::Result<Vec<(Option<String>, Self)>> {
        if self.tenants.is_empty() {
            return Ok(vec![(None, self.clone())]);
        }
        let tenants = self.tenants()?.into_iter();
        Ok(tenants.map(|(id, own)| (Some(id), own)).collect())
    }

    /// What is wrong with values that are right one by one.
    pub(crate) fn contradictions(&self) -> Vec<String> {
        let console = self.console.checked().err().map(|error| error.to_string());
        let tenants = tenant::contradictions(self);
        console.into_iter().chain(tenants).collect()
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
            policy_origins: BTreeMap::new(),
            on_store_lost: OnStoreLost::default(),
            console: ConsoleSettings::default(),
            traces: TraceSettings::default(),
            mapping: None,
            query: false,
            query_tables: BTreeSet::new(),
            ignored: Vec::new(),
            tenants: BTreeMap::new(),
        }
    }
}
