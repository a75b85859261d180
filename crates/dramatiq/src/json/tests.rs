use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn compact(text: &str) -> Result<String, NotJson> {
    Json::parse(text.as_bytes()).map(|it| it.as_str().to_owned())
}

#[test]
fn what_python_writes_stays_as_it_is() {
    for text in [
        r#"{"a":[NaN,Infinity,-Infinity,1e+16,-0.5,0],"b":{"":null}}"#,
        r#""\ud800\u00e9\"\\\/\b\f\n\r\t""#,
        "123456789012345678901234567890",
        "[]",
        "{}",
        "[[],{},[{}]]",
        "true",
    ] {
        assert_eq!(compact(text).as_deref(), Ok(text));
    }
}

#[test]
fn space_goes_and_other_characters_become_ascii() {
    let text = " { \"é\" : [ 1 ,\t\"😀\u{7f}\" ]\r\n} ";
    assert_eq!(
        compact(text).as_deref(),
        Ok(r#"{"\u00e9":[1,"\ud83d\ude00\u007f"]}"#)
    );
}

#[test]
fn what_python_does_not_read_is_refused() {
    for text in [
        "",
        " ",
        "[",
        "]",
        "[1,]",
        "{1:2}",
        "{\"a\"}",
        "{\"a\":}",
        "01",
        "-",
        "1.",
        ".5",
        "+1",
        "nan",
        "NULL",
        "\"a",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\n\"",
        "[1 2]",
        "1 2",
        "{\"a\":1,}",
        "[1}",
        "'a'",
        "1e",
        "--1",
        "\u{feff}1",
    ] {
        assert!(compact(text).is_err(), "{text:?}");
    }
    assert!(Json::parse(b"\"\xff\"").is_err());
}

#[test]
fn nesting_has_a_bound() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(compact(&nested(NESTING_MAX)).is_ok());
    assert!(compact(&nested(NESTING_MAX + 1)).is_err());
    assert!(compact(&"[".repeat(1 << 20)).is_err());
}

#[test]
fn values_are_read_as_python_reads_them() {
    let parse = |text: &str| Json::parse(text.as_bytes()).unwrap();
    assert_eq!(parse("12").as_integer(), Some(12));
    assert_eq!(parse("1.0").as_integer(), None);
    assert_eq!(parse("Infinity").as_number(), Some(f64::INFINITY));
    assert_eq!(parse("1e400").as_number(), Some(f64::INFINITY));
    assert_eq!(parse("\"1\"").as_number(), None);
    assert_eq!(parse(r#""\ud800""#).as_text(), None);
    assert_eq!(parse(r#""\u00e9""#).as_text().as_deref(), Some("é"));
    for (text, is_truthy) in [
        ("0", false),
        ("0.0", false),
        ("null", false),
        ("\"\"", false),
        ("[]", false),
        ("1", true),
        ("NaN", true),
        ("[0]", true),
        ("true", true),
    ] {
        assert_eq!(parse(text).is_truthy(), is_truthy, "{text}");
    }
}

#[test]
fn of_a_name_that_comes_twice_the_last_value_counts() {
    let object = Json::parse(br#"{"a":1,"b":2,"\u0061":3}"#).unwrap();
    let members = object.members().unwrap();
    assert_eq!(
        members,
        [
            ("a".to_owned(), Json::integer(3)),
            ("b".to_owned(), Json::integer(2))
        ]
    );
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::hash_map(any::<String>(), inner, 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_value_is_read_and_means_the_same(value in any_value(), pretty in any::<bool>()) {
        let text = if pretty {
            serde_json::to_string_pretty(&value).unwrap()
        } else {
            serde_json::to_string(&value).unwrap()
        };
        let json = Json::parse(text.as_bytes()).unwrap();
        prop_assert!(json.as_str().is_ascii());
        prop_assert_eq!(serde_json::from_str::<Value>(json.as_str()).unwrap(), value);
        let again = Json::parse(json.as_str().as_bytes()).unwrap();
        prop_assert_eq!(again, json);
    }

    #[test]
    fn parts_put_together_are_the_whole(value in any_value()) {
        let json = Json::of(&value).unwrap();
        if let Some(elements) = json.elements() {
            prop_assert_eq!(Json::list(&elements), json);
        } else if let Some(members) = json.members() {
            let members = members.iter().map(|(name, value)| (name.as_str(), value));
            prop_assert_eq!(Json::object(members), json);
        }
    }

    #[test]
    fn any_bytes_are_a_value_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = Json::parse(&bytes);
    }

    #[test]
    fn a_text_is_written_so_that_it_is_read_again(text in any::<String>()) {
        let read = Json::text(&text).as_text();
        prop_assert_eq!(read, Some(text));
    }
}
