//! `tidegate config`: is the configuration right, and what is in force?

use std::path::Path;
use std::process::ExitCode;

use miette::miette;
use serde_json::{Map, Value, json};
use tidegate_drain::Sink;
use tidegate_settings::tables;

pub(crate) use tidegate_settings::{Config, Origin, Settings};

use crate::args::ConfigCommand;
use crate::table::{Column, Table};
use crate::{connect, failure, output, progress, tenant};

/// Reads the configuration of this process.
///
/// # Errors
/// Every mistake in it, at once.
pub(crate) fn load(file: Option<&Path>, hyperswitch: Option<&Path>) -> miette::Result<Config> {
    let config = match hyperswitch {
        Some(place) => Config::load_over_hyperswitch(file, place),
        None => Config::load(file),
    };
    config.map_err(explained)
}

/// Holds the policies of tables against the tables there are.
///
/// # Errors
/// Every policy that the tables don't bear out, at once.
pub(crate) async fn check_policies(settings: &Settings, sink: &dyn Sink) -> miette::Result<()> {
    let checked = tables::check(settings, sink).await;
    checked.map_err(explained)
}

fn explained(error: tidegate_settings::Error) -> miette::Report {
    miette!(help = error.help(), "{error}")
}

/// Runs a command on a configuration that was read without a mistake.
///
/// # Errors
/// A server that can't be reached, where it was asked for.
pub(crate) async fn run(command: &ConfigCommand, config: Config) -> miette::Result<ExitCode> {
    match command {
        ConfigCommand::Check { connect, json } => check(&config, *connect, *json).await?,
        ConfigCommand::Show { json } => show(&config, *json)?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn check(config: &Config, connect: bool, json: bool) -> miette::Result<()> {
    warn_of_what_is_not_built(&config.settings);
    let mut reached = Vec::new();
    if connect {
        for (tenant, settings) in tenant::each(&config.settings)? {
            reach(tenant.as_deref(), &settings).await?;
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

async fn reach(tenant: Option<&str>, settings: &Settings) -> miette::Result<()> {
    let of = |error| tenant::naming(tenant, error);
    let ends = connect::open(settings).await.map_err(of)?;
    let pinged = ends.store.ping().await.map_err(failure::store);
    pinged.map_err(of)?;
    check_policies(settings, &*ends.sink).await.map_err(of)?;
    let catalog = ends.sink.catalog().await.map_err(failure::drain);
    if catalog.map_err(of)?.tables().next().is_none() {
        let sink = ends.sink.describe();
        progress::warn(&format!(
            "{sink} has no tables to write to; is sink.url right?"
        ));
    }
    Ok(())
}

/// Says of a setting that nothing in this program heeds.
pub(crate) fn warn_of_what_is_not_built(settings: &Settings) {
    if settings.traces.otlp_url.is_some() && !cfg!(feature = "otlp") {
        progress::warn(
            "traces.otlp_url is set, and this program was built without otlp: it sends no spans; \
             build it with --features otlp",
        );
    }
}

fn show(config: &Config, json: bool) -> miette::Result<()> {
    let mut table = Table::new([
        Column::Text("setting"),
        Column::Text("value"),
        Column::Text("from"),
    ]);
    let mut object = Map::new();
    for one in config.shown() {
        let (value, origin) = (one.value, one.origin);
        let text = match &value {
            Value::Null => "-".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        table.row([one.name.clone(), text, origin.to_string()]);
        let kind = match origin {
            Origin::Default => "default",
            Origin::File(_) => "file",
            Origin::Env(_) => "env",
        };
        let source = (origin != Origin::Default).then(|| origin.to_string());
        let shown = json!({ "value": value, "origin": kind, "source": source });
        object.insert(one.name, shown);
    }
    if json {
        output::print_json(&object)
    } else {
        output::print(&table.render())
    }
}
