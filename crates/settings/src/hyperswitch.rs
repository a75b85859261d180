//! The settings of Hyperswitch's drainer, taken over as settings of Tidegate.
//!
//! ```text
//! drainer.toml + DRAINER__… ─► drain::hyperswitch::settings ─► given, as if written in tidegate.toml
//! ```

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use tidegate_drain::hyperswitch::settings::{self, KeyValue};

use crate::Error;
use crate::given::{Given, Origin, Written};

/// Names the file in a folder, as the ancestor has it.
const RUN_ENV: &str = "RUN_ENV";
/// What it is where nobody says so.
const RUN_ENV_DEFAULT: &str = "development";

/// What the ancestor's settings give.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Settings of Tidegate.
    pub(super) given: Vec<Given>,
    /// What has no effect, to be told once.
    pub(super) ignored: Vec<String>,
}

/// Reads a file, or in a folder the one that `RUN_ENV` names, and the variables `DRAINER__…`.
///
/// # Errors
/// [`Error::Unreadable`], and [`Error::Invalid`] with every mistake.
pub(super) fn read(
    place: &Path,
    env: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Taken, Error> {
    let variables: Vec<(String, String)> = env
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let file = file_of(place, &variables);
    let shown = file.display().to_string();
    let text = std::fs::read_to_string(&file).map_err(|source| Error::Unreadable {
        file: shown.clone(),
        source,
    })?;
    let settings = settings::Settings::read(&shown, &text, variables).map_err(Error::Invalid)?;
    let origin = Origin::File(file);
    let given = settings.as_keys().into_iter().map(|(name, value)| Given {
        name,
        value: match value {
            KeyValue::Text(text) => Written::Text(text),
            KeyValue::Number(number) => Written::Number(i64::try_from(number).unwrap_or(i64::MAX)),
        },
        origin: origin.clone(),
    });
    Ok(Taken {
        given: given.collect(),
        ignored: settings.ignored,
    })
}

fn file_of(place: &Path, variables: &[(String, String)]) -> PathBuf {
    if !place.is_dir() {
        return place.to_owned();
    }
    let run_env = variables.iter().find(|(name, _)| name == RUN_ENV);
    let run_env = run_env.map_or(RUN_ENV_DEFAULT, |(_, value)| value);
    place.join(format!("{}.toml", run_env.to_ascii_lowercase()))
}
