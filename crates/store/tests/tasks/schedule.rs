//! Schedules and their ticks.

use bytes::Bytes;
use tidegate_store::task::{NewSchedule, ScheduleView, Ticked};

use crate::site::{Desk, Site, label, payloads, queue, task};

async fn declare(desk: &Desk, definition: &'static str) -> u64 {
    let schedule = NewSchedule {
        name: label("nightly"),
        definition: Bytes::from_static(definition.as_bytes()),
    };
    let declared = desk.store.declare_schedules(&queue(), vec![schedule]).await;
    declared.unwrap();
    schedule_of(desk).await.last_tick_ms
}

async fn schedule_of(desk: &Desk) -> ScheduleView {
    let mut schedules = desk.store.schedules(&queue()).await.unwrap();
    assert_eq!(schedules.len(), 1);
    schedules.remove(0)
}

async fn tick(desk: &Desk, tick_ms: u64, unless_running: bool) -> Ticked {
    let name = label("nightly");
    let task = task(tick_ms);
    desk.store
        .tick(&queue(), &name, tick_ms, task, unless_running)
        .await
        .unwrap()
}

pub(crate) async fn a_tick_is_taken_once_however_many_try(site: Site) {
    let desks = [
        site.worker().await,
        site.worker().await,
        site.worker().await,
    ];
    let start = declare(&desks[0], "a").await;
    let all = async |desk: &Desk| {
        let mut enqueued = 0;
        for n in 1..=20 {
            enqueued += u32::from(tick(desk, start + n, false).await == Ticked::Enqueued);
        }
        enqueued
    };
    let (a, b, c) = tokio::join!(all(&desks[0]), all(&desks[1]), all(&desks[2]));
    let taken = desks[0].take(100).await;
    assert_eq!(a + b + c, u32::try_from(taken.len()).unwrap());
    let mut texts: Vec<_> = taken.iter().map(|it| it.payload.clone()).collect();
    texts.dedup();
    assert_eq!(texts.len(), taken.len());
    assert_eq!(schedule_of(&desks[0]).await.last_tick_ms, start + 20);
    desks[0].counts().await;
}

pub(crate) async fn a_tick_before_the_last_is_late(site: Site) {
    let desk = site.worker().await;
    let start = declare(&desk, "a").await;
    assert_eq!(tick(&desk, start, false).await, Ticked::Late);
    assert_eq!(tick(&desk, start + 10, false).await, Ticked::Enqueued);
    for late in [start + 10, start + 9] {
        assert_eq!(tick(&desk, late, false).await, Ticked::Late);
    }
    let taken = desk.take(9).await;
    assert_eq!(payloads(&taken), (start + 10).to_string());
    let view = schedule_of(&desk).await;
    assert_eq!(view.last_task, Some(taken[0].id));
}

pub(crate) async fn a_paused_schedule_enqueues_nothing(site: Site) {
    let desk = site.worker().await;
    let start = declare(&desk, "a").await;
    let pause = async |paused| {
        let name = label("nightly");
        desk.store
            .pause_schedule(&queue(), &name, paused)
            .await
            .unwrap()
    };
    assert!(pause(true).await);
    assert_eq!(tick(&desk, start + 1, false).await, Ticked::Paused);
    let view = schedule_of(&desk).await;
    assert_eq!((view.is_paused, view.last_tick_ms), (true, start + 1));
    assert!(pause(false).await);
    assert_eq!(tick(&desk, start + 1, false).await, Ticked::Late);
    assert_eq!(tick(&desk, start + 2, false).await, Ticked::Enqueued);
    let unknown = label("weekly");
    assert!(
        !desk
            .store
            .pause_schedule(&queue(), &unknown, true)
            .await
            .unwrap()
    );
    assert_eq!(desk.counts().await.enqueued, 1);
}

pub(crate) async fn a_tick_is_skipped_while_the_last_task_is_about(site: Site) {
    let desk = site.worker().await;
    let start = declare(&desk, "a").await;
    assert_eq!(tick(&desk, start + 1, true).await, Ticked::Enqueued);
    let taken = desk.take_one().await;
    assert_eq!(
        tick(&desk, start + 2, true).await,
        Ticked::Skipped(taken.id)
    );
    assert_eq!(
        tick(&desk, start + 3, true).await,
        Ticked::Skipped(taken.id)
    );
    desk.done(&taken).await;
    assert_eq!(tick(&desk, start + 3, true).await, Ticked::Late);
    assert_eq!(tick(&desk, start + 4, true).await, Ticked::Enqueued);
    assert_eq!(tick(&desk, start + 5, false).await, Ticked::Enqueued);
    assert_eq!(desk.counts().await.enqueued, 3);
}

pub(crate) async fn a_declaration_keeps_the_last_tick(site: Site) {
    let desk = site.worker().await;
    let start = declare(&desk, "a").await;
    tick(&desk, start + 100_000, false).await;
    assert_eq!(declare(&desk, "b").await, start + 100_000);
    assert_eq!(&*schedule_of(&desk).await.definition, b"b");
}

pub(crate) async fn a_removed_schedule_is_forgotten(site: Site) {
    let desk = site.worker().await;
    let start = declare(&desk, "a").await;
    let name = label("nightly");
    let remove = async || desk.store.remove_schedule(&queue(), &name).await.unwrap();
    assert!(remove().await);
    assert!(!remove().await);
    assert!(desk.store.schedules(&queue()).await.unwrap().is_empty());
    assert_eq!(tick(&desk, start + 1, false).await, Ticked::Unknown);
    assert_eq!(desk.counts().await.enqueued, 0);
}
