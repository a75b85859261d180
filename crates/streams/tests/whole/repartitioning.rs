//! The number of partitions changes while records flow.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tidegate_store::{EntryId, GroupName, Start};
use tidegate_streams::layout::{Layout, load};
use tidegate_streams::{
    BoxError, Error, Event, Events, Outgoing, Policy, Processor, Repartition, Sender, Settings,
    StreamSpec,
};
use tidegate_testkit::poll_until;
use tokio::task::JoinHandle;

use crate::site::{DEADLINE, NAME, Note, Running, Seen, Site, open, processor, spec};

const KEYS: u64 = 40;

/// A stream that knows request ids again.
fn remembering(partitions: u32) -> StreamSpec {
    let mut spec = spec(partitions);
    spec.append.idempotence = Some(Duration::from_secs(600));
    spec
}

fn groups() -> BTreeSet<GroupName> {
    ["reader", "other"]
        .map(|it| GroupName::new(it).unwrap())
        .into()
}

fn note(key: &str, number: u64) -> Note {
    Note {
        key: key.to_owned(),
        number,
    }
}

async fn layout(site: &Site) -> Layout {
    load(&*site.store, &spec(1)).await.unwrap()
}

/// Changes the number to the end, as the command does.
async fn repartition(site: &Site, partitions: u32) -> Repartition {
    let mut change = Repartition::begin(site.store.clone(), &spec(4))
        .await
        .unwrap();
    change.plan(partitions).await.unwrap();
    change.finish().await.unwrap();
    change
}

/// Waits until the groups are done with the former partitions, and retires them.
async fn caught_up(mut change: Repartition, groups: &BTreeSet<GroupName>) {
    let retired = poll_until(DEADLINE, async || {
        change.backlog(groups).await.unwrap().is_empty() && change.retire().await.unwrap()
    });
    retired
        .await
        .expect("the former partitions are retired in time");
}

/// Sends numbered notes of some keys from several senders, each key by one of them, until told.
struct Flow {
    is_enough: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    senders: Vec<JoinHandle<u64>>,
}

impl Flow {
    async fn begin(site: &Site, senders: u64) -> Self {
        let (is_enough, sent) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let mut tasks = Vec::new();
        for nth in 0..senders {
            let store = open(&site.url).await;
            let (is_enough, sent) = (is_enough.clone(), sent.clone());
            tasks.push(tokio::spawn(async move {
                let sender = Sender::new(store, remembering(4)).unwrap();
                let keys: Vec<u64> = (0..KEYS).filter(|key| key % senders == nth).collect();
                let mut number = 0;
                while !is_enough.load(Ordering::Relaxed) {
                    // Two of each key, so that a chunk has several of one.
                    let numbered = |number: u64| {
                        keys.iter().map(move |key| Outgoing {
                            request_id: Some(format!("{key}:{number}").into()),
                            ..Outgoing::from(note(&key.to_string(), number))
                        })
                    };
                    let chunk = numbered(number).chain(numbered(number + 1));
                    for answer in sender.send_each(chunk.collect()).await {
                        answer.unwrap();
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                    number += 2;
                    // A pace that the processors can keep up with.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                number
            }));
        }
        Self {
            is_enough,
            sent,
            senders: tasks,
        }
    }

    /// Waits until so many more were sent.
    async fn goes_on(&self, more: u64) {
        let until = self.sent.load(Ordering::Relaxed) + more;
        let sent = poll_until(DEADLINE, async || {
            self.sent.load(Ordering::Relaxed) >= until
        });
        sent.await.expect("the senders go on");
    }

    /// Ends it, and tells how many notes each key of a sender got.
    async fn end(self) -> Vec<u64> {
        self.is_enough.store(true, Ordering::Relaxed);
        let mut numbers = Vec::new();
        for sender in self.senders {
            numbers.push(sender.await.unwrap());
        }
        numbers
    }
}

/// A processor of this name that sees, a little slowly.
fn seeing(name: &str, seen: &Seen) -> Processor {
    let seen = seen.clone();
    let function = move |mut events: Events<Note>| {
        let seen = seen.clone();
        async move {
            while let Some(batch) = events.take(20, Duration::ZERO).await? {
                tokio::time::sleep(Duration::from_millis(2)).await;
                batch
                    .iter()
                    .for_each(|event: &Event<Note>| seen.push(event));
            }
            Ok::<_, BoxError>(())
        }
    };
    Processor::new(name, &spec(4), function).unwrap()
}

/// Starts a worker of its own for each of two groups, twice.
async fn workers(site: &Site, seen: [&Seen; 2]) -> Vec<Running> {
    let mut workers = Vec::new();
    for _ in 0..2 {
        for (name, seen) in ["reader", "other"].into_iter().zip(seen) {
            workers.push(site.start(seeing(name, seen)));
        }
    }
    workers
}

/// Each key's notes were seen once and in order by each group.
async fn check(seen: [&Seen; 2], numbers: &[u64]) {
    let total: u64 = (0..KEYS)
        .map(|key| numbers[usize::try_from(key).unwrap() % numbers.len()])
        .sum();
    for seen in seen {
        let total = usize::try_from(total).unwrap();
        let in_time = poll_until(DEADLINE, async || seen.events().len() >= total).await;
        let found = seen.events().len();
        assert!(in_time.is_ok(), "{found} of {total} notes were seen");
        let by_key = seen.by_key();
        assert_eq!(by_key.len() as u64, KEYS);
        for (key, found) in by_key {
            let key: usize = key.parse().unwrap();
            let expected: Vec<u64> = (0..numbers[key % numbers.len()]).collect();
            assert_eq!(found, expected, "of key {key}");
        }
    }
}

pub(crate) async fn four_sixteen_and_three_partitions_keep_the_order_of_each_key(site: Site) {
    let (seen, other) = (Seen::default(), Seen::default());
    let workers = workers(&site, [&seen, &other]).await;
    let flow = Flow::begin(&site, 3).await;
    flow.goes_on(1_000).await;
    let change = repartition(&site, 16).await;
    flow.goes_on(1_000).await;
    caught_up(change, &groups()).await;
    flow.goes_on(1_000).await;
    let change = repartition(&site, 3).await;
    flow.goes_on(1_000).await;
    caught_up(change, &groups()).await;
    let numbers = flow.end().await;
    check([&seen, &other], &numbers).await;
    let layout = layout(&site).await;
    let current = layout.current().unwrap();
    assert_eq!((current.number, current.indexes()), (3, 20..23));
    assert_eq!(layout.live().count(), 1);
    let used: BTreeSet<u32> = seen.events().iter().map(|event| event.partition).collect();
    assert!(used.iter().any(|it| *it < 4) && used.iter().any(|it| (4..20).contains(it)));
    assert!(used.contains(&20), "{used:?}");
    for worker in workers {
        worker.stop().await;
    }
}

pub(crate) async fn a_change_that_died_between_any_two_steps_holds_nobody_up(site: Site) {
    let (seen, other) = (Seen::default(), Seen::default());
    let workers = workers(&site, [&seen, &other]).await;
    let flow = Flow::begin(&site, 2).await;
    flow.goes_on(200).await;
    let stream = spec(4).name().unwrap();
    // It dies before the first seal, and after one, some and all of them: whoever sends goes on.
    for (partitions, sealed) in [(5, 0), (6, 1), (7, 3), (8, 7)] {
        let mut change = Repartition::begin(site.store.clone(), &spec(4))
            .await
            .unwrap();
        change.plan(partitions).await.unwrap();
        let before = *layout(&site).await.current().unwrap();
        for partition in before.partitions_of(&stream).iter().take(sealed) {
            site.store.seal(partition).await.unwrap();
        }
        drop(change);
        flow.goes_on(500).await;
        let current = *layout(&site).await.current().unwrap();
        assert_eq!(
            current.number > before.number,
            sealed > 0,
            "{sealed} sealed"
        );
        // It dies after the switch, too: each time, the groups catch up by themselves.
    }
    // Done again to its end, it takes up all that is left.
    let change = repartition(&site, 3).await;
    caught_up(change, &groups()).await;
    flow.goes_on(200).await;
    let numbers = flow.end().await;
    check([&seen, &other], &numbers).await;
    assert_eq!(layout(&site).await.live().count(), 1);
    for worker in workers {
        worker.stop().await;
    }
}

pub(crate) async fn a_sender_with_an_old_belief_keeps_the_order_of_each_key(site: Site) {
    let store = open(&site.url).await;
    let stale = Sender::new(store, spec(4)).unwrap();
    let keys: Vec<String> = (0..8).map(|key| key.to_string()).collect();
    let round = |number| keys.iter().map(|key| note(key, number)).collect::<Vec<_>>();
    for answer in stale.send_many(round(0)).await {
        answer.unwrap();
    }
    repartition(&site, 16).await;
    let fresh = Sender::new(site.store.clone(), spec(4)).unwrap();
    for answer in fresh.send_many(round(1)).await {
        answer.unwrap();
    }
    // One at a time, and many at once.
    stale.send(&note("0", 2)).await.unwrap();
    for answer in stale.send_many(round(2).split_off(1)).await {
        answer.unwrap();
    }
    let held: u64 = {
        let mut held = 0;
        for index in 0..4 {
            held += site.lag(index).await.held;
        }
        held
    };
    assert_eq!(held, 8, "nothing came to the old partitions any more");
    let seen = Seen::default();
    let worker = site.start(processor(4, Settings::default(), seen.all()));
    seen.count(24).await;
    worker.stop().await;
    for (key, numbers) in seen.by_key() {
        assert_eq!(numbers, [0, 1, 2], "of key {key}");
    }
}

pub(crate) async fn a_request_id_is_known_again_across_a_change(site: Site) {
    let outgoing = |number: u64| Outgoing {
        request_id: Some(format!("r{number}").into()),
        ..Outgoing::from(note(&number.to_string(), number))
    };
    let sender = Sender::new(site.store.clone(), remembering(4)).unwrap();
    let first = sender.send_each((0..20).map(outgoing).collect()).await;
    repartition(&site, 16).await;
    let middle = sender.send_each((10..30).map(outgoing).collect()).await;
    repartition(&site, 3).await;
    let fresh = Sender::new(site.store.clone(), remembering(4)).unwrap();
    for sender in [&sender, &fresh] {
        let last = sender.send_each((0..30).map(outgoing).collect()).await;
        for (number, answer) in last.iter().enumerate() {
            let answer = answer.as_ref().unwrap();
            assert!(answer.duplicate, "{number}");
            let sent = first.get(number).or_else(|| middle.get(number - 10));
            assert_eq!(answer.id, sent.unwrap().as_ref().unwrap().id);
        }
    }
    let stream = spec(4).name().unwrap();
    let mut held = 0;
    for partition in layout(&site).await.live_partitions(&stream) {
        held += site.read(&partition).await.len();
    }
    assert_eq!(held, 30);
}

pub(crate) async fn new_partitions_wait_for_what_stands_still_in_the_old_ones(site: Site) {
    let sender = Sender::new(site.store.clone(), spec(1)).unwrap();
    for number in 0..3 {
        sender.send(&note("bad", number)).await.unwrap();
        sender.send(&note("good", number)).await.unwrap();
    }
    let is_mended = Arc::new(AtomicBool::new(false));
    let mended = is_mended.clone();
    let seen = Seen::default();
    let settings = Settings {
        on_error: Policy::ParkKey,
        ..Settings::default()
    };
    let function = seen.unless(move |event| event.key == "bad" && !mended.load(Ordering::Relaxed));
    let worker = site.start(processor(1, settings, function));
    seen.count(4).await;
    let reader: BTreeSet<GroupName> = [GroupName::new(NAME).unwrap()].into();
    let change = Repartition::begin(site.store.clone(), &spec(1))
        .await
        .unwrap();
    let parked = poll_until(DEADLINE, async || {
        let obstacles = change.obstacles(&reader).await.unwrap();
        obstacles.iter().any(|it| it.parked == 3)
    });
    parked.await.expect("the key is parked in time");

    let change = repartition(&site, 2).await;
    for key in ["bad", "good"] {
        sender.send(&note(key, 3)).await.unwrap();
    }
    let left = change.backlog(&reader).await.unwrap();
    assert_eq!((left.len(), left[0].parked, left[0].waiting), (1, 3, 0));
    is_mended.store(true, Ordering::Relaxed);
    let partition = spec(1).name().unwrap().partition(0);
    let group = GroupName::new(NAME).unwrap();
    tidegate_streams::parked::release(&*site.store, &group, &partition, "bad")
        .await
        .unwrap();
    caught_up(change, &reader).await;
    seen.count(9).await;
    worker.stop().await;
    let by_key = seen.by_key();
    assert_eq!(by_key["good"], [0, 1, 2, 3]);
    // The first try failed.
    assert_eq!(by_key["bad"], [0, 0, 1, 2, 3]);
}

pub(crate) async fn a_replay_comes_in_the_order_of_the_generations(site: Site) {
    let sender = Sender::new(site.store.clone(), spec(4)).unwrap();
    let keep_all = || Settings {
        retain: None,
        ..Settings::default()
    };
    let seen = Seen::default();
    let worker = site.start(processor(4, keep_all(), seen.all()));
    let keys: Vec<String> = (0..10).map(|key| key.to_string()).collect();
    let round = |number| keys.iter().map(|key| note(key, number)).collect::<Vec<_>>();
    for (number, partitions) in [(0, 3), (1, 5), (2, 5)] {
        for answer in sender.send_many(round(number)).await {
            answer.unwrap();
        }
        repartition(&site, partitions).await;
    }
    seen.count(30).await;
    // From the oldest on, as the command does, while the worker runs.
    let (group, stream) = (GroupName::new(NAME).unwrap(), spec(4).name().unwrap());
    for partition in layout(&site).await.live_partitions(&stream) {
        site.store
            .reset_group(&group, &partition, Start::Beginning)
            .await
            .unwrap();
    }
    seen.count(60).await;
    worker.stop().await;
    for (key, numbers) in seen.by_key() {
        assert_eq!(numbers, [0, 1, 2, 0, 1, 2], "of key {key}");
    }
}

pub(crate) async fn a_description_with_another_number_changes_nothing(site: Site) {
    let four = Sender::new(site.store.clone(), spec(4)).unwrap();
    four.send(&note("k", 0)).await.unwrap();
    let nine = Sender::new(open(&site.url).await, spec(9)).unwrap();
    for number in 1..20 {
        nine.send(&note("k", number)).await.unwrap();
    }
    let seen = Seen::default();
    let worker = site.start(processor(9, Settings::default(), seen.all()));
    seen.count(20).await;
    worker.stop().await;
    assert_eq!(seen.numbers(), (0..20).collect::<Vec<_>>());
    assert_eq!(layout(&site).await.current().unwrap().indexes(), 0..4);
}

pub(crate) async fn a_full_partition_gets_other_ones(site: Site) {
    let small = |partitions| StreamSpec {
        partition_size: 10,
        ..spec(partitions)
    };
    let sender = Sender::new(site.store.clone(), small(1)).unwrap();
    let answers = sender
        .send_many((0..15).map(|number| note("k", number)).collect())
        .await;
    assert_eq!(answers.iter().filter(|it| it.is_ok()).count(), 10);
    repartition(&site, 2).await;
    // The old one is full and sealed; what it could not take comes to the new ones.
    let rest: Vec<Note> = (10..15).map(|number| note("k", number)).collect();
    for answer in sender.send_many(rest).await {
        answer.unwrap();
    }
    let seen = Seen::default();
    let worker = site.start(processor(1, Settings::default(), seen.all()));
    seen.count(15).await;
    worker.stop().await;
    assert_eq!(seen.numbers(), (0..15).collect::<Vec<_>>());
}

pub(crate) async fn what_cannot_be_planned_is_refused(site: Site) {
    let mut change = Repartition::begin(site.store.clone(), &spec(4))
        .await
        .unwrap();
    for partitions in [0, 4_097] {
        let refused = change.plan(partitions).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    }
    // Two at once: one of them is told.
    let mut twin = Repartition::begin(open(&site.url).await, &spec(4))
        .await
        .unwrap();
    let (one, other) = tokio::join!(change.plan(5), twin.plan(6));
    let planned = layout(&site).await;
    assert!(one.is_ok() || other.is_ok(), "{one:?}, {other:?}");
    assert_eq!(
        planned.live().count(),
        1 + usize::from(one.is_ok() && other.is_ok())
    );
    assert_eq!(site.lag(0).await.last_id, EntryId::ZERO);
}
