//! Facts: what happened in the company, with everything that its tables must show of it.
//!
//! A fact is told twice, by hands that don't know each other: `json` makes the operation that is
//! sent, and the model keeps what the tables must hold.
//!
//! Times are Unix milliseconds, amounts are minor units of the payment's currency.

use std::sync::Arc;

use super::spoiled::Spoil;

/// Something that happened.
#[derive(Clone, Debug)]
pub(crate) struct Fact {
    /// When.
    pub(crate) at_ms: i64,
    /// What.
    pub(crate) what: What,
}

/// To whom or what it happened.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// To a customer.
    Customer { id: Arc<str>, fact: CustomerFact },
    /// To a payment.
    Payment {
        payment: PaymentRef,
        fact: PaymentFact,
    },
    /// To nobody: a producer sent something that can never become rows. No other fact has this id,
    /// so nothing has to wait behind it.
    Spoiled { id: Arc<str>, spoil: Spoil },
}

/// What happens to customers.
#[derive(Clone, Debug)]
pub(crate) enum CustomerFact {
    /// They signed up; with `is_upsert`, through a producer that can't know whether they had.
    Joined {
        email: String,
        name: String,
        country: &'static str,
        is_upsert: bool,
    },
    /// They have a new address.
    EmailChanged { email: String },
    /// They never paid, and were deleted.
    Left,
}

/// Which payment, and whose.
#[derive(Clone, Debug)]
pub(crate) struct PaymentRef {
    /// The payment.
    pub(crate) id: Arc<str>,
    /// The merchant's number.
    pub(crate) merchant: u32,
}

/// A try to charge a payment.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// Its id.
    pub(crate) id: Arc<str>,
    /// The first try has number 1.
    pub(crate) number: i64,
    /// Who was asked to charge it.
    pub(crate) connector: &'static str,
    /// When it was begun.
    pub(crate) started_ms: i64,
}

/// What happens to payments.
#[derive(Clone, Debug)]
pub(crate) enum PaymentFact {
    /// It was asked for.
    Created {
        customer: Arc<str>,
        amount_minor: i64,
        currency: &'static str,
    },
    /// The risk desk looked at it: only the log shows it.
    RiskChecked,
    /// A try to charge it was begun.
    AttemptStarted(Attempt),
    /// The connector has taken it on.
    Processing,
    /// A try failed; after the last one the payment has failed.
    AttemptFailed {
        attempt: Attempt,
        error_code: &'static str,
        is_last: bool,
    },
    /// The money was taken.
    Captured { attempt: Attempt, amount_minor: i64 },
    /// The customer thought better of it.
    Cancelled,
    /// It was never tried and its session has ended: it is deleted.
    Expired,
    /// It failed, and was deleted with its tries; the log keeps a row of it.
    Purged { attempts: Vec<Arc<str>> },
    /// Money is asked back.
    RefundRequested(Refund),
    /// A refund was answered. `refunded_minor` is what has been given back of the payment so far,
    /// or none where this refund failed.
    RefundSettled {
        refund: Refund,
        refunded_minor: Option<i64>,
    },
}

/// Money on its way back.
#[derive(Clone, Debug)]
pub(crate) struct Refund {
    /// Its id.
    pub(crate) id: Arc<str>,
    /// How much.
    pub(crate) amount_minor: i64,
    /// The payment's currency.
    pub(crate) currency: &'static str,
    /// Why, if somebody said so.
    pub(crate) reason: Option<&'static str>,
}

impl Fact {
    /// The customer or payment that the fact is about.
    pub(crate) fn global_id(&self) -> &Arc<str> {
        match &self.what {
            What::Customer { id, .. } | What::Spoiled { id, .. } => id,
            What::Payment { payment, .. } => &payment.id,
        }
    }
}
