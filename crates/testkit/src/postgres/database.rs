//! A fresh database inside a running cluster.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio_postgres::{Client, Config, NoTls};

use crate::Error;

/// The superuser of each cluster, and the database that it begins with.
const SUPERUSER: &str = "postgres";

/// How long one attempt to connect may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Makes names unique within the process, and a cluster belongs to one process.
static DATABASES_MADE: AtomicU64 = AtomicU64::new(0);

/// An empty database with a name of its own; it goes with its cluster.
#[derive(Debug, Clone)]
pub struct Database {
    name: String,
    port: u16,
}

impl Database {
    /// The address for clients: `postgres://postgres@127.0.0.1:PORT/NAME`.
    #[must_use]
    pub fn url(&self) -> String {
        url(self.port, &self.name)
    }

    /// The database's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Creates a database in the cluster on `port`.
    pub(super) async fn create(port: u16) -> Result<Self, Error> {
        let name = format!("test_{}", DATABASES_MADE.fetch_add(1, Ordering::Relaxed));
        let statement = format!("CREATE DATABASE {name}");
        connect(port, async |client| client.batch_execute(&statement).await).await?;
        Ok(Self { name, port })
    }
}

/// A connection to the database at `url`, which the runtime that asks drives until it is dropped.
///
/// # Errors
/// What the server or the way to it says.
pub async fn postgres_client(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// The address of a database in the cluster on `port`.
pub(super) fn url(port: u16, database: &str) -> String {
    format!("postgres://{SUPERUSER}@127.0.0.1:{port}/{database}")
}

/// Runs `work` on a connection to the cluster's first database, and closes it.
pub(super) async fn connect<Output>(
    port: u16,
    work: impl AsyncFnOnce(&Client) -> Result<Output, tokio_postgres::Error>,
) -> Result<Output, tokio_postgres::Error> {
    let (client, connection) = Config::new()
        .host("127.0.0.1")
        .port(port)
        .user(SUPERUSER)
        .dbname(SUPERUSER)
        .connect_timeout(CONNECT_WITHIN)
        .connect(NoTls)
        .await?;
    // Both in one task: nothing stays behind in the runtime of whichever test came first.
    let work = async {
        let output = work(&client).await;
        drop(client);
        output
    };
    let (output, closed) = tokio::join!(work, connection);
    let output = output?;
    closed?;
    Ok(output)
}
