//! Tenants: whose settings a command works with.

use miette::{Report, miette};

use crate::config::Settings;

/// The settings with one tenant alone where it is named, and as they are otherwise.
///
/// # Errors
/// A tenant that is not configured.
pub(crate) fn some(settings: &Settings, tenant: Option<&str>) -> miette::Result<Settings> {
    let mut settings = settings.clone();
    if let Some(id) = tenant {
        check(&settings, id)?;
        settings.tenants.retain(|other, _| other == id);
    }
    Ok(settings)
}

/// The settings of the one tenant that a command is for.
///
/// # Errors
/// A tenant that is not configured, and none where there are some.
pub(crate) fn one(settings: &Settings, tenant: Option<&str>) -> miette::Result<Settings> {
    let Some(id) = tenant else {
        if settings.tenants.is_empty() {
            return Ok(settings.clone());
        }
        return Err(miette!(
            help = known(settings),
            "this command is for one tenant: name it with --tenant"
        ));
    };
    check(settings, id)?;
    let mut tenants = settings.tenants().map_err(crate::failure::store)?;
    tenants
        .remove(id)
        .ok_or_else(|| miette!("there is no tenant {id:?}"))
}

/// Each tenant with its settings; where there is none, everything belongs to nobody in particular.
///
/// # Errors
/// A key prefix that makes no stream's name.
pub(crate) fn each(settings: &Settings) -> miette::Result<Vec<(Option<String>, Settings)>> {
    settings.each().map_err(crate::failure::store)
}

/// Says of which tenant a failure speaks.
pub(crate) fn naming(tenant: Option<&str>, report: Report) -> Report {
    let Some(id) = tenant else { return report };
    let text = format!("tenant {id}: {report}");
    match report.help() {
        Some(help) => miette!(help = help.to_string(), "{text}"),
        None => miette!("{text}"),
    }
}

fn check(settings: &Settings, id: &str) -> miette::Result<()> {
    if settings.tenants.contains_key(id) {
        return Ok(());
    }
    Err(miette!(help = known(settings), "there is no tenant {id:?}"))
}

fn known(settings: &Settings) -> String {
    if settings.tenants.is_empty() {
        return "the configuration has no tenants; a section [tenants.<id>] makes one".to_owned();
    }
    let ids: Vec<&str> = settings.tenants.keys().map(String::as_str).collect();
    format!("the tenants are {}", ids.join(", "))
}
