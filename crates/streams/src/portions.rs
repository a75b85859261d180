//! Portions: how a large send keeps client and server at work at the same time.
//!
//! ```text
//! records ─► by partition ─► portion ─ encode ─► append ──────────► answers, as records were given
//!                            portion ──────────── encode ─► append ─┘
//! ```
//!
//! Within the sender. A portion is all that goes to some of the partitions, so portions need not
//! wait for each other: while the server takes one, the next is encoded. It guarantees that the
//! records of a partition stay together and in their order. Nothing here outlives the call.

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;

/// A portion ends with the partition that brings it to so many records: few enough that the server
/// has something to do soon, and enough that an append costs little beside them.
const RECORDS: usize = 200;

/// Where a record goes, and its place among the records. Ordered by partition, and within one as
/// the records were given; one number of both, which is sorted faster than a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Destination(u64);

impl Destination {
    fn new(partition: u32, place: u32) -> Self {
        Self(u64::from(partition) << u32::BITS | u64::from(place))
    }

    fn partition(self) -> u64 {
        self.0 >> u32::BITS
    }

    fn place(self) -> usize {
        let [a, b, c, d, ..] = self.0.to_le_bytes();
        u32::from_le_bytes([a, b, c, d]) as usize
    }
}

/// Sends records in portions: `partitions` says of each where it goes, and `send` gets the places
/// of a portion and answers for each of them. The answers are in the order of `partitions`, with
/// none where `send` has answered for too few.
pub(crate) async fn send_in_portions<A, Sent: Future<Output = Vec<A>>>(
    partitions: &[u32],
    send: impl Fn(Vec<usize>) -> Sent,
) -> Vec<Option<A>> {
    // There are at most as many records as a chunk has, far fewer than there are numbers.
    let destinations = (0_u32..).zip(partitions);
    let mut destinations: Vec<Destination> = destinations
        .map(|(place, partition)| Destination::new(*partition, place))
        .collect();
    destinations.sort_unstable();
    let sent = portions(&destinations).map(|portion| {
        let sent = send(portion.iter().map(|it| it.place()).collect());
        async move { (portion, sent.await) }
    });
    // All of them are polled in turn before any is waited for.
    let mut under_way: FuturesUnordered<_> = sent.collect();
    let mut answers: Vec<Option<A>> = partitions.iter().map(|_| None).collect();
    while let Some((portion, sent)) = under_way.next().await {
        for (destination, answer) in portion.iter().zip(sent) {
            if let Some(slot) = answers.get_mut(destination.place()) {
                *slot = Some(answer);
            }
        }
    }
    answers
}

/// The portions of sorted destinations.
fn portions(destinations: &[Destination]) -> impl Iterator<Item = &[Destination]> {
    let mut rest = destinations;
    std::iter::from_fn(move || {
        let in_partitions = rest.chunk_by(|one, next| one.partition() == next.partition());
        let mut len = 0;
        for of_partition in in_partitions {
            len += of_partition.len();
            if len >= RECORDS {
                break;
            }
        }
        let (portion, later) = rest.split_at_checked(len)?;
        rest = later;
        (!portion.is_empty()).then_some(portion)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn a_portion_has_all_records_of_its_partitions_in_their_order() {
        let partitions: Vec<u32> = (0..1_000).map(|place| place % 16).collect();
        let portions = Mutex::new(Vec::new());
        let answers = send_in_portions(&partitions, |places| {
            portions.lock().unwrap().push(places.clone());
            async { places }
        })
        .await;
        let expected: Vec<Option<usize>> = (0..1_000).map(Some).collect();
        assert_eq!(answers, expected);

        let portions = portions.into_inner().unwrap();
        assert!(portions.len() > 2, "{portions:?}");
        let (_, but_last) = portions.split_last().unwrap();
        assert!(but_last.iter().all(|portion| portion.len() >= RECORDS));
        let of = |partition: u32| {
            let whole = |portion: &&Vec<usize>| {
                let is_of = |place: &&usize| partitions[**place] == partition;
                portion.iter().filter(is_of).count() > 0
            };
            portions.iter().filter(whole).collect::<Vec<_>>()
        };
        for partition in 0..16 {
            let [portion] = of(partition)[..] else {
                panic!("partition {partition} is in several portions: {portions:?}");
            };
            let places = portion
                .iter()
                .filter(|place| partitions[**place] == partition);
            assert!(places.is_sorted());
        }
    }

    #[tokio::test]
    async fn what_goes_to_one_partition_is_one_portion_and_nothing_is_none() {
        let answers = send_in_portions(&[7; 1_000], async |places| vec![places.len(); 1_000]);
        assert_eq!(answers.await, [Some(1_000); 1_000]);
        let answers = send_in_portions(&[], async |_| vec![()]).await;
        assert!(answers.is_empty());
    }
}
