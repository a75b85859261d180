//! The newer form: statements and binds made by diesel itself.

use std::io::Write;

use diesel::data_types::{PgDate, PgNumeric, PgTimestamp};
use diesel::pg::{Pg, PgMetadataLookup, PgQueryBuilder, PgTypeMetadata};
use diesel::prelude::*;
use diesel::query_builder::bind_collector::RawBytesBindCollector;
use diesel::query_builder::{QueryBuilder, QueryFragment};
use diesel::serialize::{self, IsNull, Output, ToSql};
use serde_json::json;
use std::sync::Arc;

use tidegate_drain::hyperswitch::Forms;

use crate::site::{Site, by_code};

#[derive(diesel::query_builder::QueryId, diesel::sql_types::SqlType)]
#[diesel(postgres_type(name = "RefundStatus"))]
pub struct RefundStatusType;

#[derive(diesel::query_builder::QueryId, diesel::sql_types::SqlType)]
#[diesel(postgres_type(name = "Currency"))]
pub struct CurrencyType;

#[derive(Clone, Copy, Debug, diesel::expression::AsExpression)]
#[diesel(sql_type = RefundStatusType)]
enum RefundStatus {
    Pending,
    Success,
}

impl ToSql<RefundStatusType, Pg> for RefundStatus {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(match self {
            Self::Pending => b"pending",
            Self::Success => b"success",
        })?;
        Ok(IsNull::No)
    }
}

#[derive(Clone, Copy, Debug, diesel::expression::AsExpression)]
#[diesel(sql_type = CurrencyType)]
struct Euro;

impl ToSql<CurrencyType, Pg> for Euro {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(b"EUR")?;
        Ok(IsNull::No)
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::{CurrencyType, RefundStatusType};

    refund (merchant_id, refund_id) {
        refund_id -> Varchar,
        merchant_id -> Varchar,
        payment_id -> Varchar,
        connector_transaction_id -> Varchar,
        total_amount -> Int8,
        currency -> CurrencyType,
        refund_status -> RefundStatusType,
        sent_to_gateway -> Bool,
        refund_reason -> Nullable<Varchar>,
        metadata -> Nullable<Json>,
        created_at -> Timestamp,
        modified_at -> Timestamp,
        updated_by -> Varchar,
        history -> Nullable<Array<Nullable<RefundStatusType>>>,
        tags -> Nullable<Array<Text>>,
        charges -> Nullable<Jsonb>,
    }
}

// The rest of the table, because diesel without a feature stops at sixteen columns.
mod more {
    diesel::table! {
        refund (merchant_id, refund_id) {
            refund_id -> Varchar,
            merchant_id -> Varchar,
            attempts -> Nullable<Int2>,
            score -> Nullable<Float8>,
            fee -> Nullable<Numeric>,
            proof -> Nullable<Binary>,
            documents -> Nullable<Array<Jsonb>>,
            due -> Nullable<Date>,
            external -> Nullable<Uuid>,
            refund_arn -> Nullable<Text>,
        }
    }
}

#[derive(Clone, Insertable)]
#[diesel(table_name = refund)]
struct RefundNew {
    refund_id: String,
    merchant_id: String,
    payment_id: &'static str,
    connector_transaction_id: &'static str,
    total_amount: i64,
    currency: Euro,
    refund_status: RefundStatus,
    refund_reason: Option<String>,
    metadata: Option<serde_json::Value>,
    created_at: PgTimestamp,
    modified_at: PgTimestamp,
    updated_by: &'static str,
    history: Option<Vec<Option<RefundStatus>>>,
    tags: Option<Vec<String>>,
    charges: Option<serde_json::Value>,
}

/// Looks nothing up, as the ancestor, which has no connection when it serializes: types of the
/// database's own get `[0,0]`.
struct NoLookup;

impl PgMetadataLookup for NoLookup {
    fn lookup_type(&mut self, _name: &str, _schema: Option<&str>) -> PgTypeMetadata {
        PgTypeMetadata::new(0, 0)
    }
}

/// An entry's payload, as the ancestor makes it of diesel's own serialization.
fn payload(query: &impl QueryFragment<Pg>) -> String {
    let mut text = PgQueryBuilder::default();
    query.to_sql(&mut text, &Pg).expect("SQL");
    let mut binds = RawBytesBindCollector::<Pg>::new();
    query
        .collect_binds(&mut binds, &mut NoLookup, &Pg)
        .expect("binds");
    let encoded = binds.binds.iter().map(|bind| bind.as_deref().map(base64));
    let oids = binds.metadata.iter().map(|metadata| {
        [
            metadata.oid().unwrap_or_default(),
            metadata.array_oid().unwrap_or_default(),
        ]
    });
    json!({
        "sql": text.finish(),
        "binds": encoded.collect::<Vec<_>>(),
        "metadata": oids.collect::<Vec<_>>(),
        "safe_to_cache_prepared": true,
        "entity_type": "refund",
        "operation": "any",
    })
    .to_string()
}

/// Base64 by its definition, six bits at a time.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let three = [
            chunk[0],
            *chunk.get(1).unwrap_or(&0),
            *chunk.get(2).unwrap_or(&0),
        ];
        let all = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for at in 0..4 {
            let letter = LETTERS[(all >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= chunk.len() {
                char::from(letter)
            } else {
                '='
            });
        }
    }
    text
}

fn new(id: &str) -> RefundNew {
    RefundNew {
        refund_id: id.to_owned(),
        merchant_id: "m".to_owned(),
        payment_id: "pay_1",
        connector_transaction_id: "txn_1",
        total_amount: 10_000,
        currency: Euro,
        refund_status: RefundStatus::Pending,
        refund_reason: None,
        metadata: Some(json!({"note": "a \"quoted\" note"})),
        created_at: PgTimestamp(1_500_000),
        modified_at: PgTimestamp(-1),
        updated_by: "admin",
        history: Some(vec![
            Some(RefundStatus::Pending),
            None,
            Some(RefundStatus::Success),
        ]),
        tags: Some(vec!["a, b".to_owned(), "NULL".to_owned(), String::new()]),
        charges: None,
    }
}

fn insert(id: &str) -> String {
    payload(&diesel::insert_into(refund::table).values(new(id)))
}

fn set_status(id: &'static str) -> String {
    let one = refund::table.filter(refund::merchant_id.eq("m").and(refund::refund_id.eq(id)));
    payload(&diesel::update(one).set((
        refund::refund_status.eq(RefundStatus::Success),
        refund::refund_reason.eq(None::<String>),
        refund::sent_to_gateway.eq(true),
    )))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_of_diesel_become_rows_enums_and_arrays_included() {
    let site = Site::start().await;
    let returning = diesel::insert_into(refund::table)
        .values(new("r1"))
        .returning(refund::refund_id);
    site.push("query", &payload(&returning)).await;
    let both = vec![new("r2"), new("r3")];
    let both = diesel::insert_into(refund::table)
        .values(both)
        .on_conflict_do_nothing();
    site.push("query", &payload(&both)).await;
    site.push("query", &set_status("r1")).await;
    let gone = refund::table.filter(refund::merchant_id.eq("m").and(refund::refund_id.eq("r3")));
    site.push("query", &payload(&diesel::delete(gone))).await;
    site.drain().await;
    site.assert_all_applied().await;
    let columns = "total_amount, currency, refund_status, sent_to_gateway, refund_reason, metadata, \
         created_at, modified_at, history, tags, charges";
    let one = "refund WHERE refund_id = 'r1'";
    assert_eq!(
        site.row(columns, one).await,
        [
            "10000",
            "EUR",
            "success",
            "true",
            "-",
            r#"{"note":"a \"quoted\" note"}"#,
            "2000-01-01 00:00:01.5",
            "1999-12-31 23:59:59.999999",
            "{pending,NULL,success}",
            r#"{"a, b","NULL",""}"#,
            "-"
        ]
    );
    let others = "refund WHERE refund_id <> 'r1'";
    assert_eq!(
        site.row("refund_id, refund_status, sent_to_gateway", others)
            .await,
        ["r2", "pending", "false"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn binds_of_every_kind_arrive_as_they_were() {
    use more::refund as rest;
    let site = Site::start().await;
    site.push("query", &insert("r1")).await;
    let one = rest::table.filter(rest::merchant_id.eq("m").and(rest::refund_id.eq("r1")));
    let fee = PgNumeric::Negative {
        weight: 1,
        scale: 2,
        digits: vec![12, 3_456, 7_800],
    };
    let external = uuid::Uuid::from_u128(0xa0ee_bc99_9c0b_4ef8_bb6d_6bb9_bd38_0a11);
    let all = diesel::update(one).set((
        rest::attempts.eq(-7_i16),
        rest::score.eq(0.1_f64),
        rest::fee.eq(fee),
        rest::proof.eq(vec![0_u8, 255]),
        rest::documents.eq(vec![json!({"a": [1]}), json!("x")]),
        rest::due.eq(PgDate(60)),
        rest::external.eq(external),
        rest::refund_arn.eq("ünïcode"),
    ));
    site.push("query", &payload(&all)).await;
    site.drain().await;
    site.assert_all_applied().await;
    let columns = "attempts, score, fee, proof, documents, due, external, refund_arn";
    assert_eq!(
        site.row(columns, "refund").await,
        [
            "-7",
            "0.1",
            "-123456.7800",
            "\\x00ff",
            r#"{"{\"a\": [1]}","\"x\""}"#,
            "2000-03-01",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "ünïcode"
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_by_key_or_not_on_the_list_is_a_dead_letter() {
    let site = Site::start().await;
    site.push("query", &insert("r1")).await;
    // By a part of the key, it could mean many rows.
    let partly = refund::table.filter(refund::refund_id.eq("r1"));
    site.push("query", &payload(&diesel::delete(partly))).await;
    let every = diesel::update(refund::table).set(refund::sent_to_gateway.eq(true));
    site.push("query", &payload(&every)).await;
    let lookup = json!({"sql": "DELETE FROM \"reverse_lookup\" WHERE \"lookup_id\" = $1",
        "binds": ["eA=="], "metadata": [[25, 1009]]});
    site.push("query", &lookup.to_string()).await;
    let ledger = json!({"sql": "DELETE FROM tidegate.ledger WHERE stream = $1",
        "binds": ["eA=="], "metadata": [[25, 1009]]});
    site.push("query", &ledger.to_string()).await;
    site.push("query", "not JSON").await;
    site.drain().await;
    let letters = site.letters().await;
    let codes: Vec<_> = letters.iter().map(|letter| letter.code.as_str()).collect();
    assert_eq!(
        codes,
        [
            "invalid_key",
            "not_allowed",
            "not_allowed",
            "unknown_table",
            "invalid_json"
        ]
    );
    let reasons = by_code(&letters);
    assert!(
        reasons["invalid_key"][0].contains("(merchant_id, refund_id)"),
        "{reasons:?}"
    );
    assert!(
        reasons["not_allowed"][1].contains("hyperswitch.query_tables"),
        "{reasons:?}"
    );
    assert_eq!(site.row("sent_to_gateway", "refund").await, ["false"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_bind_is_a_dead_letter_and_no_error_of_the_protocol() {
    let site = Site::start().await;
    site.push("query", &insert("r1")).await;
    let update = |column: &str, bind: &str, oid: u32| {
        json!({
            "sql": format!(
                "UPDATE \"refund\" SET \"{column}\" = $1 WHERE \"merchant_id\" = $2 AND \"refund_id\" = $3"
            ),
            "binds": [bind, "bQ==", base64(b"r9")],
            "metadata": [[oid, 0], [25, 1009], [25, 1009]],
        })
        .to_string()
    };
    for (column, bind, oid) in [
        ("total_amount", base64(&[1]), 20),
        ("total_amount", base64(b"12345678"), 25),
        ("sent_to_gateway", base64(&[2]), 16),
        ("refund_reason", base64(&[255]), 1_043),
        ("refund_status", base64(b"lost"), 0),
        ("tags", base64(&[0, 0, 0, 1, 0]), 1_009),
        ("charges", base64(b"{}"), 3_802),
        ("fee", base64(&[0, 1, 0, 0]), 1_700),
        ("refund_reason", "!".to_owned(), 25),
        (
            "created_at",
            base64(&i64::MAX.wrapping_sub(1).to_be_bytes()),
            1_114,
        ),
    ] {
        site.push("query", &update(column, &bind, oid)).await;
    }
    site.drain().await;
    let letters = site.letters().await;
    // The first is dead by itself, and so are the others of this row, each for its own reason or
    // parked behind the first.
    assert_eq!(letters.len(), 10, "{letters:#?}");
    assert_eq!(letters[0].code, "wrong_type");
    assert!(
        letters[0].reason.contains("8 bytes are expected, 1 came"),
        "{}",
        letters[0].reason
    );
    assert_eq!(site.row("total_amount", "refund").await, ["10000"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_form_is_off_unless_it_is_turned_on() {
    let mut site = Site::start().await;
    site.options.forms = Some(Arc::new(Forms::default()));
    site.push("query", &insert("r1")).await;
    site.drain().await;
    let letters = site.letters().await;
    assert_eq!(
        (letters.len(), letters[0].code.as_str()),
        (1, "not_allowed")
    );
    assert!(
        letters[0].reason.contains("hyperswitch.query = true"),
        "{}",
        letters[0].reason
    );
    assert_eq!(site.row("count(*)", "refund").await, ["0"]);
}
