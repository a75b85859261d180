//! The events of a layout's log, and how they look as entries.
//!
//! Between the log and the fold. An event that this version doesn't know is an error: what it
//! means for the order of keys can't be guessed.

use bytes::Bytes;
use tidegate_store::{Entry, Field};

use crate::{Error, Result};

/// What happened to a stream's partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The stream began, with so many partitions.
    Created {
        /// How many.
        partitions: u32,
    },
    /// Somebody wants it to have another number.
    Planned {
        /// The number of the generation that is to begin.
        generation: u32,
        /// How many partitions it will have.
        partitions: u32,
    },
    /// All partitions of the former generation are sealed, and this one is the current one.
    Switched {
        /// The generation that has begun.
        generation: u32,
    },
    /// Every group has processed this generation, and nothing of it is kept.
    Retired {
        /// The generation that is gone.
        generation: u32,
    },
}

impl Event {
    pub(crate) fn to_fields(self) -> Vec<Field> {
        let (name, generation, partitions) = match self {
            Self::Created { partitions } => ("created", 1, Some(partitions)),
            Self::Planned {
                generation,
                partitions,
            } => ("planned", generation, Some(partitions)),
            Self::Switched { generation } => ("switched", generation, None),
            Self::Retired { generation } => ("retired", generation, None),
        };
        let mut fields = vec![
            field("event", name.to_owned()),
            field("generation", generation.to_string()),
        ];
        fields.extend(partitions.map(|it| field("partitions", it.to_string())));
        fields
    }

    /// # Errors
    /// The store's [`Corrupt`](tidegate_store::Error::Corrupt) for an entry that is none.
    pub(crate) fn from_entry(entry: &Entry) -> Result<Self> {
        let text = |name: &str| {
            let value = entry.field(name.as_bytes())?;
            std::str::from_utf8(value).ok()
        };
        let number = |name: &str| text(name)?.parse::<u32>().ok();
        let event = match (text("event"), number("generation"), number("partitions")) {
            (Some("created"), _, Some(partitions)) => Self::Created { partitions },
            (Some("planned"), Some(generation), Some(partitions)) => Self::Planned {
                generation,
                partitions,
            },
            (Some("switched"), Some(generation), _) => Self::Switched { generation },
            (Some("retired"), Some(generation), _) => Self::Retired { generation },
            _ => {
                return Err(Error::Store(tidegate_store::Error::Corrupt(format!(
                    "entry {} of a stream's layout is of no kind that this version knows",
                    entry.id
                ))));
            }
        };
        Ok(event)
    }
}

fn field(name: &'static str, value: String) -> Field {
    (Bytes::from_static(name.as_bytes()), value.into())
}
