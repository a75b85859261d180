//! How long the disk takes to make a small write durable.
//!
//! A drainer without batches pays this for every operation, so its figure means little without it.

use std::io::{Seek, SeekFrom, Write};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// How many writes are timed.
const WRITES: usize = 201;
/// A page of PostgreSQL's log.
const PAGE: [u8; 8192] = [0x55; 8192];

/// The median time to overwrite a page in the folder for temporary files, where the servers have
/// their data, and to have it on disk.
pub(crate) fn sync_time() -> Result<Duration> {
    let failed = "timing the disk";
    let mut file = tempfile::tempfile().map_err(Error::system(failed))?;
    let mut times = Vec::with_capacity(WRITES);
    for _ in 0..WRITES {
        let started = Instant::now();
        file.seek(SeekFrom::Start(0))
            .map_err(Error::system(failed))?;
        file.write_all(&PAGE).map_err(Error::system(failed))?;
        file.sync_data().map_err(Error::system(failed))?;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    Ok(times.get(WRITES / 2).copied().unwrap_or_default())
}
