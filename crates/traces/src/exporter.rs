//! The exporter: spans to a collector, by OTLP over HTTP.
//!
//! It sends in batches from a thread of its own, with a bounded queue. Whoever drains never waits
//! for it.

use std::sync::Arc;

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tidegate_drain::Observer;

use crate::Spans;

/// Where the path of a collector's traces begins, behind its address.
const PATH: &str = "/v1/traces";
/// Who makes the spans.
const SCOPE: &str = "tidegate";

/// Why there is no exporter.
#[derive(Debug, thiserror::Error)]
#[error("spans can't be sent to {url}: {reason}")]
pub struct Error {
    /// Where to.
    pub url: String,
    /// Why not.
    pub reason: String,
}

/// Sends spans, until it is shut down.
#[derive(Clone, Debug)]
pub struct Exporter {
    provider: SdkTracerProvider,
}

impl Exporter {
    /// An exporter to the collector at this address, such as `http://127.0.0.1:4318`. It does not
    /// need to be there.
    ///
    /// # Errors
    /// An address that can't be read.
    pub fn open(url: &str, service: &str) -> Result<Self, Error> {
        let endpoint = format!("{}{PATH}", url.trim_end_matches('/'));
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint)
            .build()
            .map_err(|error| Error {
                url: url.to_owned(),
                reason: error.to_string(),
            })?;
        let resource = Resource::builder().with_service_name(service.to_owned());
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.build());
        Ok(Self {
            provider: provider.build(),
        })
    }

    /// Who makes the spans of a tenant's stream.
    #[must_use]
    pub fn spans(&self, tenant: Option<&str>, stream: &str) -> Arc<dyn Observer> {
        Arc::new(Spans::new(self.provider.tracer(SCOPE), tenant, stream))
    }

    /// Sends what is left, and stops. It blocks for some seconds where the collector is silent.
    ///
    /// # Errors
    /// That the last spans are lost.
    pub fn shut_down(&self) -> Result<(), String> {
        self.provider.shutdown().map_err(|error| error.to_string())
    }
}
