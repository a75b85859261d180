//! COPY: the rows of a step as one stream of bytes.
//!
//! A row is the number of its cells and the cells as they were encoded, so most of the work is
//! copying memory. The driver ends the data even where the server refused to take any, and the
//! answer to that belongs to no request; so such a connection must not be used again.
//!
//! Source: PostgreSQL documentation, "COPY", section "Binary Format".

use bytes::{BufMut, Bytes, BytesMut};
use deadpool_postgres::Client;
use futures::SinkExt;
use tokio_postgres::{Error, Statement};

use super::write::Cause;
use crate::plan::Step;

/// How many bytes are sent at once.
const CHUNK_BYTES: usize = 128 * 1024;
/// Room in a chunk for the row that fills it.
const CHUNK_SPARE_BYTES: usize = 16 * 1024;
/// How the data begins: the signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// How it ends: a row of -1 cells.
const TRAILER: i16 = -1;

/// Copies the rows of a step. Everything that was sent before must have been answered.
pub(super) async fn copy(
    client: &Client,
    statement: &Statement,
    step: &Step<'_>,
) -> Result<(), Cause> {
    let sink = client
        .copy_in::<_, Bytes>(statement)
        .await
        .map_err(Cause::NoCopy)?;
    futures::pin_mut!(sink);
    let mut chunk = BytesMut::with_capacity(CHUNK_BYTES + CHUNK_SPARE_BYTES);
    let sent: Result<(), Error> = async {
        chunk.put_slice(HEADER);
        for change in &step.changes {
            // A table has at most 1,600 columns.
            chunk.put_i16(i16::try_from(change.columns.len()).unwrap_or(i16::MAX));
            chunk.put_slice(change.cells.as_bytes());
            if chunk.len() >= CHUNK_BYTES {
                sink.feed(chunk.split().freeze()).await?;
                chunk.reserve(CHUNK_BYTES + CHUNK_SPARE_BYTES);
            }
        }
        chunk.put_i16(TRAILER);
        sink.feed(chunk.freeze()).await?;
        sink.finish().await?;
        Ok(())
    }
    .await;
    sent.map_err(Cause::Error)
}
