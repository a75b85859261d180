//! Whatever bytes come: an operation or a rejection, never a panic.

use std::sync::LazyLock;

use bytes::Bytes;
use proptest::prelude::*;
use tidegate_drain::catalog::Catalog;
use tidegate_drain::envelope::{self, Envelope};
use tidegate_drain::{Options, PostgresOptions, PostgresSink, Sink, preview};
use tidegate_store::{EntryId, StreamName};
use tidegate_testkit::PostgresServer;

use crate::site::{SCHEMA, forms};

/// The catalog of the ancestor's tables, read once.
static CATALOG: LazyLock<std::sync::Arc<Catalog>> = LazyLock::new(|| {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let server = PostgresServer::shared().await.expect("PostgreSQL");
        let database = server.create_database().await.expect("a database");
        let client = tidegate_testkit::postgres_client(&database.url())
            .await
            .expect("a connection");
        client.batch_execute(SCHEMA).await.expect("the tables");
        let sink = PostgresSink::connect(&database.url(), PostgresOptions::default()).await;
        sink.expect("a sink").catalog().await.expect("a catalog")
    })
});

/// Whether the entry becomes an operation; a rejection must have a reason.
fn decode(form: &'static [u8], payload: Vec<u8>) -> bool {
    let field =
        |name: &'static [u8], value: Vec<u8>| (Bytes::from_static(name), Bytes::from(value));
    let envelope = Envelope {
        id: EntryId::new(1_700_000_000_000, 0),
        fields: vec![
            field(form, payload),
            field(envelope::GLOBAL_ID, b"g".to_vec()),
            field(envelope::REQUEST_ID, b"r".to_vec()),
            field(envelope::PUSHED_AT, b"1".to_vec()),
        ],
    };
    let mut options = Options::new(StreamName::new("S").expect("a name"), 1);
    options.forms = Some(std::sync::Arc::new(forms()));
    match preview::unit(&CATALOG, &options, envelope) {
        Ok(_) => true,
        Err(rejection) => {
            assert!(!rejection.reason.is_empty());
            false
        }
    }
}

/// Entries that are taken, to be spoiled.
const GOOD: &[(&[u8], &str)] = &[
    (
        envelope::TYPED_SQL,
        r#"{"db_op":"update","data":{"updatable":{"table":"refund_update","data":{"orig":{"refund_id":"r","merchant_id":"m"},"update_data":{"StatusUpdate":{"refund_status":"Success","sent_to_gateway":true,"connector_refund_id":null}}}}}}"#,
    ),
    (
        envelope::TYPED_SQL,
        r#"{"data":{"insertable":{"table":"address","data":{"address_id":"a","line1":[1,2],"modified_at":"2024-02-26T12:00:00Z"}}},"db_op":"insert"}"#,
    ),
    (
        envelope::QUERY,
        r#"{"sql":"UPDATE \"refund\" SET \"total_amount\" = $1, \"tags\" = $4 WHERE ((\"refund\".\"merchant_id\" = $2) AND (\"refund\".\"refund_id\" = $3))","binds":["AAAAAAAAJxA=","bQ==","cg==","AAAAAQAAAAAAAAAZAAAAAQAAAAEAAAABYQ=="],"metadata":[[20,1016],[25,1009],[25,1009],[1009,0]]}"#,
    ),
    (
        envelope::QUERY,
        r#"{"sql":"INSERT INTO \"refund\" (\"merchant_id\") VALUES ($1)","binds":[null],"metadata":[[0,0]]}"#,
    ),
];

#[test]
fn what_is_to_be_spoiled_is_good() {
    let taken: Vec<bool> = GOOD
        .iter()
        .map(|(form, text)| decode(form, text.as_bytes().to_vec()))
        .collect();
    // The last one lacks its key, which the database's catalog tells.
    assert_eq!(taken, [true, true, true, false]);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        payload in prop::collection::vec(any::<u8>(), 0..200), is_query: bool) {
        decode(if is_query { envelope::QUERY } else { envelope::TYPED_SQL }, payload);
    }

    #[test]
    fn a_spoiled_entry_never_panics(
        which in 0..GOOD.len(),
        spoils in prop::collection::vec((any::<prop::sample::Index>(), 0..3_u8, any::<u8>()), 1..6)) {
        let (form, text) = GOOD[which];
        let mut payload = text.as_bytes().to_vec();
        for (at, how, byte) in spoils {
            if payload.is_empty() {
                break;
            }
            let at = at.index(payload.len());
            match how {
                0 => payload[at] = byte,
                1 => payload.truncate(at),
                _ => payload.insert(at, byte),
            }
        }
        decode(form, payload);
    }

    #[test]
    fn arbitrary_binds_never_panic(
        bind in prop::collection::vec(any::<u8>(), 0..60),
        column in prop::sample::select(&["total_amount", "currency", "tags", "history", "fee", "due",
            "charges", "documents", "proof", "external", "score", "created_at"][..]),
        oid in prop::sample::select(&[0_u32, 16, 17, 20, 21, 23, 25, 114, 199, 700, 701, 1007, 1009,
            1016, 1082, 1083, 1114, 1184, 1186, 1231, 1700, 2950, 3802, 3807, 99_999][..])) {
        let sql = format!("UPDATE refund SET {column} = $1 WHERE merchant_id = $2 AND refund_id = $2");
        let payload = serde_json::json!({
            "sql": sql, "binds": [base64(&bind), "bQ=="], "metadata": [[oid, 0], [25, 1009]]});
        decode(envelope::QUERY, payload.to_string().into_bytes());
    }
}

/// The letters are not of interest here, so the program's own crate for it will do.
fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
