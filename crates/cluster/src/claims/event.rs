//! What can happen in the random [`World`](super::world::World).

use proptest::prelude::*;
use proptest::sample::Index;

use super::world::{PARTITIONS, WORKERS};

#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// Time passes.
    Pass { ms: u64 },
    /// A worker starts a renewal or a survey.
    Ask { worker: usize, renew: bool },
    /// The store carries out a call.
    CarryOut { worker: usize, flight: Index },
    /// A worker hears the answer to a call.
    Deliver { worker: usize, flight: Index },
    /// A worker hears that a call has failed, whether it was carried out or not.
    Fail { worker: usize, flight: Index },
    /// The store carries out a call that was reported as failed.
    Haunt { ghost: Index },
    /// An owner stops.
    HandBack { worker: usize, index: u32 },
    /// A worker stops for ever.
    Die { worker: usize },
}

pub(crate) fn any_event() -> impl Strategy<Value = Event> {
    let (worker, flight) = (0..WORKERS, any::<Index>);
    prop_oneof![
        3 => (1_u64..3000).prop_map(|ms| Event::Pass { ms }),
        8 => (worker.clone(), any::<bool>()).prop_map(|(worker, renew)| Event::Ask { worker, renew }),
        12 => (worker.clone(), flight()).prop_map(|(worker, flight)| Event::CarryOut { worker, flight }),
        12 => (worker.clone(), flight()).prop_map(|(worker, flight)| Event::Deliver { worker, flight }),
        2 => (worker.clone(), flight()).prop_map(|(worker, flight)| Event::Fail { worker, flight }),
        1 => flight().prop_map(|ghost| Event::Haunt { ghost }),
        4 => (worker.clone(), 0..PARTITIONS).prop_map(|(worker, index)| Event::HandBack { worker, index }),
        // The last worker lives.
        1 => (0..WORKERS - 1).prop_map(|worker| Event::Die { worker }),
    ]
}
