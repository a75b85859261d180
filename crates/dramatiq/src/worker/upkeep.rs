//! Signs of life, and what dead brokers had in hand.
//!
//! The beats have a task to themselves: a recovery that takes long must not let this worker be taken
//! for dead.

use std::sync::Arc;
use std::time::Duration;

use tidegate_store::Result;
use tidegate_store::dramatiq::{Lane, QueueName};
use tokio::time::{MissedTickBehavior, interval};

use super::Shared;

/// How many beats there are in the time after which one is taken for dead.
const BEATS: u32 = 4;

/// Beats for ever.
pub(super) async fn beat(shared: Arc<Shared>) {
    let mut ticks = ticks(&shared);
    loop {
        ticks.tick().await;
        if let Err(error) = shared.broker.beat().await {
            tracing::warn!(%error, "no sign of life could be given");
        }
    }
}

/// Recovers for ever.
pub(super) async fn recover(shared: Arc<Shared>, queues: Vec<QueueName>) {
    let mut ticks = ticks(&shared);
    loop {
        ticks.tick().await;
        if let Err(error) = recover_once(&shared, &queues).await {
            tracing::warn!(%error, "dead brokers could not be looked for");
        }
    }
}

async fn recover_once(shared: &Shared, queues: &[QueueName]) -> Result<()> {
    let broker = &shared.broker;
    let dead = broker.beat().await?;
    for dead in &dead {
        for queue in queues {
            for lane in [Lane::Ready, Lane::Delayed] {
                let recovered = broker.recover(queue, lane, dead).await?;
                if recovered > 0 {
                    tracing::info!(broker = dead.as_str(), %queue, recovered,
                        "a dead broker's messages are back in their queue");
                }
            }
        }
    }
    broker.forget(&dead).await?;
    for queue in queues {
        broker.expire_dead_letters(queue).await?;
    }
    Ok(())
}

fn ticks(shared: &Shared) -> tokio::time::Interval {
    let period = shared.broker.options().heartbeat_timeout / BEATS;
    let mut ticks = interval(period.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
