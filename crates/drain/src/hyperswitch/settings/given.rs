//! What a file and an environment give, before anything is known about it.

use std::collections::{BTreeMap, BTreeSet};

use super::ENV_PREFIX;

/// The settings by their dotted names, and what was wrong with those that were taken.
pub(super) struct Given {
    values: BTreeMap<String, Value>,
    taken: BTreeMap<String, Value>,
    mistakes: Vec<String>,
}

#[derive(Clone)]
struct Value {
    value: toml::Value,
    /// The file, or the variable.
    source: String,
    /// A variable's text may stand for a number or a switch as well.
    is_variable: bool,
}

impl Given {
    pub(super) fn read(
        file: &str,
        text: &str,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Vec<String>> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            // The parser would show the line, and a password may stand in it.
            let line = error.span().map_or(1, |span| {
                text.get(..span.start)
                    .unwrap_or_default()
                    .matches('\n')
                    .count()
                    + 1
            });
            vec![format!(
                "{file} is not TOML: line {line}: {}",
                error.message()
            )]
        })?;
        let mut values = BTreeMap::new();
        flatten(file, "", table, &mut values);
        let mut variables: Vec<_> = variables.into_iter().collect();
        variables.sort();
        for (variable, value) in variables {
            let Some(name) = variable.strip_prefix(ENV_PREFIX) else {
                continue;
            };
            let name = name.to_ascii_lowercase().replace("__", ".");
            let value = Value {
                value: toml::Value::String(value),
                source: variable,
                is_variable: true,
            };
            values.insert(name, value);
        }
        Ok(Self {
            values,
            taken: BTreeMap::new(),
            mistakes: Vec::new(),
        })
    }

    pub(super) fn is_given(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    pub(super) fn text(&mut self, key: &str, default: &str) -> String {
        match self.take(key) {
            None => default.to_owned(),
            Some(Value {
                value: toml::Value::String(text),
                ..
            }) => text,
            Some(_) => {
                self.mistake(key, "use a text in quotes");
                default.to_owned()
            }
        }
    }

    pub(super) fn number(&mut self, key: &str, default: u64, min: u64, max: u64) -> u64 {
        let number = match self.take(key) {
            None => return default,
            Some(Value {
                value, is_variable, ..
            }) => match value {
                toml::Value::Integer(number) => u64::try_from(number).ok(),
                toml::Value::String(text) if is_variable => text.trim().parse().ok(),
                _ => None,
            },
        };
        match number.filter(|number| (min..=max).contains(number)) {
            Some(number) => number,
            None => {
                self.mistake(key, &format!("use {min} to {max}"));
                default
            }
        }
    }

    pub(super) fn flag(&mut self, key: &str, default: bool) -> bool {
        let flag = match self.take(key) {
            None => return default,
            Some(Value {
                value, is_variable, ..
            }) => match value {
                toml::Value::Boolean(flag) => Some(flag),
                toml::Value::String(text) if is_variable => text.trim().parse().ok(),
                _ => None,
            },
        };
        flag.unwrap_or_else(|| {
            self.mistake(key, "use true or false");
            default
        })
    }

    /// A list of texts; in a variable they stand with commas between them.
    pub(super) fn list(&mut self, key: &str) -> Vec<String> {
        let texts = match self.take(key) {
            None => return Vec::new(),
            Some(Value {
                value, is_variable, ..
            }) => match value {
                toml::Value::Array(values) => values
                    .into_iter()
                    .map(|value| value.as_str().map(str::to_owned))
                    .collect(),
                toml::Value::String(text) if is_variable => {
                    let texts = text
                        .split(',')
                        .map(str::trim)
                        .filter(|text| !text.is_empty());
                    Some(texts.map(str::to_owned).collect())
                }
                _ => None,
            },
        };
        texts.unwrap_or_else(|| {
            self.mistake(key, "use a list of texts");
            Vec::new()
        })
    }

    /// The names that stand directly under a section.
    pub(super) fn names_under(&self, section: &str) -> BTreeSet<String> {
        let names = self.values.keys().filter_map(|key| {
            let rest = key.strip_prefix(section)?.strip_prefix('.')?;
            rest.split_once('.').map(|(name, _)| name.to_owned())
        });
        names.collect()
    }

    /// Takes all of a section away. Answers whether there was anything.
    pub(super) fn drop_section(&mut self, section: &str) -> bool {
        let before = self.values.len();
        self.values.retain(|key, _| {
            let rest = key.strip_prefix(section);
            !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        });
        self.values.len() < before
    }

    /// What nobody has asked for.
    pub(super) fn rest(&self) -> Vec<String> {
        self.values.keys().cloned().collect()
    }

    pub(super) fn mistake(&mut self, key: &str, allowed: &str) {
        let mistake = match self.taken.get(key) {
            // A password must not be shown, whatever is wrong with it.
            Some(value) if key.ends_with("password") => {
                format!("{key} = *** ({}): {allowed}", value.source)
            }
            Some(value) => format!(
                "{key} = {} ({}): {allowed}",
                shown(&value.value),
                value.source
            ),
            None => format!("{key} is missing: {allowed}"),
        };
        self.mistakes.push(mistake);
    }

    pub(super) fn mistakes(&self) -> &[String] {
        &self.mistakes
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        let value = self.values.remove(key)?;
        self.taken.insert(key.to_owned(), value.clone());
        Some(value)
    }
}

fn shown(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => format!("{text:?}"),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        toml::Value::Boolean(flag) => flag.to_string(),
        toml::Value::Datetime(moment) => moment.to_string(),
        toml::Value::Array(_) => "[…]".to_owned(),
        toml::Value::Table(_) => "{…}".to_owned(),
    }
}

fn flatten(file: &str, path: &str, table: toml::Table, values: &mut BTreeMap<String, Value>) {
    for (name, value) in table {
        let path = if path.is_empty() {
            name
        } else {
            format!("{path}.{name}")
        };
        match value {
            toml::Value::Table(inner) => flatten(file, &path, inner, values),
            value => {
                let value = Value {
                    value,
                    source: file.to_owned(),
                    is_variable: false,
                };
                values.insert(path, value);
            }
        }
    }
}
