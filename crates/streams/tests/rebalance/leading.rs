//! Schedules whose leader is killed, and whose leader leaves in order.

use std::time::{Duration, Instant};

use tidegate_testkit::poll_until;

use crate::site::{Hand, SOON, Site, redis};
use crate::worker::{LEADING, LEASE_MS, TICK_MS};

/// A lease beside which the pauses of a busy machine are short.
const LEASE: Duration = Duration::from_secs(10);

/// The largest epoch under which a worker has run the schedule; 0 where it never led.
fn led_under(hand: &Hand) -> u64 {
    let lines = hand.process.stdout();
    let epoch = |line: &String| line.split_once(LEADING)?.1.trim().parse().ok();
    lines.iter().filter_map(epoch).max().unwrap_or(0)
}

/// Waits until one of them runs the schedule under a later epoch, and takes it out.
async fn next_leader(hands: &mut Vec<Hand>, after: u64) -> Hand {
    let led = poll_until(SOON, async || {
        hands.iter().any(|hand| led_under(hand) > after)
    });
    led.await.expect("another worker leads");
    let found = hands.iter().position(|hand| led_under(hand) > after);
    hands.swap_remove(found.expect("just seen"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_worker_leads_soon_after_a_kill_and_at_once_after_a_goodbye() {
    let redis = redis().await;
    let site = Site::at(redis.url()).await;
    let lease_ms = LEASE.as_millis().to_string();
    let tick = [(TICK_MS, "20"), (LEASE_MS, lease_ms.as_str())];
    let mut hands = Vec::new();
    for _ in 0..3 {
        hands.push(site.hire_with(&tick).await);
    }
    let mut killed = next_leader(&mut hands, 0).await;
    killed.process.kill().expect("killed");
    let began = Instant::now();
    let epoch = led_under(&killed);
    let mut leaving = next_leader(&mut hands, epoch).await;
    let took = began.elapsed();
    eprintln!("another worker leads {took:?} after the kill");
    assert!(took < LEASE + LEASE / 2, "{took:?}");

    hands.push(site.hire_with(&tick).await);
    let epoch = led_under(&leaving);
    let began = Instant::now();
    let going = async {
        let ended = leaving.process.terminate(SOON).await;
        assert!(ended.expect("it ends").success());
    };
    let taking_over = async {
        let leader = next_leader(&mut hands, epoch).await;
        (leader, began.elapsed())
    };
    let ((), (leader, took)) = tokio::join!(going, taking_over);
    eprintln!("another worker leads {took:?} after the goodbye");
    assert!(took < LEASE / 2, "{took:?}");
    leader.stop().await;
    for hand in hands {
        hand.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leadership_is_handed_over_at_once_however_long_a_lease_is() {
    let redis = redis().await;
    let site = Site::at(redis.url()).await;
    // Who only looks now and then would look every half minute.
    let variables = [(TICK_MS, "20"), (LEASE_MS, "120000")];
    let mut hands = Vec::new();
    for _ in 0..3 {
        hands.push(site.hire_with(&variables).await);
    }
    let leaving = next_leader(&mut hands, 0).await;
    let epoch = led_under(&leaving);
    leaving.stop().await;
    let began = Instant::now();
    let leader = next_leader(&mut hands, epoch).await;
    let took = began.elapsed();
    eprintln!("another worker leads {took:?} after the goodbye");
    assert!(took < Duration::from_secs(15), "{took:?}");
    leader.stop().await;
    for hand in hands {
        hand.stop().await;
    }
}
