//! The console: what a running process tells over HTTP.
//!
//! ```text
//! GET /health         200 as long as the process lives
//! GET /health/ready   what it depends on, asked now: 200, or 503 with what is missing
//! GET /metrics        its metrics, as Prometheus reads them
//! ```
//!
//! In the order of the flow:
//!
//! * [`listen`] says where, and who may ask,
//! * [`server`] takes connections, within bounds,
//! * `routes` answers,
//! * [`readiness`] asks those who know whether the process is ready.
//!
//! It reads and never changes anything: whoever is given the address can at most see numbers.
//! It knows nothing of what it shows; the crates above hand it a registry of metrics and probes.
//! If the process dies, nothing is lost here.

mod error;
pub mod listen;
pub mod readiness;
mod routes;
pub mod server;

pub use error::{Error, Result};
pub use listen::Listen;
pub use prometheus_client;
pub use readiness::{Probe, Readiness};
pub use server::Console;
