//! Names as they stand in SQL text: the catalog's spelling, always quoted.
//!
//! Every name in a statement goes through here, so none of them can end a statement or mean
//! something else than the catalog's entry. A type of PostgreSQL's own whose plain name means just
//! that is left plain, for people who read the statements.

/// Types whose plain name, unquoted and without a modifier, is the type itself. `bit` and `char`
/// are none: without a length they mean a length of one.
const PLAIN_TYPES: [&str; 22] = [
    "bool",
    "bpchar",
    "bytea",
    "date",
    "float4",
    "float8",
    "inet",
    "int2",
    "int4",
    "int8",
    "interval",
    "json",
    "jsonb",
    "money",
    "name",
    "numeric",
    "text",
    "time",
    "timestamp",
    "timestamptz",
    "uuid",
    "varchar",
];

/// A name in quotes.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A name in its schema, both in quotes.
pub(super) fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", quoted(schema), quoted(name))
}

/// A type's name for a cast.
pub(super) fn type_name(schema: &str, name: &str) -> String {
    if schema == "pg_catalog" && PLAIN_TYPES.contains(&name) {
        return name.to_owned();
    }
    qualified(schema, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_its_quotes() {
        assert_eq!(
            quoted("a\"; drop table b; --"),
            "\"a\"\"; drop table b; --\""
        );
        assert_eq!(qualified("Größe", "select"), "\"Größe\".\"select\"");
    }

    #[test]
    fn only_plain_types_are_left_plain() {
        assert_eq!(type_name("pg_catalog", "int8"), "int8");
        assert_eq!(type_name("public", "int8"), "\"public\".\"int8\"");
        assert_eq!(type_name("pg_catalog", "char"), "\"pg_catalog\".\"char\"");
    }
}
