//! The console of a process that drains: its metrics, and whether each tenant is ready.

use std::sync::Arc;

use async_trait::async_trait;
use tidegate_console::prometheus_client::registry::Registry;
use tidegate_console::server::Bound;
use tidegate_console::{Console, Listen, Probe, Readiness};
use tidegate_drain::Metrics;
use tidegate_drain::tenants::Handle;

/// Opens a console over the drains of a process.
///
/// # Errors
/// An address that can't be listened on.
pub async fn bind(
    listen: Listen,
    metrics: &Metrics,
    tenants: Vec<Handle>,
) -> tidegate_console::Result<Bound> {
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    let mut console = Console::new(listen, registry);
    for tenant in tenants {
        console = match tenant.id().map(str::to_owned) {
            Some(id) => console.with_tenant(id, Arc::new(TenantProbe(tenant))),
            None => console.with_probe(Arc::new(TenantProbe(tenant))),
        };
    }
    console.bind().await
}

/// Asks both ends of a tenant, under the names that Hyperswitch's drainer gives them.
#[derive(Debug)]
struct TenantProbe(Handle);

#[async_trait]
impl Probe for TenantProbe {
    fn parts(&self) -> &[&'static str] {
        &["database", "redis"]
    }

    async fn probe(&self) -> Readiness {
        let health = self.0.health().await;
        let found = Readiness::default()
            .with("database", health.database)
            .with("redis", health.store);
        health
            .details
            .into_iter()
            .fold(found, Readiness::with_detail)
    }
}
