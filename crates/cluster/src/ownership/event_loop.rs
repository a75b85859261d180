//! How an [`Ownership`] runs: it waits for the first of all things that can happen, takes it up,
//! and does what has become due.
//!
//! One task owns everything here: the claims, the calls under way, and the tokens of the owners.
//! It never awaits one call or one owner but all of them at once, so that a slow one holds up no
//! other. It guarantees a look at the clock after everything it hears, so that the trust in a
//! lease ends in time. If the process dies here, or the future is dropped, the owners hear that
//! their leases are lost, and the leases end by themselves.

use std::future::pending;

use tidegate_store::Epoch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{Farewell, Ownership, Phase};
use crate::Result;
use crate::calls::Answer;
use crate::claims::Step;
use crate::owned_lease::HandedBack;

/// What the loop has waited for.
enum Heard {
    Shutdown,
    Hurry,
    HandedBack(HandedBack),
    Answer(Answer),
    Time,
}

impl Ownership {
    /// Shares the partitions until `shutdown`, then asks all owners to hand back, waits for them
    /// up to [`Options::release_grace`](crate::Options::release_grace), releases the leases and leaves the group;
    /// a [static member](Self::as_static_member) does neither of these two.
    ///
    /// While the store is unavailable it waits for it, however long that takes. Dropping the
    /// future tells all owners that their leases are lost, and leaves the leases to their end.
    ///
    /// # Errors
    /// [`Error::Store`](crate::Error::Store) when the store refuses a call; every owner has then been told that its
    /// lease is lost.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<()> {
        loop {
            self.advance(Instant::now());
            if self.is_over() {
                return Ok(());
            }
            let heard = self.listen(&shutdown).await;
            let now = Instant::now();
            match heard {
                Heard::Shutdown => {
                    let grace_ends_at = now.checked_add(self.release_grace);
                    let farewell = Farewell {
                        is_due: !self.is_static,
                        is_in_flight: false,
                    };
                    self.phase = Phase::Stopping {
                        grace_ends_at,
                        farewell,
                    };
                    self.claims.stop();
                }
                Heard::Hurry => {
                    self.unsettled_looks = 0;
                    self.survey.hurry(now);
                }
                Heard::HandedBack(HandedBack { index, epoch }) => {
                    self.claims.handed_back(index, epoch);
                }
                Heard::Answer(answer) => self.observe(answer, now)?,
                Heard::Time => {}
            }
        }
    }

    async fn listen(&mut self, shutdown: &CancellationToken) -> Heard {
        let sharing = self.phase == Phase::Sharing;
        let wake_at = self.wake_at();
        let alarm = async move {
            match wake_at {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        };
        let listener = self.owners.listener();
        tokio::select! {
            () = shutdown.cancelled(), if sharing => Heard::Shutdown,
            () = listener.closed(), if sharing => Heard::Shutdown,
            () = self.hurry.notified(), if sharing => Heard::Hurry,
            Some(handed_back) = self.owners.next_handed_back() => Heard::HandedBack(handed_back),
            Some(answer) = self.calls.next() => Heard::Answer(answer),
            () = alarm => Heard::Time,
        }
    }

    fn wake_at(&self) -> Option<Instant> {
        let phase = match self.phase {
            Phase::Sharing => self.survey.wake_at(),
            Phase::Stopping { grace_ends_at, .. } => grace_ends_at,
        };
        [self.claims.trusted_until(), self.renewal.wake_at(), phase]
            .into_iter()
            .flatten()
            .min()
    }

    fn is_over(&self) -> bool {
        let left = match self.phase {
            Phase::Sharing => false,
            Phase::Stopping { farewell, .. } => !farewell.is_due && !farewell.is_in_flight,
        };
        left && self.claims.is_empty()
    }

    /// Does what is due at `now`.
    fn advance(&mut self, now: Instant) {
        self.claims.expire(now);
        match &mut self.phase {
            Phase::Sharing => {
                if self.survey.try_start(now) {
                    self.calls.survey(self.beat_due_at <= now, now);
                }
            }
            Phase::Stopping {
                grace_ends_at,
                farewell,
            } => {
                // The others can take a partition as soon as its owner is done with it, when they
                // no longer count on this worker. A beat under way would say the contrary, and so
                // would a lease that is still on its way back.
                let is_silent = !self.survey.is_in_flight() && !self.claims.is_releasing();
                if farewell.is_due && !farewell.is_in_flight && is_silent {
                    *farewell = Farewell {
                        is_due: false,
                        is_in_flight: true,
                    };
                    self.calls.leave();
                }
                if grace_ends_at.is_some_and(|grace_ends_at| grace_ends_at <= now) {
                    *grace_ends_at = None;
                    self.claims.abandon();
                }
            }
        }
        if self.renewal.try_start(now) {
            let held = self.claims.held();
            if held.is_empty() {
                self.renewal.succeeded(now + self.timing.renewal_pause());
            } else {
                self.calls.renew(held, now);
            }
        }
        for step in self.claims.take_steps() {
            self.perform(step, now);
        }
    }

    fn perform(&mut self, step: Step, now: Instant) {
        match step {
            Step::Acquire(index) => self.calls.acquire(index, Epoch(0), now),
            Step::TakeAgain(index, epoch) => self.calls.acquire(index, epoch, now),
            Step::HandOver(lease) => {
                debug!(partition = %lease.partition, epoch = %lease.epoch, "acquired");
                self.owners.hand_over(lease);
            }
            Step::RequestRelease(index) => self.owners.request_release(index),
            Step::Lose(lease) => {
                warn!(partition = %lease.partition, epoch = %lease.epoch, "lease lost");
                self.owners.lose(lease.partition.index);
                self.survey.hurry(now + self.timing.survey_pause(false));
            }
            Step::Release(lease) => {
                debug!(partition = %lease.partition, epoch = %lease.epoch, "releasing");
                self.calls.release(lease);
                self.survey.hurry(now + self.timing.survey_pause(false));
            }
        }
    }

    /// Takes up what the store has answered.
    fn observe(&mut self, answer: Answer, now: Instant) -> Result<()> {
        match answer {
            Answer::Surveyed {
                with_beat,
                sent_at,
                view,
            } => {
                let Some(view) = self.judge(view, now)? else {
                    self.survey.failed(now);
                    return Ok(());
                };
                if with_beat {
                    self.beat_due_at = sent_at + self.timing.renewal_pause();
                }
                let pause = if self.claims.surveyed(view) {
                    self.unsettled_looks = 0;
                    self.timing.survey_pause(true)
                } else {
                    self.unsettled_looks = self.unsettled_looks.saturating_add(1);
                    self.timing.unsettled_pause(self.unsettled_looks)
                };
                self.survey.succeeded(now + pause);
            }
            Answer::Renewed {
                leases,
                sent_at,
                still_held,
            } => {
                let Some(still_held) = self.judge(still_held, now)? else {
                    self.renewal.failed(now);
                    return Ok(());
                };
                self.claims.renewed(&leases, &still_held, sent_at);
                self.renewal
                    .succeeded(sent_at + self.timing.renewal_pause());
            }
            Answer::Acquired {
                index,
                sent_at,
                lease,
            } => {
                let lease = self.judge(lease, now)?.flatten();
                self.claims.acquired(index, lease, sent_at, now);
            }
            Answer::Released { index, result } => {
                let is_free = self.judge(result, now)?.is_some();
                self.claims.released(index);
                if let Phase::Stopping { farewell, .. } = &mut self.phase {
                    farewell.is_due |= is_free;
                }
            }
            Answer::Left { result } => {
                self.judge(result, now)?;
                if let Phase::Stopping { farewell, .. } = &mut self.phase {
                    farewell.is_in_flight = false;
                }
            }
        }
        Ok(())
    }

    /// Tells apart an answer, an outage that will pass, and a refusal that will not.
    fn judge<T>(&mut self, answer: tidegate_store::Result<T>, now: Instant) -> Result<Option<T>> {
        match answer {
            Ok(answer) => {
                self.outage.over(now);
                Ok(Some(answer))
            }
            Err(error) if error.is_transient() => {
                self.outage.noted(&error, now);
                Ok(None)
            }
            // Only releases of leases that are gone could answer so: there is nothing to do.
            Err(tidegate_store::Error::LeaseLost { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
