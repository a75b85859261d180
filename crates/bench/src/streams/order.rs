//! The record that is sent and read: about 120 bytes of JSON.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tidegate_macros::Record;

use crate::error::Result;

/// How many orders are measured for the mean size.
const SAMPLE: u64 = 1_000;

/// An order of a shop.
#[derive(Clone, Debug, PartialEq, Record, Serialize, Deserialize)]
#[record(partition_by = "order_id", crate = "tidegate_streams")]
pub(super) struct Order {
    order_id: u64,
    customer: String,
    amount: i64,
    currency: String,
    status: String,
}

impl Order {
    /// The order at a place of the load.
    pub(super) fn new(place: u64) -> Self {
        Self {
            order_id: place,
            customer: format!("cust_{:08x}", place.wrapping_mul(2_654_435_761) % 100_000),
            amount: i64::try_from(place % 100_000).unwrap_or_default(),
            currency: "EUR".to_owned(),
            status: "requires_confirmation".to_owned(),
        }
    }

    /// As it stands in the entry's field `data`.
    pub(super) fn to_json(&self) -> Result<Bytes> {
        Ok(serde_json::to_vec(self)?.into())
    }
}

/// The mean JSON of the first `events` orders, or of [`SAMPLE`] if there are more.
pub(super) fn mean_bytes(events: u64) -> Result<u64> {
    let sample = events.clamp(1, SAMPLE);
    let mut bytes = 0;
    for place in 0..sample {
        bytes += Order::new(place * (events / sample)).to_json()?.len() as u64;
    }
    Ok(bytes / sample)
}
