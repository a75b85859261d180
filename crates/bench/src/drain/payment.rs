//! The table that is written, and its rows.
//!
//! 25 columns as a payment system has them, after Hyperswitch's `payment_intent`. A row is a pure
//! function of its number, so that every process can make it again. Keys grow with the number, as
//! ids do that begin with the time.

use jiff::ToSpan;
use jiff::civil::{DateTime, date};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_postgres::types::{ToSql, Type};

/// The table's name.
pub(super) const TABLE: &str = "payment_intent";

/// Creates the table.
pub(super) const CREATE: &str = "
CREATE TABLE payment_intent (
    payment_id varchar(64) NOT NULL,
    merchant_id varchar(64) NOT NULL,
    status varchar(32) NOT NULL,
    amount bigint NOT NULL,
    currency varchar(3),
    amount_captured bigint,
    customer_id varchar(64),
    description varchar(255),
    return_url varchar(255),
    metadata jsonb,
    connector_id varchar(64),
    shipping_address_id varchar(64),
    billing_address_id varchar(64),
    statement_descriptor_name varchar(255),
    created_at timestamp NOT NULL,
    modified_at timestamp NOT NULL,
    last_synced timestamp,
    setup_future_usage varchar(32),
    off_session boolean,
    client_secret varchar(128),
    active_attempt_id varchar(64) NOT NULL,
    business_country varchar(2),
    business_label varchar(64),
    profile_id varchar(64),
    attempt_count smallint NOT NULL,
    PRIMARY KEY (payment_id, merchant_id)
)";

/// How many columns the table has.
pub(super) const COLUMNS: usize = 25;

const MERCHANTS: u64 = 100;
const CURRENCIES: [&str; 4] = ["USD", "EUR", "GBP", "INR"];
const COUNTRIES: [&str; 4] = ["US", "DE", "GB", "IN"];
const CONNECTORS: [&str; 4] = ["adyen", "stripe", "checkout", "worldpay"];

/// A row, with its columns in the table's order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Payment {
    payment_id: String,
    merchant_id: String,
    status: String,
    amount: i64,
    currency: Option<String>,
    amount_captured: Option<i64>,
    customer_id: Option<String>,
    description: Option<String>,
    return_url: Option<String>,
    metadata: Option<Value>,
    connector_id: Option<String>,
    shipping_address_id: Option<String>,
    billing_address_id: Option<String>,
    statement_descriptor_name: Option<String>,
    created_at: DateTime,
    modified_at: DateTime,
    last_synced: Option<DateTime>,
    setup_future_usage: Option<String>,
    off_session: Option<bool>,
    client_secret: Option<String>,
    active_attempt_id: String,
    business_country: Option<String>,
    business_label: Option<String>,
    profile_id: Option<String>,
    attempt_count: i16,
}

/// The primary key of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct PaymentKey {
    payment_id: String,
    merchant_id: String,
}

/// What the answer of a payment processor changes in a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct PaymentChange {
    status: String,
    amount_captured: Option<i64>,
    modified_at: DateTime,
    last_synced: Option<DateTime>,
    active_attempt_id: String,
    attempt_count: i16,
}

impl Payment {
    /// The row of a number.
    pub(super) fn new(number: u64) -> Self {
        let PaymentKey {
            payment_id,
            merchant_id,
        } = PaymentKey::new(number);
        let noise = mix(number);
        let created_at = moment(number);
        Self {
            status: "requires_payment_method".to_owned(),
            amount: below(noise, 5_000_000) + 100,
            currency: Some(pick(&CURRENCIES, noise >> 3)),
            amount_captured: None,
            customer_id: Some(format!("cus_{:024x}", u128::from(noise) << 20)),
            description: Some(format!("Order {number} of the spring sale")),
            return_url: Some(format!(
                "https://shop.example/checkout/return?order={number}"
            )),
            metadata: Some(json!({
                "order_id": format!("ord_{noise:016x}"),
                "login_date": "2026-02-26T12:00:00Z",
                "new_customer": noise.is_multiple_of(2),
            })),
            connector_id: Some(pick(&CONNECTORS, noise >> 5)),
            shipping_address_id: Some(format!("add_{:020x}", mix(noise))),
            billing_address_id: Some(format!("add_{:020x}", mix(noise + 1))),
            statement_descriptor_name: Some("SHOP EXAMPLE LTD".to_owned()),
            created_at,
            modified_at: created_at,
            last_synced: None,
            setup_future_usage: Some("off_session".to_owned()),
            off_session: Some(noise.is_multiple_of(3)),
            client_secret: Some(format!("{payment_id}_secret_{:020x}", mix(noise + 2))),
            active_attempt_id: format!("{payment_id}_1"),
            business_country: Some(pick(&COUNTRIES, noise >> 7)),
            business_label: Some("default".to_owned()),
            profile_id: Some(format!("pro_{:020x}", mix(number % MERCHANTS))),
            attempt_count: 1,
            payment_id,
            merchant_id,
        }
    }

    /// Changes the row as an update does.
    pub(super) fn apply(&mut self, change: &PaymentChange) {
        let change = change.clone();
        self.status = change.status;
        self.amount_captured = change.amount_captured;
        self.modified_at = change.modified_at;
        self.last_synced = change.last_synced;
        self.active_attempt_id = change.active_attempt_id;
        self.attempt_count = change.attempt_count;
    }

    /// The columns' values, in the table's order.
    pub(super) fn values(&self) -> [&(dyn ToSql + Sync); COLUMNS] {
        [
            &self.payment_id,
            &self.merchant_id,
            &self.status,
            &self.amount,
            &self.currency,
            &self.amount_captured,
            &self.customer_id,
            &self.description,
            &self.return_url,
            &self.metadata,
            &self.connector_id,
            &self.shipping_address_id,
            &self.billing_address_id,
            &self.statement_descriptor_name,
            &self.created_at,
            &self.modified_at,
            &self.last_synced,
            &self.setup_future_usage,
            &self.off_session,
            &self.client_secret,
            &self.active_attempt_id,
            &self.business_country,
            &self.business_label,
            &self.profile_id,
            &self.attempt_count,
        ]
    }
}

/// The columns' types, in the table's order.
pub(super) const TYPES: [Type; COLUMNS] = [
    Type::VARCHAR,
    Type::VARCHAR,
    Type::VARCHAR,
    Type::INT8,
    Type::VARCHAR,
    Type::INT8,
    Type::VARCHAR,
    Type::VARCHAR,
    Type::VARCHAR,
    Type::JSONB,
    Type::VARCHAR,
    Type::VARCHAR,
    Type::VARCHAR,
    Type::VARCHAR,
    Type::TIMESTAMP,
    Type::TIMESTAMP,
    Type::TIMESTAMP,
    Type::VARCHAR,
    Type::BOOL,
    Type::VARCHAR,
    Type::VARCHAR,
    Type::VARCHAR,
    Type::VARCHAR,
    Type::VARCHAR,
    Type::INT2,
];

impl PaymentKey {
    /// The key of the row of a number.
    pub(super) fn new(number: u64) -> Self {
        Self {
            payment_id: format!("pay_{number:016x}{:012x}", mix(number) >> 16),
            merchant_id: format!("merchant_{:06}", number % MERCHANTS),
        }
    }

    /// The text by which the drain finds the row's shard.
    pub(super) fn partition_key(&self) -> String {
        format!("{}_{}", self.payment_id, self.merchant_id)
    }

    /// The key's values, in its columns' order.
    pub(super) fn values(&self) -> [&(dyn ToSql + Sync); 2] {
        [&self.payment_id, &self.merchant_id]
    }
}

impl PaymentChange {
    /// The change that the operation of this place in the load makes to the row of a number. The
    /// place is part of it, so that changes of one row in a wrong order leave a wrong row.
    pub(super) fn new(number: u64, place: u64) -> Self {
        let noise = mix(place);
        let attempt = i16::try_from(noise % 1_000).unwrap_or_default();
        Self {
            status: if noise.is_multiple_of(5) {
                "failed"
            } else {
                "succeeded"
            }
            .to_owned(),
            amount_captured: Some(below(mix(number), 5_000_000) + 100),
            modified_at: moment(place),
            last_synced: Some(moment(place)),
            active_attempt_id: format!("{}_{attempt}", PaymentKey::new(number).payment_id),
            attempt_count: attempt,
        }
    }

    /// The changed columns, in the order of [`values`](Self::values).
    pub(super) const COLUMNS: [&str; 6] = [
        "status",
        "amount_captured",
        "modified_at",
        "last_synced",
        "active_attempt_id",
        "attempt_count",
    ];

    /// The values of the changed columns.
    pub(super) fn values(&self) -> [&(dyn ToSql + Sync); 6] {
        [
            &self.status,
            &self.amount_captured,
            &self.modified_at,
            &self.last_synced,
            &self.active_attempt_id,
            &self.attempt_count,
        ]
    }
}

/// Spreads a number over all of 64 bits; the same number gives the same bits everywhere.
///
/// The finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
pub(super) fn mix(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

fn below(noise: u64, bound: u64) -> i64 {
    i64::try_from(noise % bound).unwrap_or_default()
}

fn pick(choices: &[&str; 4], noise: u64) -> String {
    let index = usize::try_from(noise % 4).unwrap_or_default();
    choices.get(index).copied().unwrap_or_default().to_owned()
}

/// A thousand operations a second, from one morning on.
fn moment(number: u64) -> DateTime {
    let start = date(2026, 3, 1).at(9, 0, 0, 0);
    let millis = i64::try_from(number).unwrap_or_default();
    start.saturating_add(millis.milliseconds())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_back_is_the_same_row() {
        let mut payment = Payment::new(7);
        payment.apply(&PaymentChange::new(7, 9));
        let text = serde_json::to_string(&payment).unwrap();
        assert_eq!(serde_json::from_str::<Payment>(&text).unwrap(), payment);
        assert_eq!(CREATE.matches(",\n").count(), COLUMNS);
    }

    #[test]
    fn keys_grow_with_the_number() {
        let key = |number| PaymentKey::new(number).partition_key();
        assert!(key(9) < key(10) && key(255) < key(256) && key(1) < key(1 << 40));
    }
}
