//! What a run costs: time, the processor of each of the three programs, and memory.
//!
//! The numbers are the kernel's (`/proc`, getrusage(2)), read at the start and at the end of the
//! measured part. PostgreSQL is a tree of processes: its share is that of the postmaster, of the
//! children that it has waited for, and of those that still run.
//!
//! What the machine did beside is counted too: a drainer that waits for answers all the time
//! suffers far more from a busy neighbour than one that doesn't, so its ratios mean little then.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::unistd::{SysconfVar, sysconf};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The servers' processes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Processes {
    /// PostgreSQL's postmaster, where there is one.
    pub(crate) postmaster: Option<u32>,
    /// Redis.
    pub(crate) redis: u32,
}

/// Processor time of each of the three, in seconds, user and system together.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct CpuSeconds {
    /// The measured process.
    pub(crate) client: f64,
    /// PostgreSQL with all of its processes.
    pub(crate) postgres: f64,
    /// Redis with all of its threads.
    pub(crate) redis: f64,
    /// Everybody else, the kernel's work for nobody in particular, and a hypervisor's other guests.
    pub(crate) others: f64,
}

/// What one run cost.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// From the start to the last operation's end.
    pub(crate) elapsed_seconds: f64,
    /// The processor.
    pub(crate) cpu: CpuSeconds,
    /// The most memory that the measured process ever had resident.
    pub(crate) peak_memory_bytes: u64,
}

impl Usage {
    /// How many cores everybody else kept busy during the run.
    pub(crate) fn others_cores(&self) -> f64 {
        self.cpu.others / self.elapsed_seconds
    }
}

/// A run that is being measured.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    processes: Processes,
    cpu: CpuSeconds,
    started: Instant,
}

impl Stopwatch {
    /// Begins to measure.
    pub(crate) fn start(processes: Processes) -> Result<Self> {
        let cpu = CpuSeconds::read(processes)?;
        Ok(Self {
            processes,
            cpu,
            started: Instant::now(),
        })
    }

    /// What the run has cost since the start.
    pub(crate) fn stop(self) -> Result<Usage> {
        let elapsed = self.started.elapsed();
        let cpu = CpuSeconds::read(self.processes)?;
        Ok(Usage {
            elapsed_seconds: elapsed.as_secs_f64(),
            cpu: CpuSeconds {
                client: cpu.client - self.cpu.client,
                postgres: cpu.postgres - self.cpu.postgres,
                redis: cpu.redis - self.cpu.redis,
                others: cpu.others - self.cpu.others,
            },
            peak_memory_bytes: peak_memory_bytes(std::process::id())?,
        })
    }
}

impl CpuSeconds {
    fn read(processes: Processes) -> Result<Self> {
        let own = getrusage(UsageWho::RUSAGE_SELF)
            .map_err(|errno| Error::system("reading the processor time")(errno.into()))?;
        let client = (duration(own.user_time()) + duration(own.system_time())).as_secs_f64();
        let postgres = in_seconds(processes.postmaster.map_or(Ok(0), tree_ticks)?)?;
        let redis = in_seconds(Stat::of(processes.redis)?.ticks)?;
        Ok(Self {
            client,
            postgres,
            redis,
            others: in_seconds(machine_ticks()?)? - client - postgres - redis,
        })
    }
}

fn duration(time: TimeVal) -> Duration {
    Duration::from_micros(u64::try_from(time.num_microseconds()).unwrap_or_default())
}

/// The part of `/proc/<pid>/stat` that matters here; see proc(5).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// Clock ticks of the process itself.
    ticks: u64,
    /// Clock ticks of its children that have ended and were waited for.
    ticks_of_ended_children: u64,
}

impl Stat {
    fn of(pid: u32) -> Result<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat"))
            .map_err(Error::system("reading a server's processor time"))?;
        Self::parse(&text).ok_or_else(|| Error::Unexpected(format!("/proc/{pid}/stat: {text}")))
    }

    fn parse(text: &str) -> Option<Self> {
        // The name comes second, in parentheses, and may itself hold blanks and parentheses.
        let (_, after_name) = text.rsplit_once(')')?;
        let mut fields = after_name.split_ascii_whitespace();
        let parent = fields.nth(1)?.parse().ok()?;
        let mut ticks = fields.skip(9).map_while(|field| field.parse::<u64>().ok());
        let [user, system] = [ticks.next()?, ticks.next()?];
        let [children_user, children_system] = [ticks.next()?, ticks.next()?];
        Some(Self {
            parent,
            ticks: user + system,
            ticks_of_ended_children: children_user + children_system,
        })
    }
}

/// The clock ticks of a process and of all its direct children, ended or not.
fn tree_ticks(pid: u32) -> Result<u64> {
    // The living first: one that ends in between is then counted twice, never lost.
    let living: u64 = processes()?
        .filter_map(|other| Stat::of(other).ok())
        .filter(|stat| stat.parent == pid)
        .map(|stat| stat.ticks)
        .sum();
    let root = Stat::of(pid)?;
    Ok(living + root.ticks + root.ticks_of_ended_children)
}

/// The clock ticks for which any processor of the machine was busy; see proc(5), `/proc/stat`.
fn machine_ticks() -> Result<u64> {
    let text =
        fs::read_to_string("/proc/stat").map_err(Error::system("reading the machine's load"))?;
    busy_ticks(&text).ok_or_else(|| Error::Unexpected("/proc/stat has no line for cpu".into()))
}

fn busy_ticks(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks = line
        .split_ascii_whitespace()
        .map(|field| field.parse::<u64>().ok());
    let [user, nice, system, _idle, _io_wait, irq, soft_irq, steal] =
        ticks.take(8).collect::<Option<Vec<_>>>()?.try_into().ok()?;
    Some(user + nice + system + irq + soft_irq + steal)
}

fn processes() -> Result<impl Iterator<Item = u32>> {
    let entries = fs::read_dir("/proc").map_err(Error::system("listing processes"))?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()))
}

fn in_seconds(ticks: u64) -> Result<f64> {
    let per_second = sysconf(SysconfVar::CLK_TCK)
        .map_err(|errno| Error::system("asking for the clock's ticks")(errno.into()))?;
    Ok(ticks as f64 / per_second.unwrap_or(100) as f64)
}

/// The high-water mark of the resident memory of a process that runs.
pub(crate) fn peak_memory_bytes(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .map_err(Error::system("reading the memory's high-water mark"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok());
    let kibibytes = kibibytes.ok_or_else(|| Error::Unexpected("no VmHWM for a process".into()));
    Ok(kibibytes? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_parentheses_does_not_shift_the_fields() {
        let text = "7 (a) b) S 3 7 7 0 -1 4194304 1 2 3 4 50 6 700 8 20 0 1 0 9 0 0";
        let expected = Stat {
            parent: 3,
            ticks: 56,
            ticks_of_ended_children: 708,
        };
        assert_eq!(Stat::parse(text), Some(expected));
    }

    #[test]
    fn idle_processors_are_not_busy() {
        let text = "cpu  1 20 300 4000 50000 6 70 800 9 9\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(busy_ticks(text), Some(1_197));
    }

    #[test]
    fn work_that_is_done_is_counted() {
        let own = std::process::id();
        let watch = Stopwatch::start(Processes {
            postmaster: Some(own),
            redis: own,
        })
        .unwrap();
        while watch.started.elapsed() < Duration::from_millis(100) {
            std::hint::spin_loop();
        }
        let usage = watch.stop().unwrap();
        assert!(usage.elapsed_seconds >= 0.1);
        assert!(usage.cpu.client > 0.0 && usage.cpu.redis > 0.0, "{usage:?}");
        assert!(usage.peak_memory_bytes > 100_000, "{usage:?}");
    }
}
