//! Dead letters: kept byte for byte, released, given up, and shown to people.

use bytes::Bytes;
use tidegate_drain::change::RowKey;
use tidegate_drain::dead_letter::{DeadLetter, DeadLetterFilter, LetterId};
use tidegate_drain::envelope::Envelope;
use tidegate_drain::held::HeldState;
use tidegate_drain::sink::Sink as _;
use tidegate_drain::{Code, Rejection};
use tidegate_store::{EntryId, Epoch};

use crate::target::{Target, shard};

fn id(ms: u64) -> EntryId {
    EntryId::new(ms, 0)
}

fn letter(ms: u64, state: HeldState, row: &[u8]) -> DeadLetter {
    let fields = vec![
        (
            Bytes::from_static(b"typed_sql"),
            Bytes::from_static(b"\xff\x00{"),
        ),
        (
            Bytes::from_static(b"\x80"),
            Bytes::from_static("größe".as_bytes()),
        ),
    ];
    DeadLetter {
        envelope: Envelope { id: id(ms), fields },
        state,
        since_ms: 1_000 + ms,
        rejection: Rejection {
            code: Code::Refused,
            sqlstate: Some("SQLITE_CONSTRAINT_UNIQUE".to_owned()),
            reason: "why".to_owned(),
        },
        rows: vec![RowKey::from_bytes(row)],
    }
}

async fn hold(target: &Target, letters: &[DeadLetter]) {
    let mut transaction = target.sink.begin().await.expect("a transaction");
    transaction.hold(&shard(3), letters).await.expect("held");
    transaction.commit().await.expect("a commit");
}

#[tokio::test]
async fn held_entries_come_back_byte_for_byte_and_are_released() {
    let target = Target::with("").await;
    target
        .sink
        .claim(&shard(3), Epoch(1), 0)
        .await
        .expect("a claim");
    let letters = [
        letter(7, HeldState::Dead, b"\x00row\xff"),
        letter(10, HeldState::Parked, b"\x00row\xff"),
        letter(9, HeldState::Waiting, b"other"),
    ];
    hold(&target, &letters).await;
    let claim = target
        .sink
        .claim(&shard(3), Epoch(1), 0)
        .await
        .expect("a claim");
    assert_eq!(claim.held.len(), 3);
    let held = claim.held.get(id(7)).expect("held");
    assert_eq!(
        (held.state, held.since_ms, &held.rows),
        (HeldState::Dead, 1_007, &letters[0].rows)
    );
    assert!(claim.held.has_predecessor(id(10), &letters[1].rows));

    let mut transaction = target.sink.begin().await.expect("a transaction");
    let loaded = transaction
        .load_held(&shard(3), &[id(8), id(9), id(7)])
        .await
        .expect("entries");
    let found: Vec<_> = loaded
        .iter()
        .map(|envelope| (envelope.id, &envelope.fields))
        .collect();
    let fields = &letters[0].envelope.fields;
    assert_eq!(found, [(id(9), fields), (id(7), fields)]);
    assert!(
        transaction
            .load_held(&shard(2), &[id(7)])
            .await
            .expect("entries")
            .is_empty()
    );
    transaction
        .release(&shard(3), &[id(7)])
        .await
        .expect("released");
    transaction.commit().await.expect("a commit");
    let claim = target
        .sink
        .claim(&shard(3), Epoch(1), 0)
        .await
        .expect("a claim");
    assert!(claim.held.get(id(7)).is_none() && claim.held.len() == 2);
}

#[tokio::test]
async fn a_second_refusal_replaces_the_reason_and_counts_the_attempt() {
    let target = Target::with("").await;
    hold(
        &target,
        &[
            letter(7, HeldState::Parked, b"r"),
            letter(11, HeldState::Dead, b"r"),
        ],
    )
    .await;
    let mut again = letter(7, HeldState::Dead, b"r");
    again.rejection = Rejection::new(Code::NoSuchRow, "gone");
    hold(&target, &[again.clone()]).await;
    hold(&target, &[again]).await;
    let mut filter = DeadLetterFilter {
        stream: shard(3).stream,
        states: vec![HeldState::Dead],
        id: None,
        count_max: 10,
    };
    let letters = target.sink.dead_letters(&filter).await.expect("letters");
    let found: Vec<_> = letters
        .iter()
        .map(|l| (l.id.to_string(), l.attempts))
        .collect();
    assert_eq!(found, [("3:7-0".to_owned(), 2), ("3:11-0".to_owned(), 1)]);
    let first = &letters[0];
    assert_eq!(
        (first.code.as_str(), &first.sqlstate, first.reason.as_str()),
        ("no_such_row", &None, "gone")
    );
    filter.count_max = 1;
    assert_eq!(
        target
            .sink
            .dead_letters(&filter)
            .await
            .expect("letters")
            .len(),
        1
    );
    filter.id = Some(LetterId {
        shard: 3,
        entry: id(11),
    });
    let letters = target.sink.dead_letters(&filter).await.expect("letters");
    assert_eq!(letters[0].id.entry, id(11));
}

#[tokio::test]
async fn a_discarded_entry_is_kept_and_no_longer_held() {
    let target = Target::with("").await;
    target
        .sink
        .claim(&shard(3), Epoch(1), 0)
        .await
        .expect("a claim");
    hold(
        &target,
        &[
            letter(7, HeldState::Dead, b"r"),
            letter(8, HeldState::Parked, b"r"),
        ],
    )
    .await;
    let mut transaction = target.sink.begin().await.expect("a transaction");
    transaction
        .discard(&shard(3), &[id(7)])
        .await
        .expect("discarded");
    assert!(
        transaction
            .load_held(&shard(3), &[id(7)])
            .await
            .expect("entries")
            .is_empty()
    );
    let held = transaction
        .lock_ledger(&shard(3))
        .await
        .expect("an answer")
        .expect("a shard");
    assert!(held.get(id(7)).is_none() && held.get(id(8)).is_some());
    transaction.commit().await.expect("a commit");
    let ledger = target
        .sink
        .ledger(&shard(3).stream)
        .await
        .expect("a ledger");
    let row = &ledger[0];
    assert_eq!(
        (row.dead, row.waiting, row.parked, row.discarded),
        (0, 0, 1, 1)
    );
}
