//! The feed: numbered steps of many keys, each sent once whatever happens to the store.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tidegate_store::Durability;
use tidegate_streams::{Outgoing, Sender, StreamSpec};

use crate::effects;
use crate::site::{SOON, Site};
use crate::worker::{Step, spec};

/// How many keys the steps are of.
pub(crate) const KEYS: u64 = 200;
/// How many steps may be sent and without effect while a feed flows.
const BACKLOG_MAX: u64 = 10_000;
/// How many steps are sent at once.
const CHUNK: u64 = 1_000;
/// The pause before the store, or the table of the effects, is asked again.
const PAUSE: Duration = Duration::from_millis(20);

/// Sends the next steps.
pub(crate) struct Feed {
    sender: Sender<Step>,
    client: Arc<tokio_postgres::Client>,
    pub(crate) sent: u64,
    /// The steps that were sent more than once, as their sender did not hear of the first time.
    pub(crate) resent: BTreeSet<Step>,
    confirmed: Confirmed,
}

/// When the latest chunk began of which everything is confirmed. It goes to all partitions, so
/// whatever their masters had done before is where the sender wants it as well.
#[derive(Clone)]
pub(crate) struct Confirmed(Arc<Mutex<SystemTime>>);

impl Confirmed {
    pub(crate) fn latest(&self) -> SystemTime {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, began: SystemTime) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = began;
    }
}

impl Feed {
    pub(crate) fn new(site: &Site) -> Self {
        Self::with(site, spec())
    }

    /// One that takes a step for sent when a replica has it, and not before.
    pub(crate) fn durable(site: &Site) -> Self {
        let mut spec = spec();
        spec.append.durability = Durability::Replicated { replicas: 1 };
        Self::with(site, spec)
    }

    fn with(site: &Site, spec: StreamSpec) -> Self {
        Self {
            sender: Sender::new(site.store.clone(), spec).unwrap(),
            client: site.client.clone(),
            sent: 0,
            resent: BTreeSet::new(),
            confirmed: Confirmed(Arc::new(Mutex::new(SystemTime::now()))),
        }
    }

    pub(crate) fn confirmed(&self) -> Confirmed {
        self.confirmed.clone()
    }

    /// Sends the next `count` steps. What the store did not answer is sent again under the same
    /// request id, which it knows.
    pub(crate) async fn send(&mut self, count: u64) {
        let steps = (self.sent..self.sent + count).map(|nth| Step {
            key: (nth % KEYS).to_string(),
            number: nth / KEYS,
        });
        let mut steps: Vec<Step> = steps.collect();
        self.sent += count;
        let (began, began_at) = (Instant::now(), SystemTime::now());
        while !steps.is_empty() {
            let outgoing = steps.iter().map(|step| Outgoing {
                record: step.clone(),
                request_id: Some(format!("{}:{}", step.key, step.number).into()),
                trace: None,
            });
            let answers = self.sender.send_each(outgoing.collect()).await;
            let mut answers = answers.into_iter();
            let mut failure = None;
            steps.retain(|_| match answers.next().expect("an answer for each") {
                Ok(_) => false,
                Err(error) => {
                    failure.get_or_insert(error);
                    true
                }
            });
            if let Some(error) = failure {
                assert!(began.elapsed() < SOON, "not sent: {error}");
                self.resent.extend(steps.iter().cloned());
                tokio::time::sleep(PAUSE).await;
            }
        }
        self.confirmed.set(began_at);
    }

    /// Sends steps until it is enough, not much faster than they take effect.
    pub(crate) async fn flow(mut self, is_enough: impl Fn(u64) -> bool + Send) -> Self {
        while !is_enough(self.sent) {
            self.send(CHUNK).await;
            let began = Instant::now();
            while effects::count(&self.client).await + BACKLOG_MAX < self.sent {
                assert!(began.elapsed() < SOON, "steps don't take effect");
                tokio::time::sleep(PAUSE).await;
            }
        }
        self
    }
}
