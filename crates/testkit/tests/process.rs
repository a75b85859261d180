//! The processes of the testkit: their lines, their signals, and that nothing outlives the test.

use std::process::Command;
use std::time::Duration;

use tidegate_testkit::{Error, Process, poll_until};

const SOON: Duration = Duration::from_secs(10);

fn shell(script: &str) -> Result<Process, Error> {
    Process::spawn(Command::new("sh").args(["-c", script]))
}

/// Whether a process of this number exists and is more than an entry waiting to be reaped.
fn is_alive(id: &str) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{id}/stat")) else {
        return false;
    };
    let state = stat
        .rsplit_once(") ")
        .map(|(_, after)| after.chars().next());
    state.flatten().is_some_and(|it| it != 'Z' && it != 'X')
}

#[tokio::test]
async fn lines_of_both_streams_are_awaited_and_kept_apart() {
    let mut process = shell("echo one; echo two >&2; echo three; exit 3").unwrap();
    process.wait_for_line(|it| it == "two", SOON).await.unwrap();
    let status = process.wait(SOON).await.unwrap();
    assert_eq!(status.code(), Some(3));
    assert_eq!(process.stdout(), ["one", "three"]);
    assert_eq!(process.stderr(), ["two"]);
}

#[tokio::test]
async fn a_line_that_never_comes_is_an_error_with_the_output() {
    let process = shell("echo something else").unwrap();
    let error = process
        .wait_for_line(|it| it == "ready", SOON)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("something else"), "{error}");
}

#[tokio::test]
async fn a_process_that_ends_at_once_is_terminated_as_well() {
    for _ in 0..20 {
        let mut process = shell("echo ready; exec sleep 600").unwrap();
        process
            .wait_for_line(|it| it == "ready", SOON)
            .await
            .unwrap();
        let status = process.terminate(SOON).await.unwrap();
        assert!(!status.success());
    }
}

#[tokio::test]
async fn a_terminated_process_may_end_in_order() {
    let mut process =
        shell("trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done").unwrap();
    process
        .wait_for_line(|it| it == "ready", SOON)
        .await
        .unwrap();
    process.pause().unwrap();
    assert!(process.is_running().unwrap());
    let status = process.terminate(SOON).await.unwrap();
    assert!(status.success());
    assert_eq!(process.stdout(), ["ready", "bye"]);
    assert!(matches!(process.resume(), Err(Error::NotRunning { .. })));
}

#[tokio::test]
async fn the_environment_and_the_folder_are_passed_on() {
    let folder = std::env::temp_dir().canonicalize().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "echo $TIDEGATE_A-$TIDEGATE_B; pwd -P"]);
    command
        .env("TIDEGATE_A", "a")
        .env("TIDEGATE_B", "b")
        .env_remove("TIDEGATE_B");
    command.current_dir(&folder);
    let mut process = Process::spawn(&command).unwrap();
    process.wait(SOON).await.unwrap();
    assert_eq!(process.stdout(), ["a-", folder.to_str().unwrap()]);
}

/// Run by [`nothing_outlives_a_killed_test`] in a process of its own.
#[tokio::test]
async fn helper_that_holds_a_server_until_it_is_killed() {
    if std::env::var_os("TIDEGATE_TESTKIT_HOLD").is_none() {
        return;
    }
    let sleeper = shell("exec sleep 600").unwrap();
    let redis = tidegate_testkit::RedisServer::start().await.unwrap();
    eprintln!("\nholding {} {}", sleeper.id(), redis.port());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn nothing_outlives_a_killed_test() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([
        "--exact",
        "helper_that_holds_a_server_until_it_is_killed",
        "--nocapture",
    ]);
    command.env("TIDEGATE_TESTKIT_HOLD", "1");
    let mut test = Process::spawn(&command).unwrap();
    let line = test
        .wait_for_line(|it| it.starts_with("holding "), SOON)
        .await
        .unwrap();
    let mut words = line.split(' ').skip(1);
    let (sleeper, port) = (words.next().unwrap(), words.next().unwrap());
    assert!(is_alive(sleeper));
    // Not `kill`, which would take the children along by itself.
    Command::new("kill")
        .args(["-KILL", &test.id().to_string()])
        .status()
        .unwrap();
    test.wait(SOON).await.unwrap();
    let port: u16 = port.parse().unwrap();
    poll_until(SOON, async || {
        !is_alive(sleeper)
            && tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .is_err()
    })
    .await
    .unwrap();
}
