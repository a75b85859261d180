//! Groups and their callbacks.

use bytes::Bytes;
use tidegate_store::Error;
use tidegate_store::task::{GroupStep, NewGroup, TaskId};

use crate::site::{Desk, LONG, Site, label, payloads, queue, task};

async fn open(desk: &Desk, name: &str, members: usize) -> Vec<TaskId> {
    let members: Vec<_> = (0..members).map(|_| TaskId::fresh()).collect();
    let group = NewGroup {
        id: label(name),
        members: members.clone(),
        callback: task("call\nback"),
        lifetime: LONG,
    };
    desk.store.open_group(&queue(), group).await.unwrap();
    members
}

async fn step(desk: &Desk, member: TaskId) -> GroupStep {
    desk.store
        .group_member_done(&queue(), &label("g"), member)
        .await
        .unwrap()
}

pub(crate) async fn the_last_member_enqueues_the_callback_once(site: Site) {
    let desk = site.worker().await;
    let members = open(&desk, "g", 3).await;
    assert_eq!(step(&desk, members[0]).await, GroupStep::Waiting(2));
    assert_eq!(step(&desk, members[2]).await, GroupStep::Waiting(1));
    assert!(desk.take(9).await.is_empty());
    assert_eq!(step(&desk, members[1]).await, GroupStep::Completed);
    let taken = desk.take(9).await;
    assert_eq!(payloads(&taken), "call\nback");
    desk.done(&taken[0]).await;
    for member in members {
        assert_eq!(step(&desk, member).await, GroupStep::Over);
    }
    assert_eq!(desk.counts().await.enqueued, 1);
}

pub(crate) async fn a_member_that_is_done_twice_counts_once(site: Site) {
    let desk = site.worker().await;
    let members = open(&desk, "g", 2).await;
    for _ in 0..3 {
        assert_eq!(step(&desk, members[0]).await, GroupStep::Waiting(1));
    }
    assert_eq!(step(&desk, TaskId::fresh()).await, GroupStep::Waiting(1));
    assert_eq!(step(&desk, members[1]).await, GroupStep::Completed);
}

pub(crate) async fn a_group_is_opened_once(site: Site) {
    let desk = site.worker().await;
    let members = open(&desk, "g", 2).await;
    step(&desk, members[0]).await;
    open(&desk, "g", 5).await;
    assert_eq!(step(&desk, members[1]).await, GroupStep::Completed);
    open(&desk, "g", 5).await;
    assert_eq!(step(&desk, members[1]).await, GroupStep::Over);
    assert_eq!(desk.counts().await.enqueued, 1);
}

pub(crate) async fn members_that_end_at_once_complete_a_group_once(site: Site) {
    let (one, other) = (site.worker().await, site.worker().await);
    let members = open(&one, "g", 40).await;
    let all = async |desk: &Desk| {
        let mut completed = 0;
        for member in &members {
            completed += u32::from(step(desk, *member).await == GroupStep::Completed);
        }
        completed
    };
    let (first, second) = tokio::join!(all(&one), all(&other));
    assert_eq!(first + second, 1);
    assert_eq!(one.take(9).await.len(), 1);
}

pub(crate) async fn a_group_without_members_is_refused(site: Site) {
    let desk = site.worker().await;
    let group = NewGroup {
        id: label("g"),
        members: Vec::new(),
        callback: task(""),
        lifetime: LONG,
    };
    let refused = desk.store.open_group(&queue(), group.clone()).await;
    assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    let mut large = task("");
    large.payload = Bytes::from(vec![0; 2 << 20]);
    let group = NewGroup {
        members: vec![TaskId::fresh()],
        callback: large,
        ..group
    };
    let refused = desk.store.open_group(&queue(), group).await;
    assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    assert_eq!(step(&desk, TaskId::fresh()).await, GroupStep::Over);
}
