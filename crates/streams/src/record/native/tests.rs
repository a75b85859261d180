//! What native fields look like, what is read from them, and what is refused.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::*;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    order_id: u64,
    amount: i128,
    rate: f64,
    paid: bool,
    currency: Currency,
    note: Option<String>,
    account: Account,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Account(String);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Currency {
    #[serde(rename = "eur")]
    Eur,
}

fn order() -> Order {
    Order {
        order_id: 7,
        amount: -12,
        rate: 1e16,
        paid: true,
        currency: Currency::Eur,
        note: None,
        account: Account("a é".into()),
    }
}

fn fields(pairs: &[(&'static str, &'static str)]) -> Vec<Field> {
    let field = |(name, value): &(&'static str, &'static str)| ((*name).into(), (*value).into());
    pairs.iter().map(field).collect()
}

fn refusal<T: DeserializeOwned + std::fmt::Debug>(fields: &[Field]) -> String {
    decode_native::<T>(fields).unwrap_err().to_string()
}

const ORDER: [(&str, &str); 6] = [
    ("order_id", "7"),
    ("amount", "-12"),
    ("rate", "1e+16"),
    ("paid", "True"),
    ("currency", "eur"),
    ("account", "a é"),
];

#[test]
fn a_record_is_its_fields_as_python_writes_them_and_comes_back() {
    assert_eq!(encode_native(&order()).unwrap(), fields(&ORDER));
    assert_eq!(decode_native::<Order>(&fields(&ORDER)).unwrap(), order());
}

#[test]
fn a_present_option_is_its_value_and_unknown_fields_are_passed_over() {
    let mut with_more = fields(&ORDER);
    with_more.extend(fields(&[("traceparent", "00"), ("note", "hi")]));
    let read: Order = decode_native(&with_more).unwrap();
    assert_eq!(read.note.as_deref(), Some("hi"));
    let mut written = encode_native(&read).unwrap();
    written.retain(|(name, _)| name == "note");
    assert_eq!(written, fields(&[("note", "hi")]));
}

#[test]
fn booleans_are_read_as_python_and_others_write_them() {
    #[derive(Debug, Deserialize)]
    struct Paid {
        paid: bool,
    }
    for (text, value) in [
        ("True", true),
        ("true", true),
        ("1", true),
        ("False", false),
        ("false", false),
        ("0", false),
    ] {
        let paid: Paid = decode_native(&fields(&[("paid", text)])).unwrap();
        assert_eq!(paid.paid, value, "{text}");
    }
    assert!(refusal::<Paid>(&fields(&[("paid", "maybe")])).contains("no boolean"));
}

#[test]
fn bytes_are_written_as_they_are() {
    struct Blob;
    impl Serialize for Blob {
        fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            to.serialize_bytes(b"\xff\0")
        }
    }
    let written = encode_native(&BTreeMap::from([("blob", Blob)])).unwrap();
    assert_eq!(written, [("blob".into(), (&b"\xff\0"[..]).into())]);
}

#[test]
fn floats_come_back_exactly() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Rate {
        rate: f64,
        small: f32,
    }
    for rate in [0.1, -0.0, 5e-324, f64::MAX, f64::INFINITY, 123_456.789] {
        let record = Rate { rate, small: 0.1 };
        let read: Rate = decode_native(&encode_native(&record).unwrap()).unwrap();
        assert_eq!(read, record);
    }
}

#[test]
fn a_flattened_struct_has_its_fields_among_the_others() {
    #[derive(Serialize)]
    struct Outer {
        id: u8,
        #[serde(flatten)]
        inner: Inner,
    }
    #[derive(Serialize)]
    struct Inner {
        name: &'static str,
    }
    let record = Outer {
        id: 1,
        inner: Inner { name: "x" },
    };
    let written = encode_native(&record).unwrap();
    assert_eq!(written, fields(&[("id", "1"), ("name", "x")]));
}

#[test]
fn what_is_nested_or_no_struct_is_refused_and_the_field_is_named() {
    #[derive(Serialize)]
    struct Nested {
        lines: Vec<u8>,
    }
    let nested = encode_native(&Nested { lines: vec![1] }).unwrap_err();
    assert!(
        nested.to_string().starts_with("field `lines`: "),
        "{nested}"
    );
    let number = encode_native(&7).unwrap_err().to_string();
    assert!(number.contains("struct"), "{number}");
    let empty = encode_native(&BTreeMap::<String, u8>::new()).unwrap_err();
    assert!(empty.to_string().contains("no field"), "{empty}");
}

#[test]
fn a_refusal_names_the_field_and_never_the_value() {
    let with = |name: &str, value: &'static str| {
        let mut changed = fields(&ORDER);
        for (field, text) in &mut changed {
            if field == name {
                *text = value.into();
            }
        }
        refusal::<Order>(&changed)
    };
    assert!(with("order_id", "secret").starts_with("field `order_id`: is no u64"));
    assert!(with("currency", "secret").starts_with("field `currency`: expected one of"));
    for name in ["order_id", "amount", "rate", "paid", "currency"] {
        assert!(!with(name, "secret").contains("secret"), "{name}");
    }
    assert_eq!(
        refusal::<Order>(&fields(&ORDER[1..])),
        "missing field `order_id`"
    );
}
