//! Types as the catalog has them: what a codec is chosen by.

use std::collections::HashMap;

/// A type as `pg_type` has it.
#[derive(Clone, Debug)]
pub(in crate::postgres) struct TypeRow {
    /// The schema it lies in.
    pub(in crate::postgres) schema: String,
    /// Its name there.
    pub(in crate::postgres) name: String,
    /// What it is made of.
    pub(in crate::postgres) kind: Kind,
}

/// What a type is made of.
#[derive(Clone, Debug)]
pub(in crate::postgres) enum Kind {
    /// A base type, a range, a composite type: what stands for itself.
    Plain,
    /// An enum.
    Enum(Vec<String>),
    /// An array.
    Array {
        /// The elements' type.
        element: u32,
        /// What stands between elements in a literal.
        delimiter: char,
    },
    /// A domain.
    Domain {
        /// The type beneath.
        base: u32,
        /// The type modifier for it.
        typmod: i32,
        /// Whether NULL is refused.
        is_not_null: bool,
        /// Whether it has a default of its own.
        has_default: bool,
    },
}

/// The types of a database by their OID.
pub(in crate::postgres) type Types = HashMap<u32, TypeRow>;
