//! Waiting for a condition with a deadline: the testkit's only substitute for a sleep.

use std::panic::Location;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::Error;

/// The pause between two probes: short beside a server's start, long beside a probe's cost.
pub(crate) const PROBE_INTERVAL: Duration = Duration::from_millis(5);

/// Waits until `condition` is true, and asks it every few milliseconds until then.
///
/// The condition is asked at least once, and once more when the deadline has passed, so that a
/// machine under load does not fail a test whose condition is long since true.
///
/// # Errors
///
/// [`Error::ConditionNotMet`], with the file and line of the caller, after `deadline`.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use tidegate_testkit::poll_until;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tidegate_testkit::Error> {
/// let task = tokio::spawn(async { 7 });
/// poll_until(Duration::from_secs(5), async || task.is_finished()).await?;
/// # Ok(())
/// # }
/// ```
#[track_caller]
pub fn poll_until<Condition>(
    deadline: Duration,
    mut condition: Condition,
) -> impl Future<Output = Result<(), Error>>
where
    Condition: AsyncFnMut() -> bool,
{
    let location = Location::caller();
    async move {
        let end = Instant::now() + deadline;
        loop {
            // Taken before the probe: a probe that itself outlasts the deadline gets a last word.
            let last = Instant::now() >= end;
            if condition().await {
                return Ok(());
            }
            if last {
                return Err(Error::ConditionNotMet {
                    location,
                    within: deadline,
                });
            }
            sleep(PROBE_INTERVAL).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn returns_as_soon_as_the_condition_is_true() {
        let mut asked = 0;
        poll_until(Duration::from_secs(60), async || {
            asked += 1;
            asked == 3
        })
        .await
        .unwrap();
        assert_eq!(asked, 3);
    }

    #[tokio::test]
    async fn a_timeout_names_the_caller() {
        let error = poll_until(Duration::from_millis(1), async || false)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("deadline.rs"), "{error}");
    }
}
