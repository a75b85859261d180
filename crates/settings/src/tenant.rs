//! Tenants: what each of them has of its own, over what is the same for everybody.
//!
//! A tenant's streams are told from another's by the prefix of their keys, its rows by the schema
//! or the database. Two tenants on one stream would take each other's entries, so that is refused
//! here, before anything is opened.

use secrecy::{ExposeSecret, SecretString};
use tidegate_store::StreamName;

use crate::Settings;

/// The most tenants of a process: each has connections of its own, and labels among the metrics.
pub const TENANTS_MAX: usize = 100;
/// The most bytes of a tenant's id.
const ID_BYTES_MAX: usize = 64;

/// What a tenant has of its own. What is absent is as for everybody.
#[derive(Clone, Debug, Default)]
pub struct TenantSettings {
    /// What stands before its keys in the store; by default its id, and nothing where it is empty.
    pub key_prefix: Option<String>,
    /// Where its tables are. It may hold a password.
    pub sink_url: Option<SecretString>,
    /// The schema of its tables.
    pub schema: Option<String>,
    /// The most connections to its database.
    pub connections: Option<usize>,
}

impl TenantSettings {
    /// All settings of the tenant.
    pub(crate) fn over(&self, id: &str, common: &Settings) -> tidegate_store::Result<Settings> {
        let mut settings = common.clone();
        settings.tenants.clear();
        let prefix = self.key_prefix.as_deref().unwrap_or(id);
        settings.drain.stream = common.drain.stream.with_key_prefix(prefix)?;
        if let Some(url) = &self.sink_url {
            settings.sink_url = url.clone();
        }
        if let Some(schema) = &self.schema {
            settings.postgres.schema = Some(schema.clone());
        }
        if let Some(connections) = self.connections {
            settings.postgres.connections_max = connections;
        }
        Ok(settings)
    }
}

/// Checks the id of a tenant: it is a label, a part of a name, and a part of a variable's name.
pub(crate) fn check_id(id: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if id.is_empty() || id.len() > ID_BYTES_MAX || !id.chars().all(allowed) {
        return Err(format!(
            "{id:?} can't be a tenant's id: use 1 to {ID_BYTES_MAX} letters, digits, '_' or '-'"
        ));
    }
    Ok(())
}

/// Tenants that would take each other's entries.
pub(crate) fn contradictions(settings: &Settings) -> Vec<String> {
    let tenants = match settings.tenants() {
        Ok(tenants) => tenants,
        Err(error) => return vec![error.to_string()],
    };
    let mut found = Vec::new();
    let mut seen: Vec<(&str, &StreamName, &str)> = Vec::new();
    for (id, tenant) in &tenants {
        let (stream, url) = (&tenant.drain.stream, tenant.store_url.expose_secret());
        let twin = seen
            .iter()
            .find(|other| (other.1, other.2) == (stream, url));
        if let Some((other, ..)) = twin {
            found.push(format!(
                "tenants {other} and {id} have one stream, {stream}; give one of them another \
                 key_prefix"
            ));
        }
        seen.push((id, stream, url));
    }
    found
}
