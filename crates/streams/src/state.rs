//! State: what the user's functions need and the application provides, by its type.
//!
//! ```text
//! App::state(value) ─► StateMap ─► State<T>, an argument of a processor or of a scheduled run
//! ```
//!
//! A value that is missing is found when a worker starts, not when the first event comes. Nothing
//! here outlives the process.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::ops::{Deref, DerefMut};

use crate::{Error, Result};

/// The application's values, one of each type.
#[derive(Debug, Default)]
pub struct StateMap {
    values: HashMap<TypeId, Box<dyn Any + Send + Sync>>,
}

impl StateMap {
    /// A map without values.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Provides a value; one of the same type is replaced.
    pub fn insert<T: Clone + Send + Sync + 'static>(&mut self, value: T) {
        self.values.insert(TypeId::of::<T>(), Box::new(value));
    }

    /// A clone of the value of this type.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the type, where none was provided.
    pub fn get<T: Clone + Send + Sync + 'static>(&self) -> Result<T> {
        let value = self.values.get(&TypeId::of::<T>());
        value
            .and_then(|value| value.downcast_ref::<T>())
            .cloned()
            .ok_or_else(|| {
                let name = type_name::<T>();
                Error::Invalid(format!(
                    "no state of the type {name}: provide it with .state(value)"
                ))
            })
    }
}

/// The application's value of the type `T`, as an argument of the user's function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State<T>(pub T);

impl<T> Deref for State<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for State<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

/// What can be an argument of a user's function beside its events.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be an argument here",
    label = "use `State<T>` for a value that the application provides; `T` is Clone, Send and Sync"
)]
pub trait FromState: Sized {
    /// Takes the argument from the application's values.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names what is missing.
    fn from_state(state: &StateMap) -> Result<Self>;
}

impl<T: Clone + Send + Sync + 'static> FromState for State<T> {
    fn from_state(state: &StateMap) -> Result<Self> {
        state.get().map(State)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Fee(i64);

    #[test]
    fn values_are_found_by_type_and_a_missing_one_is_named() {
        let mut state = StateMap::new();
        state.insert(Fee(1));
        state.insert(Fee(2));
        assert_eq!(State::<Fee>::from_state(&state).unwrap(), State(Fee(2)));
        let error = State::<String>::from_state(&state).unwrap_err();
        assert!(error.to_string().contains("String"), "{error}");
    }
}
