//! Customers: they sign up, change their address, pay, and a few leave before they ever pay.

use std::sync::Arc;

use super::chance::Chance;
use super::fact::{CustomerFact, What};

/// The most customers that are remembered; whoever is forgotten just never comes back.
const CUSTOMERS_MAX: usize = 2_000;

/// The customers that may still do something.
#[derive(Debug, Default)]
pub(super) struct Customers {
    known: Vec<Customer>,
}

#[derive(Debug)]
struct Customer {
    id: Arc<str>,
    /// Who has a payment is never deleted: the payment refers to them.
    has_payment: bool,
}

impl Customers {
    /// What a customer does next.
    pub(super) fn next(&mut self, chance: &mut Chance) -> What {
        let at = chance.index(self.known.len());
        let Some(customer) = self.known.get(at) else {
            return self.join(chance);
        };
        if chance.per_mille(620) {
            return self.join(chance);
        }
        let id = customer.id.clone();
        if !customer.has_payment && chance.per_mille(300) {
            self.known.swap_remove(at);
            return What::Customer {
                id,
                fact: CustomerFact::Left,
            };
        }
        let fact = CustomerFact::EmailChanged {
            email: chance.email("moved"),
        };
        What::Customer { id, fact }
    }

    /// Somebody who pays now: often the one who signed up a moment ago, whose row may still be
    /// on its way through another shard.
    pub(super) fn payer(&mut self, chance: &mut Chance) -> Option<Arc<str>> {
        let newest = self.known.len().saturating_sub(1);
        let at = if chance.per_mille(350) {
            newest
        } else {
            chance.index(self.known.len())
        };
        let customer = self.known.get_mut(at)?;
        customer.has_payment = true;
        Some(customer.id.clone())
    }

    fn join(&mut self, chance: &mut Chance) -> What {
        if self.known.len() >= CUSTOMERS_MAX {
            self.known.swap_remove(chance.index(CUSTOMERS_MAX));
        }
        let id = chance.id("cus_");
        self.known.push(Customer {
            id: id.clone(),
            has_payment: false,
        });
        let (name, email) = chance.person();
        let country = chance.country();
        let is_upsert = chance.per_mille(200);
        What::Customer {
            id,
            fact: CustomerFact::Joined {
                email,
                name,
                country,
                is_upsert,
            },
        }
    }
}
