//! The console over real connections: who is answered what, and what a bad client can't do.

#![expect(
    clippy::expect_used,
    reason = "a test stops at the first thing that isn't as it claims"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tidegate_console::prometheus_client::metrics::counter::Counter;
use tidegate_console::prometheus_client::registry::Registry;
use tidegate_console::{Console, Listen, Probe, Readiness};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

const TOKEN: &str = "a token of many bytes";
/// Far more than any answer takes.
const DEADLINE: Duration = Duration::from_secs(20);

#[derive(Debug, Default)]
struct Switch {
    database: AtomicBool,
    asked: AtomicU64,
}

#[async_trait]
impl Probe for Switch {
    fn parts(&self) -> &[&'static str] {
        &["database", "redis"]
    }

    async fn probe(&self) -> Readiness {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let answers = self.database.load(Ordering::SeqCst);
        let found = Readiness::default().with("database", answers);
        found.with("redis", true)
    }
}

/// Never answers.
#[derive(Debug)]
struct Silent;

#[async_trait]
impl Probe for Silent {
    fn parts(&self) -> &[&'static str] {
        &["database", "redis"]
    }

    async fn probe(&self) -> Readiness {
        std::future::pending().await
    }
}

struct Running {
    address: SocketAddr,
    task: JoinHandle<()>,
    stop: CancellationToken,
    _guard: DropGuard,
}

async fn start(console: Console) -> Running {
    let bound = console.bind().await.expect("a free port");
    let stop = CancellationToken::new();
    Running {
        address: bound.address(),
        task: tokio::spawn(bound.run(stop.clone())),
        _guard: stop.clone().drop_guard(),
        stop,
    }
}

fn listen(token: Option<&str>) -> Listen {
    let address = "127.0.0.1:0".parse().expect("an address");
    Listen::new(address, token.map(Into::into)).expect("allowed")
}

fn registry() -> Registry {
    let mut registry = Registry::default();
    let counter: Counter = Counter::default();
    counter.inc_by(7);
    registry.register("things", "Things seen", counter);
    registry
}

/// Sends a request as it stands and returns all that comes back until the end.
async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    let read = timeout(DEADLINE, stream.read_to_end(&mut answer)).await;
    read.expect("an answer in time").expect("an answer");
    String::from_utf8(answer).expect("text")
}

async fn get(address: SocketAddr, path: &str, token: Option<&str>) -> String {
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
    let token = token.unwrap_or_default();
    let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{token}\r\n");
    exchange(address, &request).await
}

fn has_status(answer: &str, status: u16) -> bool {
    answer.starts_with(&format!("HTTP/1.1 {status} "))
}

#[tokio::test]
async fn health_ready_and_metrics_are_answered() {
    let switch = Arc::new(Switch::default());
    switch.database.store(true, Ordering::SeqCst);
    let console = Console::new(listen(None), registry()).with_probe(switch);
    let running = start(console).await;
    let health = get(running.address, "/health", None).await;
    assert!(has_status(&health, 200) && health.ends_with("health is good"));
    let ready = get(running.address, "/health/ready", None).await;
    assert!(has_status(&ready, 200), "{ready}");
    assert!(
        ready.ends_with(r#"{"database":true,"redis":true}"#),
        "{ready}"
    );
    let metrics = get(running.address, "/metrics", None).await;
    assert!(has_status(&metrics, 200), "{metrics}");
    assert!(metrics.contains("things_total 7\n"), "{metrics}");
    let missing = get(running.address, "/metric", None).await;
    assert!(has_status(&missing, 404), "{missing}");
    let post =
        "POST /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let post = exchange(running.address, post).await;
    assert!(has_status(&post, 405), "{post}");
    running.stop.cancel();
    timeout(DEADLINE, running.task)
        .await
        .expect("it stops in time")
        .expect("no panic");
}

#[tokio::test]
async fn what_does_not_answer_is_not_ready_whatever_the_others_say() {
    let well = Arc::new(Switch::default());
    well.database.store(true, Ordering::SeqCst);
    let console = Console::new(listen(None), registry())
        .with_tenant("well", well)
        .with_tenant("away", Arc::new(Switch::default()))
        .with_tenant("silent", Arc::new(Silent));
    let running = start(console).await;
    let ready = get(running.address, "/health/ready", None).await;
    assert!(has_status(&ready, 503), "{ready}");
    let expected = r#"{"away":{"database":false,"redis":true},"#.to_owned()
        + r#""silent":{"database":false,"details":["no answer in time"],"redis":false},"#
        + r#""well":{"database":true,"redis":true}}"#;
    assert!(ready.ends_with(&expected), "{ready}");
}

#[tokio::test]
async fn many_who_ask_whether_it_is_ready_do_not_become_the_databases_load() {
    let switch = Arc::new(Switch::default());
    let console = Console::new(listen(None), registry()).with_probe(switch.clone());
    let running = start(console).await;
    let asked = (0..20).map(|_| get(running.address, "/health/ready", None));
    let answers = futures::future::join_all(asked).await;
    assert!(answers.iter().all(|answer| has_status(answer, 503)));
    // A slow machine may need a few seconds for all of them, and asks once in each.
    assert!(switch.asked.load(Ordering::SeqCst) < 10);
}

#[tokio::test]
async fn with_a_token_only_its_owners_see_more_than_that_it_lives() {
    let running = start(Console::new(listen(Some(TOKEN)), registry())).await;
    for path in ["/metrics", "/health/ready"] {
        for wrong in [None, Some("another token of it")] {
            let answer = get(running.address, path, wrong).await;
            assert!(has_status(&answer, 401), "{path}: {answer}");
            assert!(!answer.contains("things_total"), "{answer}");
        }
        let answer = get(running.address, path, Some(TOKEN)).await;
        assert!(has_status(&answer, 200), "{path}: {answer}");
    }
    let health = get(running.address, "/health", None).await;
    assert!(has_status(&health, 200), "{health}");
}

#[tokio::test]
async fn a_head_beyond_its_bound_is_refused() {
    let running = start(Console::new(listen(None), registry())).await;
    let request = format!(
        "GET /health HTTP/1.1\r\nHost: h\r\nX-Long: {}\r\n\r\n",
        "x".repeat(15 << 10)
    );
    let allowed = request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    assert!(has_status(&exchange(running.address, &allowed).await, 200));
    let mut stream = TcpStream::connect(running.address)
        .await
        .expect("connected");
    let too_long = format!("GET /health HTTP/1.1\r\nX-Long: {}", "x".repeat(40 << 10));
    // The server may hang up before it has taken everything.
    let _ = stream.write_all(too_long.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = timeout(DEADLINE, stream.read_to_end(&mut answer))
        .await
        .expect("an end in time");
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || has_status(&answer, 431), "{answer}");
}
