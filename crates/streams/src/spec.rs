//! What all that send to a stream and read from it must agree on.
//!
//! Every program says the same things of a stream, and they stand together here. Only the number of
//! partitions is kept in the store, once there is a stream (see [`layout`](crate::layout)).

use tidegate_store::{AppendOptions, Bound, StreamName};

use crate::record::Compression;
use crate::routing::Hasher;
use crate::{Error, Result};

/// The partitions of a stream that says nothing else, as in runnel.
pub const PARTITIONS: u32 = 16;
/// The most partitions a stream may have: a worker keeps something for each of those it owns.
pub const PARTITIONS_MAX: u32 = 4_096;
/// The entries that a partition holds, in a stream that says nothing else, as in runnel.
pub const PARTITION_SIZE: u64 = 50_000;

/// A stream of an application, and how records get into its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSpec {
    /// The application that it belongs to; without a dot, which ends it in the stream's full name.
    pub app: String,
    /// Its name within the application.
    pub stream: String,
    /// How many partitions it gets when it is new, 1 to [`PARTITIONS_MAX`]. A stream that is there
    /// keeps the number that it has, whatever is said here; `stream repartition` changes it.
    pub partitions: u32,
    /// How many entries a partition may hold. What would exceed it is refused
    /// ([`Full`](tidegate_store::Error::Full)) until those that all groups have acknowledged are
    /// trimmed; nothing unread is dropped. `append` may say something else.
    pub partition_size: u64,
    /// What spreads keys over the partitions.
    pub hasher: Hasher,
    /// How records are compressed when they are sent; whoever reads them sees it.
    pub compression: Compression,
    /// What is promised of each record sent. With the default it is as durable as the store makes
    /// it by itself, `partition_size` is the bound, and request ids are not taken.
    pub append: AppendOptions,
}

impl StreamSpec {
    /// A stream with runnel's defaults: [`PARTITIONS`] of [`PARTITION_SIZE`], MD5, nothing
    /// compressed.
    #[must_use]
    pub fn new(app: impl Into<String>, stream: impl Into<String>) -> Self {
        Self {
            app: app.into(),
            stream: stream.into(),
            partitions: PARTITIONS,
            partition_size: PARTITION_SIZE,
            hasher: Hasher::default(),
            compression: Compression::default(),
            append: AppendOptions::default(),
        }
    }

    /// What the store is asked to promise, with the bound that `partition_size` is.
    pub(crate) fn append_options(&self) -> AppendOptions {
        let bound = match self.append.bound {
            Bound::None => Bound::HighWater(self.partition_size),
            stated => stated,
        };
        AppendOptions {
            bound,
            ..self.append
        }
    }

    /// The store's name of the stream, once all that is said of it is possible.
    ///
    /// # Errors
    /// [`Error::Invalid`] and the store's, saying what is not allowed.
    ///
    /// # Examples
    /// ```
    /// use tidegate_streams::StreamSpec;
    ///
    /// assert_eq!(StreamSpec::new("shop", "orders").name()?.as_str(), "shop.orders");
    /// assert!(StreamSpec::new("the.shop", "orders").name().is_err());
    /// # Ok::<_, tidegate_streams::Error>(())
    /// ```
    pub fn name(&self) -> Result<StreamName> {
        if !(1..=PARTITIONS_MAX).contains(&self.partitions) {
            return Err(Error::Invalid(format!(
                "stream {}: {} partitions; use 1 to {PARTITIONS_MAX}",
                self.stream, self.partitions
            )));
        }
        Ok(StreamName::of_app(&self.app, &self.stream)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_has_as_many_partitions_as_is_allowed() {
        let with = |partitions| StreamSpec {
            partitions,
            ..StreamSpec::new("shop", "orders")
        };
        assert!(with(1).name().is_ok());
        assert!(with(PARTITIONS_MAX).name().is_ok());
        for partitions in [0, PARTITIONS_MAX + 1] {
            let refusal = with(partitions).name().unwrap_err().to_string();
            assert!(refusal.contains("use 1 to 4096"), "{refusal}");
        }
    }

    #[test]
    fn a_name_that_the_store_refuses_is_refused() {
        assert!(StreamSpec::new("", "orders").name().is_err());
        assert!(StreamSpec::new("shop", "{orders}").name().is_err());
    }
}
