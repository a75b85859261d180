//! Every Redis key of Tidegate is built here, and nowhere else; `docs/keys.md` says of each its
//! type, writer, readers and lifetime.
//!
//! All keys of a partition carry the hash tag `{shard_N}`, so that a script over them touches one
//! slot of a Cluster. The stream's key is byte for byte the one that Hyperswitch's producers and
//! its drainer use, braces included.

use crate::lease::Lease;
use crate::stream::{GroupName, Partition, StreamName};

/// The drain's consumer group. Its lease is the ancestor's own lock, so that Hyperswitch's
/// drainer (`SET <stream>_in_use true NX EX 300`) and Tidegate's never work on a shard together.
const DRAIN_GROUP: &str = "tidegate_drain";

/// The stream that holds a partition's entries.
pub(super) fn entries(partition: &Partition) -> String {
    format!("{{shard_{}}}_{}", partition.index, partition.stream)
}

/// What was appended for a request id. It begins with another prefix than any other key, and has
/// the hash tag of the partition's entries.
pub(super) fn sent(partition: &Partition, request_id: &[u8]) -> Vec<u8> {
    [b"__sent:", entries(partition).as_bytes(), b":", request_id].concat()
}

/// The lease of a group on a partition.
pub(super) fn lease(group: &GroupName, partition: &Partition) -> String {
    let entries = entries(partition);
    if group.as_str() == DRAIN_GROUP {
        format!("{entries}_in_use")
    } else {
        format!("{entries}_in_use:{group}")
    }
}

/// The last epoch that was handed out to a group on a partition.
pub(super) fn epoch(group: &GroupName, partition: &Partition) -> String {
    format!("{}_epoch:{group}", entries(partition))
}

/// The workers of a group that are alive.
pub(super) fn workers(stream: &StreamName, group: &GroupName) -> String {
    format!("{{{stream}}}_workers:{group}")
}

/// What the lease's key holds while this lease lasts. It is different for every owner and every
/// epoch, so that comparing it is the fence.
pub(super) fn lease_value(lease: &Lease) -> String {
    format!("{}:{}", lease.epoch, lease.worker)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::{Epoch, WorkerId};

    fn partition() -> Partition {
        StreamName::new("DRAINER_STREAM").unwrap().partition(5)
    }

    #[test]
    fn key_names_are_the_documented_ones() {
        let drain = GroupName::new("tidegate_drain").unwrap();
        let other = GroupName::new("audit").unwrap();
        let partition = partition();

        assert_eq!(entries(&partition), "{shard_5}_DRAINER_STREAM");
        assert_eq!(lease(&drain, &partition), "{shard_5}_DRAINER_STREAM_in_use");
        assert_eq!(
            lease(&other, &partition),
            "{shard_5}_DRAINER_STREAM_in_use:audit"
        );
        assert_eq!(
            epoch(&drain, &partition),
            "{shard_5}_DRAINER_STREAM_epoch:tidegate_drain"
        );
        assert_eq!(
            workers(&partition.stream, &drain),
            "{DRAINER_STREAM}_workers:tidegate_drain"
        );
    }

    #[test]
    fn every_documented_key_is_in_the_document() {
        let document = include_str!("../../../../docs/keys.md");
        for pattern in [
            "`{shard_N}_<stream>`",
            "`{shard_N}_<stream>_in_use`",
            "`{shard_N}_<stream>_in_use:<group>`",
            "`{shard_N}_<stream>_epoch:<group>`",
            "`{<stream>}_workers:<group>`",
            "`__sent:{shard_N}_<stream>:<request id>`",
        ] {
            assert!(document.contains(pattern), "docs/keys.md lacks {pattern}");
        }
    }

    #[test]
    fn a_lease_is_told_apart_by_epoch_and_worker() {
        let worker: WorkerId = "67e55044-10b1-426f-9247-bb680e5fe0c8".parse().unwrap();
        let lease = Lease {
            group: GroupName::new("tidegate_drain").unwrap(),
            partition: partition(),
            worker,
            epoch: Epoch(7),
        };
        assert_eq!(
            lease_value(&lease),
            "7:67e55044-10b1-426f-9247-bb680e5fe0c8"
        );
    }
}
