//! Formats: which binary form of PostgreSQL's a bind has.
//!
//! A bind says its type by an OID. Those of the built-in types are the same in every database and
//! decide by themselves; any other was the sender's database's own, so the column that the bind is
//! for decides. Pure.

use std::sync::Arc;

/// A binary form that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// `bool`.
    Boolean,
    /// `int2`, `int4` or `int8`: so many bytes.
    Integer(usize),
    /// `float4`.
    Single,
    /// `float8`.
    Double,
    /// `numeric`.
    Numeric,
    /// Texts of all kinds, and the label of an enum.
    Text,
    /// `bytea`.
    Bytes,
    /// `uuid`.
    Uuid,
    /// `date`.
    Date,
    /// `time`.
    Time,
    /// `timestamp`.
    Timestamp,
    /// `timestamptz`.
    TimestampTz,
    /// `interval`.
    Interval,
    /// `json`.
    Json,
    /// `jsonb`.
    Jsonb,
    /// An array of such elements.
    Array(Arc<Format>),
}

/// What a column says about the binds that are for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Whatever can be read; its codec judges the value, and the bind must say its type itself.
    Any,
    /// This format, and what PostgreSQL would turn into it without loss.
    Only(Format),
    /// None: the type's binary form is not known here.
    Nothing,
}

/// The built-in types, and the arrays of them, by their OIDs.
///
/// Source: PostgreSQL's `pg_type.dat`.
const BUILT_IN: &[(u32, u32, Format)] = &[
    (16, 1000, Format::Boolean),
    (17, 1001, Format::Bytes),
    (19, 1003, Format::Text),
    (20, 1016, Format::Integer(8)),
    (21, 1005, Format::Integer(2)),
    (23, 1007, Format::Integer(4)),
    (25, 1009, Format::Text),
    (114, 199, Format::Json),
    (700, 1021, Format::Single),
    (701, 1022, Format::Double),
    (1042, 1014, Format::Text),
    (1043, 1015, Format::Text),
    (1082, 1182, Format::Date),
    (1083, 1183, Format::Time),
    (1114, 1115, Format::Timestamp),
    (1184, 1185, Format::TimestampTz),
    (1186, 1187, Format::Interval),
    (1700, 1231, Format::Numeric),
    (2950, 2951, Format::Uuid),
    (3802, 3807, Format::Jsonb),
];

/// Every OID below this one is a built-in type's; a database gives its own types larger ones.
const OWN_OID_MIN: u32 = 16_384;

impl Format {
    /// The format of a built-in type; none for an OID that this table doesn't have.
    #[must_use]
    pub fn of_oid(oid: u32) -> Option<Self> {
        BUILT_IN
            .iter()
            .find_map(|(scalar, array, format)| match oid {
                _ if oid == *scalar => Some(format.clone()),
                _ if oid == *array => Some(Self::Array(Arc::new(format.clone()))),
                _ => None,
            })
    }

    /// Whether an OID names a built-in type.
    pub(crate) fn is_built_in(oid: u32) -> bool {
        (1..OWN_OID_MIN).contains(&oid)
    }

    /// Whether PostgreSQL would store a value of this format in a column of the other one by
    /// itself. What doesn't fit is refused by the column's codec; nothing is rounded.
    #[must_use]
    pub fn fits(&self, column: &Self) -> bool {
        use Format::{Array, Double, Integer, Json, Jsonb, Numeric, Single};
        match (self, column) {
            (Integer(_), Integer(_) | Numeric) | (Single, Double) => true,
            (Json | Jsonb, Json | Jsonb) => true,
            (Array(own), Array(theirs)) => own.fits(theirs),
            (own, theirs) => own == theirs,
        }
    }

    /// What the format is called in a reason.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Boolean => "bool".to_owned(),
            Self::Integer(bytes) => format!("int{bytes}"),
            Self::Single => "float4".to_owned(),
            Self::Double => "float8".to_owned(),
            Self::Numeric => "numeric".to_owned(),
            Self::Text => "text".to_owned(),
            Self::Bytes => "bytea".to_owned(),
            Self::Uuid => "uuid".to_owned(),
            Self::Date => "date".to_owned(),
            Self::Time => "time".to_owned(),
            Self::Timestamp => "timestamp".to_owned(),
            Self::TimestampTz => "timestamptz".to_owned(),
            Self::Interval => "interval".to_owned(),
            Self::Json => "json".to_owned(),
            Self::Jsonb => "jsonb".to_owned(),
            Self::Array(element) => format!("{}[]", element.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_oid_says_a_type_or_an_array_of_it() {
        assert_eq!(Format::of_oid(25), Some(Format::Text));
        let texts = Format::Array(Arc::new(Format::Text));
        assert_eq!(Format::of_oid(1009), Some(texts));
        assert_eq!(Format::of_oid(16_500), None);
        assert!(!Format::is_built_in(0) && Format::is_built_in(869));
    }

    #[test]
    fn only_what_postgresql_would_assign_fits() {
        assert!(Format::Integer(4).fits(&Format::Integer(8)));
        assert!(Format::Integer(8).fits(&Format::Numeric));
        assert!(!Format::Text.fits(&Format::Jsonb));
        assert!(!Format::Timestamp.fits(&Format::TimestampTz));
        let of = |format| Format::Array(Arc::new(format));
        assert!(of(Format::Integer(4)).fits(&of(Format::Integer(8))));
        assert!(!Format::Text.fits(&of(Format::Text)));
    }
}
