//! `tidegate config`: is the configuration right, and what is in force?

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::keys::KEYS;
use super::{Config, Origin};
use crate::args::ConfigCommand;
use crate::table::{Column, Table};
use crate::{connect, failure, output, progress};

/// Runs a command on a configuration that was read without a mistake.
///
/// # Errors
/// A server that can't be reached, where it was asked for.
pub(crate) async fn run(command: &ConfigCommand, config: Config) -> miette::Result<ExitCode> {
    match command {
        ConfigCommand::Check { connect, json } => check(&config, *connect, *json).await?,
        ConfigCommand::Show { json } => show(config, *json)?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn check(config: &Config, connect: bool, json: bool) -> miette::Result<()> {
    let mut reached = Vec::new();
    if connect {
        let ends = connect::open(&config.settings).await?;
        ends.store.ping().await.map_err(failure::store)?;
        let catalog = ends.sink.catalog().await.map_err(failure::drain)?;
        super::tables::check(&config.settings, &*ends.sink).await?;
        if catalog.tables().next().is_none() {
            let sink = ends.sink.describe();
            progress::warn(&format!(
                "{sink} has no tables to write to; is sink.url right?"
            ));
        }
        reached = vec!["store", "sink"];
    }
    if json {
        return output::print_json(&json!({ "valid": true, "reached": reached }));
    }
    let reached = if connect {
        "; the store and the sink answer"
    } else {
        ""
    };
    output::print_line(&format!("The configuration is valid{reached}."))
}

fn show(mut config: Config, json: bool) -> miette::Result<()> {
    let mut table = Table::new([
        Column::Text("setting"),
        Column::Text("value"),
        Column::Text("from"),
    ]);
    let mut object = Map::new();
    for key in KEYS {
        let value = (key.slot)(&mut config.settings).show();
        let origin = config.origin(key.name);
        let text = match &value {
            Value::Null => "-".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        table.row([key.name.to_owned(), text, origin.to_string()]);
        let kind = match origin {
            Origin::Default => "default",
            Origin::File(_) => "file",
            Origin::Env(_) => "env",
        };
        let source = (*origin != Origin::Default).then(|| origin.to_string());
        object.insert(
            key.name.to_owned(),
            json!({ "value": value, "origin": kind, "source": source }),
        );
    }
    for (key, value, origin) in super::tables::shown(&config.settings) {
        let text = value.as_str().unwrap_or("-").to_owned();
        table.row([key.clone(), text, origin.clone()]);
        object.insert(
            key,
            json!({ "value": value, "origin": "file", "source": origin }),
        );
    }
    if json {
        output::print_json(&object)
    } else {
        output::print(&table.render())
    }
}
