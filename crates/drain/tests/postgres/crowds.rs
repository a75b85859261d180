//! Many rows that are bad for one cause are named at once, not found one by one.

use tidegate_drain::Code;
use tidegate_drain::sink::Outcome;

use crate::refusals::{SCHEMA, payment};
use crate::target::{Target, insert};

#[tokio::test]
async fn all_rows_without_a_parent_are_named_at_once_and_wait() {
    let target = Target::with(SCHEMA).await;
    // Parents of some are in the same batch, of others nowhere yet.
    let mut operations: Vec<String> = (100..120)
        .map(|id| insert("account", &format!(r#"{{"id":{id}}}"#)))
        .collect();
    operations.extend((0..600).map(|id| {
        let account = match id % 3 {
            0 => 5,
            1 => 100 + id % 20,
            _ => 1_000 + id,
        };
        insert(
            "payment",
            &format!(r#"{{"id":{id},"code":"c{id}","account":{account}}}"#),
        )
    }));
    let Outcome::Refused {
        applied: 0,
        culprits,
    } = target.apply(&operations).await
    else {
        panic!("refused");
    };
    let expected: Vec<usize> = (0..600)
        .filter(|id| id % 3 == 2)
        .map(|id| id + 20)
        .collect();
    assert_eq!(
        culprits.iter().map(|(index, _)| *index).collect::<Vec<_>>(),
        expected
    );
    assert!(
        culprits
            .iter()
            .all(|(_, refusal)| refusal.is_missing_parent)
    );
    assert!(
        culprits
            .iter()
            .all(|(_, refusal)| refusal.rejection.code == Code::MissingParent)
    );
    let settled = target.drain(1, &operations).await;
    assert_eq!(
        (settled.applied, settled.waiting, settled.dead),
        (420, 200, 0)
    );
}

#[tokio::test]
async fn all_rows_that_are_there_already_are_named_at_once() {
    let target = Target::with(SCHEMA).await;
    target
        .accept(&(0..500).map(payment).collect::<Vec<_>>())
        .await;
    let again: Vec<_> = (0..1_000).map(payment).collect();
    let Outcome::Refused {
        applied: 0,
        culprits,
    } = target.apply(&again).await
    else {
        panic!("refused");
    };
    assert_eq!(
        culprits.iter().map(|(index, _)| *index).collect::<Vec<_>>(),
        (0..500).collect::<Vec<_>>()
    );
    assert_eq!(target.count("SELECT count(*) FROM payment").await, 501);
}

#[tokio::test]
async fn an_update_of_a_missing_row_is_refused_by_name() {
    let target = Target::with(SCHEMA).await;
    target
        .accept(&(0..100).map(payment).collect::<Vec<_>>())
        .await;
    let update = |id: usize| {
        format!(r#"{{"op":"update","table":"payment","key":{{"id":{id}}},"set":{{"note":"n"}}}}"#)
    };
    let refusal = target.refuse(&update(500)).await;
    assert_eq!(
        (
            refusal.rejection.code,
            refusal.rejection.sqlstate.as_deref()
        ),
        (Code::NoSuchRow, None)
    );
    // Every third row is missing; one comes into being in the batch itself.
    let mut operations: Vec<_> = vec![payment(502)];
    operations.extend((0..60).map(|id| update(if id % 3 == 2 { 500 + id } else { id })));
    let Outcome::Refused {
        applied: 0,
        culprits,
    } = target.apply(&operations).await
    else {
        panic!("refused");
    };
    let expected: Vec<usize> = (0..60)
        .filter(|id| id % 3 == 2 && *id != 2)
        .map(|id| id + 1)
        .collect();
    assert_eq!(
        culprits.iter().map(|(index, _)| *index).collect::<Vec<_>>(),
        expected
    );
    let settled = target.drain(1, &operations).await;
    assert_eq!((settled.applied, settled.dead), (42, 19));
    assert_eq!(
        target
            .count("SELECT count(*) FROM payment WHERE note = 'n'")
            .await,
        41
    );
}

#[tokio::test]
async fn a_row_whose_parent_comes_later_in_the_plan_is_not_named() {
    let target = Target::with(SCHEMA).await;
    // In the stream's order every parent is there; the plan would write the first children first.
    let mut operations = Vec::new();
    for id in 0..30 {
        let account = 500 + id;
        operations.push(format!(
            r#"{{"op":"delete","table":"account","key":{{"id":{account}}}}}"#
        ));
        operations.push(insert("account", &format!(r#"{{"id":{account}}}"#)));
        operations.push(insert(
            "payment",
            &format!(r#"{{"id":{id},"code":"c{id}","account":{account}}}"#),
        ));
    }
    let settled = target.drain(1, &operations).await;
    assert_eq!((settled.applied, settled.waiting, settled.dead), (90, 0, 0));
}

#[tokio::test]
async fn all_rows_without_a_parent_are_named_at_once_where_the_check_is_deferred() {
    let schema = "
        CREATE TABLE parent (id int PRIMARY KEY);
        CREATE TABLE child (id int PRIMARY KEY, next int REFERENCES child DEFERRABLE INITIALLY DEFERRED,
            parent int REFERENCES parent DEFERRABLE INITIALLY DEFERRED)";
    let target = Target::with(schema).await;
    let mut operations = vec![insert("parent", r#"{"id":1}"#)];
    // Each child refers to the next one, which comes later; some have no parent.
    operations.extend((0..200).map(|id| {
        let parent = if id % 4 == 1 { 9 } else { 1 };
        let next = if id < 199 {
            format!("{}", id + 1)
        } else {
            "null".to_owned()
        };
        insert(
            "child",
            &format!(r#"{{"id":{id},"next":{next},"parent":{parent}}}"#),
        )
    }));
    let Outcome::Refused {
        applied: 0,
        culprits,
    } = target.apply(&operations).await
    else {
        panic!("refused");
    };
    let found: Vec<usize> = culprits.iter().map(|(index, _)| *index).collect();
    assert_eq!(
        found,
        (0..200)
            .filter(|id| id % 4 == 1)
            .map(|id| id + 1)
            .collect::<Vec<_>>()
    );
    assert!(
        culprits
            .iter()
            .all(|(_, refusal)| refusal.is_missing_parent)
    );
}
