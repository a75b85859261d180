//! `tidegate drain dead`: what could not be written, and a second try.

use std::process::ExitCode;

use miette::miette;
use serde_json::{Value, json};
use tidegate_drain::apply::Settled;
use tidegate_drain::dead_letter::LetterId;
use tidegate_drain::held::HeldState;
use tidegate_drain::revive::{Selection, discard, retry};
use tidegate_drain::{Options, Sink};

use super::letters;
use crate::args::{DeadCommand, LetterState};
use crate::config::Settings;
use crate::output::{self, count, things};
use crate::{connect, failure};

/// After a retry, so many of those that are dead again are named with their reasons.
const DEAD_AGAIN_SHOWN_MAX: u32 = 10;

/// Runs a command on what is held.
///
/// # Errors
/// A letter that isn't there, and the sink's errors.
pub(crate) async fn run(command: &DeadCommand, settings: &Settings) -> miette::Result<ExitCode> {
    let sink = connect::prepared_sink(settings).await?;
    let (sink, options) = (&*sink, &settings.drain);
    match command {
        DeadCommand::List { state, limit, json } => {
            list(sink, options, state, *limit, *json).await?;
            Ok(ExitCode::SUCCESS)
        }
        DeadCommand::Show { id, json } => {
            show(sink, options, *id, *json).await?;
            Ok(ExitCode::SUCCESS)
        }
        DeadCommand::Retry { id, json, .. } => {
            let selection = id.map_or(Selection::All, Selection::One);
            try_again(sink, options, &selection, *json).await
        }
        DeadCommand::Discard { id, json, .. } => {
            let selection = id.map_or(Selection::All, Selection::One);
            give_up(sink, options, &selection, *json).await
        }
    }
}

async fn list(
    sink: &dyn Sink,
    options: &Options,
    states: &[LetterState],
    limit: u32,
    json: bool,
) -> miette::Result<()> {
    let states: Vec<HeldState> = match states {
        [] => vec![HeldState::Dead, HeldState::Waiting, HeldState::Parked],
        states => states.iter().copied().map(HeldState::from).collect(),
    };
    // One more than asked for tells whether there are more.
    let filter = letters::filter(&options.stream, &states, limit.saturating_add(1));
    let mut found = sink.dead_letters(&filter).await.map_err(failure::drain)?;
    let has_more = found.len() > limit as usize;
    found.truncate(limit as usize);
    if json {
        let letters: Vec<Value> = found.iter().map(letters::brief_json).collect();
        return output::print_json(&json!({ "letters": letters, "more": has_more }));
    }
    if found.is_empty() {
        let names: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
        return output::print_line(&format!("Nothing is {}.", names.join(", ")));
    }
    output::print(&letters::table(&found))?;
    if has_more {
        output::print_line(&format!("There are more than these {limit} (--limit N)."))?;
    }
    Ok(())
}

async fn show(sink: &dyn Sink, options: &Options, id: LetterId, json: bool) -> miette::Result<()> {
    let filter = letters::filter_one(&options.stream, id);
    let found = sink.dead_letters(&filter).await.map_err(failure::drain)?;
    let Some(letter) = found.first() else {
        return Err(miette!(
            help = "`tidegate drain dead list` shows what is held, and --state discarded what was \
                    given up",
            "there is no dead letter {id} in the stream {}",
            options.stream
        ));
    };
    if json {
        let json = letters::full_json(letter)
            .map_err(|error| miette!("the letter can't be written as JSON: {error}"))?;
        return output::print_line(&json);
    }
    output::print(&letters::full_text(letter))
}

async fn try_again(
    sink: &dyn Sink,
    options: &Options,
    selection: &Selection,
    json: bool,
) -> miette::Result<ExitCode> {
    let settled = retry(sink, options, selection)
        .await
        .map_err(failure::drain)?;
    let filter = match selection {
        Selection::One(id) => letters::filter_one(&options.stream, *id),
        Selection::All => {
            letters::filter(&options.stream, &[HeldState::Dead], DEAD_AGAIN_SHOWN_MAX)
        }
    };
    let mut again = Vec::new();
    if settled.dead > 0 {
        again = sink.dead_letters(&filter).await.map_err(failure::drain)?;
        again.retain(|letter| letter.state == HeldState::Dead);
    }
    if json {
        let mut object = settled_json(&settled);
        let letters: Vec<Value> = again.iter().map(letters::brief_json).collect();
        object.insert("dead_letters".to_owned(), letters.into());
        output::print_json(&object)?;
    } else if settled == Settled::default() {
        output::print_line("There are no dead letters to retry.")?;
    } else {
        output::print_line(&format!("{}.", in_words(&settled)))?;
        if !again.is_empty() {
            output::print(&letters::table(&again))?;
        }
    }
    let is_good = settled.dead == 0 && settled.waiting == 0;
    Ok(if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn give_up(
    sink: &dyn Sink,
    options: &Options,
    selection: &Selection,
    json: bool,
) -> miette::Result<ExitCode> {
    let (discarded, settled) = discard(sink, options, selection)
        .await
        .map_err(failure::drain)?;
    if json {
        let mut object = settled_json(&settled);
        object.insert("discarded".to_owned(), discarded.into());
        output::print_json(&object)?;
        return Ok(ExitCode::SUCCESS);
    }
    let behind = match &settled {
        settled if *settled == Settled::default() => String::new(),
        settled => format!(" What was parked behind it: {}.", in_words(settled)),
    };
    output::print_line(&format!(
        "Discarded {}.{behind}",
        things(discarded, "dead letter")
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn settled_json(settled: &Settled) -> serde_json::Map<String, Value> {
    [
        ("applied", settled.applied),
        ("dead", settled.dead),
        ("waiting", settled.waiting),
        ("parked", settled.parked),
    ]
    .into_iter()
    .map(|(name, number)| (name.to_owned(), number.into()))
    .collect()
}

fn in_words(settled: &Settled) -> String {
    let parts = [
        (settled.applied, "applied"),
        (settled.dead, "dead again"),
        (settled.waiting, "waiting for a parent row"),
        (settled.parked, "parked"),
    ];
    let is_shown = |(number, name): &(u64, &str)| *number > 0 || *name == "applied";
    let parts: Vec<String> = parts
        .into_iter()
        .filter(is_shown)
        .map(|(number, name)| format!("{} {name}", count(number)))
        .collect();
    parts.join(", ")
}
