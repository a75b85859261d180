//! Dead letters in a person's hands.

use tidegate_store::EntryId;
use tidegate_streams::{Desk, Error, Policy, Settings};

use crate::site::{Seen, Site, processor, spec};

async fn process(site: &Site, seen: &Seen, bad: &'static [u64]) {
    let settings = Settings {
        on_error: Policy::DeadLetter,
        retain: None,
        ..Settings::default()
    };
    let function = seen.unless(move |event| bad.contains(&event.number));
    let worker = site.start(processor(1, settings, function));
    site.drained(1).await;
    worker.stop().await;
}

async fn desk(site: &Site) -> Desk {
    Desk::open(site.store.clone(), spec(1)).await.unwrap()
}

pub(crate) async fn a_retried_letter_is_processed_again_and_gone(site: Site) {
    let ids = site.send(0, "a", 0..6).await;
    process(&site, &Seen::default(), &[1, 2, 4]).await;
    let at = desk(&site).await;
    let letters = at.list(EntryId::ZERO, 100).await.unwrap();
    let entries: Vec<_> = letters.iter().map(|letter| letter.entry).collect();
    assert_eq!(entries, [ids[1], ids[2], ids[4]]);
    assert_eq!(
        (letters[0].partition, letters[0].reason.as_str()),
        (0, "note 1 is bad")
    );
    let page = at.list(letters[0].id, 1).await.unwrap();
    assert_eq!(page, letters[1..2]);
    assert_eq!(at.retry(&[letters[2].id, letters[0].id]).await.unwrap(), 2);
    assert_eq!(at.retry(&[letters[0].id]).await.unwrap(), 0);
    assert_eq!(at.list(EntryId::ZERO, 100).await.unwrap(), letters[1..2]);
    at.close().await.unwrap();
    let seen = Seen::default();
    process(&site, &seen, &[]).await;
    assert_eq!(seen.numbers(), [4, 1]);
}

pub(crate) async fn a_discarded_letter_is_gone_and_the_others_stay(site: Site) {
    site.send(0, "a", 0..3).await;
    process(&site, &Seen::default(), &[0, 1, 2]).await;
    let at = desk(&site).await;
    let letters = at.list(EntryId::ZERO, 100).await.unwrap();
    assert_eq!(at.discard(&[letters[0].id]).await.unwrap(), 1);
    at.close().await.unwrap();
    // What nobody needs any more is deleted.
    assert_eq!(site.dead_letters().await.len(), 2);
    let at = desk(&site).await;
    assert_eq!(at.list(EntryId::ZERO, 100).await.unwrap(), letters[1..]);
    at.close().await.unwrap();
}

pub(crate) async fn a_letter_is_not_stored_twice_when_its_owner_died_before_the_ack(site: Site) {
    let ids = site.send(0, "a", 0..1).await;
    process(&site, &Seen::default(), &[0]).await;
    // The entry is pending again, as if the acknowledgement had never come.
    let start = tidegate_store::Start::After(EntryId::new(ids[0].ms - 1, 0));
    let partition = crate::site::stream().partition(0);
    site.store
        .reset_group(&crate::site::group(), &partition, start)
        .await
        .unwrap();
    let seen = Seen::default();
    process(&site, &seen, &[0]).await;
    assert_eq!(seen.numbers(), [0]);
    assert_eq!(site.dead_letters().await.len(), 1);
}

pub(crate) async fn one_command_at_a_time_is_at_the_desk(site: Site) {
    let at = desk(&site).await;
    let other = Desk::open(site.store.clone(), spec(1)).await;
    assert!(matches!(other, Err(Error::Busy { .. })), "{other:?}");
    at.close().await.unwrap();
    desk(&site).await.close().await.unwrap();
}
