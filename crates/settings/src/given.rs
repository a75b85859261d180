//! What somebody has written, and where: values from the file and from the environment, before
//! anything is known about them.

use std::ffi::OsString;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use config::{File, FileFormat, Source, Value, ValueKind};

use super::Error;

/// The file that is read when none is named.
pub(crate) const FILE_DEFAULT: &str = "tidegate.toml";
/// How an environment variable begins that overrides a setting.
const ENV_PREFIX: &str = "TIDEGATE__";
/// Stands between the section and the key in the name of a variable.
const ENV_SEPARATOR: &str = "__";

/// Where a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody has set it.
    Default,
    /// This file.
    File(PathBuf),
    /// This environment variable.
    Env(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(file) => file.display().fmt(f),
            Self::Env(variable) => f.write_str(variable),
        }
    }
}

/// A value as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// A text of the file.
    Text(String),
    /// A whole number of the file.
    Number(i64),
    /// A list of texts of the file.
    List(Vec<String>),
    /// A switch of the file.
    Switch(bool),
    /// A variable's text, which may stand for a number as well.
    Variable(String),
    /// Something that no setting takes; shown as it is.
    Other(String),
}

/// A setting that somebody has given.
#[derive(Debug)]
pub(crate) struct Given {
    /// The key's name with its section: `drain.batch_max`.
    pub(crate) name: String,
    /// The value.
    pub(crate) value: Written,
    /// Where it stands.
    pub(crate) origin: Origin,
}

/// Reads the named file, or the default one where it exists.
///
/// # Errors
/// [`Error::Unreadable`] and [`Error::NotToml`].
pub(crate) fn from_file(file: Option<&Path>) -> Result<Vec<Given>, Error> {
    let path = file.unwrap_or(Path::new(FILE_DEFAULT));
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound && file.is_none() => {
            return Ok(Vec::new());
        }
        Err(source) => {
            return Err(Error::Unreadable {
                file: path.display().to_string(),
                source,
            });
        }
    };
    let table = File::from_str(&text, FileFormat::Toml)
        .collect()
        .map_err(|error| Error::NotToml {
            file: path.display().to_string(),
            reason: without_source_line(&error),
        })?;
    let origin = Origin::File(path.to_owned());
    let mut given = Vec::new();
    for (section, value) in table {
        flatten(section, value, &origin, &mut given);
    }
    // The parser's table has no order; mistakes are told in a stable one.
    given.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(given)
}

/// Names each value by its path. Within a section also an empty table counts: a tenant may have
/// nothing of its own.
fn flatten(name: String, value: Value, origin: &Origin, given: &mut Vec<Given>) {
    match value.kind {
        ValueKind::Table(keys) if !keys.is_empty() => {
            for (key, value) in keys {
                flatten(format!("{name}.{key}"), value, origin, given);
            }
        }
        ValueKind::Table(_) if !name.contains('.') => {}
        _ => given.push(Given {
            name,
            value: value.into(),
            origin: origin.clone(),
        }),
    }
}

/// Takes the variables that are meant for us; adds to `mistakes` what can't be read.
pub(crate) fn from_env(
    variables: impl Iterator<Item = (OsString, OsString)>,
    mistakes: &mut Vec<String>,
) -> Vec<Given> {
    let mut given = Vec::new();
    for (variable, value) in variables {
        let Ok(variable) = variable.into_string() else {
            continue;
        };
        let Some(key) = variable.strip_prefix(ENV_PREFIX) else {
            continue;
        };
        let name = key.to_ascii_lowercase().replace(ENV_SEPARATOR, ".");
        match value.into_string() {
            Ok(value) => given.push(Given {
                name,
                value: Written::Variable(value),
                origin: Origin::Env(variable),
            }),
            Err(_) => mistakes.push(format!("{name} ({variable}): the value is not UTF-8")),
        }
    }
    given.sort_by(|a, b| a.name.cmp(&b.name));
    given
}

/// A parser's message shows the line it stumbles over, and that line may hold a password. The
/// first line says where, the last one says what.
fn without_source_line(error: &config::ConfigError) -> String {
    let text = match error {
        config::ConfigError::FileParse { cause, .. } => cause.to_string(),
        other => other.to_string(),
    };
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let (first, last) = (lines.next().unwrap_or_default(), lines.next_back());
    match last {
        Some(last) => format!("{first}: {last}"),
        None => first.to_owned(),
    }
}

impl From<Value> for Written {
    fn from(value: Value) -> Self {
        match value.kind {
            ValueKind::String(text) => Self::Text(text),
            ValueKind::I64(number) => Self::Number(number),
            ValueKind::Table(_) => Self::Other("{…}".to_owned()),
            ValueKind::Boolean(switch) => Self::Switch(switch),
            ValueKind::Array(values) => {
                let texts = values.into_iter().map(|value| match value.kind {
                    ValueKind::String(text) => Some(text),
                    _ => None,
                });
                match texts.collect() {
                    Some(texts) => Self::List(texts),
                    None => Self::Other("[…]".to_owned()),
                }
            }
            other => Self::Other(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_file_is_explained_without_its_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("t.toml");
        std::fs::write(&file, "[store]\nurl = \"redis://:hunter2@host\n").expect("written");
        let error = from_file(Some(&file))
            .expect_err("must be refused")
            .to_string();
        assert!(
            error.contains("line 2") && error.contains("t.toml"),
            "{error}"
        );
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_missing_file_is_an_error_only_when_it_was_named() {
        let error = from_file(Some(Path::new("/nowhere/t.toml"))).expect_err("must be refused");
        assert!(error.to_string().contains("/nowhere/t.toml"), "{error}");
    }
}
