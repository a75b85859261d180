//! The example `tasks` as its users run it: a process with a command line.

#![cfg(test)]
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tidegate_testkit::{Process, RedisServer, poll_until};

const DEADLINE: Duration = Duration::from_secs(60);

/// The example's program, which is built with the tests.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("the test's own program");
    let folder = test.ancestors().nth(2).expect("the target's folder");
    folder.join("examples/tasks")
}

struct Shop {
    directory: TempDir,
    store_url: Option<String>,
}

impl Shop {
    fn new(store_url: Option<String>) -> Self {
        let directory = TempDir::new().expect("a folder");
        Self {
            directory,
            store_url,
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(arguments).current_dir(self.directory.path());
        match &self.store_url {
            Some(url) => command.env("TIDEGATE__STORE__URL", url),
            None => command.env_remove("TIDEGATE__STORE__URL"),
        };
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("it runs")
    }

    fn lines(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        let text = String::from_utf8(output.stdout).expect("text");
        let lines = text.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().expect("JSON lines")
    }

    fn complaint(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

async fn works_off_a_day(shop: Shop) {
    let mut worker = Process::spawn(&shop.command(&[])).expect("a worker");
    // Ten webhooks and their group's callback, the reminder, three orders out of the outbox.
    let has_said = |text: &str| worker.stdout().iter().any(|line| line.contains(text));
    let done = poll_until(DEADLINE, async || {
        has_said("all webhooks of Monday are done")
            && has_said("order 11: told")
            && (1..=3).all(|order| has_said(&format!("order {order}: booked")))
            && has_said("report of")
    });
    let done = done.await;
    assert!(done.is_ok(), "{:?}: {:?}", worker.stdout(), worker.stderr());
    let status = worker.terminate(DEADLINE).await.expect("an end");
    assert!(status.success(), "{status:?}: {:?}", worker.stderr());

    let queues = shop.lines(&["task", "verify", "--json"]);
    assert_eq!(queues.len(), 3, "{queues:?}");
    assert!(
        queues.iter().all(|queue| queue["balanced"] == true),
        "{queues:?}"
    );
    let schedules = shop.lines(&["task", "schedule", "list", "--json"]);
    assert_eq!(
        (schedules.len(), &schedules[0]["name"]),
        (1, &"report".into())
    );
    assert_eq!(schedules[0]["times"]["every_ms"], 2_000);
    for (command, paused) in [("pause", true), ("resume", false)] {
        shop.lines(&["task", "schedule", command, "report", "--json"]);
        let schedules = shop.lines(&["task", "schedule", "list", "--json"]);
        assert_eq!(schedules[0]["paused"], paused);
    }
    shop.lines(&["task", "schedule", "run", "report", "--json"]);
    let ready = shop.lines(&["task", "list", "reports", "--state", "ready", "--json"]);
    assert_eq!((ready.len(), &ready[0]["task"]), (1, &"report".into()));
    let webhooks = queues.iter().find(|queue| queue["queue"] == "webhooks");
    assert_eq!(webhooks.expect("a queue")["done"], 11);
}

fn is_operated(shop: &Shop) {
    let webhook = r#"{"order_id":99,"url":"https://a.example"}"#;
    let later = [
        "task",
        "enqueue",
        "send_webhook",
        webhook,
        "--delay",
        "1h",
        "--json",
    ];
    let id = shop.lines(&later)[0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let listed = shop.lines(&["task", "list", "webhooks", "--json"]);
    assert_eq!(
        (&listed[0]["id"], &listed[0]["state"]),
        (&id.as_str().into(), &"scheduled".into())
    );
    assert!(!listed[0].to_string().contains("a.example"), "{listed:?}");
    let shown = shop.lines(&["task", "show", &id, "--arguments", "--json"]);
    assert_eq!(shown[0]["arguments"]["order_id"], 99);
    assert_eq!(
        shop.lines(&["task", "due", &id, "--json"])[0]["made_due"],
        1
    );
    assert_eq!(
        shop.lines(&["task", "pause", "webhooks", "--json"])[0]["paused"],
        true
    );
    assert_eq!(shop.lines(&["task", "list", "--json"])[0]["paused"], true);
    assert_eq!(
        shop.lines(&["task", "resume", "webhooks", "--json"])[0]["paused"],
        false
    );
    assert_eq!(
        shop.lines(&["task", "cancel", &id, "--json"])[0]["cancelled"],
        1
    );
    assert!(
        shop.complaint(&["task", "show", &id])
            .contains("no queue holds")
    );

    assert!(
        shop.complaint(&["task", "enqueue", "sweep"])
            .contains("it has: send_webhook")
    );
    assert!(
        shop.complaint(&["task", "enqueue", "book", "{"])
            .contains("no JSON")
    );
    let two_words = ["task", "enqueue", "book", "7", "--queue", "two words"];
    assert!(shop.complaint(&two_words).contains("letters, digits"));
    let soon = ["task", "enqueue", "book", "7", "--delay", "soon"];
    assert!(shop.complaint(&soon).contains("such as 250ms"));
    shop.lines(&["task", "enqueue", "book", "7", "--delay", "1h", "--json"]);
    assert!(
        shop.complaint(&["task", "purge", "orders"])
            .contains("--yes")
    );
    assert_eq!(
        shop.lines(&["task", "purge", "orders", "--yes", "--json"])[0]["cancelled"],
        1
    );
    let verified = shop.lines(&["task", "verify", "--json"]);
    assert!(
        verified.iter().all(|queue| queue["balanced"] == true),
        "{verified:?}"
    );
}

#[tokio::test]
async fn the_example_works_off_a_day_on_redis() {
    let redis = RedisServer::start().await.expect("Redis");
    works_off_a_day(Shop::new(Some(redis.url()))).await;
}

#[tokio::test]
async fn the_example_works_off_a_day_in_one_file() {
    works_off_a_day(Shop::new(None)).await;
}

#[tokio::test]
async fn tasks_are_operated_from_the_command_line() {
    let redis = RedisServer::start().await.expect("Redis");
    is_operated(&Shop::new(Some(redis.url())));
}
