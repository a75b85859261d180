//! What a Cluster looks like: which master has which slots.
//!
//! Read from the text of `CLUSTER NODES`, which any node answers. `CLUSTER SHARDS` would be easier
//! to read, but on Redis 7.0 it says nothing useful of a failed master: its slots have gone to
//! another, and it still stands there as a shard of its own.

/// How many slots a Cluster has.
const SLOTS: u16 = 16_384;

/// Where a node is.
pub(super) type Address = (String, u16);

/// The slots of one master, both ends included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SlotRange {
    first: u16,
    last: u16,
    /// The master.
    pub(super) master: Address,
}

/// All that a node says of its Cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Topology {
    /// The slots that some master has.
    pub(super) ranges: Vec<SlotRange>,
    /// Every node that may answer, masters and replicas.
    pub(super) nodes: Vec<Address>,
}

impl Topology {
    /// The master of a slot.
    pub(super) fn master_of(&self, slot: u16) -> Option<&Address> {
        let has_slot = |range: &&SlotRange| (range.first..=range.last).contains(&slot);
        self.ranges.iter().find(has_slot).map(|range| &range.master)
    }

    /// The same, with one slot elsewhere.
    pub(super) fn with(&self, slot: u16, master: Address) -> Self {
        let mut topology = self.clone();
        let range = SlotRange {
            first: slot,
            last: slot,
            master,
        };
        // The first range that has the slot is the one that counts.
        topology.ranges.insert(0, range);
        topology
    }

    /// Reads what the node at `asked` says. A line that can't be read is as good as none. With
    /// `by_name` a node that announces a name is called by it, as its certificate does.
    pub(super) fn read(text: &str, asked: &Address, by_name: bool) -> Self {
        let mut topology = Self::default();
        for line in text.lines() {
            let mut words = line.split(' ').skip(1);
            let (Some(address), Some(flags)) = (words.next(), words.next()) else {
                continue;
            };
            let has = |flag| flags.split(',').any(|it| it == flag);
            let Some(address) = read_address(address, asked, by_name) else {
                continue;
            };
            if ["noaddr", "handshake", "fail"].into_iter().any(has) {
                continue;
            }
            topology.nodes.push(address.clone());
            if has("master") {
                // The id of its master, two times, an epoch, and the state of the link.
                let slots = words.skip(5).filter_map(read_slots);
                topology.ranges.extend(slots.map(|(first, last)| SlotRange {
                    first,
                    last,
                    master: address.clone(),
                }));
            }
        }
        topology
    }
}

/// Reads `ip:port@bus,name`; a node that doesn't know its own address is the one that was asked.
fn read_address(text: &str, asked: &Address, by_name: bool) -> Option<Address> {
    let mut parts = text.split(',');
    let (host, port) = parts.next()?.split('@').next()?.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let name = parts.next().filter(|name| by_name && !name.is_empty());
    let host = match name {
        Some(name) => name,
        None if host.is_empty() => asked.0.as_str(),
        None => host,
    };
    Some((host.to_owned(), port))
}

/// Reads `5` or `5-9`; a slot that is on its way somewhere is in brackets, and listed besides.
fn read_slots(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some((first.parse().ok()?, last.parse().ok()?))
}

/// The slot of a key: of what is between its first `{` and the next `}`, unless that is nothing.
pub(super) fn slot_of(key: &[u8]) -> u16 {
    let tag = || {
        let open = key.iter().position(|byte| *byte == b'{')?;
        let rest = key.get(open + 1..)?;
        let close = rest.iter().position(|byte| *byte == b'}')?;
        rest.get(..close).filter(|tag| !tag.is_empty())
    };
    let crc = tag().unwrap_or(key).iter().fold(0, crc16_step);
    crc % SLOTS
}

/// CRC-16/XMODEM, as the Cluster's specification has it. Keys are short, so it goes bit by bit.
fn crc16_step(crc: u16, byte: &u8) -> u16 {
    (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _bit| {
        let carry = if crc & 0x8000 == 0 { 0 } else { 0x1021 };
        (crc << 1) ^ carry
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: &str = "\
a1 127.0.0.1:7001@17001 myself,master - 0 1 1 connected 0-99 105 [105->-b2]
b2 127.0.0.1:7002@17002,two.example master - 0 1 2 connected 100-104 106-16383
c3 127.0.0.1:7003@17003 master,fail - 0 1 3 disconnected
d4 127.0.0.1:7004@17004 slave a1 0 1 1 connected
e5 :0@0 master,noaddr - 0 1 9 disconnected
";

    fn at(port: u16) -> Address {
        ("127.0.0.1".to_owned(), port)
    }

    #[test]
    fn each_slot_has_its_master_and_a_failed_node_is_left_out() {
        let topology = Topology::read(NODES, &at(7001), false);
        for (slot, port) in [
            (0, 7001),
            (99, 7001),
            (100, 7002),
            (105, 7001),
            (16_383, 7002),
        ] {
            assert_eq!(topology.master_of(slot), Some(&at(port)), "slot {slot}");
        }
        assert_eq!(topology.nodes, [at(7001), at(7002), at(7004)]);
        let by_name = Topology::read(NODES, &at(7001), true);
        assert_eq!(by_name.master_of(100).unwrap().0, "two.example");
    }

    #[test]
    fn one_slot_can_be_elsewhere() {
        let before = Topology::read(NODES, &at(7001), false);
        let after = before.with(50, at(7002));
        for (slot, port) in [(49, 7001), (50, 7002), (51, 7001)] {
            assert_eq!(after.master_of(slot), Some(&at(port)), "slot {slot}");
        }
    }

    #[test]
    fn a_node_that_does_not_know_its_address_is_the_one_that_was_asked() {
        let text = "a1 :7001@17001 myself,master - 0 0 1 connected 0-16383";
        let topology = Topology::read(text, &at(7001), false);
        assert_eq!(topology.master_of(5), Some(&at(7001)));
        assert_eq!(
            Topology::read("nonsense", &at(1), false),
            Topology::default()
        );
    }

    #[test]
    fn slots_are_the_specified_ones() {
        assert_eq!(slot_of(b"123456789"), 0x31C3);
        assert_eq!(slot_of(b"{user1000}.following"), slot_of(b"user1000"));
        assert_eq!(slot_of(b"foo{}{bar}"), slot_of(b"foo{}{bar}"));
        assert_ne!(slot_of(b"foo{}{bar}"), slot_of(b"bar"));
        assert_eq!(slot_of(b"foo{{bar}}zap"), slot_of(b"{bar"));
    }
}
