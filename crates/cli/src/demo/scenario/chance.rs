//! Chance: the dice of the day, and what is drawn with them: ids, names, amounts.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

/// How many letters an id has after its prefix.
const ID_LETTERS: usize = 20;
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";

const FIRST_NAMES: &[&str] = &[
    "Aarav",
    "Ana",
    "Björn",
    "Chloë",
    "Đorđe",
    "Fatima",
    "Grace",
    "İpek",
    "João",
    "Kofi",
    "Leïla",
    "Mei",
    "Noor",
    "Oluwaseun",
    "Søren",
    "Yuki",
    "Zoë",
    "李",
];
/// An apostrophe, a quotation mark and a backslash in a name must come out as they went in.
const LAST_NAMES: &[&str] = &[
    "Andersson",
    "de la Cruz",
    "García",
    "Kowalski",
    "Müller",
    "Nguyễn",
    "O'Brien",
    "Okafor",
    "Patel",
    "Smith \"Smitty\" Jones",
    "Suzuki",
    "van \\ Dijk",
    "Yılmaz",
    "娜",
];
const COUNTRIES: &[&str] = &[
    "BR", "DE", "ES", "FR", "GB", "IN", "JP", "NG", "PL", "SE", "TR", "US",
];
const CURRENCIES: &[&str] = &["EUR", "GBP", "INR", "JPY", "USD"];
const CONNECTORS: &[&str] = &["adyen", "checkout", "cybersource", "stripe", "worldpay"];
const ERROR_CODES: &[&str] = &[
    "card_declined",
    "expired_card",
    "insufficient_funds",
    "issuer_unavailable",
];
const REFUND_REASONS: &[&str] = &["duplicate", "fraudulent", "requested_by_customer"];

/// The dice.
#[derive(Debug)]
pub(super) struct Chance(StdRng);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// True so many times of a thousand.
    pub(super) fn per_mille(&mut self, times: u32) -> bool {
        self.0.random_range(0..1_000) < times
    }

    /// A number from `min` to `max`, both included.
    pub(super) fn between(&mut self, min: i64, max: i64) -> i64 {
        self.0.random_range(min..=max.max(min))
    }

    /// An index into a list of this length; 0 for an empty one.
    pub(super) fn index(&mut self, length: usize) -> usize {
        self.0.random_range(0..length.max(1))
    }

    /// A new id, such as `pay_k3v9…`.
    pub(super) fn id(&mut self, prefix: &str) -> Arc<str> {
        let mut id = String::with_capacity(prefix.len() + ID_LETTERS);
        id.push_str(prefix);
        let letters = (0..ID_LETTERS).filter_map(|_| LETTERS.choose(&mut self.0));
        id.extend(letters.map(|letter| char::from(*letter)));
        id.into()
    }

    /// A name and an address that goes with it.
    pub(super) fn person(&mut self) -> (String, String) {
        let (first, last) = (self.pick(FIRST_NAMES), self.pick(LAST_NAMES));
        let email = self.email(first);
        (format!("{first} {last}"), email)
    }

    /// An address.
    pub(super) fn email(&mut self, first_name: &str) -> String {
        let plain: String = first_name
            .chars()
            .filter(char::is_ascii_alphabetic)
            .collect();
        let number = self.between(10_000, 99_999);
        format!("{}{number}@example.com", plain.to_lowercase())
    }

    /// An amount in minor units: mostly small, now and then large.
    pub(super) fn amount_minor(&mut self) -> i64 {
        if self.per_mille(5) {
            return self.between(1_000_000_000, 9_000_000_000_000);
        }
        self.between(100, 250_000)
    }

    pub(super) fn country(&mut self) -> &'static str {
        self.pick(COUNTRIES)
    }

    pub(super) fn currency(&mut self) -> &'static str {
        self.pick(CURRENCIES)
    }

    pub(super) fn connector(&mut self) -> &'static str {
        self.pick(CONNECTORS)
    }

    pub(super) fn error_code(&mut self) -> &'static str {
        self.pick(ERROR_CODES)
    }

    pub(super) fn refund_reason(&mut self) -> &'static str {
        self.pick(REFUND_REASONS)
    }

    fn pick(&mut self, from: &[&'static str]) -> &'static str {
        from.choose(&mut self.0).copied().unwrap_or_default()
    }
}
