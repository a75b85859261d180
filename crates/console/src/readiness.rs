//! Readiness: whether what the process depends on answers, asked now.
//!
//! ```text
//! GET /health/ready ─► a recent answer? ─► else every probe at once, each within its time
//! ```
//!
//! However many ask, each dependency is asked once in `FRESH_FOR`: a load balancer's zeal
//! doesn't become the database's load.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::future::join_all;
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;
use tokio::time::timeout;

/// For how long an answer is given again.
const FRESH_FOR: Duration = Duration::from_secs(1);
/// How long a probe may take; then nothing it would have said is ready.
const PROBE_TIME_MAX: Duration = Duration::from_secs(3);

/// What a probe found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Each dependency, by its name, and whether it answers.
    pub parts: BTreeMap<&'static str, bool>,
    /// What a person should know besides, ready or not.
    pub details: Vec<String>,
}

impl Readiness {
    /// Adds a dependency.
    #[must_use]
    pub fn with(mut self, name: &'static str, answers: bool) -> Self {
        self.parts.insert(name, answers);
        self
    }

    /// Adds what a person should know.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.details.push(detail.into());
        self
    }

    /// Whether all dependencies answer.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.parts.values().all(|answers| *answers)
    }

    fn to_json(&self) -> Value {
        let mut object: Map<String, Value> = self
            .parts
            .iter()
            .map(|(name, answers)| ((*name).to_owned(), json!(answers)))
            .collect();
        if !self.details.is_empty() {
            object.insert("details".to_owned(), json!(self.details));
        }
        Value::Object(object)
    }
}

/// Knows whether something that the process depends on answers.
#[async_trait]
pub trait Probe: fmt::Debug + Send + Sync {
    /// The names of the dependencies, for when there is no answer in time.
    fn parts(&self) -> &[&'static str];

    /// Asks.
    async fn probe(&self) -> Readiness;
}

/// All probes of a process, with what they last said.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    /// Of the process itself, or of each tenant.
    pub(crate) alone: Option<Arc<dyn Probe>>,
    pub(crate) by_tenant: BTreeMap<String, Arc<dyn Probe>>,
    last: Mutex<Option<(Instant, bool, Value)>>,
}

impl Probes {
    /// Whether everything is ready, and the answer in full.
    pub(crate) async fn ask(&self) -> (bool, Value) {
        // Held while asking, so that those who come meanwhile share the answer.
        let mut last = self.last.lock().await;
        if let Some((at, is_ready, body)) = &*last
            && at.elapsed() < FRESH_FOR
        {
            return (*is_ready, body.clone());
        }
        let (is_ready, body) = self.ask_now().await;
        *last = Some((Instant::now(), is_ready, body.clone()));
        (is_ready, body)
    }

    async fn ask_now(&self) -> (bool, Value) {
        let mut is_ready = true;
        let mut body = json!({});
        if let Some(probe) = &self.alone {
            let found = within_time(&**probe).await;
            is_ready &= found.is_ready();
            body = found.to_json();
        }
        let tenants = self.by_tenant.values().map(|probe| within_time(&**probe));
        for (tenant, found) in self.by_tenant.keys().zip(join_all(tenants).await) {
            is_ready &= found.is_ready();
            if let Some(object) = body.as_object_mut() {
                object.insert(tenant.clone(), found.to_json());
            }
        }
        (is_ready, body)
    }
}

async fn within_time(probe: &dyn Probe) -> Readiness {
    match timeout(PROBE_TIME_MAX, probe.probe()).await {
        Ok(found) => found,
        Err(_elapsed) => {
            let silent = Readiness::default().with_detail("no answer in time");
            let parts = probe.parts().iter();
            parts.fold(silent, |found, name| found.with(name, false))
        }
    }
}
