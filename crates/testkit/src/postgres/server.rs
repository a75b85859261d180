//! The cluster: its start on a copy of the template, and its life.

use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;
use nix::unistd::User;
use tokio::sync::OnceCell;

use super::database::{self, Database};
use super::template;
use crate::directory::ServerDirectory;
use crate::server::{Kind, Server};
use crate::{Error, program, spawner};

/// The server that the tests of one process share.
static SHARED: OnceCell<PostgresServer> = OnceCell::const_new();

/// A running PostgreSQL cluster; killed, and its directory removed, when the handle is dropped.
#[derive(Debug)]
pub struct PostgresServer {
    server: Server<Postgres>,
}

/// What a PostgreSQL cluster is to be started with.
#[derive(Debug, Clone)]
pub struct PostgresBuilder {
    fsync: bool,
    programs: Option<PathBuf>,
    settings: Vec<(String, String)>,
}

/// How PostgreSQL is called, and how one sees that it answers.
#[derive(Debug)]
struct Postgres {
    programs: PathBuf,
    user: Option<User>,
    options: PostgresBuilder,
}

impl PostgresServer {
    /// Starts a cluster of the test's own, to be killed and restarted at will.
    ///
    /// # Errors
    ///
    /// [`Error::MissingProgram`] without PostgreSQL; otherwise whatever prevented the start.
    pub async fn start() -> Result<Self, Error> {
        Self::builder().start().await
    }

    /// The cluster that all tests of this process share; the first call starts it.
    ///
    /// It ends with the process. Take a [database](Self::create_database) of your own in it.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    pub async fn shared() -> Result<&'static Self, Error> {
        SHARED.get_or_try_init(Self::start).await
    }

    /// A cluster with other settings.
    #[must_use]
    pub fn builder() -> PostgresBuilder {
        PostgresBuilder {
            fsync: true,
            programs: None,
            settings: Vec::new(),
        }
    }

    /// Creates an empty database with a name of its own.
    ///
    /// # Errors
    ///
    /// [`Error::Sql`] if the server refuses it or does not run.
    pub async fn create_database(&self) -> Result<Database, Error> {
        Database::create(self.port()).await
    }

    /// The address of the first database: `postgres://postgres@127.0.0.1:PORT/postgres`.
    #[must_use]
    pub fn url(&self) -> String {
        database::url(self.port(), "postgres")
    }

    /// The port that the server listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// Ends the server in order and waits: clients are cut off, transactions rolled back
    /// (`SIGINT`, PostgreSQL's "fast" shutdown).
    ///
    /// # Errors
    ///
    /// [`Error::NotStopped`] if it does not end in time.
    pub async fn stop(&mut self) -> Result<(), Error> {
        self.server.stop().await
    }

    /// Kills the server and all of its processes (`SIGKILL`), as a power cut would.
    ///
    /// # Errors
    ///
    /// [`Error::Signal`] if the system refuses the signal.
    pub async fn kill(&mut self) -> Result<(), Error> {
        self.server.kill()
    }

    /// Starts the server again on the same port and data; stops it first if it runs.
    ///
    /// # Errors
    ///
    /// Whatever prevented the stop or the start.
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.server.restart().await
    }

    /// Freezes the server and all of its processes (`SIGSTOP`): connections stay open and nobody answers.
    ///
    /// # Errors
    ///
    /// [`Error::NotRunning`] while the server is stopped.
    pub fn pause(&mut self) -> Result<(), Error> {
        self.server.pause()
    }

    /// Lets a frozen server go on (`SIGCONT`).
    ///
    /// # Errors
    ///
    /// [`Error::NotRunning`] while the server is stopped.
    pub fn resume(&mut self) -> Result<(), Error> {
        self.server.resume()
    }
}

impl PostgresBuilder {
    /// Whether a commit is on disk before its reply; `true` unless set otherwise.
    #[must_use]
    pub fn fsync(mut self, fsync: bool) -> Self {
        self.fsync = fsync;
        self
    }

    /// The folder of `postgres` and `initdb`, instead of the one that is found.
    #[must_use]
    pub fn programs(mut self, folder: impl Into<PathBuf>) -> Self {
        self.programs = Some(folder.into());
        self
    }

    /// Any other setting of `postgresql.conf`; a later one overrides an earlier one.
    #[must_use]
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Starts the cluster and waits until it answers.
    ///
    /// # Errors
    ///
    /// [`Error::MissingProgram`] without PostgreSQL; otherwise whatever prevented the start.
    pub async fn start(self) -> Result<PostgresServer, Error> {
        let programs = match &self.programs {
            Some(folder) => folder.clone(),
            None => program::find_postgres()?,
        };
        let user = template::server_user()?;
        let directory = ServerDirectory::create("tidegate-postgres-", user.as_ref())?;
        let data = directory.path().join("data");
        template::copy_to(data, programs.clone(), user.clone()).await?;
        let kind = Postgres {
            programs,
            user,
            options: self,
        };
        let server = Server::start(kind, directory).await?;
        Ok(PostgresServer { server })
    }
}

impl Kind for Postgres {
    const PROGRAM: &'static str = "postgres";
    const STOP_SIGNAL: Signal = Signal::SIGINT;

    fn command(&self, directory: &ServerDirectory, port: u16) -> Command {
        let mut command = spawner::mortal(self.programs.join("postgres").as_os_str());
        command.arg("-D").arg(directory.path().join("data"));
        let own_settings = [
            ("listen_addresses", "127.0.0.1"),
            ("port", &port.to_string()),
            ("unix_socket_directories", ""),
            ("max_connections", "200"),
            ("wal_level", "logical"),
            ("timezone", "UTC"),
            ("log_timezone", "UTC"),
            ("fsync", if self.options.fsync { "on" } else { "off" }),
        ];
        for (name, value) in own_settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        if cfg!(target_os = "linux") {
            // After a kill, one sync of the disk instead of one for each of a thousand files, which
            // takes seconds beside a busy compiler. It exists since PostgreSQL 14.
            command.args(["-c", "recovery_init_sync_method=syncfs"]);
        }
        for (name, value) in &self.options.settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        template::run_as(&mut command, self.user.as_ref());
        // The current folder may be closed to the other user.
        command.current_dir("/");
        command
    }

    async fn answers(&self, port: u16) -> bool {
        database::connect(port, async |client| client.batch_execute("").await)
            .await
            .is_ok()
    }
}
