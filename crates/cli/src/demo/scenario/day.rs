//! The day: a clock, and who does something next.

use super::chance::Chance;
use super::customers::Customers;
use super::fact::{Fact, What};
use super::payment::Payment;
use super::spoiled::Spoil;

/// Midnight, 2 March 2026, UTC, in Unix milliseconds.
const MIDNIGHT_MS: i64 = 1_772_409_600_000;
const DAY_MS: i64 = 86_400_000;

/// The most payments in play at once. Operations of one payment are about this far apart, so some
/// of them meet in one batch and some don't.
const PAYMENTS_MAX: usize = 300;
const MERCHANTS: i64 = 12;

/// How often a producer sends something that can never become rows, of a thousand operations.
const SPOILED_PER_MILLE: u32 = 3;
/// How often it is a customer who does something.
const CUSTOMERS_PER_MILLE: u32 = 120;
/// How often a payment is a new one.
const CREATED_PER_MILLE: u32 = 170;

/// Everything that is in play.
#[derive(Debug)]
pub(super) struct Day {
    chance: Chance,
    now_ms: i64,
    /// The mean time between two operations is half of it.
    pause_ms_max: i64,
    customers: Customers,
    payments: Vec<Payment>,
    spoils: std::iter::Cycle<std::slice::Iter<'static, Spoil>>,
}

impl Day {
    /// A day over which so many operations are spread.
    pub(super) fn new(seed: u64, operations: u64) -> Self {
        let operations = i64::try_from(operations).unwrap_or(i64::MAX).max(1);
        Self {
            chance: Chance::new(seed),
            now_ms: MIDNIGHT_MS,
            pause_ms_max: DAY_MS.saturating_mul(2) / operations,
            customers: Customers::default(),
            payments: Vec::new(),
            spoils: Spoil::ALL.iter().cycle(),
        }
    }

    /// What happens next.
    pub(super) fn next_fact(&mut self) -> Fact {
        self.now_ms += self.chance.between(0, self.pause_ms_max);
        Fact {
            at_ms: self.now_ms,
            what: self.next(),
        }
    }

    fn next(&mut self) -> What {
        let chance = &mut self.chance;
        if chance.per_mille(SPOILED_PER_MILLE)
            && let Some(spoil) = self.spoils.next()
        {
            return What::Spoiled {
                id: chance.id("pay_"),
                spoil: *spoil,
            };
        }
        if chance.per_mille(CUSTOMERS_PER_MILLE) {
            return self.customers.next(chance);
        }
        let has_room = self.payments.len() < PAYMENTS_MAX;
        if has_room && chance.per_mille(CREATED_PER_MILLE) {
            return self.create_payment();
        }
        let at = chance.index(self.payments.len());
        let Some(payment) = self.payments.get_mut(at) else {
            return self.create_payment();
        };
        let what = payment.next(chance, self.now_ms);
        if payment.is_over() {
            self.payments.swap_remove(at);
        }
        what
    }

    fn create_payment(&mut self) -> What {
        let chance = &mut self.chance;
        // The day's first payment has to wait until somebody signed up.
        let Some(customer) = self.customers.payer(chance) else {
            return self.customers.next(chance);
        };
        let merchant = u32::try_from(chance.between(1, MERCHANTS)).unwrap_or(1);
        let (payment, what) = Payment::create(chance, merchant, customer);
        self.payments.push(payment);
        what
    }
}
