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
    let story = Story {
        payment,
        id: &payment.id,
        at,
    };
    match fact {
        PaymentFact::Created {
            customer,
            amount_minor,
            currency,
        } => story.created(customer, *amount_minor, currency),
        PaymentFact::RiskChecked => story.event("risk.checked", None),
        PaymentFact::AttemptStarted(attempt) => {
            insert("payment_attempt", &story.attempt(attempt, "started"))
        }
        PaymentFact::Processing => {
            story.change(json!({"status": "processing", "failure_code": null}))
        }
        PaymentFact::AttemptFailed {
            attempt,
            error_code,
            is_last,
        } => story.attempt_failed(attempt, error_code, *is_last),
        PaymentFact::Captured {
            attempt,
            amount_minor,
        } => story.captured(attempt, *amount_minor),
        PaymentFact::Cancelled => transaction(vec![
            story.change(json!({"status": "cancelled"})),
            story.event("payment.cancelled", None),
        ]),
        PaymentFact::Expired => delete("payment", &payment.id),
        PaymentFact::Purged { attempts } => {
            let mut operations: Vec<_> = attempts
                .iter()
                .map(|attempt| delete("payment_attempt", attempt))
                .collect();
            operations.push(delete("payment", &payment.id));
            operations.push(story.event("payment.purged", None));
            transaction(operations)
        }
        PaymentFact::RefundRequested(refund) => story.refund_requested(refund),
        PaymentFact::RefundSettled {
            refund,
            refunded_minor,
        } => story.refund_settled(refund, *refunded_minor),
    }
}

/// A payment, and when something happens to it.
struct Story<'a> {
    payment: &'a PaymentRef,
    id: &'a str,
    at: &'a str,
}

impl Story<'_> {
    /// The captured and refunded amounts are left to the columns' defaults.
    fn created(&self, customer: &str, amount_minor: i64, currency: &str) -> Value {
        let row = json!({"id": self.id, "merchant_id": merchant_id(self.payment),
            "customer_id": customer, "amount_minor": amount_minor, "currency": currency,
            "status": "requires_payment_method", "created_at": self.at, "updated_at": self.at});
        insert("payment", &row)
    }

    fn attempt_failed(&self, attempt: &Attempt, error_code: &str, is_last: bool) -> Value {
        let tried = json!({"status": "failed", "error_code": error_code, "updated_at": self.at});
        let status = if is_last {
            "failed"
        } else {
            "requires_payment_method"
        };
        transaction(vec![
            update("payment_attempt", &attempt.id, &tried),
            self.change(json!({"status": status, "failure_code": error_code})),
            self.event("attempt.failed", None),
        ])
    }

    fn captured(&self, attempt: &Attempt, amount_minor: i64) -> Value {
        let charged = self.attempt(attempt, "charged");
        transaction(vec![
            self.change(json!({"status": "succeeded", "amount_captured_minor": amount_minor})),
            self.event("payment.captured", Some(amount_minor)),
            json!({"op": "upsert", "table": "payment_attempt", "row": charged}),
        ])
    }

    fn refund_requested(&self, refund: &Refund) -> Value {
        let row = json!({"id": *refund.id, "payment_id": self.id,
            "amount_minor": refund.amount_minor, "currency": refund.currency,
            "status": "pending", "reason": refund.reason,
            "created_at": self.at, "updated_at": self.at});
        insert("refund", &row)
    }

    fn refund_settled(&self, refund: &Refund, refunded_minor: Option<i64>) -> Value {
        let status = if refunded_minor.is_some() {
            "succeeded"
        } else {
            "failed"
        };
        let answered = json!({"status": status, "updated_at": self.at});
        let mut operations = vec![
            update("refund", &refund.id, &answered),
            self.event(&format!("refund.{status}"), Some(refund.amount_minor)),
        ];
        let total = refunded_minor.map(|total| json!({"amount_refunded_minor": total}));
        operations.extend(total.map(|total| self.change(total)));
        transaction(operations)
    }

    fn event(&self, kind: &str, amount_minor: Option<i64>) -> Value {
        let row = json!({"payment_id": self.id, "kind": kind, "amount_minor": amount_minor,
            "at": self.at});
        insert("payment_event", &row)
    }

    fn change(&self, mut columns: Value) -> Value {
        set(&mut columns, "updated_at", self.at);
        update("payment", self.id, &columns)
    }

    /// The row without `error_code`: an upsert must leave alone what it doesn't name.
    fn attempt(&self, attempt: &Attempt, status: &str) -> Value {
        json!({"id": *attempt.id, "payment_id": self.id, "number": attempt.number,
            "connector": attempt.connector, "status": status,
            "created_at": text_of(attempt.started_ms), "updated_at": self.at})
    }
}

fn insert(table: &str, row: &Value) -> Value {
    json!({"op": "insert", "table": table, "row": row})
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
