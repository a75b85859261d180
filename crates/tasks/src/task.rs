//! What `#[task]` makes of a function: its options as data, and a way to call it.
//!
//! ```text
//! #[task(…)] async fn ─► Task ─ options, check, call ─► Handler (its types forgotten) ─► the runner
//! ```
//!
//! Nothing happens here; if the process dies, there is nothing to lose.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tidegate_streams::{BoxError, StateMap};

use crate::context::TaskContext;
use crate::options::TaskOptions;
use crate::{Error, Result};

/// A call of a task's function that has begun; it answers with the result as JSON.
pub type Running = BoxFuture<'static, Result<Bytes, BoxError>>;

/// A function that `#[task]` was written above.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no task",
    label = "write `#[task(queue = \"…\")]` above the function"
)]
pub trait Task: Send + Sync + 'static {
    /// What it takes, in one value.
    type Arguments: Serialize + DeserializeOwned + Send + 'static;

    /// The values of the attribute.
    fn options(&self) -> TaskOptions;

    /// Whether the application provides what the function asks for.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error) that names the type that is missing.
    fn check(&self, state: &StateMap) -> Result<(), tidegate_streams::Error>;

    /// Begins a call.
    fn call(&self, context: TaskContext, arguments: Self::Arguments, state: &StateMap) -> Running;
}

/// The result of a function as JSON; for `()` it is empty.
///
/// # Errors
/// What serde says.
#[doc(hidden)]
pub fn encode_result<T: Serialize>(result: &T) -> Result<Bytes, BoxError> {
    if size_of::<T>() == 0 {
        return Ok(Bytes::new());
    }
    Ok(serde_json::to_vec(result)?.into())
}

/// A task whose types nobody needs to know.
pub(crate) trait Handler: Send + Sync {
    /// Whether the application provides what the function asks for.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the type that is missing.
    fn check(&self, state: &StateMap) -> Result<()>;

    /// Begins a call with arguments as JSON.
    ///
    /// # Errors
    /// [`Error::Unreadable`].
    fn call(&self, context: TaskContext, arguments: &[u8], state: &StateMap) -> Result<Running>;
}

struct Typed<T>(T);

impl<T: Task> Handler for Typed<T> {
    fn check(&self, state: &StateMap) -> Result<()> {
        Ok(self.0.check(state)?)
    }

    fn call(&self, context: TaskContext, arguments: &[u8], state: &StateMap) -> Result<Running> {
        let arguments = serde_json::from_slice(arguments).map_err(|error| Error::Unreadable {
            task: self.0.options().name.to_owned(),
            reason: error.to_string(),
        })?;
        Ok(self.0.call(context, arguments, state))
    }
}

/// A task that a worker can run.
#[derive(Clone)]
pub struct Registered {
    pub(crate) options: TaskOptions,
    pub(crate) handler: Arc<dyn Handler>,
}

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.options.fmt(f)
    }
}

impl Registered {
    /// A task to be run.
    pub fn new<T: Task>(task: T) -> Self {
        Self {
            options: task.options(),
            handler: Arc::new(Typed(task)),
        }
    }

    /// Whether the application provides what the function asks for.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the type that is missing.
    pub fn check(&self, state: &StateMap) -> Result<()> {
        self.handler.check(state)
    }

    /// What it is declared with.
    #[must_use]
    pub fn options(&self) -> &TaskOptions {
        &self.options
    }
}
