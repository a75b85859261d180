//! Real servers and real processes for tests: each on a free loopback port and in a directory of
//! its own, and none of them outlives the test that started it.
//!
//! The flow of every start: [`Error::MissingProgram`] unless the program is found → a reserved port
//! and a directory → the child process → a probe until it answers → the handle that the test holds.
//!
//! Who cleans up, in the order in which they get their turn:
//!
//! ```text
//! the handle is dropped        SIGKILL to the server and its children, wait, remove the directory
//! the test process is killed   the kernel kills the server (where `setpriv` exists), and a guardian
//!                              shell, which sees its standard input close, removes the directory
//! ```
//!
//! Only what a handle itself started is ever signalled. What stands between a server and its clients
//! can fail as well: see [`FaultProxy`].

mod child;
mod deadline;
mod directory;
mod error;
mod fault_proxy;
mod port;
mod postgres;
mod process;
mod program;
mod redis;
mod server;
mod spawner;

pub use deadline::poll_until;
pub use error::Error;
pub use fault_proxy::{FaultProxy, Way};
pub use postgres::{Database, PostgresBuilder, PostgresServer, postgres_client};
pub use process::Process;
pub use program::python;
pub use redis::{Distribution, RedisBuilder, RedisCluster, RedisSentinel, RedisServer, SlotMove};
