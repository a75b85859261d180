//! Dead letters: found, understood, tried again, given up.

use crate::program::Place;

const TABLES: &str = "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL);";

/// A place where item 1 could not be inserted, with an update of it parked behind, and where
/// something that is not JSON was sent.
fn place_with_dead_letters() -> Place {
    let place = Place::with_tables(TABLES);
    place.write(
        "operations.jsonl",
        concat!(
            r#"{"op":"insert","table":"item","row":{"id":1,"name":null}}"#,
            "\n",
            r#"{"op":"update","table":"item","key":{"id":1},"set":{"name":"b"}}"#,
            "\n",
            r#"{"op":"insert","table":"item","row":{"id":2,"name":"c"}}"#,
            "\nnot JSON at all\n",
        ),
    );
    place.done("drain send operations.jsonl");
    place.done("drain run --once");
    place
}

fn id_of(place: &Place, code: &str) -> String {
    let list = place.json("drain dead list --json");
    let letters = list["letters"].as_array().expect("letters");
    let letter = letters
        .iter()
        .find(|letter| letter["code"] == code)
        .expect(code);
    letter["id"].as_str().expect("an id").to_owned()
}

#[test]
fn what_is_held_is_listed_and_shown() {
    let place = place_with_dead_letters();
    let list = place.done("drain dead list");
    assert_eq!(list.lines().count(), 4, "{list}");
    for part in ["not_null", "invalid_json", "parked", "item", "name"] {
        assert!(list.contains(part), "{part}: {list}");
    }
    assert_eq!(
        place.done("drain dead list --state parked").lines().count(),
        2
    );
    let limited = place.done("drain dead list --limit 1");
    assert!(limited.contains("more than these 1"), "{limited}");
    assert_eq!(place.json("drain dead list --json --limit 1")["more"], true);

    let shown = place.done(&format!("drain dead show {}", id_of(&place, "not_null")));
    assert!(shown.contains("\"op\": \"insert\""), "{shown}");
    assert!(shown.contains("request_id"), "{shown}");
    let json = place.json(&format!(
        "drain dead show --json {}",
        id_of(&place, "not_null")
    ));
    assert_eq!(json["operation"]["row"]["id"], 1);
    let json = place.json(&format!(
        "drain dead show --json {}",
        id_of(&place, "invalid_json")
    ));
    assert_eq!(json["operation"], "not JSON at all");
    assert!(
        place
            .done("drain verify")
            .contains("sent 4 = applied 1 + dead 2 + parked 1")
    );
}

#[test]
fn an_unknown_letter_is_explained() {
    let place = place_with_dead_letters();
    for command in ["show", "retry", "discard"] {
        let ran = place.run(&format!("drain dead {command} 3:17-0"));
        assert_eq!(ran.code, 1, "{command}");
        ran.says(&["dead letter", "dead list"]);
    }
    assert_eq!(place.run("drain dead show 3").code, 2);
    assert_eq!(place.run("drain dead retry").code, 2);
}

#[test]
fn a_retry_applies_what_was_mended_and_what_was_parked_behind_it() {
    let place = place_with_dead_letters();
    let id = id_of(&place, "not_null");
    let ran = place.run(&format!("drain dead retry {id}"));
    assert_eq!(ran.code, 1, "{}", ran.out);
    assert!(
        ran.out.contains("1 dead again") && ran.out.contains("not_null"),
        "{}",
        ran.out
    );

    place
        .database()
        .execute_batch(
            "ALTER TABLE item RENAME TO old; CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT);
         INSERT INTO item SELECT * FROM old; DROP TABLE old",
        )
        .expect("the mended table");
    let retried = place.json(&format!("drain dead retry --json {id}"));
    assert_eq!(
        (&retried["applied"], &retried["dead"]),
        (&2.into(), &0.into())
    );
    assert_eq!(
        place.number("SELECT count(*) FROM item WHERE name = 'b'"),
        1
    );

    let ran = place.run("drain dead retry --all --json");
    assert_eq!(
        (ran.code, &ran.json()["dead_letters"][0]["code"]),
        (1, &"invalid_json".into())
    );
}

#[test]
fn a_discarded_letter_blocks_nothing() {
    let place = place_with_dead_letters();
    let id = id_of(&place, "not_null");
    let discarded = place.json(&format!("drain dead discard --json {id}"));
    // The update that was parked behind it finds no row now.
    assert_eq!(
        (&discarded["discarded"], &discarded["dead"]),
        (&1.into(), &1.into())
    );
    let text = place.done(&format!(
        "drain dead discard {}",
        id_of(&place, "invalid_json")
    ));
    assert!(text.contains("Discarded 1 dead letter."), "{text}");
    assert!(
        place
            .done("drain dead list --state discarded")
            .contains("not_null")
    );
    let proof = place.done("drain verify");
    assert!(
        proof.contains("sent 4 = applied 1 + dead 1 + discarded 2"),
        "{proof}"
    );
}
