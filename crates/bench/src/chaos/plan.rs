//! The plan of a round: which faults there are, and when. Pure: the seed and the round decide.
//!
//! A fault strikes one place: a worker, a server, or the network in front of a server. Faults of one
//! place follow one another; faults of different places overlap as they come. Each ends by itself:
//! when the plan is through, everything runs again.

use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tidegate_testkit::Way;

/// How many worker processes share the stream.
pub(super) const WORKERS: usize = 3;
/// The fewest and the most faults of a round.
const FAULTS_MIN: usize = 4;
const FAULTS_MAX: usize = 8;
/// How many kinds of faults there are; each round begins with the next kind.
const KINDS: u64 = 14;
/// Kinds below this number may also come unasked for; the others take a whole server's start.
const CHEAP_KINDS: u64 = 12;

/// A network in front of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// Between the workers and Redis.
    Redis,
    /// Between the workers and PostgreSQL.
    Postgres,
}

/// How a server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Killed.
    Kill,
    /// Told to stop.
    Stop,
}

/// What a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// One of the workers.
    Worker(usize),
    /// The Redis server.
    Redis,
    /// The PostgreSQL server.
    Postgres,
    /// A network.
    Link(Link),
}

/// Something that goes wrong for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A worker is killed, and another started in its place.
    KillWorker { worker: usize, away: Duration },
    /// A worker is stopped, and goes on as if no time had passed.
    FreezeWorker { worker: usize, time: Duration },
    /// Redis ends and starts again with what it has written to its disk.
    RestartRedis { end: End, away: Duration },
    /// Redis answers nobody.
    FreezeRedis { time: Duration },
    /// The master is killed, and its replica, which has confirmed every entry, takes its place.
    Failover {
        replicated: Duration,
        away: Duration,
    },
    /// As before, but the replica lacks the last entries, some of which are in the tables by then.
    LosingFailover {
        entries: u32,
        drained: Duration,
        away: Duration,
    },
    /// PostgreSQL ends and starts again.
    RestartPostgres { end: End, away: Duration },
    /// PostgreSQL answers nobody.
    FreezePostgres { time: Duration },
    /// All connections of a network are cut.
    Cut { link: Link },
    /// Nothing passes in one direction, and in the end the connections may be cut.
    Stall {
        link: Link,
        way: Way,
        time: Duration,
        is_cut: bool,
    },
    /// Everything takes longer.
    Delay {
        link: Link,
        by: Duration,
        time: Duration,
    },
    /// Everything comes in small pieces.
    Divide {
        link: Link,
        bytes: usize,
        time: Duration,
    },
    /// Nobody is let in.
    Refuse { link: Link, time: Duration },
}

/// A fault, and when it begins after the beginning of the round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scheduled {
    pub(super) at: Duration,
    pub(super) fault: Fault,
}

/// The faults of a round that sends its load for `load_time`, in the order of their beginnings.
pub(super) fn plan(seed: u64, round: u64, load_time: Duration) -> Vec<Scheduled> {
    let mut random = random(seed, round, b'f');
    let count = random.random_range(FAULTS_MIN..=FAULTS_MAX);
    let mut kinds = vec![round % KINDS];
    kinds.extend((1..count).map(|_| random.random_range(0..CHEAP_KINDS)));
    let last_ms = millis(load_time).max(100);
    let mut faults: Vec<Scheduled> = kinds
        .into_iter()
        .map(|kind| Scheduled {
            at: Duration::from_millis(random.random_range(50..=last_ms)),
            fault: fault(kind, &mut random),
        })
        .collect();
    faults.sort_by_key(|scheduled| scheduled.at);
    faults
}

/// Numbers that only the seed, the round and the purpose decide.
pub(super) fn random(seed: u64, round: u64, purpose: u8) -> StdRng {
    let mut bytes = [0; 32];
    let parts = seed.to_le_bytes().into_iter().chain(round.to_le_bytes());
    for (byte, part) in bytes.iter_mut().zip(parts.chain([purpose])) {
        *byte = part;
    }
    StdRng::from_seed(bytes)
}

fn fault(kind: u64, random: &mut StdRng) -> Fault {
    let link = match random.random_bool(0.5) {
        true => Link::Redis,
        false => Link::Postgres,
    };
    let end = match random.random_bool(0.5) {
        true => End::Kill,
        false => End::Stop,
    };
    let worker = random.random_range(0..WORKERS);
    match kind {
        0 | 1 => Fault::KillWorker {
            worker,
            away: between(random, 0, 600),
        },
        2 | 3 => Fault::FreezeWorker {
            worker,
            time: between(random, 100, 3_000),
        },
        4 => Fault::RestartRedis {
            end,
            away: between(random, 0, 700),
        },
        5 => Fault::RestartPostgres {
            end,
            away: between(random, 0, 700),
        },
        6 => Fault::Cut { link },
        7 | 8 => Fault::Stall {
            link,
            way: way(random),
            time: stall_time(random),
            is_cut: random.random_bool(0.6),
        },
        9 => match random.random_bool(0.5) {
            true => Fault::Delay {
                link,
                by: between(random, 5, 60),
                time: between(random, 200, 1_500),
            },
            false => Fault::Divide {
                link,
                bytes: random.random_range(1..=64),
                time: between(random, 200, 1_500),
            },
        },
        10 => Fault::Refuse {
            link,
            time: between(random, 100, 1_200),
        },
        11 => match random.random_bool(0.5) {
            true => Fault::FreezeRedis {
                time: between(random, 100, 2_000),
            },
            false => Fault::FreezePostgres {
                time: between(random, 100, 2_000),
            },
        },
        12 => Fault::Failover {
            replicated: between(random, 100, 800),
            away: between(random, 0, 500),
        },
        _ => Fault::LosingFailover {
            entries: random.random_range(8..=200),
            drained: between(random, 0, 250),
            away: between(random, 0, 500),
        },
    }
}

fn way(random: &mut StdRng) -> Way {
    match random.random_range(0..3) {
        0 => Way::Requests,
        1 => Way::Replies,
        _ => Way::Both,
    }
}

/// Mostly short; now and then longer than any client waits for an answer of Redis.
fn stall_time(random: &mut StdRng) -> Duration {
    match random.random_range(0..20) {
        0 => between(random, 5_200, 6_000),
        _ => between(random, 100, 2_000),
    }
}

fn between(random: &mut StdRng, from_ms: u64, to_ms: u64) -> Duration {
    Duration::from_millis(random.random_range(from_ms..=to_ms))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Fault {
    /// What it strikes.
    pub(super) fn place(&self) -> Place {
        match self {
            Self::KillWorker { worker, .. } | Self::FreezeWorker { worker, .. } => {
                Place::Worker(*worker)
            }
            Self::RestartRedis { .. }
            | Self::FreezeRedis { .. }
            | Self::Failover { .. }
            | Self::LosingFailover { .. } => Place::Redis,
            Self::RestartPostgres { .. } | Self::FreezePostgres { .. } => Place::Postgres,
            Self::Cut { link }
            | Self::Stall { link, .. }
            | Self::Delay { link, .. }
            | Self::Divide { link, .. }
            | Self::Refuse { link, .. } => Place::Link(*link),
        }
    }

    /// Its kind, by which it is counted.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::KillWorker { .. } => "worker killed",
            Self::FreezeWorker { .. } => "worker frozen",
            Self::RestartRedis { .. } => "Redis restarted",
            Self::FreezeRedis { .. } => "Redis frozen",
            Self::Failover { .. } => "failover",
            Self::LosingFailover { .. } => "failover that loses entries",
            Self::RestartPostgres { .. } => "PostgreSQL restarted",
            Self::FreezePostgres { .. } => "PostgreSQL frozen",
            Self::Cut { .. } => "connections cut",
            Self::Stall { .. } => "connections stalled",
            Self::Delay { .. } => "connections delayed",
            Self::Divide { .. } => "connections in pieces",
            Self::Refuse { .. } => "connections refused",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KillWorker { worker, away } => {
                write!(f, "worker {worker} killed, another after {away:?}")
            }
            Self::FreezeWorker { worker, time } => write!(f, "worker {worker} frozen for {time:?}"),
            Self::RestartRedis { end, away } => write!(f, "Redis {end}, back after {away:?}"),
            Self::FreezeRedis { time } => write!(f, "Redis frozen for {time:?}"),
            Self::Failover { replicated, away } => write!(
                f,
                "failover after {replicated:?} of confirmed replication, {away:?} without a master"
            ),
            Self::LosingFailover {
                entries,
                drained,
                away,
            } => write!(
                f,
                "failover {drained:?} after {entries} entries that the replica lacks, {away:?} \
                 without a master"
            ),
            Self::RestartPostgres { end, away } => {
                write!(f, "PostgreSQL {end}, back after {away:?}")
            }
            Self::FreezePostgres { time } => write!(f, "PostgreSQL frozen for {time:?}"),
            Self::Cut { link } => write!(f, "{link} cut"),
            Self::Stall {
                link,
                way,
                time,
                is_cut,
            } => {
                let what = match way {
                    Way::Requests => "requests",
                    Way::Replies => "replies",
                    Way::Both => "everything",
                };
                let then = if *is_cut { ", then cut" } else { "" };
                write!(f, "{link}: {what} stalled for {time:?}{then}")
            }
            Self::Delay { link, by, time } => write!(f, "{link} slower by {by:?} for {time:?}"),
            Self::Divide { link, bytes, time } => {
                write!(f, "{link} in pieces of {bytes} bytes for {time:?}")
            }
            Self::Refuse { link, time } => write!(f, "{link} refused for {time:?}"),
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redis => "connections to Redis",
            Self::Postgres => "connections to PostgreSQL",
        })
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "killed",
            Self::Stop => "stopped",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const LOAD: Duration = Duration::from_secs(3);

    #[test]
    fn the_seed_and_the_round_decide() {
        assert_eq!(plan(1, 7, LOAD), plan(1, 7, LOAD));
        assert_ne!(plan(1, 7, LOAD), plan(1, 8, LOAD));
        assert_ne!(plan(1, 7, LOAD), plan(2, 7, LOAD));
    }

    #[test]
    fn rounds_in_a_row_have_every_kind_of_fault() {
        let faults = (0..4 * KINDS).flat_map(|round| plan(5, round, LOAD));
        let kinds: BTreeSet<_> = faults.map(|scheduled| scheduled.fault.kind()).collect();
        assert_eq!(kinds.len(), 13, "{kinds:?}");
    }

    #[test]
    fn faults_begin_while_there_is_load_and_in_their_order() {
        for round in 0..100 {
            let faults = plan(9, round, LOAD);
            assert!((FAULTS_MIN..=FAULTS_MAX).contains(&faults.len()));
            assert!(faults.is_sorted_by_key(|it| it.at));
            assert!(faults.iter().all(|it| it.at <= LOAD));
        }
    }
}
