//! Crashes: a process is killed while it appends, and then everything is counted.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use tidegate_store::{EntryId, Store};

use crate::words::{ALL, DEADLINE, entry, open, own, partition, place};

/// Where the child finds the file.
const FILE: &str = "TIDEGATE_TEST_FILE";

/// How many entries the child appends in one call, over several partitions.
const ENTRIES_PER_CALL: u32 = 60;
const PARTITIONS: u32 = 3;

/// How many calls the child has been told are done when it is killed.
const CALLS_BEFORE_KILL: usize = 40;

const KILLS: u32 = 5;

/// The child's side of the test below: without its file it has nothing to do.
#[tokio::test]
#[ignore = "the process that a_killed_process_leaves_whole_calls starts and kills"]
async fn appends_until_it_is_killed() {
    let Some(path) = std::env::var_os(FILE) else {
        return;
    };
    let store = open(Path::new(&path)).await;
    let process = std::process::id();
    let began = Instant::now();
    let mut call = 0_u64;
    // The deadline is for a parent that has gone.
    while began.elapsed() < DEADLINE {
        let text = format!("{process}/{call}");
        let entries = (0..ENTRIES_PER_CALL)
            .map(|n| entry(n % PARTITIONS, &text))
            .collect();
        store.append(entries).await.unwrap();
        writeln!(std::io::stdout(), "done {text}").unwrap();
        call += 1;
    }
}

fn start_child(path: &Path) -> Child {
    let program: PathBuf = std::env::current_exe().unwrap();
    Command::new(program)
        .args([
            "--exact",
            "crash::appends_until_it_is_killed",
            "--ignored",
            "--nocapture",
        ])
        .env(FILE, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// Kills the child after it has told of some calls, and returns all the calls that it told of.
fn kill_while_it_appends(mut child: Child) -> Vec<String> {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut done = Vec::new();
    let mut killed = false;
    // The harness may write its own words in front of ours, on one line.
    while let Some(Ok(line)) = lines.next() {
        done.extend(line.split_once("done ").map(|(_, text)| text.to_owned()));
        if done.len() == CALLS_BEFORE_KILL && !killed {
            child.kill().unwrap();
            killed = true;
        }
    }
    child.wait().unwrap();
    assert!(killed, "it ended by itself after {done:?}");
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_leaves_whole_calls() {
    let (_directory, path) = place();
    // This process keeps the file open, reads it and writes to it while others die.
    let store = open(&path).await;
    let lease = own(&store, 0, DEADLINE * 10).await;
    let mut done = Vec::new();
    for _ in 0..KILLS {
        let child = start_child(&path);
        let killing = tokio::task::spawn_blocking(move || kill_while_it_appends(child));
        while !killing.is_finished() {
            let held = store
                .renew_leases(std::slice::from_ref(&lease), DEADLINE * 10)
                .await;
            assert_eq!(held.unwrap(), [true]);
            store
                .read_after(&partition(0), EntryId::ZERO, ALL)
                .await
                .unwrap();
        }
        done.extend(killing.await.unwrap());
        store.append(vec![entry(0, "after a kill")]).await.unwrap();
    }

    let mut found: BTreeMap<String, u32> = BTreeMap::new();
    for index in 0..PARTITIONS {
        let entries = store
            .read_after(&partition(index), EntryId::ZERO, ALL)
            .await
            .unwrap();
        assert!(entries.is_sorted_by(|earlier, later| earlier.id < later.id));
        for stored in entries {
            let text = String::from_utf8(stored.field(b"data").unwrap().to_vec()).unwrap();
            *found.entry(text).or_default() += 1;
        }
    }
    assert_eq!(found.remove("after a kill"), Some(KILLS));
    for (call, entries) in &found {
        assert_eq!(*entries, ENTRIES_PER_CALL, "call {call} left a part");
    }
    for call in &done {
        assert!(
            found.contains_key(call),
            "call {call} was answered and is lost"
        );
    }
    assert!(
        found.len() <= done.len() + KILLS as usize,
        "a call was unanswered twice in one life"
    );
}
