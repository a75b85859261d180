//! The log of Tidegate: partitioned streams of entries, consumer groups, and leases with epochs.
//!
//! Everything above speaks to [`Store`], a port in the domain's language; only this crate knows
//! a Redis key, speaks RESP, or opens the embedded file.
//!
//! ```text
//! append ─► stream partition ─► read_after / fetch ─► acknowledge ─► trim
//!                   ▲                    ▲                 ▲            ▲
//!             wait_for_entries     one owner, who holds a lease with an epoch
//! ```
//!
//! In the order of the flow:
//!
//! * [`stream`] names a stream and its partitions,
//! * [`entry`] is what a partition holds,
//! * [`append`] is what an append can promise,
//! * [`lease`] says who may read and acknowledge a partition,
//! * [`parked`] is what a group puts aside, [`mark`] what it remembers,
//! * [`state`] is what a reader needs to know before an entry has reached its home,
//! * [`port`] is the [`Store`] itself and the shapes of its questions and answers,
//! * [`task`] has background tasks: the [`TaskStore`](task::TaskStore), a port of its own,
//! * [`dramatiq`] is beside it: the queues of Dramatiq's Python programs, on Redis,
//! * `redis` and `sqlite` are the two backends of both, opened by [`connect()`].

pub mod append;
mod connect;
pub mod dramatiq;
pub mod entry;
mod error;
pub mod lease;
pub mod mark;
pub mod parked;
pub mod port;
mod redis;
mod sqlite;
pub mod state;
pub mod stream;
pub mod task;

pub use append::{AppendOptions, Appended, Bound, Durability};
pub use connect::{StoreUrl, connect, connect_tasks};
pub use entry::{Entry, EntryId, Field, NewEntry};
pub use error::{Error, Source};
pub use lease::{Epoch, Lease, LeaseHolder, WorkerId};
pub use parked::ParkedEntry;
pub use port::{Fetch, Forward, Lag, ReadLimit, Start, Store};
pub use redis::{RedisStore, RedisUrl};
pub use sqlite::{Clock, ManualClock, SqliteStore, SystemClock};
pub use state::{Expected, NewState, Put, State, UnsettledState};
pub use stream::{GroupName, Partition, StreamName};

/// What every operation of the store answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;
