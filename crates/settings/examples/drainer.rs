//! A service of your own that drains: settings, a store for each tenant, the web server, one
//! operation executed at once, and a stop in order.
//!
//! ```sh
//! cargo run -p tidegate-settings --example drainer -- tidegate.toml
//! ```
//!
//! It reads the same file and the same `TIDEGATE__…` variables as the program `tidegate`.

#![expect(
    clippy::print_stdout,
    reason = "it is a program, which tells what it does"
)]

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use tidegate_drain::tenants::Tenant;
use tidegate_drain::{Executor, Metrics, Runner};
use tidegate_settings::connect::{self, Connector};
use tidegate_settings::{Config, Settings, console};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    // The settings: a file, and the environment over it.
    let file = std::env::args_os().nth(1);
    let settings = Config::load(file.as_deref().map(Path::new))?.settings;

    // One drain for each tenant, or a single one. Each connects by itself, again and again where
    // it must, so that a broken one stops no other.
    let metrics = Metrics::new();
    let each = settings.each()?;
    let tenants = each.iter().map(|(id, own)| Tenant {
        id: id.clone(),
        options: own.drain.clone(),
        connect: Arc::new(Connector(own.clone())),
        observer: metrics.of(id.as_deref(), &own.drain),
    });
    // What happens when Redis is lost is the setting drain.on_store_lost.
    let runner = Runner::new(tenants.collect(), settings.on_store_lost)?;

    // The web server, where console.listen says so.
    let console = match settings.console.checked()? {
        Some(listen) => Some(console::bind(listen, &metrics, runner.handles()).await?),
        None => None,
    };
    if let Some(console) = &console {
        println!("listening on {}", console.address());
    }

    // One operation at once, beside the stream.
    for (id, own) in &each {
        execute(id.as_deref().unwrap_or("the only tenant"), own).await;
    }

    // Everything runs until a signal; the web server until the last batch is committed.
    let (stop, end) = (CancellationToken::new(), CancellationToken::new());
    let mut term = signal(SignalKind::terminate())?;
    let (drained, (), ()) = tokio::join!(
        async {
            let ended = runner.run(stop.clone()).await;
            end.cancel();
            ended
        },
        async {
            if let Some(console) = console {
                console.run(end.clone()).await;
            }
        },
        async {
            tokio::select! {
                _ = term.recv() => stop.cancel(),
                _ = tokio::signal::ctrl_c() => stop.cancel(),
                () = end.cancelled() => {}
            }
        },
    );
    drained?;
    println!("stopped");
    Ok(())
}

async fn execute(tenant: &str, settings: &Settings) {
    let operation = r#"{"op":"upsert","table":"service","row":{"id":1,"name":"drainer"}}"#;
    let executed = async {
        let sink = connect::sink(settings).await?;
        let executor = Executor::new(sink, settings.drain.entry_bytes_max);
        executor.execute(operation, SystemTime::now()).await
    };
    match executed.await {
        Ok(executed) => println!("{tenant}: {executed:?}"),
        Err(error) => println!("{tenant}: {error}"),
    }
}
