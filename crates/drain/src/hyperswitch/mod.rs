//! What Hyperswitch's drainer reads: the two forms of its entries, and its settings.
//!
//! ```text
//! typed_sql {"db_op": …} ─► typed_sql, with the mapping ─┐
//! query {"sql": …}       ─► query, where it is allowed ──┴─► draft ─► Operation ─► changes
//! ```
//!
//! In the order of the flow:
//!
//! * `typed_sql` reads the older form, `mapping` knows what is not in it,
//! * `query` reads the newer one,
//! * `draft` lends what they found as an [`Operation`](crate::Operation),
//! * [`settings`] reads the drainer's configuration.
//!
//! Whatever the form, what comes out is what comes out of Tidegate's own: changes of rows that are
//! held against the catalog. So order, plans, dead letters and retries are the same for all. All of it is
//! pure; a process that dies here has done nothing yet.

mod draft;
mod mapping;
pub(crate) mod query;
pub mod settings;
mod typed_sql;

use std::collections::BTreeSet;

use tidegate_store::EntryId;

use self::draft::Refused;
pub use self::mapping::Mapping;
pub use self::query::format::{Format, Takes};
pub(crate) use self::typed_sql::is_db_operation;
use crate::catalog::Catalog;
use crate::change::{Change, Unresolved, resolve};
use crate::envelope::Payload;
use crate::rejection::{Code, Rejection};

/// How the ancestor's forms are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forms {
    /// What is known of the ancestor's types.
    pub mapping: Mapping,
    /// The tables that the form `query` may write, as `name` or `schema.name`; none where the form
    /// is off.
    pub query_tables: Option<BTreeSet<String>>,
}

/// From an ancestor's payload to changes.
///
/// # Errors
/// The first rejection, with the rows that the payload means as far as they are known.
pub(crate) fn changes(
    payload: &Payload<'_>,
    id: EntryId,
    catalog: &Catalog,
    forms: &Forms,
) -> Result<Vec<Change>, Unresolved> {
    let draft = match payload {
        Payload::TypedSql(bytes) => typed_sql::read(bytes, id, catalog, &forms.mapping),
        Payload::Query(bytes) => match &forms.query_tables {
            Some(allowed) => query::read(bytes, catalog, allowed),
            None => Err(Refused::from(Rejection::new(
                Code::NotAllowed,
                "the entry has its operation as SQL in the field query, and that form is off; set \
                 hyperswitch.query = true and list the tables in hyperswitch.query_tables, then \
                 retry",
            ))),
        },
    };
    let draft = draft.map_err(|refused| refused.into_unresolved(catalog))?;
    resolve(catalog, &draft.operation())
}
