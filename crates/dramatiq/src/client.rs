//! Sends messages: alone, delayed, in pipelines and in groups; and asks for results.

use std::sync::Arc;
use std::time::Duration;

use tidegate_store::dramatiq::{Broker, Outgoing, QueueName};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::json::Json;
use crate::message::Message;
use crate::options::{GROUP_COMPLETION_CALLBACKS, GROUP_COMPLETION_UUID, PIPE_TARGET};
use crate::outcome::outgoing;
use crate::results::{Outcome, ResultKeys};
use crate::worker::now_ms;

/// How long a group's barrier is kept at first.
const BARRIER_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// What sends messages.
#[derive(Clone, Debug)]
pub struct Client {
    broker: Arc<Broker>,
    result_keys: ResultKeys,
}

impl Client {
    /// A client of a broker, whose results have Dramatiq's usual keys.
    #[must_use]
    pub fn new(broker: Arc<Broker>) -> Self {
        Self {
            broker,
            result_keys: ResultKeys::default(),
        }
    }

    /// This client, for results with other keys.
    #[must_use]
    pub fn result_keys(mut self, result_keys: ResultKeys) -> Self {
        self.result_keys = result_keys;
        self
    }

    /// Sends messages, each into the queue that it names, in this order.
    ///
    /// # Errors
    /// [`Error::Unsendable`] for a message that names no queue, and then none is sent; otherwise what the store
    /// says: then it is not known which are there.
    pub async fn send(&self, messages: impl IntoIterator<Item = Message>) -> Result<()> {
        self.send_after(messages, None).await
    }

    /// Sends messages that are due after `delay`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn send_delayed(
        &self,
        messages: impl IntoIterator<Item = Message>,
        delay: Duration,
    ) -> Result<()> {
        let delay_ms = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
        self.send_after(messages, Some(delay_ms)).await
    }

    async fn send_after(
        &self,
        messages: impl IntoIterator<Item = Message>,
        delay_ms: Option<i64>,
    ) -> Result<()> {
        let now_ms = now_ms();
        let messages = messages.into_iter();
        let outgoing = messages.map(|it| outgoing(it, delay_ms, now_ms).map_err(Error::Unsendable));
        let outgoing: Vec<Outgoing> = outgoing.collect::<Result<_>>()?;
        Ok(self.broker.enqueue(&outgoing).await?)
    }

    /// Sends a pipeline: each message gets the result of the one before as its last argument. Returns
    /// the last one, whose result is the pipeline's.
    ///
    /// # Errors
    /// As [`Client::send`], and [`Error::Unsendable`] for a pipeline without messages.
    pub async fn send_pipeline(&self, messages: Vec<Message>) -> Result<Message> {
        let last = messages.last().cloned();
        let last = last.ok_or_else(|| Error::Unsendable("a pipeline without messages".into()))?;
        let chained = messages.into_iter().rev().reduce(|next, mut message| {
            message.options.set(PIPE_TARGET, next.to_json());
            message
        });
        self.send(chained).await?;
        Ok(last)
    }

    /// Sends a group: when all its messages are done, the callbacks are enqueued, once.
    ///
    /// # Errors
    /// As [`Client::send`], and [`Error::Unsendable`] for a group without messages.
    pub async fn send_group(&self, messages: Vec<Message>, callbacks: &[Message]) -> Result<()> {
        if messages.is_empty() {
            return Err(Error::Unsendable("a group without messages".into()));
        }
        if callbacks.is_empty() {
            return self.send(messages).await;
        }
        let barrier = Uuid::new_v4().to_string();
        let members = u64::try_from(messages.len()).unwrap_or(u64::MAX);
        self.broker
            .create_barrier(&barrier, members, BARRIER_LIFETIME)
            .await?;
        let callbacks: Vec<Json> = callbacks.iter().map(Message::to_json).collect();
        let (barrier, callbacks) = (Json::text(&barrier), Json::list(&callbacks));
        let members = messages.into_iter().map(|mut message| {
            let options = &mut message.options;
            options.set(GROUP_COMPLETION_UUID, barrier.clone());
            options.set(GROUP_COMPLETION_CALLBACKS, callbacks.clone());
            message
        });
        self.send(members).await
    }

    /// What came of a message whose result is kept, or none yet.
    ///
    /// # Errors
    /// What the store says; [`Error::Unreadable`] where something else is kept there.
    pub async fn result(&self, message: &Message) -> Result<Option<Outcome>> {
        let kept = self.broker.result(&self.result_keys.key(message)).await?;
        let outcome = kept.map(|body| Outcome::read(&body)).transpose();
        outcome.map_err(|source| Error::Unreadable(source.to_string()))
    }

    /// A new message for an actor, with arguments by position.
    ///
    /// # Errors
    /// [`Error::Unsendable`] for arguments that are no JSON list.
    pub fn message(
        &self,
        queue: &QueueName,
        actor: &str,
        args: &impl serde::Serialize,
    ) -> Result<Message> {
        let args = Json::of(args).map_err(|source| Error::Unsendable(source.to_string()))?;
        if args.elements().is_none() {
            return Err(Error::Unsendable(format!(
                "the arguments {args} are no list"
            )));
        }
        let kwargs = Json::empty_object();
        Ok(Message::new(queue, actor, args, kwargs, now_ms()))
    }
}
