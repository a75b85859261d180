//! The life of one payment.
//!
//! ```text
//! created ─► tried ─► processing ─► captured ─► refund requested ─► settled
//!  │ ▲                   │             ▲                               │
//!  │ └── failed try ◄────┤             └─────── the rest, too ─────────┘
//!  ▼                     ▼
//! expired, cancelled    failed ─► purged
//! ```

use std::sync::Arc;

use super::chance::Chance;
use super::fact::{Attempt, PaymentFact, PaymentRef, Refund, What};

/// After so many failed tries a payment has failed.
const ATTEMPTS_MAX: usize = 3;

/// A payment in play.
#[derive(Debug)]
pub(super) struct Payment {
    payment: PaymentRef,
    amount_minor: i64,
    currency: &'static str,
    phase: Phase,
    attempts: Vec<Attempt>,
    captured_minor: i64,
    refunded_minor: i64,
}

#[derive(Clone, Debug)]
enum Phase {
    Created,
    Tried(Attempt),
    Processing(Attempt),
    Failed,
    Captured,
    RefundRequested(Refund),
    /// Nothing more will happen, and the payment is forgotten.
    Over,
}

impl Payment {
    /// A new payment of this customer, and the fact of it.
    pub(super) fn create(chance: &mut Chance, merchant: u32, customer: Arc<str>) -> (Self, What) {
        let payment = PaymentRef {
            id: chance.id("pay_"),
            merchant,
        };
        let (amount_minor, currency) = (chance.amount_minor(), chance.currency());
        let fact = PaymentFact::Created {
            customer,
            amount_minor,
            currency,
        };
        let created = Self {
            payment: payment.clone(),
            amount_minor,
            currency,
            phase: Phase::Created,
            attempts: Vec::new(),
            captured_minor: 0,
            refunded_minor: 0,
        };
        (created, What::Payment { payment, fact })
    }

    /// Whether nothing more will happen to it.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// What happens to it next.
    pub(super) fn next(&mut self, chance: &mut Chance, at_ms: i64) -> What {
        let (phase, fact) = match self.phase.clone() {
            Phase::Created => self.after_creation(chance, at_ms),
            Phase::Tried(attempt) => (Phase::Processing(attempt), PaymentFact::Processing),
            Phase::Processing(attempt) => self.after_processing(chance, attempt),
            Phase::Failed => {
                let attempts = self
                    .attempts
                    .iter()
                    .map(|attempt| attempt.id.clone())
                    .collect();
                (Phase::Over, PaymentFact::Purged { attempts })
            }
            Phase::Captured => self.request_refund(chance),
            Phase::RefundRequested(refund) => self.settle_refund(chance, refund),
            Phase::Over => (Phase::Over, PaymentFact::RiskChecked),
        };
        self.phase = phase;
        What::Payment {
            payment: self.payment.clone(),
            fact,
        }
    }

    fn after_creation(&mut self, chance: &mut Chance, at_ms: i64) -> (Phase, PaymentFact) {
        if chance.per_mille(100) {
            return (Phase::Created, PaymentFact::RiskChecked);
        }
        if self.attempts.is_empty() && chance.per_mille(70) {
            return (Phase::Over, PaymentFact::Expired);
        }
        if chance.per_mille(50) {
            return (Phase::Over, PaymentFact::Cancelled);
        }
        let number = i64::try_from(self.attempts.len())
            .unwrap_or(i64::MAX)
            .saturating_add(1);
        let (id, connector) = (chance.id("att_"), chance.connector());
        let attempt = Attempt {
            id,
            number,
            connector,
            started_ms: at_ms,
        };
        self.attempts.push(attempt.clone());
        (
            Phase::Tried(attempt.clone()),
            PaymentFact::AttemptStarted(attempt),
        )
    }

    fn after_processing(&mut self, chance: &mut Chance, attempt: Attempt) -> (Phase, PaymentFact) {
        if chance.per_mille(260) {
            let is_last = self.attempts.len() >= ATTEMPTS_MAX;
            let phase = match is_last {
                false => Phase::Created,
                true if chance.per_mille(700) => Phase::Failed,
                true => Phase::Over,
            };
            let error_code = chance.error_code();
            return (
                phase,
                PaymentFact::AttemptFailed {
                    attempt,
                    error_code,
                    is_last,
                },
            );
        }
        // A few merchants take less than was authorised.
        self.captured_minor = match chance.per_mille(100) {
            true => chance.between(1, self.amount_minor),
            false => self.amount_minor,
        };
        let phase = if chance.per_mille(180) {
            Phase::Captured
        } else {
            Phase::Over
        };
        (
            phase,
            PaymentFact::Captured {
                attempt,
                amount_minor: self.captured_minor,
            },
        )
    }

    fn request_refund(&mut self, chance: &mut Chance) -> (Phase, PaymentFact) {
        let rest_minor = self.captured_minor - self.refunded_minor;
        let amount_minor = match chance.per_mille(500) {
            true => rest_minor,
            false => chance.between(1, rest_minor),
        };
        let id = chance.id("ref_");
        let reason = chance.per_mille(700).then(|| chance.refund_reason());
        let refund = Refund {
            id,
            amount_minor,
            currency: self.currency,
            reason,
        };
        (
            Phase::RefundRequested(refund.clone()),
            PaymentFact::RefundRequested(refund),
        )
    }

    fn settle_refund(&mut self, chance: &mut Chance, refund: Refund) -> (Phase, PaymentFact) {
        let is_granted = chance.per_mille(900);
        if is_granted {
            self.refunded_minor += refund.amount_minor;
        }
        let has_rest = self.refunded_minor < self.captured_minor;
        let phase = if has_rest && chance.per_mille(400) {
            Phase::Captured
        } else {
            Phase::Over
        };
        let refunded_minor = is_granted.then_some(self.refunded_minor);
        (
            phase,
            PaymentFact::RefundSettled {
                refund,
                refunded_minor,
            },
        )
    }
}
