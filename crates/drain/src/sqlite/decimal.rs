//! Numbers: from their decimal digits to what SQLite can hold of them.
//!
//! SQLite has 64-bit integers and 64-bit floats and nothing else. A NUMERIC column makes a float
//! of every fraction, so money in it would be rounded: only whole numbers are let through.

use super::codec::{out_of_range, wrong_type};
use crate::rejection::Rejection;

/// A 64-bit integer.
pub(super) fn integer(text: &str) -> Result<i64, Rejection> {
    if !is_integer(text) {
        return Err(wrong_type("an integer without fraction or exponent"));
    }
    text.parse()
        .map_err(|_too_large| out_of_range("the number is beyond the 64 bits of a SQLite integer"))
}

/// A 64-bit float: the nearest one to a decimal fraction, as the type means it. An integer that
/// the float can't hold is refused.
pub(super) fn real(text: &str) -> Result<f64, Rejection> {
    // Rust also reads "inf" and "nan", which no JSON number is.
    let is_number = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    let value: f64 = match text.parse() {
        Ok(value) if is_number => value,
        _ => return Err(wrong_type("a number")),
    };
    if value.is_infinite() {
        return Err(out_of_range(
            "the number is beyond what a 64-bit float holds",
        ));
    }
    // A zero has no sign in SQLite.
    let value = if value == 0.0 { 0.0 } else { value };
    // The float shows its exact digits, which are those that were sent or others.
    if is_integer(text) && format!("{value:.0}") != canonical(text) {
        return Err(out_of_range(
            "the integer has more digits than a 64-bit float holds",
        ));
    }
    Ok(value)
}

/// A decimal number without a fraction, with at most `digits_max` digits.
pub(super) fn whole_number(text: &str, digits_max: Option<u32>) -> Result<i64, Rejection> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_decimal = is_integer(whole)
        && !fraction.is_empty()
        && fraction.bytes().all(|byte| byte.is_ascii_digit());
    if !is_decimal {
        return Err(wrong_type("a decimal number without exponent"));
    }
    let digits = whole.trim_start_matches('-').trim_start_matches('0').len();
    let digits = u32::try_from(digits).unwrap_or(u32::MAX);
    if digits_max.is_some_and(|max| digits > max) {
        return Err(out_of_range(
            "the number has more digits than the type allows",
        ));
    }
    let has_fraction = fraction.bytes().any(|byte| byte != b'0');
    match whole.parse() {
        Ok(value) if !has_fraction => Ok(value),
        _ => Err(out_of_range(
            "SQLite would round this number, it has no exact decimals beyond 64-bit integers; \
             declare the column TEXT, or INTEGER and send minor units",
        )),
    }
}

/// Whether SQLite's numeric affinity would take the text for a number.
pub(super) fn looks_like_number(text: &str) -> bool {
    let trimmed =
        text.trim_matches(|c: char| matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c'));
    // Rust reads some more as numbers (inf, nan), and refusing them too would be wrong.
    trimmed.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'))
        && !trimmed
            .bytes()
            .any(|byte| byte.is_ascii_alphabetic() && !matches!(byte, b'e' | b'E'))
        && trimmed.parse::<f64>().is_ok()
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// An integer's digits without needless zeros and without the sign of a zero.
fn canonical(text: &str) -> String {
    let digits = text.trim_start_matches('-').trim_start_matches('0');
    match (digits.is_empty(), text.starts_with('-')) {
        (true, _) => "0".to_owned(),
        (false, true) => format!("-{digits}"),
        (false, false) => digits.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rejection::Code;
    use proptest::prelude::*;

    fn code<T>(found: Result<T, Rejection>) -> Option<Code> {
        found.err().map(|rejection| rejection.code)
    }

    #[test]
    fn integers_keep_to_64_bits() {
        assert_eq!(integer("-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(code(integer("9223372036854775808")), Some(Code::OutOfRange));
        for text in ["1.0", "1e3", "", "-", "+7", " 7", "٧"] {
            assert_eq!(code(integer(text)), Some(Code::WrongType), "{text:?}");
        }
    }

    #[test]
    fn floats_are_the_nearest_but_integers_exact() {
        assert_eq!(real("0.1"), Ok(0.1));
        assert_eq!(real("-1.5e3"), Ok(-1500.0));
        assert_eq!(real("-0"), Ok(0.0));
        assert_eq!(real("9007199254740992"), Ok(9_007_199_254_740_992.0));
        assert_eq!(code(real("9007199254740993")), Some(Code::OutOfRange));
        assert_eq!(code(real("1e400")), Some(Code::OutOfRange));
        for text in ["inf", "nan", "", "x", "1e", "--1"] {
            assert_eq!(code(real(text)), Some(Code::WrongType), "{text:?}");
        }
    }

    #[test]
    fn money_is_never_rounded() {
        assert_eq!(whole_number("100.00", Some(10)), Ok(100));
        assert_eq!(whole_number("-007", None), Ok(-7));
        assert_eq!(whole_number("0", Some(0)), Ok(0));
        assert_eq!(code(whole_number("10.50", None)), Some(Code::OutOfRange));
        assert_eq!(code(whole_number("1000", Some(3))), Some(Code::OutOfRange));
        assert_eq!(
            code(whole_number("9223372036854775808", None)),
            Some(Code::OutOfRange)
        );
        for text in ["1e3", "1.", ".5", "x", "1.0.0"] {
            assert_eq!(
                code(whole_number(text, None)),
                Some(Code::WrongType),
                "{text:?}"
            );
        }
    }

    proptest! {
        /// What we let through as text is text to SQLite too, in a column of numeric affinity.
        #[test]
        fn sqlite_agrees_on_what_looks_like_a_number(text in "[ \t0-9+.eExX_infa-]{0,8}") {
            let connection = rusqlite::Connection::open_in_memory().unwrap();
            connection.execute_batch("CREATE TABLE t (v STRING)").unwrap();
            connection.execute("INSERT INTO t VALUES (?1)", [&text]).unwrap();
            let stored: String =
                connection.query_row("SELECT typeof(v) FROM t", [], |row| row.get(0)).unwrap();
            prop_assert_eq!(stored != "text", looks_like_number(&text));
        }
    }
}
