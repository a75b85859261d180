//! Spans of the batches, in a program that was built with the feature `otlp`; in any other they
//! are nothing, and a warning says so where somebody has configured them.

use std::sync::Arc;

use tidegate_drain::Observer;

use crate::config::Settings;

/// Where spans go, if anywhere.
#[derive(Clone, Debug)]
pub(super) struct Traces {
    #[cfg(feature = "otlp")]
    exporter: Option<tidegate_traces::Exporter>,
}

#[cfg(feature = "otlp")]
impl Traces {
    /// Opens the exporter that is configured.
    ///
    /// # Errors
    /// An address that can't be read.
    pub(super) fn open(settings: &Settings) -> miette::Result<Self> {
        let url = settings.traces.otlp_url.as_deref();
        let exporter = url.map(|url| tidegate_traces::Exporter::open(url, "tidegate-drain"));
        let exporter = exporter.transpose();
        Ok(Self {
            exporter: exporter.map_err(|error| miette::miette!("traces.otlp_url: {error}"))?,
        })
    }

    /// Who makes the spans of a tenant.
    pub(super) fn of(
        &self,
        tenant: Option<&str>,
        settings: &Settings,
    ) -> Option<Arc<dyn Observer>> {
        let exporter = self.exporter.as_ref()?;
        Some(exporter.spans(tenant, settings.drain.stream.as_str()))
    }

    /// Sends what is left. A silent collector costs some seconds and the last spans.
    pub(super) async fn close(self) {
        let Some(exporter) = self.exporter else {
            return;
        };
        let sent = tokio::task::spawn_blocking(move || exporter.shut_down()).await;
        if let Ok(Err(error)) = sent {
            tracing::warn!(%error, "the last spans are lost");
        }
    }
}

#[cfg(not(feature = "otlp"))]
#[expect(
    clippy::unused_self,
    clippy::unused_async,
    clippy::unnecessary_wraps,
    reason = "it has the shape of the one that does something"
)]
impl Traces {
    /// Warns where spans are configured.
    ///
    /// # Errors
    /// None.
    pub(super) fn open(settings: &Settings) -> miette::Result<Self> {
        crate::config::warn_of_what_is_not_built(settings);
        Ok(Self {})
    }

    /// Nobody.
    pub(super) fn of(&self, _: Option<&str>, _: &Settings) -> Option<Arc<dyn Observer>> {
        None
    }

    /// Nothing is left.
    pub(super) async fn close(self) {}
}
