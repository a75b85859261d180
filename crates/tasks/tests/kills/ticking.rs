//! A schedule that many processes have.

use std::time::Duration;

use rand::RngExt;
use tidegate_testkit::{Process, poll_until};

use crate::site::{SOON, Site, seeded};
use crate::worker::TICKING;

const PROCESSES: usize = 10;
const RESTARTS: usize = 10;
/// So many ticks, at one a second.
const TICKS: usize = 60;

fn start(site: &Site) -> Process {
    site.start(&[(TICKING, "1")])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_processes_that_start_and_restart_together_run_each_tick_once() {
    let site = Site::new().await;
    let mut random = seeded(rand::random());
    let mut processes: Vec<Process> = (0..PROCESSES).map(|_| start(&site)).collect();
    for _ in 0..RESTARTS {
        let pause = random.random_range(2_000..6_000);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        for process in &mut processes {
            process.kill().unwrap();
        }
        processes = (0..PROCESSES).map(|_| start(&site)).collect();
    }
    let enough = poll_until(SOON, async || site.effects("tick").await.len() >= TICKS);
    let enough = enough.await;
    let ticks = site.effects("tick").await;
    assert!(enough.is_ok(), "{} ticks", ticks.len());
    let doubled: Vec<_> = ticks.iter().filter(|(_, times)| **times != 1).collect();
    assert!(doubled.is_empty(), "run more than once: {doubled:?}");
    // What is at the end may be under way.
    let (first, last) = (ticks.keys().next().unwrap(), ticks.keys().last().unwrap());
    let settled = last - 10;
    let missing: Vec<_> = (*first..settled)
        .filter(|it| !ticks.contains_key(it))
        .collect();
    assert!(missing.is_empty(), "not run: {missing:?}");
    let queue = site.client.queue("clock").unwrap();
    let schedules = site.client.store().schedules(&queue).await.unwrap();
    assert_eq!(schedules.len(), 1);
}
