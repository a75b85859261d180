//! Marks: small durable facts about a group's part in a partition, such as a quarantine.

use crate::{Error, Result};

/// The most marks that a group may have on a partition.
pub const MARKS_MAX: usize = 1_024;
/// The most bytes that a mark's name and value may have together.
pub const MARK_BYTES_MAX: usize = 16 << 10;

/// Whether a mark may be written.
///
/// # Errors
/// [`Error::Invalid`] for one without a name, and for one that is too large.
pub(crate) fn check(name: &str, value: &[u8]) -> Result<()> {
    let bytes = name.len().saturating_add(value.len());
    if name.is_empty() {
        return Err(Error::Invalid("a mark needs a name".into()));
    }
    if bytes > MARK_BYTES_MAX {
        return Err(Error::Invalid(format!(
            "a mark of {bytes} bytes: at most {MARK_BYTES_MAX}, its name included"
        )));
    }
    Ok(())
}
