//! Persistence: a call to the store is made again until it is answered.
//!
//! While the store is away an owner waits here, with growing pauses; the ownership tells it when
//! its lease can't be trusted any more, and then the waiting is dropped. (Of the outage itself the
//! ownership speaks, once.) If the process dies here, the call took effect or it did not.

use std::time::Duration;

use tidegate_store::Result;
use tracing::debug;

/// The first pause after a failure.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// The longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Makes a call until the store answers it, with success or with a refusal.
pub(crate) async fn persist<T, Fut>(mut call: impl FnMut() -> Fut) -> Result<T>
where
    Fut: Future<Output = Result<T>>,
{
    let mut pauses = Pauses::default();
    loop {
        match call().await {
            Err(error) if error.is_transient() => {
                debug!(%error, "a partition waits for the store");
                pauses.pause().await;
            }
            answer => return answer,
        }
    }
}

/// Pauses that grow.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    count: u32,
}

impl Pauses {
    /// Begins again with the shortest.
    pub(crate) fn reset(&mut self) {
        self.count = 0;
    }

    /// Waits for longer than the last time.
    pub(crate) async fn pause(&mut self) {
        let pause = PAUSE_MIN.saturating_mul(2_u32.saturating_pow(self.count));
        self.count = self.count.saturating_add(1);
        tokio::time::sleep(pause.min(PAUSE_MAX)).await;
    }
}
