//! Policies of tables: the sections `[drain.tables.NAME]`, whose names are the user's tables.
//!
//! What can be checked without the database is checked here, as it is read; the rest is held
//! against the database's tables by [`check`], before anything is drained.

use serde_json::Value;
use tidegate_drain::policy::{OnConflict, OnMissing, TablePolicy};
use tidegate_drain::{Error as SinkError, Sink};

use crate::given::{Origin, Written};
use crate::slot::{self, Refusal};
use crate::{Error, Settings, Shown};

/// How the keys begin.
const PREFIX: &str = "drain.tables.";
/// The settings of a table.
const SETTINGS: &str = "on_conflict, on_missing_update, on_missing_delete, version";
/// What a conflict may become.
const CONFLICTS: [(&str, OnConflict); 3] = [
    ("dead_letter", OnConflict::DeadLetter),
    ("skip", OnConflict::Skip),
    ("update", OnConflict::Update),
];
/// What a missing row may become.
const MISSES: [(&str, OnMissing); 2] = [
    ("dead_letter", OnMissing::DeadLetter),
    ("skip", OnMissing::Skip),
];

/// The table and the setting that a key names; none where it is another key. A table's name may
/// have dots, a setting's has none.
pub(crate) fn split(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(PREFIX)?.rsplit_once('.')
}

/// Puts a value into its place.
///
/// # Errors
/// What is allowed.
pub(crate) fn set(
    settings: &mut Settings,
    (table, setting): (&str, &str),
    written: &Written,
    origin: &Origin,
) -> Result<(), Refusal> {
    let text = match written {
        Written::Text(text) | Written::Variable(text) => Some(text.as_str()),
        _ => None,
    };
    let refused = |allowed: String| Refusal {
        shown: slot::show_written(written, false),
        allowed,
    };
    let policy = settings.drain.policies.0.entry(table.to_owned());
    let policy = policy.or_default();
    match setting {
        "on_conflict" => policy.on_conflict = choose(&CONFLICTS, text).map_err(refused)?,
        "on_missing_update" => policy.on_missing_update = choose(&MISSES, text).map_err(refused)?,
        "on_missing_delete" => policy.on_missing_delete = choose(&MISSES, text).map_err(refused)?,
        "version" => {
            let column = text.filter(|text| !text.is_empty());
            let column = column.ok_or_else(|| refused("use a column's name in quotes".to_owned()));
            policy.version = Some(column?.to_owned());
        }
        _ => {
            return Err(refused(format!(
                "it is unknown; the settings of a table are {SETTINGS}"
            )));
        }
    }
    let key = format!("{PREFIX}{table}.{setting}");
    settings.policy_origins.insert(key, origin.clone());
    Ok(())
}

fn choose<T: Copy>(choices: &[(&str, T)], text: Option<&str>) -> Result<T, String> {
    let found = choices.iter().find(|(name, _)| Some(*name) == text);
    let names: Vec<String> = choices
        .iter()
        .map(|(name, _)| format!("{name:?}"))
        .collect();
    found
        .map(|(_, choice)| *choice)
        .ok_or_else(|| format!("use {}", names.join(" or ")))
}

/// The settings that are written, in order.
pub(crate) fn shown(settings: &Settings) -> impl Iterator<Item = Shown> {
    settings.policy_origins.iter().filter_map(|(name, origin)| {
        let (table, setting) = split(name)?;
        let policy = settings.drain.policies.0.get(table)?;
        Some(Shown {
            name: name.clone(),
            value: value(policy, setting),
            origin: origin.clone(),
        })
    })
}

fn value(policy: &TablePolicy, setting: &str) -> Value {
    let name_of = |choice| {
        let found = MISSES.iter().find(|(_, other)| *other == choice);
        found.map(|(name, _)| *name)
    };
    match setting {
        "on_conflict" => {
            let found = CONFLICTS.iter().find(|(_, it)| *it == policy.on_conflict);
            found.map(|(name, _)| *name).into()
        }
        "on_missing_update" => name_of(policy.on_missing_update).into(),
        "on_missing_delete" => name_of(policy.on_missing_delete).into(),
        _ => policy.version.as_deref().into(),
    }
}

/// Holds the policies against the database's tables. A database that is away is not asked: the
/// worker waits for it.
///
/// # Errors
/// Every policy that the tables don't bear out, with its key, value and file.
pub async fn check(settings: &Settings, sink: &dyn Sink) -> Result<(), Error> {
    if settings.drain.policies.is_empty() {
        return Ok(());
    }
    let catalog = match sink.catalog().await {
        Ok(catalog) => catalog,
        Err(SinkError::SinkUnavailable(_)) => return Ok(()),
        Err(error) => return Err(Error::NoCatalog(error)),
    };
    let faults = settings.drain.policies.faults(&catalog);
    let told = faults.iter().map(|fault| {
        let of_table = format!("{PREFIX}{}.", fault.table);
        let key = match fault.setting {
            Some(setting) => format!("{of_table}{setting}"),
            None => format!("{PREFIX}{}", fault.table),
        };
        let mut origins = settings.policy_origins.iter();
        let origin = origins
            .find(|(name, _)| {
                **name == key || fault.setting.is_none() && name.starts_with(&of_table)
            })
            .map_or(Origin::Default, |(_, origin)| origin.clone());
        let value = match fault.setting {
            Some(_) => format!(" = {:?}", fault.value),
            None => String::new(),
        };
        format!("{key}{value} ({origin}): {}", fault.reason)
    });
    let told: Vec<String> = told.collect();
    if told.is_empty() {
        return Ok(());
    }
    Err(Error::Invalid(told))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::hyperswitch::Taken;

    fn read(text: &str) -> Result<Config, Error> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("t.toml");
        std::fs::write(&file, text).expect("written");
        Config::read(Some(&file), Taken::default(), std::iter::empty())
    }

    #[test]
    fn each_table_has_its_policy() {
        let config = read(
            "[drain]\nbatch_max = 7\n[drain.tables.refund]\nversion = \"seen\"\n\
             [drain.tables.\"pay.refund\"]\non_conflict = \"skip\"\non_missing_delete = \"dead_letter\"\n",
        );
        let settings = config.expect("valid").settings;
        assert_eq!(settings.drain.batch_max, 7);
        let policies = &settings.drain.policies.0;
        assert_eq!(policies["refund"].version.as_deref(), Some("seen"));
        assert_eq!(policies["pay.refund"].on_conflict, OnConflict::Skip);
        assert_eq!(
            policies["pay.refund"].on_missing_delete,
            OnMissing::DeadLetter
        );
        assert_eq!(shown(&settings).count(), 3);
    }

    #[test]
    fn a_wrong_policy_names_key_value_and_file() {
        let error = read("[drain.tables.refund]\non_conflict = \"ignore\"\nmerge = 1\n");
        let error = error.expect_err("must be refused").to_string();
        assert_eq!(error.lines().count(), 2, "{error}");
        let expected = [
            "drain.tables.refund.on_conflict = \"ignore\" (",
            "t.toml): use \"dead_letter\"",
        ];
        assert!(expected.iter().all(|part| error.contains(part)), "{error}");
        assert!(error.contains("drain.tables.refund.merge = 1"), "{error}");
    }

    #[tokio::test]
    async fn a_policy_of_no_table_is_refused_before_anything_is_drained() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("t.sqlite");
        let sink = tidegate_drain::SqliteSink::open(&path)
            .await
            .expect("a sink");
        let config = read("[drain.tables.refund]\nversion = \"seen\"\n").expect("valid");
        let error = check(&config.settings, &sink)
            .await
            .expect_err("must be refused");
        let error = error.to_string();
        assert!(
            error.contains("drain.tables.refund (") && error.contains("t.toml"),
            "{error}"
        );
    }
}
