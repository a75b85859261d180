//! One operation at once, without a stream: for a service that has it in hand.
//!
//! Beside the flow: the same decoding, the same plan and the same sink as a shard's, in a
//! transaction of its own. Nothing here knows whether an operation was executed before: whoever
//! repeats it after a lost answer executes it twice. What must happen exactly once is
//! [sent](crate::route). If the process dies here, the operation is committed or it never was.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tidegate_store::EntryId;

use crate::apply::Rules;
use crate::catalogs::Catalogs;
use crate::envelope::{self, Envelope};
use crate::error::{Error, Result};
use crate::hyperswitch::Forms;
use crate::locks::Lock;
use crate::rejection::{Code, Rejection};
use crate::settle::decode;
use crate::sink::{Outcome, Refusal, Sink, Unit};

/// What became of an operation.
#[derive(Clone, Debug)]
pub enum Executed {
    /// It is committed, so long after it was pushed.
    Applied {
        /// From `pushed_at` to the commit; zero where `pushed_at` lies ahead.
        delay: Duration,
    },
    /// Nothing was changed.
    Refused(Rejection),
}

/// Executes operations on one database; it keeps the catalog.
#[derive(Debug)]
pub struct Executor {
    sink: Arc<dyn Sink>,
    catalogs: Catalogs,
    rules: Rules,
}

impl Executor {
    /// An executor on a sink. An operation may have up to `operation_bytes_max` bytes.
    #[must_use]
    pub fn new(sink: Arc<dyn Sink>, operation_bytes_max: usize) -> Self {
        Self {
            sink,
            catalogs: Catalogs::new(),
            rules: Rules {
                entry_bytes_max: operation_bytes_max,
                parent_wait_ms_max: 0,
                forms: None,
            },
        }
    }

    /// Reads Hyperswitch's operations so.
    #[must_use]
    pub fn with_forms(mut self, forms: Arc<Forms>) -> Self {
        self.rules.forms = Some(forms);
        self
    }

    /// Executes one operation, the JSON that would stand in an entry's `typed_sql`.
    ///
    /// # Errors
    /// The sink's: then nobody knows whether it took effect where the answer to the commit is what
    /// was lost, and it did not otherwise.
    pub async fn execute(
        &self,
        operation: impl Into<Bytes>,
        pushed_at: SystemTime,
    ) -> Result<Executed> {
        let fields = envelope::fields("", "", operation.into(), pushed_at);
        let envelope = Envelope {
            // An entry's id has the time at which it was pushed.
            id: EntryId::new(unix_ms(pushed_at), 0),
            fields,
        };
        let executed = match self.apply(envelope.clone(), pushed_at, false).await {
            // A column may be there by now.
            Err(Error::CatalogStale) => {
                self.catalogs.forget().await;
                self.apply(envelope, pushed_at, true).await
            }
            Err(Error::CatalogContradicted) => {
                self.catalogs.discard().await;
                self.apply(envelope, pushed_at, true).await
            }
            executed => executed,
        };
        match executed {
            Err(Error::CatalogContradicted) => Err(Error::SinkUnavailable(
                "the tables are changing; try again".into(),
            )),
            executed => executed,
        }
    }

    /// `is_again`: the catalog was read for this operation already.
    async fn apply(
        &self,
        envelope: Envelope,
        pushed_at: SystemTime,
        is_again: bool,
    ) -> Result<Executed> {
        let catalog = self.catalogs.latest(self.sink.catalog()).await?;
        let (changes, rows) = match decode(&envelope, &catalog, &self.rules) {
            Ok(decoded) => decoded,
            Err(unresolved) => {
                let rejection = unresolved.rejection;
                let is_name = matches!(rejection.code, Code::UnknownTable | Code::UnknownColumn);
                if is_name && !is_again {
                    return Err(Error::CatalogStale);
                }
                if is_name {
                    self.catalogs.was_in_vain();
                }
                return Ok(Executed::Refused(rejection));
            }
        };
        let unit = Unit {
            envelope,
            changes,
            rows,
        };
        let mut transaction = self.sink.begin().await?;
        if let Outcome::Refused { culprits, .. } = transaction.apply(&[&unit]).await? {
            let refusal = culprits.into_iter().next();
            let unnamed = || Error::Corrupt("the sink refused a unit without a reason".to_owned());
            let (
                _,
                Refusal {
                    rejection, lock, ..
                },
            ) = refusal.ok_or_else(unnamed)?;
            if lock != Lock::None {
                return Err(Error::SinkUnavailable(rejection.reason.into()));
            }
            return Ok(Executed::Refused(rejection));
        }
        transaction.commit().await?;
        Ok(Executed::Applied {
            delay: pushed_at.elapsed().unwrap_or_default(),
        })
    }
}

fn unix_ms(moment: SystemTime) -> u64 {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
