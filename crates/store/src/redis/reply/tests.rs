use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn reply(wire: &str) -> Reply {
    Reply::new(Bytes::copy_from_slice(wire.as_bytes()))
}

fn entry(id: EntryId, fields: &[(&str, &str)]) -> Entry {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    Entry {
        id,
        fields: fields
            .iter()
            .map(|(name, value)| (bytes(name), bytes(value)))
            .collect(),
    }
}

const ENTRY: &str = "*2\r\n$3\r\n5-1\r\n*2\r\n$1\r\na\r\n$2\r\nxy\r\n";

#[test]
fn entries_are_read_in_order_with_repeated_names() {
    let wire = format!(
        "*2\r\n{ENTRY}*2\r\n$3\r\n5-2\r\n*4\r\n$1\r\na\r\n$0\r\n\r\n$1\r\na\r\n$2\r\n\r\n\r\n"
    );
    assert_eq!(
        reply(&wire).entries().unwrap(),
        [
            entry(EntryId::new(5, 1), &[("a", "xy")]),
            entry(EntryId::new(5, 2), &[("a", ""), ("a", "\r\n")]),
        ]
    );
}

#[test]
fn a_pending_entry_that_was_deleted_has_no_fields() {
    for nil in ["_\r\n", "*-1\r\n", "$-1\r\n"] {
        let wire = format!("*1\r\n*2\r\n$3\r\n5-1\r\n{nil}");
        assert_eq!(
            reply(&wire).entries().unwrap(),
            [entry(EntryId::new(5, 1), &[])]
        );
    }
}

#[test]
fn streams_have_one_meaning_in_both_protocols() {
    let resp2 = format!("*1\r\n*2\r\n$1\r\ns\r\n*1\r\n{ENTRY}");
    let resp3 = format!("%1\r\n$1\r\ns\r\n*1\r\n{ENTRY}");
    let expected = [(
        Bytes::from_static(b"s"),
        vec![entry(EntryId::new(5, 1), &[("a", "xy")])],
    )];
    assert_eq!(reply(&resp2).streams().unwrap(), expected);
    assert_eq!(reply(&resp3).streams().unwrap(), expected);
    for nil in ["*-1\r\n", "_\r\n"] {
        assert_eq!(reply(nil).streams().unwrap(), []);
    }
}

#[test]
fn scalars_are_read_in_every_spelling() {
    assert_eq!(reply(":42\r\n").number().unwrap(), 42);
    assert_eq!(reply("$2\r\n42\r\n").number().unwrap(), 42);
    assert_eq!(reply(":-1\r\n").integer().unwrap(), -1);
    assert_eq!(reply("+OK\r\n").text().unwrap(), "OK");
    assert_eq!(reply("=7\r\ntxt:abc\r\n").text().unwrap(), "abc");
    assert_eq!(reply("_\r\n").optional_text().unwrap(), None);
    assert_eq!(reply("$-1\r\n").optional_text().unwrap(), None);
}

#[test]
fn an_error_reply_is_told_apart() {
    assert_eq!(
        reply("-LEASELOST gone\r\n").error().unwrap(),
        "LEASELOST gone"
    );
    assert_eq!(reply("!9\r\nERR wrong\r\n").error().unwrap(), "ERR wrong");
    assert_eq!(reply("+OK\r\n").error(), None);
}

#[test]
fn a_length_that_cannot_be_true_reserves_nothing() {
    for wire in [
        "*9000000000000000000\r\n",
        "%9000000000000000000\r\n*-7\r\n",
        "*2\r\n_\r\n",
        "$9000000000000000000\r\nx\r\n",
        "$-9\r\n",
    ] {
        assert!(
            matches!(reply(wire).entries(), Err(Error::Corrupt(_))),
            "{wire:?}"
        );
        assert!(
            matches!(reply(wire).streams(), Err(Error::Corrupt(_))),
            "{wire:?}"
        );
    }
}

fn wire_of(entries: &[Entry]) -> Vec<u8> {
    fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
        out.extend(format!("${}\r\n", bytes.len()).bytes());
        out.extend(bytes);
        out.extend(b"\r\n");
    }
    let mut out = format!("*{}\r\n", entries.len()).into_bytes();
    for entry in entries {
        out.extend(b"*2\r\n");
        bulk(&mut out, entry.id.to_string().as_bytes());
        out.extend(format!("*{}\r\n", entry.fields.len() * 2).bytes());
        for (name, value) in &entry.fields {
            bulk(&mut out, name);
            bulk(&mut out, value);
        }
    }
    out
}

fn any_bytes() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from)
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let fields = proptest::collection::vec((any_bytes(), any_bytes()), 0..4);
    (any::<u64>(), any::<u64>(), fields).prop_map(|(ms, sequence, fields)| Entry {
        id: EntryId::new(ms, sequence),
        fields,
    })
}

/// Asks for every shape in turn; only panics and endless loops can fail it.
fn read_every_way(wire: &Bytes) {
    let fresh = || Reply::new(wire.clone());
    let _ = fresh().error();
    let _ = fresh().number();
    let _ = fresh().integer();
    let _ = fresh().id();
    let _ = fresh().texts();
    let _ = fresh().entries();
    let _ = fresh().streams();
}

proptest! {
    #[test]
    fn what_the_server_writes_is_read_back(entries in proptest::collection::vec(any_entry(), 0..5)) {
        let wire = Bytes::from(wire_of(&entries));
        prop_assert_eq!(Reply::new(wire).entries().unwrap(), entries);
    }

    #[test]
    fn a_truncated_reply_is_an_error(
        entries in proptest::collection::vec(any_entry(), 1..5),
        keep in 0.0..1.0_f64,
    ) {
        let wire = Bytes::from(wire_of(&entries));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of a small length"
        )]
        let cut = wire.slice(..(wire.len() as f64 * keep) as usize);
        prop_assert!(matches!(Reply::new(cut.clone()).entries(), Err(Error::Corrupt(_))));
        read_every_way(&cut);
    }

    #[test]
    fn odd_bytes_never_panic(wire in "[-+:$*%_!=~0-9a\r\n]{0,40}") {
        read_every_way(&Bytes::from(wire));
    }

    #[test]
    fn one_changed_byte_never_panics(
        entries in proptest::collection::vec(any_entry(), 1..4),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut wire = wire_of(&entries);
        let at = at.index(wire.len());
        wire[at] = byte;
        read_every_way(&Bytes::from(wire));
    }
}
