//! What the tests of whole paths share: a pair of store and sink, and a worker process to kill.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tidegate_drain::apply::Step;
use tidegate_drain::observer::Batch;
use tidegate_drain::route::Sender;
use tidegate_drain::{
    Observer, Options, PostgresOptions, PostgresSink, Sink, SqliteSink, Worker, status,
};
use tidegate_store::{Store, StoreUrl, StreamName};
use tokio_util::sync::CancellationToken;

/// Names the test function that a child process runs.
pub(crate) const CHILD: &str = "crash_points::child_worker";

/// Opens a sink by its URL.
pub(crate) async fn open_sink(url: &str) -> Arc<dyn Sink> {
    match url.strip_prefix("sqlite://") {
        Some(path) => Arc::new(SqliteSink::open(path.as_ref()).await.expect("a sink")),
        None => {
            let options = PostgresOptions {
                lock_timeout: Duration::from_millis(300),
                ..PostgresOptions::default()
            };
            Arc::new(PostgresSink::connect(url, options).await.expect("a sink"))
        }
    }
}

/// Opens a store by its URL.
pub(crate) async fn open_store(url: &str) -> Arc<dyn Store> {
    tidegate_store::connect(&StoreUrl::parse(url).expect("a URL"))
        .await
        .expect("a store")
}

/// Small batches and short leases, so that a test sees many of them.
pub(crate) fn options() -> Options {
    let stream = StreamName::new("DRAINER_STREAM").expect("a name");
    Options {
        batch_max: 7,
        lease_ttl: Duration::from_millis(400),
        parent_wait: Duration::from_millis(500),
        ..Options::new(stream, 2)
    }
}

/// Sends operations in their order.
pub(crate) async fn send(
    store: &Arc<dyn Store>,
    sink: &dyn Sink,
    options: &Options,
    lines: &[String],
) {
    let catalog = sink.catalog().await.expect("a catalog");
    let sender = Sender::new(
        store.clone(),
        catalog,
        options.stream.clone(),
        options.partitions,
    );
    let entries = lines.iter().enumerate().map(|(n, line)| {
        let payload = line.clone().into_bytes().into();
        sender
            .address(payload, &format!("req_{n}"), "test", SystemTime::now())
            .entry
    });
    sender.send(entries.collect()).await.expect("sent");
}

/// Drains until nothing is left.
pub(crate) async fn drain_all(
    store: &Arc<dyn Store>,
    sink: &Arc<dyn Sink>,
    options: &Options,
    observer: Arc<dyn Observer>,
) {
    let worker =
        Worker::new(store.clone(), sink.clone(), options.clone(), observer).expect("valid");
    let stop = CancellationToken::new();
    let running = tokio::spawn(worker.run(stop.clone()));
    let drained = tidegate_testkit::poll_until(Duration::from_secs(30), || async {
        status::is_drained(&**store, &**sink, options)
            .await
            .unwrap_or(false)
    });
    drained.await.expect("drained in time");
    stop.cancel();
    running.await.expect("no panic").expect("no error");
}

/// Every sum of the stream comes out.
pub(crate) async fn assert_proved(store: &Arc<dyn Store>, sink: &dyn Sink, options: &Options) {
    for proof in status::verify(store, sink, options).await.expect("sums") {
        assert!(proof.holds(), "{proof:?}");
    }
}

/// Runs this test binary again as a worker that kills itself at a step. Returns whether it died.
pub(crate) fn run_child(store_url: &str, sink_url: &str, crash: Option<(Step, usize)>) -> bool {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command
        .args([CHILD, "--exact", "--ignored", "--nocapture"])
        .env("TEST_STORE_URL", store_url)
        .env("TEST_SINK_URL", sink_url);
    if let Some((step, nth)) = crash {
        command
            .env("TEST_CRASH_AT", format!("{step:?}"))
            .env("TEST_CRASH_NTH", nth.to_string());
    }
    let output = command.output().expect("a child");
    let died = !output.status.success();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        died || text.contains("1 passed"),
        "the child ran no test: {text}"
    );
    died
}

/// The body of the child.
pub(crate) async fn child_worker() {
    let variable = |name| std::env::var(name).ok();
    let (Some(store), Some(sink)) = (variable("TEST_STORE_URL"), variable("TEST_SINK_URL")) else {
        return;
    };
    let nth = variable("TEST_CRASH_NTH").map_or(0, |nth| nth.parse().expect("a number"));
    let crash = Crash {
        at: variable("TEST_CRASH_AT"),
        remaining: std::sync::atomic::AtomicUsize::new(nth),
    };
    let (store, sink) = (open_store(&store).await, open_sink(&sink).await);
    drain_all(&store, &sink, &options(), Arc::new(crash)).await;
}

/// Kills the process at the n-th time of a step.
#[derive(Debug)]
struct Crash {
    at: Option<String>,
    remaining: std::sync::atomic::AtomicUsize,
}

impl Observer for Crash {
    fn step(&self, _shard: u32, step: Step) {
        use std::sync::atomic::Ordering;
        if self.at.as_deref() == Some(&format!("{step:?}"))
            && self.remaining.fetch_sub(1, Ordering::SeqCst) == 1
        {
            let me = nix::unistd::Pid::this();
            nix::sys::signal::kill(me, nix::sys::signal::Signal::SIGKILL).expect("killed");
        }
    }

    fn committed(&self, _batch: &Batch) {}
}
