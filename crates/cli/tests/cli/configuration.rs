//! The configuration: what is refused, and how it is said; what is shown, and what is not.

use crate::program::Place;

#[test]
fn no_configuration_is_valid() {
    let place = Place::empty();
    assert!(place.done("config check").contains("valid"));
    assert_eq!(place.json("config check --json")["valid"], true);
}

#[test]
fn an_error_names_key_value_source_and_what_is_allowed() {
    let cases = [
        (
            "[drain]\nbatch_max = 0\n",
            "drain.batch_max = 0 (tidegate.toml): use 1 to 100000",
        ),
        (
            "[drain]\nbatch_max = \"9\"\n",
            "drain.batch_max = \"9\" (tidegate.toml): use 1 to",
        ),
        (
            "[drain]\npartitions = 5000\n",
            "drain.partitions = 5000 (tidegate.toml): use 1 to 4096",
        ),
        (
            "[drain]\nlease_ttl = 10\n",
            "drain.lease_ttl = 10 (tidegate.toml): use a duration of",
        ),
        (
            "[drain]\nstream = \"a b\"\n",
            "drain.stream = \"a b\" (tidegate.toml): use 1 to 128",
        ),
        (
            "[drain]\nbatchmax = 1\n",
            "tidegate.toml: drain.batchmax is unknown; the keys of [drain]",
        ),
        (
            "[drian]\nx = 1\n",
            "tidegate.toml: drian.x is unknown; the sections are [store]",
        ),
        (
            "stream = \"s\"\n",
            "tidegate.toml: stream is unknown; the sections are [store]",
        ),
        (
            "[sink]\nurl = \"mysql://h/d\"\n",
            "sink.url = \"mysql://h/d\" (tidegate.toml): use postgres",
        ),
        (
            "[store]\nurl = 7\n",
            "store.url = 7 (tidegate.toml): use a URL in quotes",
        ),
        (
            "[sink]\nschema = \"\"\n",
            "sink.schema = \"\" (tidegate.toml): use a schema's name",
        ),
        ("[store\n", "tidegate.toml is not TOML"),
    ];
    for (toml, expected) in cases {
        let place = Place::empty();
        place.write("tidegate.toml", toml);
        let ran = place.run("config check");
        assert_eq!(ran.code, 1, "{toml}");
        ran.says(&[expected, "help:"]);
    }
}

#[test]
fn an_environment_variable_is_named_as_the_source() {
    let place = Place::empty();
    let env = [
        ("TIDEGATE__DRAIN__HELD_MAX", "many"),
        ("TIDEGATE__DRAIN__HOLD", "1"),
    ];
    let ran = place.run_with("config check", &env);
    assert_eq!(ran.code, 1);
    ran.says(&[
        "drain.held_max = \"many\" (TIDEGATE__DRAIN__HELD_MAX): use 1 to",
        "TIDEGATE__DRAIN__HOLD: drain.hold is unknown",
    ]);
}

#[test]
fn a_named_file_must_be_there() {
    let ran = Place::empty().run("config check --config nowhere.toml");
    assert_eq!(ran.code, 1);
    ran.says(&["nowhere.toml can't be read", "--config"]);
}

#[test]
fn show_names_the_origin_and_hides_passwords() {
    let place = Place::empty();
    place.write(
        "other.toml",
        "[store]\nurl = \"redis://user:hunter2@host:6379\"\n",
    );
    let env = [(
        "TIDEGATE__SINK__URL",
        "postgres://u@h/d?password=hunter2&sslmode=require",
    )];
    let text = place
        .run_with("config show --config other.toml", &env)
        .succeeded("show")
        .out;
    assert!(!text.contains("hunter2"), "{text}");
    let has = |parts: [&str; 3]| {
        text.lines()
            .any(|line| parts.iter().all(|p| line.contains(p)))
    };
    assert!(
        has(["store.url", "redis://user:***@host:6379", "other.toml"]),
        "{text}"
    );
    assert!(
        has([
            "sink.url",
            "password=***&sslmode=require",
            "TIDEGATE__SINK__URL"
        ]),
        "{text}"
    );
    assert!(has(["drain.lease_ttl", "10s", "default"]), "{text}");

    let json = place
        .run_with("config show --json --config other.toml", &env)
        .json();
    assert_eq!(json["store.url"]["value"], "redis://user:***@host:6379");
    assert_eq!(json["store.url"]["origin"], "file");
    assert_eq!(json["sink.url"]["source"], "TIDEGATE__SINK__URL");
    assert_eq!(json["drain.batch_max"]["value"], 4_000);
    assert_eq!(json["drain.batch_max"]["origin"], "default");
}

#[test]
fn passwords_are_not_in_errors_either() {
    let place = Place::empty();
    let env = [
        ("TIDEGATE__STORE__URL", "redis://:hunter2@127.0.0.1:1"),
        ("TIDEGATE__SINK__URL", "mysql://root:hunter2@h/d"),
    ];
    let ran = place.run_with("-vv config check --connect", &env);
    assert_eq!(ran.code, 1);
    assert!(!ran.err.contains("hunter2"), "{}", ran.err);
    ran.says(&["mysql://root:***@h/d"]);
    let ran = place.run_with("-vv config check --connect", &env[..1]);
    assert_eq!(ran.code, 1);
    assert!(!ran.err.contains("hunter2"), "{}", ran.err);
    ran.says(&["store.url = redis://:***@127.0.0.1:1", "help:"]);
}

#[test]
fn check_can_connect() {
    let place = Place::with_tables("CREATE TABLE t (id INTEGER PRIMARY KEY)");
    assert!(place.done("config check --connect").contains("answer"));
    let env = [("TIDEGATE__SINK__URL", "sqlite://missing/folder/x.sqlite")];
    let ran = place.run_with("config check --connect", &env);
    assert_eq!(ran.code, 1);
    ran.says(&["there is no folder missing/folder"]);
}

#[test]
fn every_command_has_help_and_completions_are_printed() {
    let place = Place::empty();
    for line in [
        "--help",
        "demo --help",
        "drain send --help",
        "drain dead retry --help",
    ] {
        assert!(place.done(line).contains("Examples:"), "{line}");
    }
    assert!(place.done("completions bash").contains("tidegate"));
    assert_eq!(place.run("drain fly").code, 2);
}

#[test]
fn a_log_level_that_can_not_be_read_is_explained() {
    let ran = Place::empty().run("--log-level tidegate=loud config check");
    assert_eq!(ran.code, 1);
    ran.says(&["tidegate=loud", "help:"]);
}
