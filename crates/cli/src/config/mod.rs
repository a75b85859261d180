//! The configuration: from a file and the environment to checked settings.
//!
//! ```text
//! tidegate.toml ──┐
//! TIDEGATE__… ────┴─► given ─► keys ─► slots ─► Config: settings, and the origin of each
//! ```
//!
//! In the order of the flow:
//!
//! * [`given`] reads what somebody has written, and where, [`hyperswitch`] what stands in the
//!   settings of Hyperswitch's drainer,
//! * [`keys`] lists every setting there is,
//! * [`slot`] checks a value and puts it into its place,
//! * [`settings`] is what the rest of the program works with,
//! * [`address`] reads and redacts URLs, which are secrets,
//! * [`command`] is `tidegate config`.
//!
//! A mistake is never skipped: an unknown key and a value out of its bounds are errors that name
//! the key, the value, the source and what is allowed. All of them are told at once.

pub(crate) mod address;
pub(crate) mod command;
mod given;
mod hyperswitch;
mod keys;
mod settings;
mod slot;

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;

use miette::Diagnostic;

pub(crate) use given::Origin;
pub(crate) use settings::Settings;

use given::Given;
use keys::KEYS;

/// The settings, and where each of them comes from.
#[derive(Debug)]
pub(crate) struct Config {
    /// The settings.
    pub(crate) settings: Settings,
    /// Where those come from that are not defaults, by the key's name.
    origins: HashMap<&'static str, Origin>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub(crate) enum Error {
    /// The file can't be read.
    #[error("the configuration file {file} can't be read: {source}")]
    #[diagnostic(help("name another one with --config, or correct its permissions"))]
    Unreadable {
        /// The file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("the configuration file {file} is not TOML: {reason}")]
    #[diagnostic(help("tidegate.example.toml shows every setting"))]
    NotToml {
        /// The file.
        file: String,
        /// Why, without the line itself: it may hold a password.
        reason: String,
    },
    /// Settings are wrong.
    #[error("{}", .0.join("\n"))]
    #[diagnostic(help("`tidegate config show` lists every setting with its value"))]
    Invalid(Vec<String>),
}

impl Config {
    /// Reads the configuration of this process.
    ///
    /// # Errors
    /// Every mistake in it, at once.
    pub(crate) fn load(file: Option<&Path>, ancestors: Option<&Path>) -> Result<Self, Error> {
        let taken = match ancestors {
            Some(place) => hyperswitch::read(place, std::env::vars_os())?,
            None => hyperswitch::Taken::default(),
        };
        Self::read(file, taken, std::env::vars_os())
    }

    fn read(
        file: Option<&Path>,
        ancestors: hyperswitch::Taken,
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
            Ok(config)
        } else {
            Err(Error::Invalid(mistakes))
        }
    }

    fn take(&mut self, given: Given, mistakes: &mut Vec<String>) {
        let Some(key) = KEYS.iter().find(|key| key.name == given.name) else {
            mistakes.push(format!("{}: {}", given.origin, keys::unknown(&given.name)));
            return;
        };
        match (key.slot)(&mut self.settings).set(&given.value) {
            Ok(()) => {
                self.origins.insert(key.name, given.origin);
            }
            Err(refusal) => mistakes.push(format!(
                "{} = {} ({}): {}",
                key.name, refusal.shown, given.origin, refusal.allowed
            )),
        }
    }

    /// Where a setting comes from.
    fn origin(&self, name: &str) -> &Origin {
        self.origins.get(name).unwrap_or(&Origin::Default)
    }
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

    fn shown(config: &mut Config) -> Vec<(String, String)> {
        let show = |key: &keys::Key| {
            (
                key.name.to_owned(),
                (key.slot)(&mut config.settings).show().to_string(),
            )
        };
        KEYS.iter().map(show).collect()
    }

    fn example() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tidegate.example.toml")
    }

    #[test]
    fn the_example_file_holds_the_defaults() {
        let mut example = Config::read(
            Some(&example()),
            hyperswitch::Taken::default(),
            std::iter::empty(),
        )
        .expect("valid");
        let mut default = Config {
            settings: Settings::default(),
            origins: HashMap::new(),
        };
        assert_eq!(shown(&mut example), shown(&mut default));
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
        let config = Config::read(Some(&file), hyperswitch::Taken::default(), env.into_iter())
            .expect("valid");
        assert_eq!(config.settings.drain.batch_max, 30);
        assert_eq!(config.settings.drain.held_max, 20);
        assert_eq!(
            config.origin("drain.batch_max").to_string(),
            "TIDEGATE__DRAIN__BATCH_MAX"
        );
        assert_eq!(config.origin("drain.held_max"), &Origin::File(file));
        assert_eq!(config.origin("drain.stream"), &Origin::Default);
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
        let error = Config::read(
            Some(&missing),
            hyperswitch::Taken::default(),
            env.into_iter(),
        )
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
}
