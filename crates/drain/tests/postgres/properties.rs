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

/// The columns that hold numbers, in order, with a JSON value each.
fn numbers() -> impl Strategy<Value = [String; 7]> {
    let double = any::<f64>().prop_filter("of use", |n| is_kept(*n));
    let single = any::<f32>().prop_filter("of use", |n| is_kept((*n).into()));
    let all = (
        any::<i16>(),
        any::<i64>(),
        -10_i128.pow(29)..10_i128.pow(29),
        (any::<i64>(), -30..30),
        double,
        single,
        any::<bool>(),
    );
    all.prop_map(|(a, b, c, (d, exponent), e, f, g)| {
        [
            a.to_string(),
            b.to_string(),
            format!("{c}e-8"),
            format!("{d}e{exponent}"),
            format!("{e:e}"),
            format!("{f:e}"),
            g.to_string(),
        ]
    })
}

/// Dates, times and moments, each with its own quotes.
fn calendar() -> impl Strategy<Value = [String; 4]> {
    let date = |years: std::ops::Range<i32>| {
        let date = (years, 1..=12, 1..=28);
        date.prop_map(|(y, m, d)| format!("{y:04}-{m:02}-{d:02}"))
    };
    let time = (0..24, 0..60, 0..60, 0..1_000_000)
        .prop_map(|(h, m, s, f)| format!("{h:02}:{m:02}:{s:02}.{f:06}"));
    let offset = prop_oneof![
        Just("Z".to_owned()),
        (0..15, 0..60).prop_map(|(h, m)| format!("+{h:02}:{m:02}")),
        (0..15).prop_map(|h| format!("-{h:02}")),
    ];
    // Far enough from the ends that an offset can't leave the calendar.
    let all = (date(1..10_000), date(2..9_999), time, offset);
    all.prop_map(|(date, inner, time, offset)| {
        [
            format!("\"{date}\""),
            format!("\"{date} {time}\""),
            format!("\"{inner}T{time}{offset}\""),
            format!("\"{time}\""),
        ]
    })
}

/// A JSON value for some of the columns but the first; some of them are null.
fn row() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let text = || {
        let text = "[a-zA-Zäöü😀\"\\\\\n ,{}']{0,20}";
        text.prop_map(|text| serde_json::json!(text).to_string())
    };
    let document = prop_oneof![
        any::<i32>().prop_map(|n| format!("{{\"k\":[{n},1.50,null,\"é\"]}}")),
        Just("[]".to_owned()),
        Just("\"x\"".to_owned())
    ];
    let mood = prop_oneof![Just("\"sad\""), Just("\"ok\"")];
    let uuid = any::<u128>().prop_map(|n| format!("\"{}\"", uuid::Uuid::from_u128(n)));
    let texts = (text(), text(), uuid, document, mood);
    let fate = prop::collection::vec(0..10_u8, 16);
    (numbers(), texts, calendar(), fate).prop_map(|(numbers, texts, [k, l, m, n], fate)| {
        let (h, i, j, o, p) = texts;
        let texts = [h, i, j, k, l, m, n, o, p.to_owned()];
        let names = [
            "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p",
        ];
        let values = names.into_iter().zip(numbers.into_iter().chain(texts));
        let given = values.zip(fate).filter(|(_, fate)| *fate > 0);
        given
            .map(|((name, json), fate)| (name, if fate == 1 { "null".to_owned() } else { json }))
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
