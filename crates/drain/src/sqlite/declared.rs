//! What a column's declared type means: which values it takes, and in which form they are stored.
//!
//! SQLite itself only derives an *affinity* from the words of the type, and converts what fits it
//! without a word: in a column declared `STRING` (no word that it knows, so numeric) the text
//! `007` becomes the number 7. Here the usual names of SQL get their usual meaning, the rest is
//! read as SQLite reads it, and where an affinity would change a value the codec refuses it.
//!
//! Source: SQLite documentation, "Datatypes In SQLite", section 3.1.

/// Which values a column takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// 64-bit integers.
    Integer,
    /// 64-bit floats.
    Real,
    /// True and false, stored as 1 and 0.
    Boolean,
    /// Text of at most so many characters.
    Text { characters_max: Option<u32> },
    /// A UUID as lower-case text.
    Uuid,
    /// A date as ISO 8601 text.
    Date,
    /// A time of day as ISO 8601 text.
    Time,
    /// Date and time without a zone as ISO 8601 text.
    Timestamp,
    /// A moment as ISO 8601 text in UTC.
    TimestampTz,
    /// JSON as text.
    Json,
    /// Bytes.
    Blob,
    /// Whole numbers only, because SQLite would make a float of any other; at most so many digits
    /// in front of the point.
    Decimal { digits_max: Option<u32> },
    /// Strings, numbers and booleans as they are; with `is_numeric`, text that looks like a number
    /// would become one.
    Any { is_numeric: bool },
}

/// Reads a declared type. In a `STRICT` table `ANY` converts nothing.
pub(super) fn kind_of(declared: &str, is_strict: bool) -> Kind {
    let (name, modifiers) = split(declared);
    let name = name.as_str();
    match name {
        "" => return Kind::Any { is_numeric: false },
        "ANY" if is_strict => return Kind::Any { is_numeric: false },
        "UUID" => return Kind::Uuid,
        "DATE" => return Kind::Date,
        "TIME" | "TIME WITHOUT TIME ZONE" => return Kind::Time,
        "TIMESTAMP" | "DATETIME" | "TIMESTAMP WITHOUT TIME ZONE" => return Kind::Timestamp,
        "TIMESTAMPTZ" | "TIMESTAMP WITH TIME ZONE" => return Kind::TimestampTz,
        "JSON" | "JSONB" => return Kind::Json,
        "BYTEA" => return Kind::Blob,
        "BOOL" | "BOOLEAN" => return Kind::Boolean,
        "NUMERIC" | "DECIMAL" | "DEC" | "NUMBER" | "MONEY" => {
            let [digits, scale] = modifiers;
            let digits_max = digits.map(|digits| digits.saturating_sub(scale.unwrap_or(0)));
            return Kind::Decimal { digits_max };
        }
        _ => {}
    }
    // From here on the words and their order are SQLite's own.
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    if has(&["INT"]) {
        Kind::Integer
    } else if has(&["CHAR", "CLOB", "TEXT"]) {
        let [characters_max, _] = modifiers;
        Kind::Text { characters_max }
    } else if has(&["BLOB"]) {
        Kind::Blob
    } else if has(&["REAL", "FLOA", "DOUB"]) {
        Kind::Real
    } else {
        Kind::Any { is_numeric: true }
    }
}

/// The upper-case name with single blanks and without its parentheses, and up to two numbers out
/// of them.
fn split(declared: &str) -> (String, [Option<u32>; 2]) {
    let upper = declared.to_ascii_uppercase();
    let (front, inner, back) = match upper.split_once('(') {
        Some((front, rest)) => match rest.split_once(')') {
            Some((inner, back)) => (front, inner, back),
            None => (front, rest, ""),
        },
        None => (upper.as_str(), "", ""),
    };
    let words: Vec<_> = front
        .split_whitespace()
        .chain(back.split_whitespace())
        .collect();
    let mut numbers = inner.split(',').map(|number| number.trim().parse().ok());
    let modifiers = [numbers.next().flatten(), numbers.next().flatten()];
    (words.join(" "), modifiers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_names_mean_the_usual() {
        let text = |characters_max| Kind::Text { characters_max };
        let cases = [
            ("integer", Kind::Integer),
            ("BIGINT", Kind::Integer),
            ("int8", Kind::Integer),
            ("varchar(64)", text(Some(64))),
            ("Character Varying ( 3 )", text(Some(3))),
            ("TEXT", text(None)),
            ("uuid", Kind::Uuid),
            ("timestamp", Kind::Timestamp),
            ("timestamp(3) with time zone", Kind::TimestampTz),
            ("timestamp  without time zone", Kind::Timestamp),
            ("DATETIME", Kind::Timestamp),
            ("jsonb", Kind::Json),
            (
                "numeric(12, 2)",
                Kind::Decimal {
                    digits_max: Some(10),
                },
            ),
            ("DECIMAL", Kind::Decimal { digits_max: None }),
            ("double precision", Kind::Real),
            ("bytea", Kind::Blob),
            ("BLOB", Kind::Blob),
            ("boolean", Kind::Boolean),
            ("", Kind::Any { is_numeric: false }),
            ("STRING", Kind::Any { is_numeric: true }),
        ];
        for (declared, kind) in cases {
            assert_eq!(kind_of(declared, false), kind, "{declared}");
        }
    }

    #[test]
    fn any_converts_nothing_in_a_strict_table_only() {
        assert_eq!(kind_of("ANY", true), Kind::Any { is_numeric: false });
        assert_eq!(kind_of("ANY", false), Kind::Any { is_numeric: true });
    }
}
