//! Traces: a span for each batch of the drain, for OpenTelemetry.
//!
//! ```text
//! shard ─ Observer ─► Spans ─► a span, with links to the producers' ─► exporter ─► a collector
//! ```
//!
//! In the order of the flow: [`trace_parent`] reads what an entry says of its producer's trace,
//! [`spans`] makes the spans, [`exporter`] sends them by OTLP over HTTP, in the background.
//!
//! A batch has many parents, so its span is a root with *links*: whoever looks at a producer's
//! trace finds the batch that settled it, and the other way round. Spans are for looking at: when
//! the collector is slow or away they are dropped, and nothing waits for them. If the process
//! dies here, the last ones are lost.
//!
//! It is a crate of its own because of its dependencies, which the program has only when it is
//! built with the feature `otlp`.

pub mod exporter;
pub mod spans;
pub mod trace_parent;

pub use exporter::Exporter;
pub use spans::Spans;
