//! The configuration: from a file and the environment to checked settings, and from those to open
//! stores and sinks.
//!
//! ```text
//! tidegate.toml ──┐
//! TIDEGATE__… ────┴─► given ─► keys ─► slots ─► Config: settings, and the origin of each
//!                                                  │
//!                      a store and a sink for each tenant ─► connect
//! ```
//!
//! The program `tidegate` and services that run the drain as a library read the same file.
//!
//! In the order of the flow:
//!
//! * `given` reads what somebody has written, and where, `hyperswitch` what stands in the
//!   settings of Hyperswitch's drainer,
//! * `keys` lists every setting there is,
//! * `slot` checks a value and puts it into its place,
//! * [`tables`] does both for the policies of tables, whose keys the user names,
//! * [`settings`] is what the rest of the program works with, [`tenant`] what one tenant has of
//!   its own,
//! * [`address`] reads and redacts URLs, which are secrets,
//! * [`connect`] opens what they name, [`console`] shows how it goes.
//!
//! A mistake is never skipped: an unknown key and a value out of its bounds are errors that name
//! the key, the value, the source and what is allowed. All of them are told at once.

pub mod address;
pub mod connect;
pub mod console;
mod given;
mod hyperswitch;
mod keys;
pub mod settings;
mod slot;
pub mod tables;
pub mod tenant;

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;

use serde_json::Value;

pub use given::Origin;
pub use settings::Settings;
pub use tenant::TenantSettings;

use given::Given;
use hyperswitch::Taken;
use keys::{KEYS, TENANT_KEYS, TENANTS};
use slot::{Refusal, Slot};
use tenant::TENANTS_MAX;

/// The settings, and where each of them comes from.
#[derive(Clone, Debug)]
pub struct Config {
    /// The settings.
    pub settings: Settings,
    /// Where those come from that are not defaults, by the key's name.
    origins: HashMap<String, Origin>,
}

/// A setting as people see it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its name with its section: `drain.batch_max`.
    pub name: String,
    /// Its value, without a password.
    pub value: Value,
    /// Where it comes from.
    pub origin: Origin,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file can't be read.
    #[error("the configuration file {file} can't be read: {source}")]
    Unreadable {
        /// The file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("the configuration file {file} is not TOML: {reason}")]
    NotToml {
        /// The file.
        file: String,
        /// Why, without the line itself: it may hold a password.
        reason: String,
    },
    /// Settings are wrong.
    #[error("{}", .0.join("\n"))]
    Invalid(Vec<String>),
    /// The database does not tell of its tables, which the settings name.
    #[error("the tables of [drain.tables] can't be looked up: {0}")]
    NoCatalog(#[source] tidegate_drain::Error),
}

impl Error {
    /// What a person can do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "name another one with --config, or correct its permissions",
            Self::NotToml { .. } => "tidegate.example.toml shows every setting",
            Self::NoCatalog(_) => "check sink.url, and what its user may read",
            Self::Invalid(_) => "`tidegate config show` lists every setting with its value",
        }
    }
}

impl Config {
    /// Reads the configuration of this process.
    ///
    /// # Errors
    /// Every mistake in it, at once.
    pub fn load(file: Option<&Path>) -> Result<Self, Error> {
        Self::read(file, Taken::default(), std::env::vars_os())
    }

    /// Reads the configuration of this process over the settings of Hyperswitch's drainer: a
    /// file, or a folder with one file for each `RUN_ENV`, and the variables `DRAINER__…`.
    ///
    /// # Errors
    /// Every mistake in it, at once.
    pub fn load_over_hyperswitch(file: Option<&Path>, place: &Path) -> Result<Self, Error> {
        let taken = hyperswitch::read(place, std::env::vars_os())?;
        Self::read(file, taken, std::env::vars_os())
    }

    fn read(
        file: Option<&Path>,
        ancestors: Taken,
        env: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Error> {
        let mut mistakes = Vec::new();
        let mut given = given::from_file(file)?;
        // Who names the ancestor's file wants what stands there; only a variable is stronger.
        given.extend(ancestors.given);
        given.extend(given::from_env(env, &mut mistakes));
        let mut config = Self {
            settings: Settings::default(),
            origins: HashMap::new(),
        };
        for one in given {
            config.take(one, &mut mistakes);
        }
        config.settings.ignored = ancestors.ignored;
        config.settings.settle_forms();
        if mistakes.is_empty() {
            mistakes = config.settings.contradictions();
        }
        if mistakes.is_empty() {
            Ok(config)
        } else {
            Err(Error::Invalid(mistakes))
        }
    }

    fn take(&mut self, given: Given, mistakes: &mut Vec<String>) {
        let Given {
            name,
            value,
            origin,
        } = given;
        if let Some(key) = tables::split(&name) {
            let taken = tables::set(&mut self.settings, key, &value, &origin);
            mistakes.extend(taken.err().map(|refusal| refused(&name, &origin, &refusal)));
            return;
        }
        let slot = match name.strip_prefix(TENANTS) {
            Some(rest) => self.tenant_slot(rest),
            None => match KEYS.iter().find(|key| key.name == name) {
                Some(key) => Ok(Some((key.slot)(&mut self.settings))),
                None => Err(keys::unknown(&name)),
            },
        };
        let slot = match slot {
            Ok(slot) => slot,
            Err(mistake) => return mistakes.push(format!("{origin}: {mistake}")),
        };
        match slot.map_or(Ok(()), |slot| slot.set(&value)) {
            Ok(()) => {
                self.origins.insert(name, origin);
            }
            Err(refusal) => mistakes.push(refused(&name, &origin, &refusal)),
        }
    }

    /// The place of a tenant's key, and none for the tenant alone, which is enough to have it.
    fn tenant_slot(&mut self, rest: &str) -> Result<Option<Slot<'_>>, String> {
        let (id, key) = match rest.split_once('.') {
            Some((id, key)) => (id, Some(key)),
            None => (rest, None),
        };
        tenant::check_id(id)?;
        let tenants = &mut self.settings.tenants;
        if tenants.len() == TENANTS_MAX && !tenants.contains_key(id) {
            return Err(format!("there are more than {TENANTS_MAX} tenants"));
        }
        let tenant = tenants.entry(id.to_owned()).or_default();
        let Some(key) = key else { return Ok(None) };
        match TENANT_KEYS.iter().find(|known| known.name == key) {
            Some(known) => Ok(Some((known.slot)(tenant))),
            None => Err(keys::unknown_of_tenant(id, key)),
        }
    }

    /// Every setting, in the order of the example file; then come tenants and policies.
    #[must_use]
    pub fn shown(&self) -> Vec<Shown> {
        let mut settings = self.settings.clone();
        let mut shown = Vec::new();
        let mut show = |name: String, value: Value| {
            let origin = self.origins.get(&name).unwrap_or(&Origin::Default).clone();
            shown.push(Shown {
                name,
                value,
                origin,
            });
        };
        for key in KEYS {
            show(key.name.to_owned(), (key.slot)(&mut settings).show());
        }
        for (id, tenant) in &mut settings.tenants {
            for key in TENANT_KEYS {
                let value = (key.slot)(tenant).show();
                show(format!("{TENANTS}{id}.{}", key.name), value);
            }
        }
        shown.extend(tables::shown(&self.settings));
        shown
    }
}

fn refused(name: &str, origin: &Origin, refusal: &Refusal) -> String {
    let Refusal { shown, allowed } = refusal;
    format!("{name} = {shown} ({origin}): {allowed}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        pairs
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    }

    fn shown(config: &Config) -> Vec<(String, String)> {
        let shown = config.shown().into_iter();
        shown.map(|one| (one.name, one.value.to_string())).collect()
    }

    fn origin(config: &Config, name: &str) -> Origin {
        let mut shown = config.shown().into_iter();
        shown.find(|one| one.name == name).expect(name).origin
    }

    fn example() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tidegate.example.toml")
    }

    #[test]
    fn the_example_file_holds_the_defaults() {
        let example =
            Config::read(Some(&example()), Taken::default(), std::iter::empty()).expect("valid");
        let default = Config {
            settings: Settings::default(),
            origins: HashMap::new(),
        };
        assert_eq!(shown(&example), shown(&default));
    }

    #[test]
    fn the_example_file_names_every_key() {
        let text = std::fs::read_to_string(example()).expect("the file");
        for key in KEYS {
            let (section, name) = key.name.split_once('.').expect("a section and a name");
            let section = text
                .split(&format!("[{section}]"))
                .nth(1)
                .expect("the section");
            let section = section.split("\n[").next().unwrap_or_default();
            let is_named = section.lines().any(|line| {
                line.trim_start_matches("# ")
                    .starts_with(&format!("{name} = "))
            });
            assert!(is_named, "{} is not in tidegate.example.toml", key.name);
        }
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("t.toml");
        std::fs::write(&file, "[drain]\nbatch_max = 10\nheld_max = 20\n").expect("written");
        let env = env(&[
            ("TIDEGATE__DRAIN__BATCH_MAX", "30"),
            ("TIDEGATE_LOG", "debug"),
        ]);
        let config = Config::read(Some(&file), Taken::default(), env.into_iter()).expect("valid");
        assert_eq!(config.settings.drain.batch_max, 30);
        assert_eq!(config.settings.drain.held_max, 20);
        assert_eq!(
            origin(&config, "drain.batch_max").to_string(),
            "TIDEGATE__DRAIN__BATCH_MAX"
        );
        assert_eq!(origin(&config, "drain.held_max"), Origin::File(file));
        assert_eq!(origin(&config, "drain.stream"), Origin::Default);
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let env = env(&[
            ("TIDEGATE__DRAIN__BATCH_MAX", "0"),
            ("TIDEGATE__DRAIN__LEASE_TTL", "soon"),
            ("TIDEGATE__DRAIN__BATCHES", "1"),
            ("TIDEGATE__SINK__URL", "mysql://root:hunter2@host/db"),
        ]);
        let missing = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tidegate.example.toml");
        let error = Config::read(Some(&missing), Taken::default(), env.into_iter())
            .expect_err("must be refused");
        let text = error.to_string();
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.contains("drain.batch_max = \"0\" (TIDEGATE__DRAIN__BATCH_MAX): use 1 to"));
        assert!(text.contains("drain.lease_ttl = \"soon\""), "{text}");
        assert!(
            text.contains("TIDEGATE__DRAIN__BATCHES: drain.batches is unknown"),
            "{text}"
        );
        assert!(!text.contains("hunter2"), "{text}");
    }

    fn read_text(text: &str, variables: &[(&str, &str)]) -> Result<Config, Error> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("t.toml");
        std::fs::write(&file, text).expect("written");
        Config::read(Some(&file), Taken::default(), env(variables).into_iter())
    }

    #[test]
    fn a_tenant_has_what_is_its_own_and_shares_the_rest() {
        let text = "[sink]\nurl = \"postgres://h/all\"\nconnections = 7\n[tenants.acme]\n\
             schema = \"acme\"\n[tenants.bolt]\nkey_prefix = \"b\"\n\
             sink_url = \"postgres://h/bolt\"\n[tenants.plain]\n";
        let variables = [("TIDEGATE__TENANTS__BOLT__CONNECTIONS", "2")];
        let config = read_text(text, &variables).expect("valid");
        let tenants = config.settings.tenants().expect("valid");
        let seen: Vec<(String, String, Option<&str>, usize)> = tenants
            .iter()
            .map(|(id, own)| {
                (
                    id.clone(),
                    own.drain.stream.to_string(),
                    own.postgres.schema.as_deref(),
                    own.postgres.connections_max,
                )
            })
            .collect();
        let expected = [
            ("acme", "acme/DRAINER_STREAM", Some("acme"), 7),
            ("bolt", "b/DRAINER_STREAM", None, 2),
            ("plain", "plain/DRAINER_STREAM", None, 7),
        ];
        let expected = expected.map(|(id, stream, schema, connections)| {
            (id.to_owned(), stream.to_owned(), schema, connections)
        });
        assert_eq!(seen, expected);
    }

    #[test]
    fn tenants_that_would_share_a_stream_are_refused() {
        let text = "[tenants.a]\nkey_prefix = \"x\"\n[tenants.x]\n";
        let error = read_text(text, &[])
            .expect_err("must be refused")
            .to_string();
        assert!(error.contains("tenants a and x"), "{error}");
        for (text, expected) in [
            (
                "[tenants.a]\nschemas = \"x\"\n",
                "tenants.a.schemas is unknown",
            ),
            ("[tenants.\"a b\"]\n", "a tenant's id"),
            (
                "[tenants.a]\nkey_prefix = \"{x}\"\n",
                "tenants.a.key_prefix",
            ),
        ] {
            let error = read_text(text, &[]).expect_err(text).to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_console_for_others_needs_a_token() {
        let open = [("TIDEGATE__CONSOLE__LISTEN", "0.0.0.0:9000")];
        let error = read_text("", &open)
            .expect_err("must be refused")
            .to_string();
        assert!(error.contains("console.token"), "{error}");
        let guarded = [open[0], ("TIDEGATE__CONSOLE__TOKEN", "0123456789abcdef")];
        let config = read_text("", &guarded).expect("valid");
        let shown = config.shown();
        let token = shown.iter().find(|one| one.name == "console.token");
        assert_eq!(token.expect("shown").value, "***");
    }
}
