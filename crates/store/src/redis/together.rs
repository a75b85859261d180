//! Several commands that the server runs together or not at all.
//!
//! A transaction (`MULTI` … `EXEC`) in one write. Below the connection, which knows the node, and
//! above the client, whose own transaction keeps the name of each command for its errors: that
//! costs an append of many entries more than it tells. If the process dies here, the server has run
//! all of the commands or none.

use std::fmt;
use std::marker::PhantomData;

use rustis::client::Client;
use rustis::resp::{Command, cmd};
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
