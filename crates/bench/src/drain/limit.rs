//! The limit: COPY of the same rows, encoded beforehand, over a few connections at once.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_postgres::Client;

use super::copy::CopyData;
use super::payment::Payment;
use super::run::Run;
use crate::error::Result;
use crate::servers;
use crate::usage::{Stopwatch, Usage};

/// How many connections copy at once: as many as keep two cores busy.
pub(super) const CONNECTIONS: u32 = 2;

/// Copies as many rows as the run has operations.
pub(super) async fn run(run: &Run) -> Result<Usage> {
    let mut parts: Vec<(Arc<Client>, CopyData)> = Vec::new();
    for part in 0..u64::from(CONNECTIONS) {
        let client = servers::connect(&run.postgres_url).await?;
        let numbers = (0..run.operations).filter(|number| number % u64::from(CONNECTIONS) == part);
        parts.push((
            Arc::new(client),
            CopyData::encode(numbers.map(Payment::new))?,
        ));
    }
    let watch = Stopwatch::start(run.processes)?;
    let mut copies = JoinSet::new();
    for (client, data) in parts {
        copies.spawn(async move { data.send(&client).await });
    }
    while let Some(copied) = copies.join_next().await {
        copied??;
    }
    watch.stop()
}
