//! The route of a sender: the partitions that it believes the stream has, and where a hash goes.
//!
//! Between a [`Sender`](crate::Sender) and the layout. The belief may be old: then the store
//! refuses, since the partition is sealed, and the sender asks here for a newer one. It guarantees
//! that a sender never waits for whoever changes the number: a change that was begun and left is
//! finished here. Nothing outlives the process.

use std::sync::{Arc, PoisonError, RwLock};

use tidegate_store::{Store, StreamName};

use crate::layout::{Layout, log};
use crate::repartition::finish;
use crate::{Error, Result};

/// What a sender knows of its stream's partitions.
#[derive(Debug)]
pub(crate) struct Route {
    store: Arc<dyn Store>,
    stream: StreamName,
    /// How many partitions the stream gets if it is new.
    partitions: u32,
    layout: RwLock<Option<Arc<Layout>>>,
}

impl Route {
    pub(crate) fn new(store: Arc<dyn Store>, stream: StreamName, partitions: u32) -> Self {
        Self {
            store,
            stream,
            partitions,
            layout: RwLock::default(),
        }
    }

    /// The layout as it is known; asked for at first.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn layout(&self) -> Result<Arc<Layout>> {
        if let Some(layout) = self.known() {
            return Ok(layout);
        }
        let layout = log::ensure(&*self.store, &self.stream, self.partitions).await?;
        Ok(self.learn(layout))
    }

    /// A newer layout than this one, where there is one: a change that has begun, as a sealed
    /// partition shows, is finished for that.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn newer(
        &self,
        stale: &Layout,
        has_begun: bool,
    ) -> Result<Option<Arc<Layout>>> {
        let mut layout = stale.clone();
        log::refresh(&*self.store, &self.stream, &mut layout).await?;
        let number = |layout: &Layout| layout.current().map(|it| it.number);
        if number(&layout) == number(stale) && has_begun {
            layout = finish(&*self.store, &self.stream, &layout).await?;
        }
        if number(&layout) != number(stale) {
            return Ok(Some(self.learn(layout)));
        }
        if has_begun {
            return Err(Error::Store(tidegate_store::Error::Corrupt(format!(
                "a partition of {} is sealed, and no other partitions are known",
                self.stream
            ))));
        }
        Ok(None)
    }

    fn known(&self) -> Option<Arc<Layout>> {
        // A panic elsewhere leaves the value whole: it is replaced at once.
        let known = self.layout.read().unwrap_or_else(PoisonError::into_inner);
        known.clone()
    }

    fn learn(&self, layout: Layout) -> Arc<Layout> {
        let layout = Arc::new(layout);
        let mut known = self.layout.write().unwrap_or_else(PoisonError::into_inner);
        *known = Some(Arc::clone(&layout));
        layout
    }
}
