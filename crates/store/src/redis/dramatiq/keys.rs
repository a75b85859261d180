//! The keys of Dramatiq's queues, byte for byte; `docs/keys.md` says of each what it is.

use crate::dramatiq::{BrokerId, Lane, QueueName};

/// Builds the keys of one namespace.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    namespace: String,
}

impl Keys {
    pub(super) fn new(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
        }
    }

    /// The ids of a queue's messages.
    pub(super) fn list(&self, queue: &QueueName, lane: Lane) -> String {
        format!("{}:{queue}{}", self.namespace, suffix(lane))
    }

    /// The messages of a queue.
    pub(super) fn messages(&self, queue: &QueueName, lane: Lane) -> String {
        self.list(queue, lane) + ".msgs"
    }

    /// What a broker has in hand of a queue.
    pub(super) fn hands(&self, broker: &BrokerId, queue: &QueueName, lane: Lane) -> String {
        format!(
            "{}{}.{queue}{}",
            self.hands_of_all(),
            broker.as_str(),
            suffix(lane)
        )
    }

    /// What stands before a broker's id in the keys of what it has in hand.
    pub(super) fn hands_of_all(&self) -> String {
        format!("{}:__acks__.", self.namespace)
    }

    /// The signs of life of all brokers.
    pub(super) fn heartbeats(&self) -> String {
        format!("{}:__heartbeats__", self.namespace)
    }

    /// The ids of a queue's dead letters.
    pub(super) fn dead(&self, queue: &QueueName) -> String {
        format!("{}:{queue}.XQ", self.namespace)
    }

    /// The dead letters themselves.
    pub(super) fn dead_messages(&self, queue: &QueueName) -> String {
        self.dead(queue) + ".msgs"
    }

    /// Why they are dead; Dramatiq knows no such key.
    pub(super) fn dead_reasons(&self, queue: &QueueName) -> String {
        self.dead(queue) + ".reasons"
    }

    /// The index of delayed messages; Dramatiq knows no such key.
    pub(super) fn due(&self, queue: &QueueName) -> String {
        self.list(queue, Lane::Delayed) + ".due"
    }
}

fn suffix(lane: Lane) -> &'static str {
    match lane {
        Lane::Ready => "",
        Lane::Delayed => ".DQ",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_dramatiqs() {
        let keys = Keys::new("dramatiq");
        let queue = QueueName::new("default").unwrap();
        let broker = BrokerId::of("b");
        assert_eq!(keys.list(&queue, Lane::Ready), "dramatiq:default");
        assert_eq!(keys.list(&queue, Lane::Delayed), "dramatiq:default.DQ");
        assert_eq!(keys.messages(&queue, Lane::Ready), "dramatiq:default.msgs");
        assert_eq!(
            keys.messages(&queue, Lane::Delayed),
            "dramatiq:default.DQ.msgs"
        );
        assert_eq!(
            keys.hands(&broker, &queue, Lane::Delayed),
            "dramatiq:__acks__.b.default.DQ"
        );
        assert_eq!(keys.heartbeats(), "dramatiq:__heartbeats__");
        assert_eq!(keys.dead(&queue), "dramatiq:default.XQ");
        assert_eq!(keys.dead_messages(&queue), "dramatiq:default.XQ.msgs");
    }
}
