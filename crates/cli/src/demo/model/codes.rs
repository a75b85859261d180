//! The reasons that the dead letters must carry.
//!
//! These are the documented names of the codes, spelled out once more: a code that changes its
//! name breaks its users.

use crate::demo::scenario::Spoil;

/// The code of the dead letter that a spoiled operation becomes.
pub(super) fn code_of(spoil: Spoil) -> &'static str {
    match spoil {
        Spoil::CutOff => "invalid_json",
        Spoil::NotUtf8 => "invalid_utf8",
        Spoil::UnknownOperation => "unknown_operation",
        Spoil::UnknownTable => "unknown_table",
        Spoil::UnknownColumn => "unknown_column",
        Spoil::WrongType => "wrong_type",
        Spoil::MissingKey => "invalid_key",
        Spoil::NullInNotNull => "not_null",
        Spoil::NoSuchRow | Spoil::HalfTransaction => "no_such_row",
    }
}
