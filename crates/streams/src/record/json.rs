//! A record as JSON under one field, which is how runnel sends every record that is not primitive.
//!
//! Between the user's type and the field `data`. What is written is compact JSON in UTF-8, maybe
//! compressed; what is read may be compressed in any known way. A reason for a refusal names fields
//! and types and never repeats a value: it ends up in logs and dead letters.
//!
//! Pure: there is nothing here that a crash could interrupt.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tidegate_store::Field;

use super::compression::{Compression, compress, decompress};
use crate::BoxError;

/// The field that holds a record as JSON.
pub const DATA: &[u8] = b"data";

/// Writes a record as JSON under the field `data`. Part of what `#[derive(Record)]` writes.
///
/// # Errors
/// What serde refuses, such as a map whose keys are no strings.
pub fn encode_json<T: Serialize>(
    record: &T,
    compression: Compression,
) -> Result<Vec<Field>, BoxError> {
    let value = compress(serde_json::to_vec(record)?, compression)?;
    // Without spare room, which bytes that are shared would have to remember, in memory of their own.
    let value = Bytes::from(value.into_boxed_slice());
    Ok(vec![(Bytes::from_static(DATA), value)])
}

/// Reads a record from the JSON under the field `data`. Part of what `#[derive(Record)]` writes.
///
/// # Errors
/// No such field, a value that can't be decompressed, or JSON that is not this record.
pub fn decode_json<T: DeserializeOwned>(fields: &[Field]) -> Result<T, BoxError> {
    let data = fields.iter().find(|(name, _)| name == DATA);
    let Some((_, value)) = data else {
        return Err("the entry has no field `data`, which holds a record's JSON".into());
    };
    read_json(&decompress(value)?)
}

/// Reads JSON as it is. Part of what `#[derive(Record)]` writes.
///
/// # Errors
/// JSON that is not this record; the reason repeats none of it.
pub fn read_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, BoxError> {
    serde_json::from_slice(json).map_err(|source| without_values(&source.to_string()).into())
}

/// What serde says of a value that has the wrong type or is not among the allowed ones, without the
/// value: `invalid type: string "…", expected u64` becomes `invalid type: string, expected u64`.
fn without_values(message: &str) -> String {
    const ABOUT_VALUES: [&str; 3] = ["invalid type: ", "invalid value: ", "unknown variant "];
    let Some((reason, expected)) = message.rsplit_once(", expected ") else {
        return message.to_owned();
    };
    if !ABOUT_VALUES.iter().any(|start| reason.starts_with(start)) {
        return message.to_owned();
    }
    let kind = reason.split(['"', '`']).next().unwrap_or_default();
    format!("{}, expected {expected}", kind.trim_end())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Order {
        order_id: u64,
        lines: Vec<(String, f64)>,
        state: State,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum State {
        Open,
        Paid,
    }

    fn order() -> Order {
        Order {
            order_id: 7,
            lines: vec![("é \"x\"".into(), 1.5)],
            state: State::Paid,
        }
    }

    fn refusal(json: &'static str) -> String {
        let fields = [(
            Bytes::from_static(DATA),
            Bytes::from_static(json.as_bytes()),
        )];
        decode_json::<Order>(&fields).unwrap_err().to_string()
    }

    #[test]
    fn a_record_is_compact_json_under_data_and_comes_back() {
        let fields = encode_json(&order(), Compression::None).unwrap();
        let text = r#"{"order_id":7,"lines":[["é \"x\"",1.5]],"state":"Paid"}"#;
        assert_eq!(fields, [("data".into(), text.into())]);
        for compression in [
            Compression::None,
            Compression::Gzip,
            Compression::Lz4,
            Compression::Zstd,
        ] {
            let fields = encode_json(&order(), compression).unwrap();
            assert_eq!(decode_json::<Order>(&fields).unwrap(), order());
        }
    }

    #[test]
    fn an_entry_without_data_is_refused() {
        let refusal = decode_json::<Order>(&[]).unwrap_err().to_string();
        assert!(refusal.contains("`data`"), "{refusal}");
    }

    #[test]
    fn a_refusal_names_what_is_wrong_and_never_a_value() {
        let text = refusal(r#"{"order_id":"secret, expected"}"#);
        assert!(
            text.starts_with("invalid type: string, expected u64"),
            "{text}"
        );
        let text = refusal(r#"{"order_id":1,"lines":[],"state":"secret"}"#);
        assert!(
            text.starts_with("unknown variant, expected `Open` or `Paid`"),
            "{text}"
        );
        let text = refusal(r#"{"order_id":-13}"#);
        assert!(!text.contains("13"), "{text}");
        assert!(refusal(r#"{"order_id":1}"#).contains("missing field `lines`"));
        assert!(refusal("{").contains("EOF"));
    }
}
