//! The orders that go to and fro, as `peer.py` has them.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tidegate_macros::Record;

/// How many orders are in each stream.
pub(crate) const ORDERS: u32 = 200;
/// An order has fewer lines than this.
const LINES: u32 = 5;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    amount: f64,
}

#[derive(Clone, Debug, PartialEq, Record, Serialize, Deserialize)]
#[record(partition_by = "blob", format = "native", crate = "tidegate_streams")]
pub(crate) struct Native {
    pub(crate) order_id: u32,
    rate: f64,
    paid: bool,
    note: String,
    blob: Bytes,
}

/// A record with lines, which is sent as JSON, and its key.
macro_rules! nested {
    ($($name:ident by $key:literal;)*) => {$(
        #[derive(Clone, Debug, PartialEq, Record, Serialize, Deserialize)]
        #[record(partition_by = $key, crate = "tidegate_streams")]
        pub(crate) struct $name {
            pub(crate) order_id: u32,
            rate: f64,
            paid: bool,
            note: String,
            lines: Vec<Line>,
        }

        impl From<u32> for $name {
            fn from(number: u32) -> Self {
                Self {
                    order_id: number,
                    rate: rate(number),
                    paid: number.is_multiple_of(2),
                    note: note(number),
                    lines: (0..number % LINES)
                        .map(|_| Line { amount: f64::from(number) / 3.0 })
                        .collect(),
                }
            }
        }
    )*};
}

nested! {
    ByNote by "note";
    ByRate by "rate";
    ByPaid by "paid";
}

impl From<u32> for Native {
    fn from(number: u32) -> Self {
        Self {
            order_id: number,
            rate: rate(number),
            paid: number.is_multiple_of(2),
            note: note(number),
            blob: vec![number.to_le_bytes()[0], b'\'', 0].into(),
        }
    }
}

/// Small ones and large ones, so that some have an exponent in Python and some have none.
fn rate(number: u32) -> f64 {
    let exponent = i32::try_from(number % 25).unwrap_or_default() - 10;
    // The parsed text is the exact power, as Python's is; `powi` may be off by a bit.
    let power: f64 = format!("1e{exponent}").parse().unwrap_or_default();
    f64::from(number) / 7.0 * power
}

fn note(number: u32) -> String {
    let start = match number % 4 {
        0 => "it's",
        1 => "\"é\"",
        2 => "it's \"中\"\n",
        _ => "\u{200b}\\",
    };
    format!("{start}{number}")
}
