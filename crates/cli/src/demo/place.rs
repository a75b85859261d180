//! The place: the directory with everything that the demo writes.
//!
//! One SQLite file holds the stream and the tables, and a `tidegate.toml` beside it says so to the
//! worker, and later to the person who looks around. A directory of our own is removed at the end,
//! also after a failure; only when the demo itself is killed it stays where the system keeps its
//! temporary files.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use miette::{IntoDiagnostic, WrapErr, miette};
use tempfile::TempDir;

use super::schema;
use crate::config::Settings;

/// More shards than one worker needs, so that payments and customers seldom meet in one.
const PARTITIONS: u32 = 8;
/// Short, so that a worker that was killed keeps its shards for a moment only.
const LEASE_TTL: Duration = Duration::from_millis(500);
/// Far longer than the demo lasts: a parent row that is late is never given up.
const PARENT_WAIT: Duration = Duration::from_secs(600);

/// The name that the configuration has by default.
const FILE: &str = "tidegate.sqlite";
/// The configuration's name; it is also found by whoever works in the directory.
pub(super) const CONFIG: &str = "tidegate.toml";

/// A directory of the demo.
#[derive(Debug)]
pub(super) struct Place {
    dir: PathBuf,
    /// Removes the directory when it goes.
    temporary: Option<TempDir>,
}

impl Place {
    /// Takes the named directory, which must be new or empty, or a fresh temporary one.
    ///
    /// # Errors
    /// A directory that holds something, or can't be made.
    pub(super) fn take(named: Option<&Path>) -> miette::Result<Self> {
        let Some(named) = named else {
            let temporary = tempfile::Builder::new().prefix("tidegate-demo-").tempdir();
            let temporary = temporary
                .into_diagnostic()
                .wrap_err("no temporary directory can be made; name one with --dir")?;
            return Ok(Self {
                dir: temporary.path().to_owned(),
                temporary: Some(temporary),
            });
        };
        let failed = || format!("--dir {} can't be used", named.display());
        fs::create_dir_all(named)
            .into_diagnostic()
            .wrap_err_with(failed)?;
        let mut entries = fs::read_dir(named)
            .into_diagnostic()
            .wrap_err_with(failed)?;
        if entries.next().is_some() {
            return Err(miette!(
                help = "name a new or an empty directory: the demo writes over nothing",
                "--dir {} is not empty",
                named.display()
            ));
        }
        // The worker runs in the directory, so a relative name would mean something else there.
        let dir = named
            .canonicalize()
            .into_diagnostic()
            .wrap_err_with(failed)?;
        Ok(Self {
            dir,
            temporary: None,
        })
    }

    /// The directory.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The file with the stream and the tables.
    pub(super) fn file(&self) -> PathBuf {
        self.dir.join(FILE)
    }

    /// Whether the directory stays when the demo has ended.
    pub(super) fn is_kept(&self) -> bool {
        self.temporary.is_none()
    }

    /// The settings of the demo; nothing that is configured elsewhere counts.
    ///
    /// # Errors
    /// A path that can't be written in a URL.
    pub(super) fn settings(&self) -> miette::Result<Settings> {
        let file = self.file();
        let file = file.to_str().ok_or_else(|| {
            miette!(
                "{} is not UTF-8; name another directory with --dir",
                file.display()
            )
        })?;
        let url = format!("sqlite://{file}");
        let (store_url, sink_url) = (url.clone().into(), url.into());
        let mut settings = Settings {
            store_url,
            sink_url,
            ..Settings::default()
        };
        settings.drain.partitions = PARTITIONS;
        settings.drain.lease_ttl = LEASE_TTL;
        settings.drain.parent_wait = PARENT_WAIT;
        Ok(settings)
    }

    /// Creates the tables, and writes the configuration for the worker.
    ///
    /// # Errors
    /// A directory that can't be written.
    pub(super) fn furnish(&self) -> miette::Result<()> {
        let failed = || format!("{} can't be written", self.dir.display());
        let toml = format!(
            "# Written by `tidegate demo`. Work in this directory to look around:\n\
             #   tidegate drain status\n\
             #   tidegate drain dead list\n\n\
             [store]\nurl = \"sqlite://{FILE}\"\n\n\
             [sink]\nurl = \"sqlite://{FILE}\"\n\n\
             [drain]\npartitions = {PARTITIONS}\nlease_ttl = \"{}ms\"\nparent_wait = \"{}s\"\n",
            LEASE_TTL.as_millis(),
            PARENT_WAIT.as_secs()
        );
        fs::write(self.dir.join(CONFIG), toml)
            .into_diagnostic()
            .wrap_err_with(failed)?;
        let database = rusqlite::Connection::open(self.file());
        database
            .and_then(|database| database.execute_batch(schema::STATEMENTS))
            .into_diagnostic()
            .wrap_err_with(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn a_directory_with_something_in_it_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("thesis.txt"), "years of work").expect("a file");
        let refused = Place::take(Some(dir.path())).expect_err("must be refused");
        assert!(refused.to_string().contains("is not empty"), "{refused}");
        assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 1);
    }

    #[test]
    fn a_temporary_directory_goes_with_the_demo() {
        let place = Place::take(None).expect("a place");
        let dir = place.dir().to_owned();
        place.furnish().expect("furnished");
        drop(place);
        assert!(!dir.exists());
    }

    #[test]
    fn the_configuration_says_what_the_demo_does() {
        let dir = tempfile::tempdir().expect("a directory");
        let place = Place::take(Some(&dir.path().join("new"))).expect("a place");
        place.furnish().expect("furnished");
        let config = config::load(Some(&place.dir().join(CONFIG)), None).expect("valid");
        assert_eq!(
            config.settings.drain,
            place.settings().expect("settings").drain
        );
    }
}
