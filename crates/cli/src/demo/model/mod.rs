//! The model: what the tables must hold after the day, and which dead letters there must be.
//!
//! It is fed with facts, never with the operations' JSON, and shares no code with the drain; so
//! where both agree on every column of every row, neither lost nor doubled anything. It holds all
//! rows in memory, a few hundred bytes for each.

mod codes;
#[cfg(test)]
mod naive;
mod rows;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::scenario::Fact;
use super::scenario::fact::{Attempt, CustomerFact, PaymentFact, PaymentRef, Refund, What};
use super::schema::{CUSTOMER, PAYMENT, PAYMENT_ATTEMPT, PAYMENT_EVENT, REFUND, Table};
use codes::code_of;
use rows::{Cells, LogRow};

pub(crate) use rows::Row;

/// What must be there.
#[derive(Debug, Default)]
pub(crate) struct Model {
    customers: BTreeMap<Arc<str>, rows::Customer>,
    payments: BTreeMap<Arc<str>, rows::Payment>,
    attempts: BTreeMap<Arc<str>, rows::Attempt>,
    refunds: BTreeMap<Arc<str>, rows::Refund>,
    /// Each row of the log, and how often it must be there.
    log: BTreeMap<LogRow, u64>,
    dead_letters: BTreeMap<String, &'static str>,
}

/// The rows that one table must hold.
pub(crate) struct Expected<'a> {
    /// The table.
    pub(crate) table: Table,
    /// Its rows in the order of their keys, the bytes of a text deciding.
    pub(crate) rows: Box<dyn Iterator<Item = Row> + 'a>,
}

impl Model {
    /// Takes a fact in. `request_id` names the operation that tells of it.
    pub(crate) fn apply(&mut self, request_id: &str, fact: Fact) {
        let at_ms = fact.at_ms;
        match fact.what {
            What::Customer { id, fact } => self.apply_to_customer(id, fact, at_ms),
            What::Payment { payment, fact } => self.apply_to_payment(&payment, fact, at_ms),
            What::Spoiled { spoil, .. } => {
                self.dead_letters
                    .insert(request_id.to_owned(), code_of(spoil));
            }
        }
    }

    /// The tables with their rows, parents first.
    pub(crate) fn tables(&self) -> [Expected<'_>; 5] {
        let log = self
            .log
            .iter()
            .flat_map(|(row, times)| (0..*times).map(|_| row.cells()));
        [
            expected(CUSTOMER, &self.customers),
            expected(PAYMENT, &self.payments),
            expected(PAYMENT_ATTEMPT, &self.attempts),
            expected(REFUND, &self.refunds),
            Expected {
                table: PAYMENT_EVENT,
                rows: Box::new(log),
            },
        ]
    }

    /// The operations that must be dead letters, with the code of the reason.
    pub(crate) fn dead_letters(&self) -> &BTreeMap<String, &'static str> {
        &self.dead_letters
    }

    fn apply_to_customer(&mut self, id: Arc<str>, fact: CustomerFact, at_ms: i64) {
        match fact {
            CustomerFact::Joined {
                email,
                name,
                country,
                is_upsert: _,
            } => {
                let (created_ms, updated_ms) = (at_ms, at_ms);
                let row = rows::Customer {
                    email,
                    name,
                    country,
                    created_ms,
                    updated_ms,
                };
                self.customers.insert(id, row);
            }
            CustomerFact::EmailChanged { email } => {
                if let Some(customer) = self.customers.get_mut(&id) {
                    customer.email = email;
                    customer.updated_ms = at_ms;
                }
            }
            CustomerFact::Left => _ = self.customers.remove(&id),
        }
    }

    fn apply_to_payment(&mut self, payment: &PaymentRef, fact: PaymentFact, at_ms: i64) {
        match fact {
            PaymentFact::Created {
                customer,
                amount_minor,
                currency,
            } => {
                self.create_payment(payment, customer, amount_minor, currency, at_ms);
            }
            PaymentFact::RiskChecked => self.log(payment, "risk.checked", None, at_ms),
            PaymentFact::AttemptStarted(attempt) => {
                self.charge(payment, &attempt, "started", attempt.started_ms);
            }
            PaymentFact::Processing => self.change(payment, at_ms, |row| {
                row.status = "processing";
                row.failure_code = None;
            }),
            PaymentFact::AttemptFailed {
                attempt,
                error_code,
                is_last,
            } => {
                if let Some(row) = self.attempts.get_mut(&attempt.id) {
                    (row.status, row.error_code, row.updated_ms) =
                        ("failed", Some(error_code), at_ms);
                }
                self.change(payment, at_ms, |row| {
                    row.status = if is_last {
                        "failed"
                    } else {
                        "requires_payment_method"
                    };
                    row.failure_code = Some(error_code);
                });
                self.log(payment, "attempt.failed", None, at_ms);
            }
            PaymentFact::Captured {
                attempt,
                amount_minor,
            } => {
                self.change(payment, at_ms, |row| {
                    row.status = "succeeded";
                    row.captured_minor = amount_minor;
                });
                self.log(payment, "payment.captured", Some(amount_minor), at_ms);
                self.charge(payment, &attempt, "charged", at_ms);
            }
            PaymentFact::Cancelled => {
                self.change(payment, at_ms, |row| row.status = "cancelled");
                self.log(payment, "payment.cancelled", None, at_ms);
            }
            PaymentFact::Expired => _ = self.payments.remove(&payment.id),
            PaymentFact::Purged { attempts } => {
                for attempt in &attempts {
                    self.attempts.remove(attempt);
                }
                self.payments.remove(&payment.id);
                self.log(payment, "payment.purged", None, at_ms);
            }
            PaymentFact::RefundRequested(refund) => self.request_refund(payment, refund, at_ms),
            PaymentFact::RefundSettled {
                refund,
                refunded_minor,
            } => {
                self.settle_refund(payment, &refund, refunded_minor, at_ms);
            }
        }
    }

    fn create_payment(
        &mut self,
        payment: &PaymentRef,
        customer: Arc<str>,
        amount_minor: i64,
        currency: &'static str,
        at_ms: i64,
    ) {
        let row = rows::Payment {
            merchant: payment.merchant,
            customer,
            amount_minor,
            currency,
            status: "requires_payment_method",
            captured_minor: 0,
            refunded_minor: 0,
            failure_code: None,
            created_ms: at_ms,
            updated_ms: at_ms,
        };
        self.payments.insert(payment.id.clone(), row);
    }

    /// A try is begun, or was successful. What it failed with earlier, if it did, stays.
    fn charge(
        &mut self,
        payment: &PaymentRef,
        attempt: &Attempt,
        status: &'static str,
        at_ms: i64,
    ) {
        let row = self
            .attempts
            .entry(attempt.id.clone())
            .or_insert_with(|| rows::Attempt {
                payment: payment.id.clone(),
                number: attempt.number,
                connector: attempt.connector,
                status,
                error_code: None,
                created_ms: attempt.started_ms,
                updated_ms: at_ms,
            });
        row.status = status;
        row.updated_ms = at_ms;
    }

    fn request_refund(&mut self, payment: &PaymentRef, refund: Refund, at_ms: i64) {
        let row = rows::Refund {
            payment: payment.id.clone(),
            amount_minor: refund.amount_minor,
            currency: refund.currency,
            status: "pending",
            reason: refund.reason,
            created_ms: at_ms,
            updated_ms: at_ms,
        };
        self.refunds.insert(refund.id, row);
    }

    fn settle_refund(
        &mut self,
        payment: &PaymentRef,
        refund: &Refund,
        refunded_minor: Option<i64>,
        at_ms: i64,
    ) {
        if let Some(row) = self.refunds.get_mut(&refund.id) {
            row.status = if refunded_minor.is_some() {
                "succeeded"
            } else {
                "failed"
            };
            row.updated_ms = at_ms;
        }
        match refunded_minor {
            Some(total) => {
                self.change(payment, at_ms, |row| row.refunded_minor = total);
                self.log(
                    payment,
                    "refund.succeeded",
                    Some(refund.amount_minor),
                    at_ms,
                );
            }
            None => self.log(payment, "refund.failed", Some(refund.amount_minor), at_ms),
        }
    }

    /// Changes a payment. The scenario never speaks of one that is not there; if it did, the drain
    /// would have a dead letter that nobody expects, and the demo would fail.
    fn change(
        &mut self,
        payment: &PaymentRef,
        at_ms: i64,
        change: impl FnOnce(&mut rows::Payment),
    ) {
        if let Some(row) = self.payments.get_mut(&payment.id) {
            change(row);
            row.updated_ms = at_ms;
        }
    }

    fn log(
        &mut self,
        payment: &PaymentRef,
        kind: &'static str,
        amount_minor: Option<i64>,
        at_ms: i64,
    ) {
        let row = LogRow {
            payment: payment.id.clone(),
            kind,
            amount_minor,
            at_ms,
        };
        *self.log.entry(row).or_default() += 1;
    }
}

fn expected<'a, T: Cells>(table: Table, rows: &'a BTreeMap<Arc<str>, T>) -> Expected<'a> {
    Expected {
        table,
        rows: Box::new(rows.iter().map(|(id, row)| row.cells(id))),
    }
}
