//! Rows straight into the table: `COPY … (FORMAT binary)` of bytes that lie ready in memory.
//!
//! This is the least that PostgreSQL can be asked for, and so the limit of any drainer. It shares
//! no code with the drain, and therefore also makes the table that the drain's is held against.
//!
//! Source: PostgreSQL documentation, "COPY", section "Binary Format".

use std::pin::pin;

use bytes::{Bytes, BytesMut};
use futures::SinkExt;
use tokio_postgres::Client;
use tokio_postgres::types::IsNull;

use super::payment::{COLUMNS, Payment, TABLE, TYPES};
use crate::error::{Error, Result};

/// The signature, no flags, and no extension of the header.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Stands where the next row's number of columns would.
const TRAILER: i16 = -1;
/// Stands where a cell's length would.
const NULL: i32 = -1;
/// About how many bytes are handed over at once.
const CHUNK_BYTES: usize = 256 << 10;

/// The bytes of one COPY, in pieces.
#[derive(Clone, Debug, Default)]
pub(super) struct CopyData {
    chunks: Vec<Bytes>,
    rows: u64,
}

impl CopyData {
    /// Encodes rows.
    pub(super) fn encode(rows: impl IntoIterator<Item = Payment>) -> Result<Self> {
        let mut data = Self::default();
        let mut chunk = BytesMut::from(HEADER);
        for row in rows {
            if chunk.len() >= CHUNK_BYTES {
                data.chunks.push(chunk.split().freeze());
            }
            put_row(&row, &mut chunk)?;
            data.rows += 1;
        }
        chunk.extend_from_slice(&TRAILER.to_be_bytes());
        data.chunks.push(chunk.freeze());
        Ok(data)
    }

    /// Copies all of it into the table, in one transaction.
    pub(super) async fn send(self, client: &Client) -> Result<()> {
        let statement = format!("COPY {TABLE} FROM STDIN (FORMAT binary)");
        let mut sink = pin!(client.copy_in(&statement).await?);
        for chunk in self.chunks {
            sink.feed(chunk).await?;
        }
        let rows = sink.finish().await?;
        if rows == self.rows {
            return Ok(());
        }
        Err(Error::Unexpected(format!(
            "{rows} of {} rows were copied",
            self.rows
        )))
    }
}

fn put_row(row: &Payment, out: &mut BytesMut) -> Result<()> {
    let columns = i16::try_from(COLUMNS).unwrap_or(i16::MAX);
    out.extend_from_slice(&columns.to_be_bytes());
    for (value, sql_type) in row.values().into_iter().zip(&TYPES) {
        let frame = out.len();
        out.extend_from_slice(&NULL.to_be_bytes());
        let content = out.len();
        let is_null = value
            .to_sql_checked(sql_type, out)
            .map_err(|error| Error::Unexpected(format!("a value of {sql_type}: {error}")))?;
        let length = i32::try_from(out.len() - content).unwrap_or(i32::MAX);
        if let (IsNull::No, Some(frame)) = (is_null, out.get_mut(frame..content)) {
            frame.copy_from_slice(&length.to_be_bytes());
        }
    }
    Ok(())
}
