//! Dramatiq's messages and queues, so that a team can move one program at a time.
//!
//! Unmodified Python programs enqueue and Tidegate's workers run, or the other way round, or both on one
//! queue: what is in Redis is Dramatiq's, byte for byte.
//!
//! ```text
//! Client ─► Message ─► queue ─► Worker ─► Actor ─► result, retry, callbacks, pipeline, group
//! ```
//!
//! In the order of the flow:
//!
//! * [`json`] is JSON as Python writes it, [`options`] and [`message`] are what a message is made of,
//! * [`client`] sends,
//! * [`actor`] is what a message asks for, [`arguments`] binds what it brings, [`task`] makes an actor of
//!   a task's function,
//! * [`worker`] takes messages and calls actors,
//! * [`failure`] is what may come of it, `retry` decides whether again, `outcome` what follows,
//! * [`results`] are kept.
//!
//! Which keys there are and how they are changed is in [`tidegate_store::dramatiq`].

pub mod actor;
pub mod arguments;
pub mod client;
mod error;
pub mod failure;
pub mod json;
pub mod message;
pub mod options;
mod outcome;
pub mod results;
mod retry;
pub mod task;
pub mod worker;

pub use actor::{Actor, ActorOptions, Actors, Misdeclared};
pub use client::Client;
pub use error::{Error, Result};
pub use failure::{Again, Failure};
pub use json::{Json, NotJson};
pub use message::{Message, Undecodable};
pub use options::Options;
pub use results::{Outcome, ResultKeys};
pub use worker::{Worker, WorkerOptions};
