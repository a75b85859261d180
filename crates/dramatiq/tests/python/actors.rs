//! The actors of `fleet.py`, in Rust: they note what they do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tidegate_dramatiq::{Actor, ActorOptions, Actors, Failure, Json};
use tidegate_testkit::poll_until;

use crate::site::{DEADLINE, queue};

/// What actors have noted, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn add(&self, text: String) {
        println!("{text}");
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(text);
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn has(&self, text: &str) -> bool {
        self.all().iter().any(|it| it == text)
    }

    pub(crate) async fn wait_for(&self, text: &str) {
        let noted = poll_until(DEADLINE, async || self.has(text));
        noted
            .await
            .unwrap_or_else(|_| panic!("no {text:?}: {:?}", self.all()));
    }
}

#[derive(Deserialize)]
struct Note {
    text: String,
}

#[derive(Deserialize)]
struct Add {
    x: i64,
    y: i64,
}

#[derive(Deserialize)]
struct Flaky {
    name: String,
    failures: u64,
}

#[derive(Deserialize)]
struct Slow {
    text: String,
    seconds: f64,
}

/// All of them.
pub(crate) fn actors(notes: &Notes) -> Actors {
    let mut actors = Actors::default();
    for actor in [
        noting(notes, "note", 0),
        noting(notes, "later", 10),
        noting(notes, "sooner", 0),
        adding(),
        failing(),
        flaky(),
        slow(notes),
        panicking(),
        telling(notes, "succeeded", "success"),
        telling(notes, "failed", "failure"),
        telling(notes, "exhausted", "exhausted"),
    ] {
        actors.add(actor).expect("one of a name");
    }
    actors
}

fn kept() -> ActorOptions {
    ActorOptions {
        store_results: true,
        ..ActorOptions::default()
    }
}

fn noting(notes: &Notes, name: &str, priority: i64) -> Actor {
    let notes = notes.clone();
    let actor = Actor::new(name, queue(), move |note: Note| {
        notes.add(format!("noted {}", note.text));
        async { Ok(()) }
    });
    actor.options(ActorOptions {
        priority,
        ..ActorOptions::default()
    })
}

fn adding() -> Actor {
    Actor::new("add", queue(), async |Add { x, y }| Ok(x + y)).options(kept())
}

fn failing() -> Actor {
    let fail = async |note: Note| Err::<(), _>(Failure::new("ValueError", note.text));
    Actor::new("fail", queue(), fail).options(kept())
}

fn panicking() -> Actor {
    let panic = async |(): ()| -> Result<(), Failure> { panic!("on purpose") };
    Actor::new("panicking", queue(), panic)
}

fn flaky() -> Actor {
    let tries: Arc<Mutex<HashMap<String, u64>>> = Arc::default();
    let flaky = Actor::new("flaky", queue(), move |Flaky { name, failures }| {
        let mut tries = tries.lock().unwrap_or_else(PoisonError::into_inner);
        let tries = tries.entry(name).or_default();
        *tries += 1;
        let tries = *tries;
        async move {
            match tries <= failures {
                true => Err(Failure::new("ValueError", format!("try {tries}"))),
                false => Ok(tries),
            }
        }
    });
    flaky.options(ActorOptions {
        max_retries: Some(3),
        min_backoff: Duration::from_millis(10),
        max_backoff: Duration::from_millis(20),
        ..kept()
    })
}

fn slow(notes: &Notes) -> Actor {
    let notes = notes.clone();
    Actor::new("slow", queue(), move |Slow { text, seconds }| {
        let notes = notes.clone();
        async move {
            notes.add(format!("began {text}"));
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
            notes.add(format!("ended {text}"));
            Ok(())
        }
    })
}

/// An actor that is told of another message: `word actor told`.
fn telling(notes: &Notes, name: &str, word: &'static str) -> Actor {
    let notes = notes.clone();
    Actor::raw(name, queue(), move |message| {
        let args = message.args.elements().unwrap_or_default();
        let actor = args.first().and_then(|it| {
            let members = it.members()?.into_iter();
            let told = members.into_iter().find(|(name, _)| name == "actor_name");
            told?.1.as_text()
        });
        let told = args.get(1).map(ToString::to_string).unwrap_or_default();
        notes.add(format!("{word} {} {told}", actor.unwrap_or_default()));
        async { Ok(Json::null()) }
    })
}
