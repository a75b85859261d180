//! What `drain run` consists of, built before anything runs: a mistake in it ends the program
//! while nothing has happened yet.

use std::sync::Arc;

use miette::miette;
use tidegate_console::server::Bound;
use tidegate_drain::observer::Everyone;
use tidegate_drain::tenants::{Connect, Tenant};
use tidegate_drain::{Metrics, Runner};
use tidegate_settings::connect::Connector;
use tracing::info;

use super::tally::Tally;
use super::traces::Traces;
use crate::args::RunArgs;
use crate::config::Settings;
use crate::{connect, failure, tenant};

/// Everything that runs.
pub(super) struct Site {
    /// The workers.
    pub(super) runner: Runner,
    /// What they count for people.
    pub(super) tally: Arc<Tally>,
    /// What they tell over HTTP.
    pub(super) console: Option<Bound>,
    /// Where their spans go.
    pub(super) traces: Traces,
}

impl Site {
    /// Builds it.
    ///
    /// # Errors
    /// Without tenants, ends that can't be opened; with them that is each tenant's own matter. An
    /// address that the console can't listen on.
    pub(super) async fn build(args: &RunArgs, settings: &Settings) -> miette::Result<Self> {
        let tally = Arc::new(Tally::new(args.json));
        let metrics = Metrics::new();
        let traces = Traces::open(settings)?;
        let mut tenants = Vec::new();
        for (id, own) in tenant::each(settings)? {
            let connect: Arc<dyn Connect> = match id {
                Some(_) => Arc::new(Connector(own.clone())),
                None => Arc::new(connect::open(&own).await?),
            };
            let mut watching = vec![
                tally.of(id.as_deref()),
                metrics.of(id.as_deref(), &own.drain),
            ];
            watching.extend(traces.of(id.as_deref(), &own));
            tenants.push(Tenant {
                id,
                options: own.drain,
                connect,
                observer: Arc::new(Everyone(watching)),
            });
        }
        let runner = Runner::new(tenants, settings.on_store_lost).map_err(failure::drain)?;
        let console = open_console(args, settings, &metrics, &runner).await?;
        Ok(Self {
            runner,
            tally,
            console,
            traces,
        })
    }
}

async fn open_console(
    args: &RunArgs,
    settings: &Settings,
    metrics: &Metrics,
    runner: &Runner,
) -> miette::Result<Option<Bound>> {
    let mut console = settings.console.clone();
    console.listen = args.listen.or(console.listen);
    let failed = |error: tidegate_console::Error| miette!("the console can't start: {error}");
    let Some(listen) = console.checked().map_err(failed)? else {
        return Ok(None);
    };
    let bound = tidegate_settings::console::bind(listen, metrics, runner.handles());
    let bound = bound.await.map_err(failed)?;
    info!(address = %bound.address(), "the console answers /health, /health/ready and /metrics");
    Ok(Some(bound))
}
