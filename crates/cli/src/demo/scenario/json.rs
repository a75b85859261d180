//! From a fact to the operation that is sent.
//!
//! Everything of one payment goes to one shard by a partition key in the style of Hyperswitch,
//! `mid_merchant_3_pid_pay_x`. Customers go by their own key, which is the default, and so a
//! payment and its customer are often in different shards.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::fact::{Attempt, CustomerFact, Fact, PaymentFact, PaymentRef, Refund, What};

/// The bytes of the operation.
pub(super) fn payload(fact: &Fact) -> Vec<u8> {
    let at = text_of(fact.at_ms);
    match &fact.what {
        What::Customer { id, fact } => customer_operation(id, fact, &at).to_string().into_bytes(),
        What::Payment { payment, fact } => {
            let mut operation = payment_operation(payment, fact, &at);
            set(&mut operation, "partition_key", partition_key(payment));
            operation.to_string().into_bytes()
        }
        What::Spoiled { id, spoil } => spoil.payload(id, &at),
    }
}

/// A time as the tables hold it.
fn text_of(at_ms: i64) -> String {
    let at = Timestamp::from_millisecond(at_ms).unwrap_or_default();
    format!("{at:.3}")
}

fn customer_operation(id: &str, fact: &CustomerFact, at: &str) -> Value {
    match fact {
        CustomerFact::Joined {
            email,
            name,
            country,
            is_upsert,
        } => {
            let row = json!({"id": id, "email": email, "name": name, "country": country,
                "created_at": at, "updated_at": at});
            json!({"op": if *is_upsert { "upsert" } else { "insert" }, "table": "customer",
                "row": row})
        }
        CustomerFact::EmailChanged { email } => {
            update("customer", id, &json!({"email": email, "updated_at": at}))
        }
        CustomerFact::Left => delete("customer", id),
    }
}

fn payment_operation(payment: &PaymentRef, fact: &PaymentFact, at: &str) -> Value {
    let id = &*payment.id;
    let event = |kind: &str, amount_minor: Option<i64>| {
        let row = json!({"payment_id": id, "kind": kind, "amount_minor": amount_minor, "at": at});
        json!({"op": "insert", "table": "payment_event", "row": row})
    };
    let change = |mut columns: Value| {
        set(&mut columns, "updated_at", at);
        update("payment", id, &columns)
    };
    match fact {
        PaymentFact::Created {
            customer,
            amount_minor,
            currency,
        } => {
            // The captured and refunded amounts are left to the columns' defaults.
            let row = json!({"id": id, "merchant_id": merchant_id(payment),
                "customer_id": **customer, "amount_minor": amount_minor, "currency": currency,
                "status": "requires_payment_method", "created_at": at, "updated_at": at});
            json!({"op": "insert", "table": "payment", "row": row})
        }
        PaymentFact::RiskChecked => event("risk.checked", None),
        PaymentFact::AttemptStarted(attempt) => json!({"op": "insert",
            "table": "payment_attempt", "row": attempt_row(id, attempt, "started", at)}),
        PaymentFact::Processing => change(json!({"status": "processing", "failure_code": null})),
        PaymentFact::AttemptFailed {
            attempt,
            error_code,
            is_last,
        } => {
            let tried = json!({"status": "failed", "error_code": error_code, "updated_at": at});
            let status = if *is_last {
                "failed"
            } else {
                "requires_payment_method"
            };
            transaction(vec![
                update("payment_attempt", &attempt.id, &tried),
                change(json!({"status": status, "failure_code": error_code})),
                event("attempt.failed", None),
            ])
        }
        PaymentFact::Captured {
            attempt,
            amount_minor,
        } => transaction(vec![
            change(json!({"status": "succeeded", "amount_captured_minor": amount_minor})),
            event("payment.captured", Some(*amount_minor)),
            json!({"op": "upsert", "table": "payment_attempt",
                "row": attempt_row(id, attempt, "charged", at)}),
        ]),
        PaymentFact::Cancelled => transaction(vec![
            change(json!({"status": "cancelled"})),
            event("payment.cancelled", None),
        ]),
        PaymentFact::Expired => delete("payment", id),
        PaymentFact::Purged { attempts } => {
            let mut operations: Vec<_> = attempts
                .iter()
                .map(|attempt| delete("payment_attempt", attempt))
                .collect();
            operations.extend([delete("payment", id), event("payment.purged", None)]);
            transaction(operations)
        }
        PaymentFact::RefundRequested(refund) => refund_request(id, refund, at),
        PaymentFact::RefundSettled {
            refund,
            refunded_minor,
        } => {
            let status = if refunded_minor.is_some() {
                "succeeded"
            } else {
                "failed"
            };
            let mut operations = vec![
                update(
                    "refund",
                    &refund.id,
                    &json!({"status": status, "updated_at": at}),
                ),
                event(&format!("refund.{status}"), Some(refund.amount_minor)),
            ];
            let total = refunded_minor.map(|total| json!({"amount_refunded_minor": total}));
            operations.extend(total.map(change));
            transaction(operations)
        }
    }
}

fn refund_request(payment_id: &str, refund: &Refund, at: &str) -> Value {
    let row = json!({"id": *refund.id, "payment_id": payment_id,
        "amount_minor": refund.amount_minor, "currency": refund.currency, "status": "pending",
        "reason": refund.reason, "created_at": at, "updated_at": at});
    json!({"op": "insert", "table": "refund", "row": row})
}

/// The row without `error_code`: an upsert must leave alone what it doesn't name.
fn attempt_row(payment_id: &str, attempt: &Attempt, status: &str, at: &str) -> Value {
    json!({"id": *attempt.id, "payment_id": payment_id, "number": attempt.number,
        "connector": attempt.connector, "status": status,
        "created_at": text_of(attempt.started_ms), "updated_at": at})
}

fn transaction(operations: Vec<Value>) -> Value {
    json!({"op": "transaction", "operations": operations})
}

fn update(table: &str, id: &str, columns: &Value) -> Value {
    json!({"op": "update", "table": table, "key": {"id": id}, "set": columns})
}

fn delete(table: &str, id: &str) -> Value {
    json!({"op": "delete", "table": table, "key": {"id": id}})
}

fn set(object: &mut Value, name: &str, value: impl Into<Value>) {
    if let Value::Object(members) = object {
        members.insert(name.to_owned(), value.into());
    }
}

fn merchant_id(payment: &PaymentRef) -> String {
    format!("merchant_{}", payment.merchant)
}

fn partition_key(payment: &PaymentRef) -> String {
    format!("mid_{}_pid_{}", merchant_id(payment), payment.id)
}
