//! The log of a layout in the store: read, and written to.
//!
//! Between the store and the pure [`Layout`]. Whoever wants something to be so appends it and
//! reads the log again: only what the fold has taken up has happened. If the process dies here,
//! the event was appended or not, and repeating it changes nothing.

use tidegate_store::{EntryId, NewEntry, Partition, ReadLimit, Store, StreamName};
use tracing::info;

use super::{Event, Layout};
use crate::spec::StreamSpec;
use crate::{Error, Result};

/// How much of the log is read at once: a change of the number takes three events.
const PAGE: ReadLimit = ReadLimit {
    entries: 500,
    bytes: 1 << 20,
};

/// Where the log of a stream is.
///
/// # Errors
/// [`Error::Invalid`] for a stream that is no application's.
pub(crate) fn partition_of(stream: &StreamName) -> Result<Partition> {
    let log = stream.layout();
    let log = log.ok_or_else(|| Error::Invalid(format!("{stream} is no application's stream")))?;
    Ok(log.partition(0))
}

/// Reads the layout of a stream, and changes nothing. One of which nothing was said yet has the
/// partitions of its description.
///
/// # Errors
/// The store's.
pub async fn load(store: &dyn Store, spec: &StreamSpec) -> Result<Layout> {
    let mut layout = Layout::default();
    refresh(store, &spec.name()?, &mut layout).await?;
    Ok(match layout.current() {
        Some(_) => layout,
        None => Layout::of(spec.partitions),
    })
}

/// Reads the layout of a stream that is about to be used: a new one gets the partitions of its
/// description, and keeps them whatever a description says later.
///
/// # Errors
/// The store's.
pub(crate) async fn ensure(
    store: &dyn Store,
    stream: &StreamName,
    partitions: u32,
) -> Result<Layout> {
    let mut layout = Layout::default();
    refresh(store, stream, &mut layout).await?;
    if layout.current().is_none() {
        append(store, stream, Event::Created { partitions }).await?;
        refresh(store, stream, &mut layout).await?;
    }
    if let Some(current) = layout.current()
        && current.partitions != partitions
    {
        info!(
            %stream, partitions = current.partitions, described = partitions,
            "the stream keeps the number of partitions that it has; `stream repartition` changes it"
        );
    }
    Ok(layout)
}

/// Takes up what the log has got since. Answers whether that was anything.
///
/// # Errors
/// The store's.
pub(crate) async fn refresh(
    store: &dyn Store,
    stream: &StreamName,
    layout: &mut Layout,
) -> Result<bool> {
    let log = partition_of(stream)?;
    let before = layout.seen;
    loop {
        let page = store.read_after(&log, layout.seen, PAGE).await?;
        if page.is_empty() {
            return Ok(layout.seen != before);
        }
        for entry in &page {
            layout.take_up(entry.id, &Event::from_entry(entry)?);
        }
    }
}

/// Says that something is so.
///
/// # Errors
/// The store's.
pub(crate) async fn append(store: &dyn Store, stream: &StreamName, event: Event) -> Result<()> {
    let entry = NewEntry::new(partition_of(stream)?, event.to_fields());
    store.append(vec![entry]).await?;
    Ok(())
}

impl Layout {
    /// The last event of the log that is known.
    pub(crate) fn seen(&self) -> EntryId {
        self.seen
    }
}
