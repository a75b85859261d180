//! The older form: what the ancestor's types serialize to.

use serde::Serialize;
use serde_json::{Value, json};

use crate::site::Site;

/// Written as the ancestor's `DBOperation` is declared: tags and contents, snake case.
#[derive(Serialize)]
#[serde(rename_all = "snake_case", tag = "db_op", content = "data")]
enum DbOperation {
    Insert { insertable: Box<Insertable> },
    Update { updatable: Box<Updateable> },
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case", tag = "table", content = "data")]
enum Insertable {
    Refund(RefundNew),
    PaymentIntent(Value),
    ReverseLookUp(ReverseLookupNew),
    Address(Value),
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case", tag = "table", content = "data")]
#[expect(
    clippy::enum_variant_names,
    reason = "they are called as the ancestor's are"
)]
enum Updateable {
    RefundUpdate(Box<RefundUpdateMems>),
    PaymentIntentUpdate(Value),
    AddressUpdate(AddressUpdateMems),
}

#[derive(Serialize)]
struct TypedSql {
    #[serde(flatten)]
    op: DbOperation,
}

#[derive(Clone, Serialize)]
struct RefundNew {
    refund_id: String,
    merchant_id: String,
    payment_id: String,
    connector_transaction_id: ConnectorTransactionId,
    total_amount: i64,
    currency: &'static str,
    refund_status: &'static str,
    sent_to_gateway: bool,
    metadata: Option<Value>,
    refund_arn: Option<String>,
    created_at: &'static str,
    modified_at: &'static str,
    updated_by: &'static str,
}

#[derive(Clone, Serialize)]
enum ConnectorTransactionId {
    TxnId(String),
}

#[derive(Serialize)]
struct RefundUpdateMems {
    orig: RefundNew,
    update_data: RefundUpdate,
}

#[derive(Serialize)]
#[expect(
    clippy::enum_variant_names,
    reason = "they are called as the ancestor's are"
)]
enum RefundUpdate {
    StatusUpdate {
        connector_refund_id: Option<ConnectorTransactionId>,
        sent_to_gateway: bool,
        refund_status: &'static str,
        updated_by: &'static str,
    },
    MetadataAndReasonUpdate {
        metadata: Option<Value>,
        reason: Option<&'static str>,
        updated_by: &'static str,
    },
    NovelUpdate {
        refund_arn: &'static str,
    },
}

#[derive(Serialize)]
struct ReverseLookupNew {
    lookup_id: &'static str,
    sk_id: &'static str,
    pk_id: &'static str,
    source: &'static str,
    updated_by: &'static str,
}

#[derive(Serialize)]
struct AddressUpdateMems {
    orig: Value,
    update_data: AddressUpdateInternal,
}

#[derive(Default, Serialize)]
struct AddressUpdateInternal {
    city: Option<&'static str>,
    line1: Option<Vec<u8>>,
    modified_at: Option<&'static str>,
}

fn insert(insertable: Insertable) -> String {
    let op = DbOperation::Insert {
        insertable: Box::new(insertable),
    };
    serde_json::to_string(&TypedSql { op }).expect("serialized")
}

fn update(updatable: Updateable) -> String {
    let op = DbOperation::Update {
        updatable: Box::new(updatable),
    };
    serde_json::to_string(&TypedSql { op }).expect("serialized")
}

fn refund(id: &str) -> RefundNew {
    RefundNew {
        refund_id: id.to_owned(),
        merchant_id: "m".to_owned(),
        payment_id: "pay_1".to_owned(),
        connector_transaction_id: ConnectorTransactionId::TxnId("txn_1".to_owned()),
        total_amount: 10_000,
        currency: "USD",
        refund_status: "Pending",
        sent_to_gateway: false,
        metadata: Some(json!({"a": 1.10})),
        refund_arn: None,
        created_at: "2024-02-26T12:00:00.000Z",
        modified_at: "2024-02-26T12:00:00.000Z",
        updated_by: "admin",
    }
}

fn refund_update(id: &str, update_data: RefundUpdate) -> String {
    update(Updateable::RefundUpdate(Box::new(RefundUpdateMems {
        orig: refund(id),
        update_data,
    })))
}

fn status_update(status: &'static str) -> RefundUpdate {
    RefundUpdate::StatusUpdate {
        connector_refund_id: None,
        sent_to_gateway: true,
        refund_status: status,
        updated_by: "connector",
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inserts_and_updates_of_the_ancestor_become_its_rows() {
    let site = Site::start().await;
    site.push("typed_sql", &insert(Insertable::Refund(refund("r1"))))
        .await;
    site.push("typed_sql", &refund_update("r1", status_update("success")))
        .await;
    let reason = RefundUpdate::MetadataAndReasonUpdate {
        metadata: None,
        reason: Some("torn"),
        updated_by: "merchant",
    };
    site.push("typed_sql", &refund_update("r1", reason)).await;
    let lookup = ReverseLookupNew {
        lookup_id: "ref_r1",
        sk_id: "s",
        pk_id: "p",
        source: "refund",
        updated_by: "admin",
    };
    site.push("typed_sql", &insert(Insertable::ReverseLookUp(lookup)))
        .await;
    site.drain().await;
    site.assert_all_applied().await;
    let columns = "connector_transaction_id, total_amount, currency, refund_status, \
         sent_to_gateway, metadata, refund_reason, refund_arn, updated_by, created_at";
    assert_eq!(
        site.row(columns, "refund").await,
        [
            "txn_1",
            "10000",
            "USD",
            "success",
            "true",
            r#"{"a":1.1}"#,
            "torn",
            "-",
            "merchant",
            "2024-02-26 12:00:00"
        ]
    );
    // `now` is when the entry was pushed, so it is near, and the same however often it is tried.
    let near = "(modified_at > now() AT TIME ZONE 'UTC' - interval '5 minutes')";
    assert_eq!(site.row(near, "refund").await, ["true"]);
    assert_eq!(site.row("source", "reverse_lookup").await, ["refund"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_null_in_a_plain_update_leaves_the_column_as_it_is() {
    let site = Site::start().await;
    let address = json!({"address_id": "a1", "city": "Bonn", "line1": null,
        "modified_at": "2024-02-26T12:00:00.000Z"});
    site.push("typed_sql", &insert(Insertable::Address(address.clone())))
        .await;
    let change = |update_data| {
        let orig = address.clone();
        update(Updateable::AddressUpdate(AddressUpdateMems {
            orig,
            update_data,
        }))
    };
    let bytes = AddressUpdateInternal {
        line1: Some(vec![0, 255, 16]),
        ..AddressUpdateInternal::default()
    };
    site.push("typed_sql", &change(bytes)).await;
    // The ancestor takes an update without a change for done.
    site.push("typed_sql", &change(AddressUpdateInternal::default()))
        .await;
    site.drain().await;
    site.assert_all_applied().await;
    assert_eq!(
        site.row("city, line1", "address").await,
        ["Bonn", "\\x00ff10"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_intent_follows_the_example_mapping() {
    let site = Site::start().await;
    let intent = json!({"payment_id": "p1", "merchant_id": "m", "status": "requires_payment_method",
        "amount": 950, "customer_details": {"inner": [1, 2, 255]}, "order_details": [{"sku": 1}],
        "session_expiry": "2024-02-26 13:00:00.0",
        "modified_at": "2024-02-26T12:00:00Z", "updated_by": "admin"});
    site.push(
        "typed_sql",
        &insert(Insertable::PaymentIntent(intent.clone())),
    )
    .await;
    let response = json!({"orig": intent, "update_data": {"ResponseUpdate": {
        "status": "succeeded", "amount_captured": 950, "fingerprint_id": null,
        "return_url": "https://shop.example", "updated_by": "connector",
        "incremental_authorization_allowed": false}}});
    site.push(
        "typed_sql",
        &update(Updateable::PaymentIntentUpdate(response)),
    )
    .await;
    site.drain().await;
    site.assert_all_applied().await;
    let columns = "status, amount, amount_captured, customer_details, order_details, \
         session_expiry, return_url, fingerprint_id, incremental_authorization_allowed, updated_by";
    assert_eq!(
        site.row(columns, "payment_intent").await,
        [
            "succeeded",
            "950",
            "950",
            "\\x0102ff",
            r#"{"{\"sku\":1}"}"#,
            "2024-02-26 13:00:00",
            "https://shop.example",
            "-",
            "false",
            "connector"
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unmapped_variant_says_how_to_map_it_and_holds_its_row_alone() {
    let mut site = Site::start().await;
    site.push("typed_sql", &insert(Insertable::Refund(refund("r1"))))
        .await;
    let novel = RefundUpdate::NovelUpdate { refund_arn: "arn" };
    site.push("typed_sql", &refund_update("r1", novel)).await;
    site.push("typed_sql", &refund_update("r1", status_update("success")))
        .await;
    site.push("typed_sql", &insert(Insertable::Refund(refund("r2"))))
        .await;
    site.drain().await;
    let letters = site.letters().await;
    let states: Vec<_> = letters
        .iter()
        .map(|letter| (letter.code.as_str(), letter.state.as_str()))
        .collect();
    assert_eq!(states, [("unmapped", "dead"), ("refused", "parked")]);
    for part in [
        "\"refund\"",
        "\"NovelUpdate\"",
        "[tables.refund.variants.NovelUpdate]",
    ] {
        assert!(letters[0].reason.contains(part), "{}", letters[0].reason);
    }
    // Mapped and retried, both follow in their order.
    let mapping = "[tables.refund.variants.NovelUpdate]\nset = { refund_status = \"failure\" }\n\
         [tables.refund.variants.StatusUpdate]\n";
    site.options.forms = Some(std::sync::Arc::new(tidegate_drain::hyperswitch::Forms {
        mapping: tidegate_drain::hyperswitch::Mapping::parse(mapping).expect("valid"),
        query_tables: None,
    }));
    let selection = tidegate_drain::revive::Selection::All;
    tidegate_drain::revive::retry(&*site.sink, &site.options, &selection)
        .await
        .expect("retried");
    site.assert_all_applied().await;
    let found = site
        .row("refund_arn, refund_status", "refund WHERE refund_id = 'r1'")
        .await;
    assert_eq!(found, ["arn", "success"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_an_entry_is_said() {
    let site = Site::start().await;
    for payload in [
        r#"{"db_op":"delete","data":{}}"#,
        r#"{"db_op":"insert","data":{"insertable":{"table":"nope","data":{}}}}"#,
        r#"{"db_op":"insert","data":{"insertable":{"table":"address","data":{"address_id":"a","planet":"x"}}}}"#,
        r#"{"db_op":"insert","data":{"insertable":{"table":"address"}}}"#,
        r#"{"db_op":"update","data":{"updatable":{"table":"address_update","data":{"orig":{},"update_data":{"city":"x"}}}}}"#,
    ] {
        site.push("typed_sql", payload).await;
    }
    site.drain().await;
    let letters = site.letters().await;
    let found: Vec<_> = letters.iter().map(|letter| letter.code.as_str()).collect();
    assert_eq!(
        found,
        [
            "unknown_operation",
            "unknown_table",
            "unknown_column",
            "invalid_json",
            "invalid_key"
        ]
    );
    assert!(
        letters[1].reason.contains("[tables.nope]"),
        "{}",
        letters[1].reason
    );
}
