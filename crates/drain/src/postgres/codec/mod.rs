//! Codecs: from the JSON text of a value to the binary cell of a PostgreSQL column.
//!
//! One file per family of types. Each codec is exact or it refuses; what has no codec of its own
//! travels as text and is read by the server. Pure: the types come from the
//! [`catalog`](super::catalog), the cells go into statements.

mod array;
mod binary;
mod boolean;
mod calendar;
mod decimal;
mod float;
mod integer;
mod iso;
mod json;
mod numeric;
mod pg_type;
mod scalar;
mod text;
mod verbatim;

use std::sync::Arc;

use self::array::Array;
use self::binary::{ByteString, UniqueId};
use self::boolean::Boolean;
use self::calendar::Calendar;
use self::float::Float;
use self::integer::Integer;
use self::json::Json;
use self::numeric::Numeric;
pub(super) use self::pg_type::{Kind, TypeRow, Types};
use self::text::{Label, Limit, Text};
use self::verbatim::{Drops, Verbatim};
use super::identifier::{qualified, type_name};
use crate::catalog::Codec;
use crate::hyperswitch::Format;

/// The type in which values travel that only the server can read.
pub(super) const TEXT_TYPE: &str = "text";
/// What a type modifier is where a type has none.
const NO_TYPMOD: i32 = -1;
/// The bytes that the type modifiers of texts count in.
const VARLENA_HEADER: i32 = 4;
/// The longest `name`, as PostgreSQL is built unless somebody changed it.
const NAME_BYTES_MAX: usize = 63;
/// Digits that `money` keeps after the point in most places; where it keeps fewer, it rounds.
const MONEY_DIGITS: usize = 2;

/// How the values of a column travel.
#[derive(Debug)]
pub(super) struct Travel {
    /// The base type, to be cast to. It has no modifier: a cast to `varchar(3)` would cut in
    /// silence, where the assignment to the column refuses.
    pub(super) sql_type: String,
    /// The type of the cells: the base type, or `text` where only the server reads it.
    pub(super) cell_type: String,
    /// From JSON to the cell.
    pub(super) codec: Arc<dyn Codec>,
    /// Whether a domain refuses NULL.
    pub(super) is_not_null: bool,
    /// Whether a domain has a default.
    pub(super) has_default: bool,
}

/// Chooses how values of a type travel.
pub(super) fn choose(types: &Types, oid: u32, typmod: i32, is_deterministic: bool) -> Travel {
    let Some(row) = types.get(&oid) else {
        return by_text(
            TEXT_TYPE.to_owned(),
            Verbatim {
                drops: Drops::Nothing,
                format: None,
            },
        );
    };
    match &row.kind {
        Kind::Domain {
            base,
            typmod: inner,
            is_not_null,
            has_default,
        } => {
            let typmod = if *inner == NO_TYPMOD { typmod } else { *inner };
            let mut travel = choose(types, *base, typmod, is_deterministic);
            travel.is_not_null |= is_not_null;
            travel.has_default |= has_default;
            travel
        }
        Kind::Enum(labels) => {
            let codec = Label {
                labels: labels.clone(),
            };
            by_cell(qualified(&row.schema, &row.name), Arc::new(codec))
        }
        Kind::Array { element, delimiter } => {
            let inner = choose(types, *element, typmod, is_deterministic);
            let is_of_json = matches!(inner.sql_type.as_str(), "json" | "jsonb");
            let codec = Array {
                element: inner.codec,
                delimiter: *delimiter,
                is_of_json,
            };
            by_text(qualified(&row.schema, &row.name), codec)
        }
        Kind::Plain => plain(row, typmod, is_deterministic),
    }
}

fn plain(row: &TypeRow, typmod: i32, is_deterministic: bool) -> Travel {
    let name = type_name(&row.schema, &row.name);
    let is_own = row.schema == "pg_catalog";
    let text = |limit, is_padded| Text {
        limit,
        is_exact: is_deterministic,
        is_padded,
    };
    let characters = || match usize::try_from(typmod - VARLENA_HEADER) {
        Ok(max) if typmod != NO_TYPMOD => Limit::Characters(max),
        _ => Limit::None,
    };
    let precision = Calendar::precision(typmod);
    let codec: Arc<dyn Codec> = match row.name.as_str() {
        "bool" if is_own => Arc::new(Boolean),
        "int2" if is_own => Arc::new(Integer::Two),
        "int4" if is_own => Arc::new(Integer::Four),
        "int8" if is_own => Arc::new(Integer::Eight),
        "float4" if is_own => Arc::new(Float::Single),
        "float8" if is_own => Arc::new(Float::Double),
        "numeric" if is_own => Arc::new(Numeric::new(typmod)),
        "text" if is_own => Arc::new(text(Limit::None, false)),
        "varchar" if is_own => Arc::new(text(characters(), false)),
        "bpchar" if is_own => Arc::new(text(characters(), true)),
        "name" if is_own => Arc::new(text(Limit::Bytes(NAME_BYTES_MAX), false)),
        "bytea" if is_own => Arc::new(ByteString),
        "uuid" if is_own => Arc::new(UniqueId),
        "date" if is_own => Arc::new(Calendar::Date),
        "time" if is_own => Arc::new(Calendar::Time { precision }),
        "timestamp" if is_own => Arc::new(Calendar::Timestamp { precision }),
        "timestamptz" if is_own => Arc::new(Calendar::TimestampTz { precision }),
        "json" if is_own => Arc::new(Json::Text),
        "jsonb" if is_own => Arc::new(Json::Binary),
        // An extension's type, in whatever schema it was installed; its cells are text's.
        "citext" => Arc::new(Text {
            limit: Limit::None,
            is_exact: false,
            is_padded: false,
        }),
        other => {
            return by_text(
                name,
                Verbatim {
                    drops: drops(other, is_own, precision, typmod),
                    format: (is_own && other == "interval").then_some(Format::Interval),
                },
            );
        }
    };
    by_cell(name, codec)
}

/// What the input function of a type drops in silence.
fn drops(name: &str, is_own: bool, precision: usize, typmod: i32) -> Drops {
    match name {
        // The modifier of an interval has the fields in its upper half.
        "interval" if is_own && typmod != NO_TYPMOD => {
            Drops::FractionBeyond(Calendar::precision(typmod & 0xffff))
        }
        "interval" | "timetz" if is_own => Drops::FractionBeyond(precision),
        "money" if is_own => Drops::FractionBeyond(MONEY_DIGITS),
        "char" if is_own => Drops::BytesBeyond(1),
        _ => Drops::Nothing,
    }
}

fn by_cell(sql_type: String, codec: Arc<dyn Codec>) -> Travel {
    let cell_type = sql_type.clone();
    Travel {
        sql_type,
        cell_type,
        codec,
        is_not_null: false,
        has_default: false,
    }
}

fn by_text(sql_type: String, codec: impl Codec + 'static) -> Travel {
    Travel {
        sql_type,
        cell_type: TEXT_TYPE.to_owned(),
        codec: Arc::new(codec),
        is_not_null: false,
        has_default: false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::postgres::codec::scalar::tests::{encode, refusal};
    use crate::rejection::Code;

    fn row(schema: &str, name: &str, kind: Kind) -> TypeRow {
        TypeRow {
            schema: schema.to_owned(),
            name: name.to_owned(),
            kind,
        }
    }

    fn types() -> Types {
        let domain = |base, typmod| Kind::Domain {
            base,
            typmod,
            is_not_null: true,
            has_default: false,
        };
        HashMap::from([
            (1, row("pg_catalog", "varchar", Kind::Plain)),
            (2, row("public", "short", domain(1, 3 + VARLENA_HEADER))),
            (3, row("public", "shorter", domain(2, NO_TYPMOD))),
            (4, row("pg_catalog", "bit", Kind::Plain)),
            (
                5,
                row(
                    "pg_catalog",
                    "_varchar",
                    Kind::Array {
                        element: 1,
                        delimiter: ',',
                    },
                ),
            ),
            (
                6,
                row("My \"Types\"", "mood", Kind::Enum(vec!["ok".to_owned()])),
            ),
        ])
    }

    #[test]
    fn a_domain_has_its_own_limit_and_travels_as_its_base() {
        let travel = choose(&types(), 3, NO_TYPMOD, true);
        assert_eq!(
            (travel.sql_type.as_str(), travel.cell_type.as_str()),
            ("varchar", "varchar")
        );
        assert!(travel.is_not_null && travel.codec.is_exact());
        assert_eq!(refusal(&*travel.codec, "\"four\""), Code::OutOfRange);
    }

    #[test]
    fn a_cast_never_has_a_modifier() {
        let travel = choose(&types(), 4, 3, true);
        // `bit` without quotes means `bit(1)`, and the cast would cut.
        assert_eq!(travel.sql_type, "\"pg_catalog\".\"bit\"");
        assert_eq!(travel.cell_type, TEXT_TYPE);
    }

    #[test]
    fn an_arrays_modifier_is_that_of_its_elements() {
        let travel = choose(&types(), 5, 2 + VARLENA_HEADER, true);
        assert_eq!(
            encode(&*travel.codec, "[\"ab\"]").expect("an array"),
            br#"{"ab"}"#
        );
        assert_eq!(refusal(&*travel.codec, "[\"abc\"]"), Code::OutOfRange);
    }

    #[test]
    fn names_of_types_are_quoted() {
        let travel = choose(&types(), 6, NO_TYPMOD, true);
        assert_eq!(travel.sql_type, "\"My \"\"Types\"\"\".\"mood\"");
    }
}
