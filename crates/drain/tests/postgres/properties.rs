//! Random rows, held against PostgreSQL's own reading of the same JSON.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::target::{Target, insert};

/// All types that have a codec of their own, so that rows of it are copied.
const COLUMNS: &str = "id int PRIMARY KEY, a int2, b int8, c numeric(30,8), d numeric, e float8,
    f float4, g bool, h text, i varchar(20), j uuid, k date, l timestamp, m timestamptz, n time,
    o jsonb, p mood";

/// JSONB, which the reference goes through, has no infinity and no negative zero.
fn is_kept(number: f64) -> bool {
    number.is_finite() && !(number == 0.0 && number.is_sign_negative())
}

/// A JSON value of every column but the first.
fn row() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let text =
        "[a-zA-Zäöü😀\"\\\\\n ,{}']{0,20}".prop_map(|text| serde_json::json!(text).to_string());
    let date = (1_i32..=9999, 1..=12, 1..=28).prop_map(|(y, m, d)| format!("{y:04}-{m:02}-{d:02}"));
    let time = (0..24, 0..60, 0..60, 0..1_000_000)
        .prop_map(|(h, m, s, f)| format!("{h:02}:{m:02}:{s:02}.{f:06}"));
    let offset = prop_oneof![
        Just("Z".to_owned()),
        (0..15, 0..60).prop_map(|(h, m)| format!("+{h:02}:{m:02}")),
        (0..15).prop_map(|h| format!("-{h:02}")),
    ];
    // Far enough from the ends that an offset can't leave the calendar.
    let inner =
        (2_i32..=9998, 1..=12, 1..=28).prop_map(|(y, m, d)| format!("{y:04}-{m:02}-{d:02}"));
    let moment = (inner, time.clone(), offset).prop_map(|(d, t, o)| format!("\"{d}T{t}{o}\""));
    let numbers = (
        any::<i16>().prop_map(|n| n.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        (-10_i128.pow(29)..10_i128.pow(29)).prop_map(|n| format!("{n}e-8")),
        (any::<i64>(), -30..30).prop_map(|(n, e)| format!("{n}e{e}")),
        any::<f64>()
            .prop_filter("of use", |n| is_kept(*n))
            .prop_map(|n| format!("{n:e}")),
        any::<f32>()
            .prop_filter("of use", |n| is_kept((*n).into()))
            .prop_map(|n| format!("{n:e}")),
        any::<bool>().prop_map(|b| b.to_string()),
    );
    let texts = (
        text.clone(),
        text,
        any::<u128>().prop_map(|n| format!("\"{}\"", uuid::Uuid::from_u128(n))),
        date.clone().prop_map(|d| format!("\"{d}\"")),
        (date, time.clone()).prop_map(|(d, t)| format!("\"{d} {t}\"")),
        moment,
        time.prop_map(|t| format!("\"{t}\"")),
        prop_oneof![
            any::<i32>().prop_map(|n| format!("{{\"k\":[{n},1.50,null,\"é\"]}}")),
            Just("[]".to_owned()),
            Just("\"x\"".to_owned())
        ],
        prop_oneof![Just("\"sad\""), Just("\"ok\"")].prop_map(str::to_owned),
    );
    let absent = prop::collection::vec(0..10_u8, 16);
    (numbers, texts, absent).prop_map(|(n, t, absent)| {
        let values = [
            ("a", n.0),
            ("b", n.1),
            ("c", n.2),
            ("d", n.3),
            ("e", n.4),
            ("f", n.5),
            ("g", n.6),
            ("h", t.0),
            ("i", t.1),
            ("j", t.2),
            ("k", t.3),
            ("l", t.4),
            ("m", t.5),
            ("n", t.6),
            ("o", t.7),
            ("p", t.8),
        ];
        let given = values
            .into_iter()
            .zip(absent)
            .filter(|(_, absent)| *absent > 0);
        given
            .map(|((name, json), absent)| {
                (name, if absent == 1 { "null".to_owned() } else { json })
            })
            .collect()
    })
}

fn object(id: usize, values: &[(&str, String)]) -> String {
    let values = values
        .iter()
        .map(|(name, json)| format!(",\"{name}\":{json}"));
    format!("{{\"id\":{id}{}}}", values.collect::<String>())
}

fn rows(runner: &mut TestRunner, count: usize) -> Vec<Vec<(&'static str, String)>> {
    let one = |_| row().new_tree(runner).expect("a row").current();
    (0..count).map(one).collect()
}

#[tokio::test]
async fn random_rows_are_what_postgres_itself_would_read() {
    let schema = format!(
        "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE t ({COLUMNS}); CREATE TABLE u ({COLUMNS})"
    );
    let target = Target::with(&schema).await;
    let mut runner = TestRunner::default();
    // Rows with all columns are many alike, so they are copied; the others are of all shapes.
    let mut all: Vec<_> = rows(&mut runner, 300);
    let full: Vec<_> = rows(&mut runner, 2_000)
        .into_iter()
        .filter(|row| row.len() == 16)
        .collect();
    assert!(full.len() > 24, "enough to be copied");
    all.extend(full);
    let objects: Vec<_> = all
        .iter()
        .enumerate()
        .map(|(id, row)| object(id, row))
        .collect();
    let operations: Vec<_> = objects.iter().map(|object| insert("t", object)).collect();
    let methods = target.methods(&operations).await;
    assert!(methods.contains(&"copy".to_owned()) && methods.contains(&"single".to_owned()));
    target.accept(&operations).await;
    for object in &objects {
        let sql = "INSERT INTO u SELECT * FROM jsonb_populate_record(NULL::u, $1::text::jsonb)";
        target.client.execute(sql, &[object]).await.expect(object);
    }
    let differing = "SELECT t::text || ' <> ' || u::text FROM t JOIN u USING (id) WHERE t::text <> u::text LIMIT 2";
    assert_eq!(target.rows(differing).await, Vec::<String>::new());
    assert_eq!(
        target
            .count("SELECT count(*) FROM t JOIN u USING (id)")
            .await,
        all.len() as i64
    );

    // The same again by updates and upserts, over what is there: absent columns stay.
    let news: Vec<_> = rows(&mut runner, all.len());
    let mut operations = Vec::new();
    for (id, row) in news.iter().enumerate().filter(|(_, row)| !row.is_empty()) {
        let (whole, set) = (
            object(id, row),
            object(id, row).replacen(&format!("\"id\":{id},"), "", 1),
        );
        operations.push(match id % 2 {
            0 => format!(r#"{{"op":"update","table":"t","key":{{"id":{id}}},"set":{set}}}"#),
            _ => format!(r#"{{"op":"upsert","table":"t","row":{whole}}}"#),
        });
        let sql = "UPDATE u SET (id,a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p) = \
            (SELECT r.* FROM jsonb_populate_record(u, $1::text::jsonb) r) WHERE id = $2";
        let number = i32::try_from(id).expect("small");
        target
            .client
            .execute(sql, &[&whole, &number])
            .await
            .expect(&whole);
    }
    target.accept(&operations).await;
    assert_eq!(target.rows(differing).await, Vec::<String>::new());
}
