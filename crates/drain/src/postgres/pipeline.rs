//! A pipeline: requests sent one behind the other before the first answer is awaited.
//!
//! The server runs them in the order in which they were sent. When one fails, the transaction is
//! aborted and all later ones fail because of it, so the first error is the one to believe.
//!
//! The driver reads no further while an answer has pieces that nobody takes. So whoever awaits
//! something else on the connection does it [`beside`](Pipeline::beside) the pipeline, which takes
//! the answers meanwhile; otherwise both would wait for ever.
//!
//! It must be used inside of a transaction that is known to have begun: outside of one, each
//! request would be a transaction of its own.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use futures::poll;

/// The answer to come: how many rows the statement wrote.
type Answer<'a> = Pin<Box<dyn Future<Output = Result<u64, tokio_postgres::Error>> + Send + 'a>>;

/// Requests on their way.
#[derive(Default)]
pub(super) struct Pipeline<'a> {
    sent: VecDeque<(Request, Sent<'a>)>,
}

/// Which request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// One that frames the steps: a savepoint, the constraints.
    Frame,
    /// One that writes a step, or a part of it.
    Write {
        /// The step.
        step: usize,
        /// The change at this place of the step; none where it writes all of them.
        change: Option<usize>,
        /// How many rows the request must write to be taken for done.
        rows_min: u64,
    },
}

enum Sent<'a> {
    Awaited(Answer<'a>),
    Answered(Result<u64, tokio_postgres::Error>),
}

/// Requests whose answers fell short.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// Which of them, as step and change.
    pub(super) short: Vec<(usize, Option<usize>)>,
}

impl<'a> Pipeline<'a> {
    /// Sends a request behind the others.
    pub(super) async fn send(
        &mut self,
        request: Request,
        answer: impl Future<Output = Result<u64, tokio_postgres::Error>> + Send + 'a,
    ) {
        let mut answer: Answer<'a> = Box::pin(answer);
        // The first poll of the driver's futures puts the request into the connection's queue.
        let sent = match poll!(&mut answer) {
            Poll::Ready(answer) => Sent::Answered(answer),
            Poll::Pending => Sent::Awaited(answer),
        };
        self.sent.push_back((request, sent));
    }

    /// Awaits something else on the same connection, and takes the answers that come meanwhile.
    pub(super) async fn beside<T>(&mut self, other: impl Future<Output = T>) -> T {
        let mut other = pin!(other);
        poll_fn(|context| {
            let output = other.as_mut().poll(context);
            if output.is_pending() {
                self.take_answers(context);
            }
            output
        })
        .await
    }

    /// Takes what is answered by now. The server answers in order, so the first request without an
    /// answer is the one whose pieces come next.
    fn take_answers(&mut self, context: &mut Context<'_>) {
        for (_, sent) in &mut self.sent {
            if let Sent::Awaited(answer) = sent {
                match answer.as_mut().poll(context) {
                    Poll::Ready(answer) => *sent = Sent::Answered(answer),
                    Poll::Pending => return,
                }
            }
        }
    }

    /// Whether steps are on their way.
    pub(super) fn has_writes(&self) -> bool {
        self.sent
            .iter()
            .any(|(request, _)| *request != Request::Frame)
    }

    /// Awaits all answers. The error is the first one, with its request.
    pub(super) async fn settle(&mut self) -> Result<Answers, (Request, tokio_postgres::Error)> {
        let mut answers = Answers::default();
        let mut first_error = None;
        while let Some((request, sent)) = self.sent.pop_front() {
            let answer = match sent {
                Sent::Awaited(answer) => answer.await,
                Sent::Answered(answer) => answer,
            };
            match (answer, request) {
                (Err(error), _) => first_error = first_error.or(Some((request, error))),
                (
                    Ok(rows),
                    Request::Write {
                        step,
                        change,
                        rows_min,
                    },
                ) if rows < rows_min => {
                    answers.short.push((step, change));
                }
                (Ok(_), _) => {}
            }
        }
        first_error.map_or(Ok(answers), Err)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::channel::oneshot;

    use super::*;

    /// A driver that hands out no other answer before the first one is taken.
    #[test]
    fn answers_are_taken_while_something_else_is_awaited() {
        let (piece, first) = oneshot::channel::<u64>();
        let (taken, second) = oneshot::channel::<u64>();
        let mut pipeline = Pipeline::default();
        let answer = async move {
            let rows = first.await.unwrap_or(0);
            taken.send(rows).ok();
            Ok(rows)
        };
        let sent = pipeline.send(Request::Frame, answer).now_or_never();
        assert!(sent.is_some(), "sending waits for nothing");
        piece.send(1).ok();
        let other = pipeline.beside(second).now_or_never();
        assert_eq!(other, Some(Ok(1)));
        let answers = pipeline.settle().now_or_never();
        assert!(answers.is_some_and(|answers| answers.is_ok()));
    }
}
