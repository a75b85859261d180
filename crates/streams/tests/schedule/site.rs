//! Workers that share a store, and a board on which their runs are written.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tempfile::TempDir;
use tidegate_store::{Epoch, GroupName, Store, StoreUrl, StreamName, WorkerId, connect};
use tidegate_streams::schedule::{Options, Scheduler, last_runs};
use tidegate_streams::{Result, Schedule, ScheduledRun, StateMap};
use tidegate_testkit::{RedisServer, poll_until};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What a test waits for at most before it fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Where the store is. It is gone when this is dropped.
pub(crate) struct Site {
    url: StoreUrl,
    pub(crate) server: Option<RedisServer>,
    _directory: Option<TempDir>,
}

impl Site {
    pub(crate) async fn sqlite() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let url = StoreUrl::Sqlite(directory.path().join("store.sqlite"));
        Self {
            url,
            server: None,
            _directory: Some(directory),
        }
    }

    pub(crate) async fn redis() -> Self {
        let server = RedisServer::start().await.expect("a server");
        Self {
            url: StoreUrl::parse(&server.url()).expect("a URL"),
            server: Some(server),
            _directory: None,
        }
    }

    async fn open(&self) -> Arc<dyn Store> {
        connect(&self.url).await.expect("the store answers")
    }

    /// Writes up to when a leader's schedule is settled, as a former leader has done.
    pub(crate) async fn write(&self, schedule: &str, settled: Timestamp) {
        let leadership = Self::options().leadership.partition(0);
        let group = GroupName::new("leader").expect("a valid name");
        let (mark, value) = (format!("schedule:{schedule}"), settled.to_string().into());
        let store = self.open().await;
        let written = store.set_mark(&group, &leadership, &mark, value).await;
        written.expect("it is written");
    }

    /// Up to when the leader's schedules are settled.
    pub(crate) async fn read(&self) -> BTreeMap<String, Timestamp> {
        let store = self.open().await;
        let settled = last_runs(&*store, &Self::options().leadership).await;
        settled.expect("they are read")
    }

    /// What every worker here has, unless a test says otherwise.
    pub(crate) fn options() -> Options {
        Options {
            leadership: StreamName::leadership("shop").expect("a valid name"),
            lease_ttl: Duration::from_secs(1),
            grace: DEADLINE,
        }
    }

    /// Prepares another worker.
    pub(crate) async fn scheduler(
        &self,
        schedules: Vec<Schedule>,
        options: Options,
    ) -> Result<Scheduler> {
        Scheduler::new(
            self.open().await,
            WorkerId::random(),
            schedules,
            Arc::new(StateMap::new()),
            options,
        )
    }

    /// Starts another worker.
    pub(crate) async fn hire(&self, schedules: Vec<Schedule>, options: Options) -> Worker {
        let scheduler = self.scheduler(schedules, options).await;
        let shutdown = CancellationToken::new();
        let run = scheduler.expect("valid schedules").run(shutdown.clone());
        Worker {
            shutdown,
            run: tokio::spawn(run),
        }
    }
}

pub(crate) struct Worker {
    pub(crate) shutdown: CancellationToken,
    pub(crate) run: JoinHandle<Result<()>>,
}

impl Worker {
    /// Ends it as a signal to terminate does.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        let ended = self.run.await.expect("no panic");
        ended.expect("no failure");
    }

    /// Ends it as a kill does: nothing is handed back.
    pub(crate) async fn kill(self) {
        self.run.abort();
        assert!(self.run.await.is_err(), "it was killed");
    }
}

/// The runs of a test, in the order of their beginning.
#[derive(Clone, Debug, Default)]
pub(crate) struct Board(Arc<Mutex<Vec<Note>>>);

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Note {
    pub(crate) worker: &'static str,
    pub(crate) run: ScheduledRun,
    pub(crate) ended: bool,
}

impl Note {
    pub(crate) fn epoch(&self) -> Option<Epoch> {
        self.run.lease.as_ref().map(|lease| lease.epoch)
    }
}

/// A run under way; its end is noted however it comes.
pub(crate) struct UnderWay {
    board: Board,
    index: usize,
}

impl Board {
    pub(crate) fn begin(&self, worker: &'static str, run: ScheduledRun) -> UnderWay {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes.push(Note {
            worker,
            run,
            ended: false,
        });
        UnderWay {
            board: self.clone(),
            index: notes.len() - 1,
        }
    }

    pub(crate) fn notes(&self) -> Vec<Note> {
        let notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes.clone()
    }

    pub(crate) fn of(&self, schedule: &str) -> Vec<Note> {
        let mut notes = self.notes();
        notes.retain(|note| *note.run.name == *schedule);
        notes
    }

    /// Waits until the notes are as they should be.
    #[track_caller]
    pub(crate) fn see(&self, is_so: impl Fn(&[Note]) -> bool) -> impl Future<Output = ()> {
        let board = self.clone();
        let seen = {
            let board = board.clone();
            poll_until(DEADLINE, async move || is_so(&board.notes()))
        };
        async move {
            let seen = seen.await;
            assert!(seen.is_ok(), "{seen:?}: {:?}", board.notes());
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut notes = self.board.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(note) = notes.get_mut(self.index) {
            note.ended = true;
        }
    }
}
