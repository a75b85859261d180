//! Every Redis key of Tidegate is built here, and nowhere else; `docs/keys.md` says of each its
//! type, writer, readers and lifetime.
//!
//! There are two layouts. A drain's stream has the keys of Hyperswitch's drainer, byte for byte,
//! braces included. An app's stream has those of runnel; on a Cluster the part after the prefix
//! is wrapped in a hash tag. In both, all keys of a partition are in one slot of a Cluster, and so
//! are all keys of a group's membership: a script touches one of the two, never both.

use crate::lease::WorkerId;
use crate::stream::{GroupName, Kind, Partition, StreamName};
use crate::task::QueueName;

/// The drain's consumer group. Its lease is the ancestor's own lock, so that Hyperswitch's
/// drainer (`SET <stream>_in_use true NX EX 300`) and Tidegate's never work on a shard together.
const DRAIN_GROUP: &str = "tidegate_drain";

/// Builds the keys for one server, or for one Cluster.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys {
    is_cluster: bool,
}

impl Keys {
    /// The keys for a standalone server, or for a Cluster.
    pub(super) fn new(is_cluster: bool) -> Self {
        Self { is_cluster }
    }

    /// Whether the keys of different partitions may be in different slots.
    pub(super) fn is_cluster(self) -> bool {
        self.is_cluster
    }

    /// The stream that holds a partition's entries.
    pub(super) fn entries(self, partition: &Partition) -> String {
        let Partition { stream, index } = partition;
        match stream.kind() {
            Kind::Sharded { .. } => sharded(partition),
            Kind::OfApp => self.tagged("__strm", &format!("{stream}.{index}"), ""),
            // Never written: there is nothing to read there.
            Kind::Leadership { app } => self.tagged("__strm", app, &index.to_string()),
            Kind::Control(of) => self.tagged("__ctrl", &of.stream, of.group.as_str()),
            Kind::Parked(of) => self.of_partition("__park", &of.stream, &of.group, partition.index),
            Kind::Layout { stream } => self.tagged("__layt", stream, ""),
        }
    }

    /// The lease of a group on a partition: the id of the worker that holds it.
    pub(super) fn lease(self, group: &GroupName, partition: &Partition) -> String {
        match partition.stream.kind() {
            Kind::Sharded { .. } if group.as_str() == DRAIN_GROUP => {
                format!("{}_in_use", sharded(partition))
            }
            Kind::Sharded { .. } => format!("{}_in_use:{group}", sharded(partition)),
            Kind::Leadership { app } => self.tagged("__lead", app, ""),
            _ => self.owned("__lock", group, partition),
        }
    }

    /// The last epoch that was handed out to a group on a partition.
    pub(super) fn epoch(self, group: &GroupName, partition: &Partition) -> String {
        match partition.stream.kind() {
            Kind::Sharded { .. } => format!("{}_epoch:{group}", sharded(partition)),
            _ => self.owned("__epch", group, partition),
        }
    }

    /// The marks of a group on a partition.
    pub(super) fn marks(self, group: &GroupName, partition: &Partition) -> String {
        match partition.stream.kind() {
            Kind::Sharded { .. } => format!("{}_marks:{group}", sharded(partition)),
            _ => self.owned("__mark", group, partition),
        }
    }

    /// Where a group's position is kept within the transaction of a stale owner's fetch.
    pub(super) fn kept(self, group: &GroupName, partition: &Partition) -> String {
        match partition.stream.kind() {
            Kind::Sharded { .. } => format!("{}_kept:{group}", sharded(partition)),
            _ => self.owned("__kept", group, partition),
        }
    }

    /// The members of a group.
    pub(super) fn members(self, stream: &StreamName, group: &GroupName) -> String {
        match members_of(stream) {
            Some(path) => self.tagged("__memb", path, group.as_str()),
            None => {
                let (prefix, name) = sharded_parts(stream);
                format!("{prefix}{{{name}}}_workers:{group}")
            }
        }
    }

    /// What stands before a worker's id in the key of its beat; none where a group has no such
    /// keys.
    pub(super) fn beats(self, stream: &StreamName, group: &GroupName) -> Option<String> {
        let path = members_of(stream)?;
        Some(self.tagged("__beat", path, group.as_str()) + ".")
    }

    /// A worker's sign of life.
    pub(super) fn beat(prefix: &str, worker: WorkerId) -> String {
        format!("{prefix}{worker}")
    }

    /// A key that belongs to a group on a partition of an app. A leadership is the app's, whatever
    /// the group.
    fn owned(self, prefix: &str, group: &GroupName, partition: &Partition) -> String {
        match partition.stream.kind() {
            Kind::Leadership { app } => self.tagged(prefix, app, ""),
            Kind::Control(of) | Kind::Parked(of) => {
                self.of_partition(prefix, &of.stream, group, partition.index)
            }
            Kind::OfApp | Kind::Sharded { .. } | Kind::Layout { .. } => {
                self.of_partition(prefix, partition.stream.as_str(), group, partition.index)
            }
        }
    }

    fn of_partition(self, prefix: &str, stream: &str, group: &GroupName, index: u32) -> String {
        if self.is_cluster {
            format!("{prefix}:{{{stream}.{index}}}.{group}")
        } else {
            format!("{prefix}:{stream}.{group}.{index}")
        }
    }

    /// `<prefix>:<tag>.<rest>`, where the tag alone decides on the slot.
    fn tagged(self, prefix: &str, tag: &str, rest: &str) -> String {
        let dot = if rest.is_empty() { "" } else { "." };
        if self.is_cluster {
            format!("{prefix}:{{{tag}}}{dot}{rest}")
        } else {
            format!("{prefix}:{tag}{dot}{rest}")
        }
    }

    /// A state of this name.
    pub(super) fn state(self, partition: &Partition, name: &str) -> String {
        format!("__state:{}:{name}", self.entries(partition))
    }

    /// Which states of a partition may not be settled yet.
    pub(super) fn unsettled(self, partition: &Partition) -> String {
        format!("__states:{}", self.entries(partition))
    }

    /// The beginning of all keys of a queue of tasks, which decides on their slot. The scripts add
    /// the rest, as `scripts/task/queue.lua` lists it.
    pub(super) fn queue(self, queue: &QueueName) -> String {
        format!("__task:{{{}}}", queue.as_str())
    }

    /// The names of an app's queues. No queue is called so: its name has a dot.
    pub(super) fn queues(self, app: &str) -> String {
        format!("__task:{{{app}}}.queues")
    }

    /// What was appended for a request id. It begins with another prefix than any other key, and
    /// has the hash tag of the partition's entries.
    pub(super) fn sent(self, partition: &Partition, request_id: &[u8]) -> Vec<u8> {
        let entries = self.entries(partition);
        [b"__sent:", entries.as_bytes(), b":", request_id].concat()
    }
}

fn sharded(partition: &Partition) -> String {
    let (prefix, name) = sharded_parts(&partition.stream);
    format!("{prefix}{{shard_{}}}_{name}", partition.index)
}

/// What stands before the keys of a drain's stream, a tenant's prefix and a colon or nothing, and
/// the stream's own name.
fn sharded_parts(stream: &StreamName) -> (String, &str) {
    match stream.kind() {
        Kind::Sharded { name, key_prefix } => {
            let prefix = key_prefix.as_ref().map(|prefix| format!("{prefix}:"));
            (prefix.unwrap_or_default(), name)
        }
        _ => (String::new(), stream.as_str()),
    }
}

/// In runnel's layout, whose members they are: an app's stream's, or those who would lead.
fn members_of(stream: &StreamName) -> Option<&str> {
    match stream.kind() {
        Kind::Sharded { .. } => None,
        Kind::OfApp => Some(stream.as_str()),
        Kind::Leadership { app } => Some(app),
        Kind::Control(of) | Kind::Parked(of) => Some(&of.stream),
        Kind::Layout { stream } => Some(stream),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANDALONE: Keys = Keys { is_cluster: false };
    const CLUSTER: Keys = Keys { is_cluster: true };

    fn group(name: &str) -> GroupName {
        GroupName::new(name).unwrap()
    }

    /// All keys of a group on a partition.
    fn keys_of(keys: Keys, group: &GroupName, partition: &Partition) -> Vec<String> {
        let stream = &partition.stream;
        let worker = WorkerId::new(uuid::Uuid::nil());
        let mut all = vec![
            keys.entries(partition),
            keys.lease(group, partition),
            keys.epoch(group, partition),
            keys.marks(group, partition),
            keys.kept(group, partition),
            keys.members(stream, group),
        ];
        all.extend(keys.beats(stream, group).map(|p| Keys::beat(&p, worker)));
        all.extend(stream.control(group).map(|s| keys.entries(&s.partition(0))));
        all.extend(stream.layout().map(|s| keys.entries(&s.partition(0))));
        all.extend(
            stream
                .parked(group)
                .map(|s| keys.entries(&s.partition(partition.index))),
        );
        all
    }

    #[test]
    fn a_drains_keys_are_the_ancestors() {
        let partition = StreamName::new("DRAINER_STREAM").unwrap().partition(5);
        for keys in [STANDALONE, CLUSTER] {
            assert_eq!(
                keys_of(keys, &group("tidegate_drain"), &partition),
                [
                    "{shard_5}_DRAINER_STREAM",
                    "{shard_5}_DRAINER_STREAM_in_use",
                    "{shard_5}_DRAINER_STREAM_epoch:tidegate_drain",
                    "{shard_5}_DRAINER_STREAM_marks:tidegate_drain",
                    "{shard_5}_DRAINER_STREAM_kept:tidegate_drain",
                    "{DRAINER_STREAM}_workers:tidegate_drain",
                ]
            );
            assert_eq!(
                keys.lease(&group("audit"), &partition),
                "{shard_5}_DRAINER_STREAM_in_use:audit"
            );
        }
    }

    #[test]
    fn a_tenants_keys_have_its_prefix_before_the_hash_tag() {
        let stream = StreamName::prefixed("acme", "DRAINER_STREAM").unwrap();
        for keys in [STANDALONE, CLUSTER] {
            assert_eq!(
                keys_of(keys, &group("tidegate_drain"), &stream.partition(5)),
                [
                    "acme:{shard_5}_DRAINER_STREAM",
                    "acme:{shard_5}_DRAINER_STREAM_in_use",
                    "acme:{shard_5}_DRAINER_STREAM_epoch:tidegate_drain",
                    "acme:{shard_5}_DRAINER_STREAM_marks:tidegate_drain",
                    "acme:{shard_5}_DRAINER_STREAM_kept:tidegate_drain",
                    "acme:{DRAINER_STREAM}_workers:tidegate_drain",
                ]
            );
            assert_eq!(
                keys.sent(&stream.partition(5), b"req"),
                b"__sent:acme:{shard_5}_DRAINER_STREAM:req"
            );
            assert_eq!(
                keys.state(&stream.partition(5), "payment:7"),
                "__state:acme:{shard_5}_DRAINER_STREAM:payment:7"
            );
            assert_eq!(
                keys.unsettled(&stream.partition(5)),
                "__states:acme:{shard_5}_DRAINER_STREAM"
            );
        }
    }

    #[test]
    fn an_apps_keys_are_runnels() {
        let partition = StreamName::of_app("shop", "orders").unwrap().partition(5);
        assert_eq!(
            keys_of(STANDALONE, &group("settle"), &partition),
            [
                "__strm:shop.orders.5",
                "__lock:shop.orders.settle.5",
                "__epch:shop.orders.settle.5",
                "__mark:shop.orders.settle.5",
                "__kept:shop.orders.settle.5",
                "__memb:shop.orders.settle",
                "__beat:shop.orders.settle.AAAAAAAAAAAAAAAAAAAAAA",
                "__ctrl:shop.orders.settle",
                "__layt:shop.orders",
                "__park:shop.orders.settle.5",
            ]
        );
    }

    #[test]
    fn on_a_cluster_the_keys_of_a_partition_are_in_one_slot() {
        let partition = StreamName::of_app("shop", "orders").unwrap().partition(5);
        assert_eq!(
            keys_of(CLUSTER, &group("settle"), &partition),
            [
                "__strm:{shop.orders.5}",
                "__lock:{shop.orders.5}.settle",
                "__epch:{shop.orders.5}.settle",
                "__mark:{shop.orders.5}.settle",
                "__kept:{shop.orders.5}.settle",
                "__memb:{shop.orders}.settle",
                "__beat:{shop.orders}.settle.AAAAAAAAAAAAAAAAAAAAAA",
                "__ctrl:{shop.orders}.settle",
                "__layt:{shop.orders}",
                "__park:{shop.orders.5}.settle",
            ]
        );
    }

    #[test]
    fn a_leadership_is_the_apps_whatever_the_group() {
        let partition = StreamName::leadership("shop").unwrap().partition(0);
        assert_eq!(STANDALONE.lease(&group("any"), &partition), "__lead:shop");
        assert_eq!(CLUSTER.lease(&group("any"), &partition), "__lead:{shop}");
        assert_eq!(STANDALONE.epoch(&group("any"), &partition), "__epch:shop");
        // The fence names it, so it is in the slot of the lease.
        assert_eq!(CLUSTER.entries(&partition), "__strm:{shop}.0");
        assert_eq!(STANDALONE.marks(&group("any"), &partition), "__mark:shop");
        assert_eq!(
            STANDALONE.members(&partition.stream, &group("any")),
            "__memb:shop.any"
        );
    }

    #[test]
    fn a_queues_keys_are_in_one_slot_everywhere() {
        let queue = QueueName::of_app("shop", "mail.v2").unwrap();
        for keys in [STANDALONE, CLUSTER] {
            assert_eq!(keys.queue(&queue), "__task:{shop.mail.v2}");
            assert_eq!(keys.queues("shop"), "__task:{shop}.queues");
        }
    }

    /// The scripts make the rest of a queue's keys, so the page is compared with them.
    #[test]
    fn every_key_of_a_queue_is_in_the_document() {
        let document = include_str!("../../../../docs/keys.md");
        let scripts = [
            include_str!("scripts/task/queue.lua"),
            include_str!("scripts/task/take.lua"),
            include_str!("scripts/task/finish.lua"),
            include_str!("scripts/task/open_group.lua"),
            include_str!("scripts/task/declare.lua"),
        ];
        let mut names = Vec::new();
        for script in scripts {
            for part in script.split("P .. '.").skip(1) {
                names.push(part.split(['\'', '.']).next().unwrap());
            }
        }
        assert!(names.len() > 50, "{names:?}");
        for name in names {
            assert!(
                document.contains(&format!("`.{name}")),
                "docs/keys.md lacks .{name}"
            );
        }
    }

    #[test]
    fn every_documented_key_is_in_the_document() {
        let document = include_str!("../../../../docs/keys.md");
        for pattern in [
            "`{shard_N}_<stream>`",
            "`{shard_N}_<stream>_in_use`",
            "`{shard_N}_<stream>_in_use:<group>`",
            "`{shard_N}_<stream>_epoch:<group>`",
            "`{shard_N}_<stream>_marks:<group>`",
            "`{<stream>}_workers:<group>`",
            "`__strm:<app>.<stream>.N`",
            "`__lock:<app>.<stream>.<group>.N`",
            "`__epch:<app>.<stream>.<group>.N`",
            "`__mark:<app>.<stream>.<group>.N`",
            "`__park:<app>.<stream>.<group>.N`",
            "`__memb:<app>.<stream>.<group>`",
            "`__beat:<app>.<stream>.<group>.<worker id>`",
            "`__ctrl:<app>.<stream>.<group>`",
            "`__layt:<app>.<stream>`",
            "`__lead:<app>`",
            "`__epch:<app>`",
            "`__mark:<app>`",
            "`__sent:{shard_N}_<stream>:<request id>`",
            "`__state:{shard_N}_<stream>:<name>`",
            "`__states:{shard_N}_<stream>`",
            "`__task:{<app>.<queue>}`",
            "`__task:{<app>}.queues`",
        ] {
            assert!(document.contains(pattern), "docs/keys.md lacks {pattern}");
        }
    }
}
