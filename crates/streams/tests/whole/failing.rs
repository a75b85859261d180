//! Events that fail: what is acknowledged, what is stored, what goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tidegate_streams::{Error, Events, Policy, Settings};

use crate::site::{Note, Seen, Site, processor, stream};

fn with(on_error: Policy) -> Settings {
    Settings {
        on_error,
        ..Settings::default()
    }
}

pub(crate) async fn halt_stops_the_worker_and_keeps_the_entry_first(site: Site) {
    let ids = site.send(0, "a", 0..10).await;
    let seen = Seen::default();
    let function = seen.unless(|event| event.number == 4);
    let error = site
        .start(processor(1, with(Policy::Halt), function))
        .ended()
        .await;
    let Err(Error::Halted {
        partition,
        id,
        processor: name,
        ..
    }) = error
    else {
        panic!("{error:?}");
    };
    assert_eq!(
        (partition, id, name.as_str()),
        (stream().partition(0), ids[4], "reader")
    );
    assert_eq!(seen.numbers(), [0, 1, 2, 3, 4]);
    // A restart meets the same entry first.
    let again = Seen::default();
    let worker = site.start(processor(1, with(Policy::Halt), again.all()));
    site.drained(1).await;
    worker.stop().await;
    assert_eq!(again.numbers(), [4, 5, 6, 7, 8, 9]);
    assert!(site.dead_letters().await.is_empty());
}

pub(crate) async fn ignore_acknowledges_and_goes_on(site: Site) {
    site.send(0, "a", 0..10).await;
    let seen = Seen::default();
    let function = seen.unless(|event| event.number % 3 == 0);
    let worker = site.start(processor(1, with(Policy::Ignore), function));
    site.drained(1).await;
    worker.stop().await;
    assert!(seen.numbers().into_iter().eq(0..10));
    assert!(site.dead_letters().await.is_empty());
}

pub(crate) async fn a_dead_letter_is_stored_and_the_rest_goes_on(site: Site) {
    let ids = site.send(0, "a", 0..10).await;
    let seen = Seen::default();
    let function = seen.unless(|event| event.number == 4);
    let worker = site.start(processor(1, with(Policy::DeadLetter), function));
    site.drained(1).await;
    worker.stop().await;
    assert!(seen.numbers().into_iter().eq(0..10));
    let letters = site.dead_letters().await;
    assert_eq!(letters.len(), 1);
    let names: Vec<_> = letters[0]
        .fields
        .iter()
        .map(|(name, _)| &name[..])
        .collect();
    assert_eq!(
        &names[..4],
        [&b"failed_at"[..], b"partition", b"xid", b"data"]
    );
    let field = |name: &str| String::from_utf8_lossy(letters[0].field(name.as_bytes()).unwrap());
    assert_eq!(field("partition"), "0");
    assert_eq!(field("xid"), ids[4].to_string());
    assert_eq!(field("data"), "a:4");
    assert_eq!(field("reason"), "note 4 is bad");
    assert_eq!(field("processor"), "reader");
    assert!(field("failed_at").ends_with('Z'));
}

pub(crate) async fn a_batch_that_fails_is_handed_out_one_by_one(site: Site) {
    site.send(0, "a", 0..20).await;
    let (effects, calls) = (Seen::default(), Arc::new(std::sync::Mutex::new(Vec::new())));
    let function = {
        let (effects, calls) = (effects.clone(), calls.clone());
        move |mut events: Events<Note>| {
            let (effects, calls) = (effects.clone(), calls.clone());
            async move {
                while let Some(batch) = events.take(10, Duration::from_millis(50)).await? {
                    calls.lock().unwrap().push(batch.len());
                    if batch.iter().any(|event| event.number == 3) {
                        return Err("one of them is bad".into());
                    }
                    batch.iter().for_each(|event| effects.push(event));
                }
                Ok(())
            }
        }
    };
    let worker = site.start(processor(1, with(Policy::DeadLetter), function));
    site.drained(1).await;
    worker.stop().await;
    // Only the culprit is given up, and order is kept.
    let numbers = effects.numbers();
    assert!(
        numbers
            .iter()
            .copied()
            .eq((0..20).filter(|number| *number != 3)),
        "{numbers:?}"
    );
    assert_eq!(site.dead_letters().await.len(), 1);
    let calls = calls.lock().unwrap();
    assert_eq!(**calls, [vec![10], vec![1; 10], vec![10]].concat());
    let again = effects
        .events()
        .iter()
        .filter(|event| event.attempt == 2)
        .count();
    assert_eq!(again, 9);
}

pub(crate) async fn retry_tries_again_in_place_and_then_does_what_comes_then(site: Site) {
    site.send(0, "a", 0..6).await;
    let seen = Seen::default();
    // The second is mended by its third try, the fourth never is.
    let function = seen.unless(|event| match event.number {
        1 => event.attempt < 3,
        3 => true,
        _ => false,
    });
    let policy = Policy::Retry {
        attempts: 4,
        min: Duration::from_millis(1),
        max: Duration::from_millis(10),
        then: Box::new(Policy::DeadLetter),
    };
    let worker = site.start(processor(1, with(policy), function));
    site.drained(1).await;
    worker.stop().await;
    assert_eq!(seen.numbers(), [0, 1, 1, 1, 2, 3, 3, 3, 3, 4, 5]);
    assert_eq!(site.dead_letters().await.len(), 1);
}

pub(crate) async fn a_panic_is_a_failure_like_any_other(site: Site) {
    site.send(0, "a", 0..6).await;
    let seen = Seen::default();
    let function = seen.unless(|event| {
        assert_ne!(event.number, 2, "a planned panic");
        false
    });
    let worker = site.start(processor(1, with(Policy::DeadLetter), function));
    site.drained(1).await;
    worker.stop().await;
    assert!(seen.numbers().into_iter().eq(0..6));
    let letters = site.dead_letters().await;
    assert_eq!(letters.len(), 1);
    let reason = String::from_utf8_lossy(letters[0].field(b"reason").unwrap());
    assert!(reason.contains("a planned panic"), "{reason}");
}

pub(crate) async fn an_undecodable_entry_is_a_dead_letter_whatever_the_policy(site: Site) {
    site.send_texts(0, ["a:0", "rubbish", "a:1", "a:none"])
        .await;
    let seen = Seen::default();
    let worker = site.start(processor(1, with(Policy::Halt), seen.all()));
    site.drained(1).await;
    // One that comes alone, to a function that is waiting.
    site.send_texts(0, ["more rubbish"]).await;
    site.drained(1).await;
    worker.stop().await;
    assert_eq!(seen.numbers(), [0, 1]);
    let letters = site.dead_letters().await;
    let data: Vec<_> = letters
        .iter()
        .map(|letter| &letter.field(b"data").unwrap()[..])
        .collect();
    assert_eq!(data, [&b"rubbish"[..], b"a:none", b"more rubbish"]);
    let reason = String::from_utf8_lossy(letters[0].field(b"reason").unwrap());
    assert!(reason.contains("a note lacks its colon"), "{reason}");
}

pub(crate) async fn a_function_that_returns_early_is_called_again(site: Site) {
    site.send(0, "a", 0..9).await;
    let (seen, calls) = (Seen::default(), Arc::new(AtomicUsize::new(0)));
    let function = {
        let (seen, calls) = (seen.clone(), calls.clone());
        move |mut events: Events<Note>| {
            let (seen, calls) = (seen.clone(), calls.clone());
            async move {
                // Each third call takes nothing at all.
                if calls.fetch_add(1, Ordering::SeqCst) % 3 == 2 {
                    return Ok(());
                }
                if let Some(event) = events.next().await? {
                    seen.push(&event);
                }
                Ok(())
            }
        }
    };
    let worker = site.start(processor(1, with(Policy::Halt), function));
    site.drained(1).await;
    worker.stop().await;
    assert!(seen.numbers().into_iter().eq(0..9));
}
