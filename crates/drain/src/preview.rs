//! A look ahead: what an entry would be, decided without the target database's word.
//!
//! It answers what the catalog alone can answer. The database may still refuse the row for a
//! cause that only it can see: a conflict, a missing parent, a check.

use crate::catalog::Catalog;
use crate::envelope::Envelope;
use crate::options::Options;
use crate::rejection::Rejection;
use crate::settle::decode;
use crate::sink::Unit;

/// The unit that an entry becomes, to be shown with [`Sink::explain`](crate::Sink::explain).
///
/// # Errors
/// The reason for which the entry would become a dead letter.
pub fn unit(catalog: &Catalog, options: &Options, envelope: Envelope) -> Result<Unit, Rejection> {
    match decode(&envelope, catalog, &options.rules()) {
        Ok((changes, rows)) => Ok(Unit {
            envelope,
            changes,
            rows,
        }),
        Err(unresolved) => Err(unresolved.rejection),
    }
}
