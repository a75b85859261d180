//! Several commands that the server runs together or not at all.
//!
//! A transaction (`MULTI` … `EXEC`) in one write, or several of them, where each write and each
//! reply that somebody waits for costs as much as some commands. Below the connection, which knows the node, and
//! above the client, whose own transaction keeps the name of each command for its errors: that
//! costs an append of many entries more than it tells. If the process dies here, the server has run
//! all of the commands or none.

use std::fmt;
use std::marker::PhantomData;

use rustis::client::Client;
use rustis::resp::{Command, CommandBuilder, cmd};
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _, SeqAccess, Visitor};

use super::failure::Failure;

/// Sends the commands, and reads what the server answers to all of them as one value.
///
/// # Errors
/// The first refusal: of a command that could not be queued, of the whole, or of a command that was
/// run.
pub(super) async fn send_together<T: DeserializeOwned>(
    client: &Client,
    commands: impl Iterator<Item = impl Into<Command>>,
) -> Result<T, Failure> {
    let mut pipeline = client.create_pipeline();
    pipeline.reserve(commands.size_hint().0.saturating_add(2));
    pipeline.queue_command(cmd("MULTI"));
    for command in commands {
        pipeline.queue_command(command);
    }
    pipeline.queue_command(cmd("EXEC"));
    let Together(answers) = pipeline.execute().await?;
    Ok(answers)
}

/// Sends several groups of commands in one write. The server runs each group together or not at
/// all, and nothing of one depends on another. Answers for each group, in their order.
///
/// # Errors
/// What concerns all groups, such as a connection that is lost.
pub(super) async fn send_groups<T: DeserializeOwned>(
    client: &Client,
    groups: Vec<Vec<CommandBuilder>>,
) -> Result<Vec<Result<T, Failure>>, Failure> {
    let lens: Vec<usize> = groups.iter().map(Vec::len).collect();
    let mut pipeline = client.create_pipeline();
    pipeline.reserve(lens.iter().map(|len| len + 2).sum());
    for group in groups {
        pipeline.queue_command(cmd("MULTI"));
        for command in group {
            pipeline.queue_command(command);
        }
        pipeline.queue_command(cmd("EXEC"));
    }
    let Replies(replies) = pipeline.execute().await?;
    let mut replies = replies.into_iter();
    // One to `MULTI`, one for each command, one to `EXEC`.
    let outcome = |len: usize| outcome(replies.by_ref().take(len + 2));
    Ok(lens.into_iter().map(outcome).collect())
}

/// The outcome of a group by its replies: the first refusal, or what `EXEC` has answered.
fn outcome<T>(replies: impl Iterator<Item = Said<T>>) -> Result<T, Failure> {
    let (mut refusal, mut answers) = (None, None);
    for reply in replies {
        match reply {
            Said::Yes => {}
            Said::No(why) => refusal = refusal.or(Some(why)),
            Said::Answers(all) => answers = Some(all),
        }
    }
    match (refusal, answers) {
        (None, Some(answers)) => Ok(answers),
        (Some(refusal), _) => Err(Failure::Server(refusal)),
        (None, None) => Err(Failure::Server("ERR no answer to EXEC".to_owned())),
    }
}

/// One reply among those to several groups.
enum Said<T> {
    /// It has begun, or is queued.
    Yes,
    /// The text of an error.
    No(String),
    /// What `EXEC` answers.
    Answers(T),
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Said<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SaidVisitor(PhantomData))
    }
}

struct SaidVisitor<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for SaidVisitor<T> {
    type Value = Said<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a reply within a transaction")
    }

    fn visit_str<E>(self, _status: &str) -> Result<Said<T>, E> {
        Ok(Said::Yes)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, answers: A) -> Result<Said<T>, A::Error> {
        T::deserialize(SeqAccessDeserializer::new(answers)).map(Said::Answers)
    }
}

/// How the client begins the text of an error that the server has sent.
const SERVER_ERROR: &str = "redis server error: ";

/// The replies to several groups. An error among them is a reply as any other, so that what the
/// server has done for the other groups is known.
struct Replies<T>(Vec<Said<T>>);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Replies<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(RepliesVisitor(PhantomData))
    }
}

struct RepliesVisitor<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for RepliesVisitor<T> {
    type Value = Replies<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the replies to transactions")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut replies: A) -> Result<Replies<T>, A::Error> {
        let len = replies.size_hint().unwrap_or_default();
        let mut said = Vec::with_capacity(len);
        for _ in 0..len {
            match replies.next_element() {
                Ok(Some(reply)) => said.push(reply),
                Ok(None) => break,
                Err(error) => {
                    let text = error.to_string();
                    let reply = text.strip_prefix(SERVER_ERROR).unwrap_or(&text);
                    said.push(Said::No(reply.to_owned()));
                }
            }
        }
        Ok(Replies(said))
    }
}

/// The replies to a transaction: that it has begun, that each command is queued, and at last the
/// answers to all of them.
struct Together<T>(T);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Together<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(TogetherVisitor(PhantomData))
    }
}

struct TogetherVisitor<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for TogetherVisitor<T> {
    type Value = Together<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the replies to a transaction")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut replies: A) -> Result<Together<T>, A::Error> {
        // One to `MULTI`, one for each command, one to `EXEC`.
        let queued = replies
            .size_hint()
            .and_then(|replies| replies.checked_sub(1));
        let queued = queued.ok_or_else(|| A::Error::custom("no replies to a transaction"))?;
        for _ in 0..queued {
            // An error among them is the reason why nothing is run, so it is returned first.
            replies.next_element::<()>()?;
        }
        let answers = replies.next_element::<T>()?;
        let missing = || A::Error::custom("a transaction without an answer");
        answers.map(Together).ok_or_else(missing)
    }
}
