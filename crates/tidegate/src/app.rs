//! An application: its streams, its processors, its tasks, its schedules, and what they need.
//!
//! A mistake in what it is given (an interval that can't be read, a stream that nobody named) is
//! kept until [`App::run`], which reports the first one before anything happens.

use std::ffi::OsString;
use std::fmt;
use std::process::ExitCode;
use std::sync::Arc;

use tidegate_store::task::TaskStore;
use tidegate_store::{Store, StoreUrl};
use tidegate_streams::processor_options::{IntoProcessor, ProcessorOptions, bind};
use tidegate_streams::schedule::ScheduledFn;
use tidegate_streams::{
    Events, Middleware, Processor, Record, Schedule, Sender, StateMap, StreamSpec, When,
};
use tokio_util::sync::CancellationToken;

use crate::registry::Registered;
use crate::tasks_of_app::Tasks;
use crate::{Error, command};

/// An application of streams and tasks.
pub struct App {
    pub(crate) name: String,
    pub(crate) about: Option<String>,
    pub(crate) store_url: Option<String>,
    pub(crate) streams: Vec<Registered>,
    pub(crate) processors: Vec<Planned>,
    pub(crate) schedules: Vec<Schedule>,
    pub(crate) state: StateMap,
    pub(crate) middleware: Vec<Arc<dyn Middleware>>,
    pub(crate) worker: tidegate_streams::worker::Options,
    pub(crate) tasks: Tasks,
    mistake: Option<Error>,
}

/// A processor before its stream is known.
pub(crate) struct Planned {
    pub(crate) options: ProcessorOptions,
    prepare: Box<Prepare>,
}

/// Makes a processor of a function, over the stream that it names.
type Prepare = dyn FnOnce(&StreamSpec, Arc<StateMap>) -> Result<Processor, Error> + Send;

impl App {
    /// An application of this name, which is a part of every key of its streams: letters, digits,
    /// `_` and `-`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            about: None,
            store_url: None,
            streams: Vec::new(),
            processors: Vec::new(),
            schedules: Vec::new(),
            state: StateMap::new(),
            middleware: Vec::new(),
            worker: tidegate_streams::worker::Options::default(),
            tasks: Tasks::default(),
            mistake: None,
        }
    }

    /// One line for the command line's help.
    #[must_use]
    pub fn about(mut self, about: &str) -> Self {
        self.about = Some(about.to_owned());
        self
    }

    /// Where the streams are, unless `--store` or `TIDEGATE__STORE__URL` says otherwise. Without
    /// any of them it is the file `<name>.sqlite` in the working directory.
    #[must_use]
    pub fn store_url(mut self, url: &str) -> Self {
        self.store_url = Some(url.to_owned());
        self
    }

    /// A stream of records of the type `R`, with the defaults of [`StreamSpec::new`].
    #[must_use]
    pub fn stream<R: Record>(self, name: &str) -> Self {
        self.stream_with::<R>(name, |spec| spec)
    }

    /// A stream of records of the type `R`, with other settings than the defaults. All programs
    /// that send to it or read from it must agree on them; the number of partitions is that of a new
    /// stream, and `stream repartition` changes it later.
    ///
    /// # Examples
    /// ```
    /// use tidegate::{App, Raw, StreamSpec};
    /// let app = App::new("shop").stream_with::<Raw>("audit", |spec| StreamSpec {
    ///     partitions: 4,
    ///     ..spec
    /// });
    /// ```
    #[must_use]
    pub fn stream_with<R: Record>(
        mut self,
        name: &str,
        change: impl FnOnce(StreamSpec) -> StreamSpec,
    ) -> Self {
        let spec = change(StreamSpec::new(&*self.name, name));
        if self.streams.iter().any(|other| other.spec.stream == name) {
            return self.mistaken(Error::Invalid(format!(
                "the stream {name:?} is named twice; name it once"
            )));
        }
        match spec.name() {
            Ok(_) => self.streams.push(Registered::new::<R>(spec)),
            Err(error) => return self.mistaken(error.into()),
        }
        self
    }

    /// A function that the attribute [`processor`](crate::processor) is written above.
    #[must_use]
    pub fn processor<P, R>(mut self, function: P) -> Self
    where
        P: IntoProcessor<Events = Events<R>>,
        R: Record,
    {
        self.processors.push(Planned {
            options: function.options(),
            prepare: Box::new(move |spec, state| Ok(bind(function, spec, state)?)),
        });
        self
    }

    /// Runs `function` again and again, on every worker: `"10s"`, `"5m"`, `"1h30m"`. It takes
    /// nothing, a [`ScheduledRun`](crate::ScheduledRun), or [`State`](crate::State)s.
    #[must_use]
    pub fn every<F, Args>(self, interval: &str, function: F) -> Self
    where
        F: ScheduledFn<Args>,
        Args: 'static,
    {
        match When::every(interval) {
            Ok(when) => self.schedule(Schedule::new(when, function)),
            Err(error) => self.mistaken(error.into()),
        }
    }

    /// Runs `function` at the times of a cron expression in a time zone such as `"Europe/Berlin"`,
    /// on every worker.
    #[must_use]
    pub fn cron<F, Args>(self, expression: &str, time_zone: &str, function: F) -> Self
    where
        F: ScheduledFn<Args>,
        Args: 'static,
    {
        match When::cron(expression, time_zone) {
            Ok(when) => self.schedule(Schedule::new(when, function)),
            Err(error) => self.mistaken(error.into()),
        }
    }

    /// A schedule with its policies.
    #[must_use]
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedules.push(schedule);
        self
    }

    /// Runs the schedule that was added last on one worker at a time, the one that leads.
    #[must_use]
    pub fn on_leader(mut self) -> Self {
        match self.schedules.pop() {
            Some(last) => self.schedule(last.on_leader()),
            None => self.mistaken(Error::Invalid(
                "on_leader() follows the every() or cron() that it is meant for".to_owned(),
            )),
        }
    }

    /// Provides a value for every [`State<T>`](crate::State) of its type.
    #[must_use]
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.state.insert(value);
        self
    }

    /// Puts middleware around every processor, inside of what was added before.
    #[must_use]
    pub fn middleware(mut self, middleware: impl Middleware + 'static) -> Self {
        self.middleware.push(Arc::new(middleware));
        self
    }

    /// How workers run: the time of a lease, the bound of their memory.
    #[must_use]
    pub fn worker_options(mut self, options: tidegate_streams::worker::Options) -> Self {
        self.worker = options;
        self
    }

    /// A sender to one of its streams, over a connection of its own to the store.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a stream that was not named, and what the store says.
    pub async fn sender<R: Record>(&self, stream: &str) -> Result<Sender<R>, Error> {
        let spec = self.stream_named(stream)?.spec.clone();
        let store = self.connect(None).await?;
        Ok(Sender::new(store, spec)?)
    }

    /// Does what the program's arguments say, with `worker` where they say nothing: reports what
    /// goes wrong on the standard error, and answers with the exit code.
    pub async fn run(self) -> ExitCode {
        command::main(self, std::env::args_os().collect()).await
    }

    /// As [`run`](Self::run), with these arguments (the first is the program's name) and this
    /// shutdown besides the signals.
    ///
    /// # Errors
    /// What went wrong.
    pub async fn run_with(
        self,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
        shutdown: CancellationToken,
    ) -> Result<(), Error> {
        let arguments = arguments.into_iter().map(Into::into).collect();
        command::run(self, arguments, shutdown).await
    }

    /// The first mistake in what the application was given.
    pub(crate) fn check(&mut self) -> Result<(), Error> {
        match self.mistake.take() {
            Some(mistake) => Err(mistake),
            None => Ok(()),
        }
    }

    pub(crate) fn stream_named(&self, name: &str) -> Result<&Registered, Error> {
        let mut named = self
            .streams
            .iter()
            .filter(|other| other.spec.stream == name);
        named.next().ok_or_else(|| {
            let known: Vec<&str> = self
                .streams
                .iter()
                .map(|other| other.spec.stream.as_str())
                .collect();
            Error::Invalid(format!(
                "the application has no stream {name:?}; it has: {}",
                known.join(", ")
            ))
        })
    }

    /// Where the streams are.
    pub(crate) fn url(&self, given: Option<&str>) -> Result<StoreUrl, Error> {
        let default = || format!("sqlite://{}.sqlite", self.name);
        let url = given.map(str::to_owned).or_else(|| self.store_url.clone());
        Ok(StoreUrl::parse(&url.unwrap_or_else(default))?)
    }

    /// Opens the store.
    pub(crate) async fn connect(&self, url: Option<&str>) -> Result<Arc<dyn Store>, Error> {
        Ok(tidegate_store::connect(&self.given_url(url)?).await?)
    }

    /// Opens the store for tasks.
    pub(crate) async fn connect_tasks(
        &self,
        url: Option<&str>,
    ) -> Result<Arc<dyn TaskStore>, Error> {
        Ok(tidegate_store::connect_tasks(&self.given_url(url)?).await?)
    }

    fn given_url(&self, url: Option<&str>) -> Result<StoreUrl, Error> {
        let given = match url {
            Some(url) => Some(url.to_owned()),
            None => std::env::var(command::STORE_URL_VARIABLE).ok(),
        };
        self.url(given.as_deref())
    }

    fn mistaken(mut self, mistake: Error) -> Self {
        self.mistake.get_or_insert(mistake);
        self
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL of the store may hold a password.
        f.debug_struct("App")
            .field("name", &self.name)
            .field("streams", &self.streams)
            .field("schedules", &self.schedules)
            .finish_non_exhaustive()
    }
}

impl Planned {
    /// The processor, once its stream is known.
    pub(crate) fn prepare(
        self,
        spec: &StreamSpec,
        state: Arc<StateMap>,
    ) -> Result<Processor, Error> {
        (self.prepare)(spec, state)
    }
}

#[cfg(test)]
mod tests {
    use tidegate_streams::Raw;

    use super::*;

    #[test]
    fn the_first_mistake_is_kept_for_the_start() {
        let mut app = App::new("shop")
            .stream::<Raw>("orders")
            .stream::<Raw>("orders")
            .on_leader();
        let mistake = app.check().unwrap_err().to_string();
        assert!(mistake.contains("named twice"), "{mistake}");
    }

    #[test]
    fn an_interval_that_cannot_be_read_is_a_mistake() {
        let mut app = App::new("shop").every("ten seconds", async || Ok::<_, Error>(()));
        assert!(app.check().unwrap_err().to_string().contains("ten seconds"));
    }

    #[test]
    fn an_unknown_stream_is_answered_with_the_known_ones() {
        let app = App::new("shop").stream::<Raw>("orders");
        let error = app.stream_named("order").unwrap_err().to_string();
        assert!(error.contains("it has: orders"), "{error}");
    }

    #[test]
    fn without_configuration_everything_is_in_one_file() {
        let app = App::new("shop");
        assert_eq!(
            app.url(None).unwrap(),
            StoreUrl::Sqlite("shop.sqlite".into())
        );
        let given = app.url(Some("sqlite://other.sqlite")).unwrap();
        assert_eq!(given, StoreUrl::Sqlite("other.sqlite".into()));
    }
}
