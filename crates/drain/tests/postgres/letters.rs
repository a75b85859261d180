//! Dead letters: kept whole, listed in order, forgotten when applied.

use bytes::Bytes;
use tidegate_drain::change::RowKey;
use tidegate_drain::dead_letter::{DeadLetter, DeadLetterFilter, LetterId, StoredLetter};
use tidegate_drain::envelope::Envelope;
use tidegate_drain::held::HeldState;
use tidegate_drain::sink::{Claim, Sink as _};
use tidegate_drain::{Code, Rejection};
use tidegate_store::{EntryId, Epoch};

use crate::target::{Target, shard};

fn id(ms: u64) -> EntryId {
    EntryId::new(ms, 0)
}

fn letter(id: EntryId, state: HeldState) -> DeadLetter {
    let field = |name: &'static str, value: &'static [u8]| (Bytes::from(name), Bytes::from(value));
    // Whatever bytes a producer sends are kept.
    let fields = vec![
        field("request_id", b"a\0b"),
        field("typed_sql", b"\xff\0{}"),
        field("more", b""),
    ];
    DeadLetter {
        envelope: Envelope { id, fields },
        state,
        since_ms: 40 + id.ms,
        rejection: Rejection {
            code: Code::Refused,
            sqlstate: Some("23505".to_owned()),
            reason: "a reason with \0".to_owned(),
        },
        rows: vec![RowKey::from_bytes(b"row"), RowKey::from_bytes(b"\0\xff")],
    }
}

/// Holds four letters, out of order, and the oldest one twice.
async fn held() -> Target {
    let target = Target::with("").await;
    claim(&target).await;
    let letters = [
        letter(id(11), HeldState::Parked),
        letter(id(2), HeldState::Dead),
        letter(id(7), HeldState::Waiting),
        letter(EntryId::new(2, u64::MAX), HeldState::Dead),
    ];
    let again = [letter(id(2), HeldState::Dead)];
    let mut transaction = target.sink.begin().await.expect("a transaction");
    transaction.hold(&shard(3), &letters).await.expect("held");
    transaction
        .hold(&shard(3), &again)
        .await
        .expect("held again");
    transaction.commit().await.expect("a commit");
    target
}

async fn claim(target: &Target) -> Claim {
    let claim = target.sink.claim(&shard(3), Epoch(1), 0).await;
    claim.expect("a claim")
}

async fn list(
    target: &Target,
    states: &[HeldState],
    id: Option<LetterId>,
    count_max: u32,
) -> Vec<StoredLetter> {
    let states = states.to_vec();
    let stream = shard(3).stream;
    let filter = DeadLetterFilter {
        stream,
        states,
        id,
        count_max,
    };
    target.sink.dead_letters(&filter).await.expect("letters")
}

#[tokio::test]
async fn letters_are_kept_whole_and_listed_in_order() {
    let target = held().await;
    let listed = list(&target, &[], None, 100).await;
    let ids: Vec<_> = listed.iter().map(|letter| letter.id.to_string()).collect();
    let expected = ["3:2-0", "3:2-18446744073709551615", "3:7-0", "3:11-0"];
    assert_eq!(ids, expected);
    let attempts: Vec<_> = listed.iter().map(|letter| letter.attempts).collect();
    assert_eq!(attempts, [2, 1, 1, 0], "a parked entry was not tried");
    let oldest = listed.first().expect("a letter");
    let sent = letter(id(2), HeldState::Dead);
    assert_eq!(oldest.envelope.fields, sent.envelope.fields);
    assert_eq!((oldest.since_ms, oldest.code.as_str()), (42, "refused"));

    let some = list(&target, &[HeldState::Waiting, HeldState::Parked], None, 1).await;
    assert_eq!(some.len(), 1);
    let named = LetterId {
        shard: 3,
        entry: id(11),
    };
    let one = list(&target, &[], Some(named), 100).await;
    let states: Vec<_> = one.iter().map(|letter| letter.state).collect();
    assert_eq!(states, [HeldState::Parked]);
}

#[tokio::test]
async fn letters_are_held_until_they_are_released_or_given_up() {
    let target = held().await;
    let index = claim(&target).await.held;
    let rows = index.get(id(2)).map(|held| held.rows.len());
    assert_eq!((index.len(), rows), (4, Some(2)));

    let mut transaction = target.sink.begin().await.expect("a transaction");
    let discarded = transaction.discard(&shard(3), &[id(2)]).await;
    discarded.expect("discarded");
    let wanted = [id(2), id(7), id(999)];
    let loaded = transaction.load_held(&shard(3), &wanted).await;
    let loaded: Vec<_> = loaded.expect("loaded").iter().map(|it| it.id).collect();
    assert_eq!(loaded, [id(7)]);
    let released = transaction.release(&shard(3), &[id(7), id(11)]).await;
    released.expect("released");
    transaction.commit().await.expect("a commit");

    let rows = target.sink.ledger(&shard(3).stream).await.expect("rows");
    let row = rows.first().expect("the shard");
    let counts = (row.dead, row.waiting, row.parked, row.discarded);
    assert_eq!(counts, (1, 0, 0, 1));
    assert_eq!(claim(&target).await.held.len(), 1);
}
