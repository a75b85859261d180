//! What `#[derive(Record)]` makes of a struct.

use serde::{Deserialize, Serialize};
use tidegate_macros::Record;
use tidegate_streams::{Compression, Record as _};

#[derive(Debug, PartialEq, Record, Serialize, Deserialize)]
#[record(partition_by = "order_id", crate = "tidegate_streams")]
struct Order {
    order_id: u64,
    lines: Vec<String>,
}

#[derive(Debug, PartialEq, Record, Serialize, Deserialize)]
#[record(partition_by = "type", format = "native", crate = "tidegate_streams")]
struct UserAction {
    user_id: u32,
    r#type: String,
}

#[derive(Record, Serialize, Deserialize)]
#[record(crate = "tidegate_streams")]
#[serde(bound = "T: Serialize + serde::de::DeserializeOwned")]
struct Ping<T: Serialize + serde::de::DeserializeOwned + Send + Sync + 'static> {
    note: T,
}

#[test]
fn a_record_is_json_and_its_key_is_the_named_field() {
    let order = Order {
        order_id: 7,
        lines: vec!["a".into()],
    };
    assert_eq!(order.partition_key().as_deref(), Some("7"));
    let fields = order.encode(Compression::Lz4).unwrap();
    assert_eq!(fields.len(), 1);
    assert_eq!(Order::decode(&fields).unwrap(), order);
    let line = br#"{"order_id":7,"lines":["a"]}"#;
    assert_eq!(Order::from_json(line).unwrap(), order);
}

#[test]
fn a_native_record_has_fields_of_its_own_and_is_read_from_a_line_of_json() {
    let action = UserAction {
        user_id: 1,
        r#type: "sign'up".into(),
    };
    assert_eq!(action.partition_key().as_deref(), Some("\"sign'up\""));
    let fields = action.encode(Compression::Gzip).unwrap();
    let expected = [
        ("user_id".into(), "1".into()),
        ("type".into(), "sign'up".into()),
    ];
    assert_eq!(fields, expected);
    assert_eq!(UserAction::decode(&fields).unwrap(), action);
    let line = br#"{"user_id":1,"type":"sign'up"}"#;
    assert_eq!(UserAction::from_json(line).unwrap(), action);
}

#[test]
fn a_record_without_partition_by_has_no_key() {
    let ping = Ping { note: 1_u8 };
    assert_eq!(ping.partition_key(), None);
    let fields = ping.encode(Compression::None).unwrap();
    assert_eq!(Ping::<u8>::decode(&fields).unwrap().note, 1);
}
