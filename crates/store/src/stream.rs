//! Names: a stream, one of its partitions, a consumer group.
//!
//! A name is checked once, here, so that no backend has to doubt it later: it becomes part of a
//! Redis key, and a brace in it would move the key to another slot of a Cluster.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::{Error, Result};

/// The most bytes a stream's or a group's name may have.
pub const NAME_BYTES_MAX: usize = 128;

/// About how many messages a control stream keeps; older ones are dropped.
pub const CONTROL_ENTRIES_MAX: u64 = 1_000;

/// The name of a stream, such as `DRAINER_STREAM` or `shop.orders`.
///
/// Streams are of several kinds, and the kind is part of the name: a stream of an app and one
/// that merely has a dot in its name are two streams.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamName {
    text: Arc<str>,
    kind: Kind,
}

/// How a stream is laid out in the store.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A drain's stream, in the layout of Hyperswitch's drainer.
    Sharded {
        /// The stream's own name.
        name: Arc<str>,
        /// What stands before all its keys, as a tenant's do.
        key_prefix: Option<Arc<str>>,
    },
    /// A stream of an app, in runnel's layout. Its text is `app.stream`.
    OfApp,
    /// An app's leadership: a lease, and no entries.
    Leadership {
        /// The app.
        app: Arc<str>,
    },
    /// Where the members of a group tell each other that they come and go.
    Control(GroupOf),
    /// What a group has parked.
    Parked(GroupOf),
    /// The history of an app's stream's partitions.
    Layout {
        /// The stream's text, `app.stream`.
        stream: Arc<str>,
    },
}

/// A group of an app's stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct GroupOf {
    /// The stream's text, `app.stream`.
    pub(crate) stream: Arc<str>,
    /// The group.
    pub(crate) group: GroupName,
}

impl StreamName {
    /// A drain's stream. Takes a name of 1 to [`NAME_BYTES_MAX`] letters, digits, `_`, `-`, `.`
    /// or `:`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for any other text.
    ///
    /// # Examples
    /// ```
    /// use tidegate_store::StreamName;
    /// assert!(StreamName::new("DRAINER_STREAM").is_ok());
    /// assert!(StreamName::new("{shard}").is_err());
    /// ```
    pub fn new(name: &str) -> Result<Self> {
        let text = check_name("stream", name)?;
        Ok(Self {
            text: Arc::clone(&text),
            kind: Kind::Sharded {
                name: text,
                key_prefix: None,
            },
        })
    }

    /// A tenant's drain stream: `prefix:` stands before each of its keys, as Hyperswitch has it.
    /// The prefix follows the rules of [`new`](Self::new). It is a stream of its own, with its own
    /// place in the ledger, and is called `prefix/name`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a text that breaks the rules.
    ///
    /// # Examples
    /// ```
    /// use tidegate_store::StreamName;
    /// let stream = StreamName::prefixed("acme", "DRAINER_STREAM")?;
    /// assert_eq!(stream.as_str(), "acme/DRAINER_STREAM");
    /// # Ok::<(), tidegate_store::Error>(())
    /// ```
    pub fn prefixed(key_prefix: &str, name: &str) -> Result<Self> {
        let (key_prefix, name) = (
            check_name("key prefix", key_prefix)?,
            check_name("stream", name)?,
        );
        Ok(Self {
            // No name has a slash, so no two streams share this text.
            text: format!("{key_prefix}/{name}").into(),
            kind: Kind::Sharded {
                name,
                key_prefix: Some(key_prefix),
            },
        })
    }

    /// This drain's stream for a tenant: the same name behind a [prefix](Self::prefixed); without
    /// one where the prefix is empty.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a prefix that breaks the rules, and for a stream of another kind.
    pub fn with_key_prefix(&self, key_prefix: &str) -> Result<Self> {
        match &self.kind {
            Kind::Sharded { name, .. } if key_prefix.is_empty() => Self::new(name),
            Kind::Sharded { name, .. } => Self::prefixed(key_prefix, name),
            _ => Err(Error::Invalid(format!(
                "{self} is no drain's stream, so it has no key prefix"
            ))),
        }
    }

    /// A stream of an app, as processors read it. Both names follow the rules of
    /// [`new`](Self::new); the app's has no `.`, which ends it.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name that breaks them.
    ///
    /// # Examples
    /// ```
    /// use tidegate_store::StreamName;
    /// assert_eq!(StreamName::of_app("shop", "orders")?.as_str(), "shop.orders");
    /// assert!(StreamName::of_app("my.shop", "orders").is_err());
    /// # Ok::<(), tidegate_store::Error>(())
    /// ```
    pub fn of_app(app: &str, stream: &str) -> Result<Self> {
        let (app, stream) = (check_app(app)?, check_name("stream", stream)?);
        Ok(Self {
            text: format!("{app}.{stream}").into(),
            kind: Kind::OfApp,
        })
    }

    /// An app's leadership: a stream without entries, of whose partition 0 one worker at a time
    /// has the lease. It is the app's whatever the group.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name that [`of_app`](Self::of_app) would not take.
    pub fn leadership(app: &str) -> Result<Self> {
        let app = check_app(app)?;
        Ok(Self {
            text: format!("__lead:{app}").into(),
            kind: Kind::Leadership { app },
        })
    }

    /// Where the members of a group announce that they come and go: partition 0 of this stream.
    /// Each entry has a `reason` (`join`, `leave` or `dead`) and `executor_ids` (a JSON list of
    /// worker ids). Only an app's streams have one, and its leadership.
    #[must_use]
    pub fn control(&self, group: &GroupName) -> Option<Self> {
        let of = match &self.kind {
            // A stream's has one part more: a group that leads has no `.` in its name.
            Kind::Leadership { app } => GroupOf {
                stream: Arc::clone(app),
                group: group.clone(),
            },
            _ => self.group_of(group)?,
        };
        Some(Self {
            text: format!("__ctrl:{}.{group}", of.stream).into(),
            kind: Kind::Control(of),
        })
    }

    /// Where a group [parks](crate::Store::park) entries: those of partition i are in partition i
    /// of this stream. Only an app's streams have one.
    #[must_use]
    pub fn parked(&self, group: &GroupName) -> Option<Self> {
        let of = self.group_of(group)?;
        Some(Self {
            text: format!("__park:{}.{group}", of.stream).into(),
            kind: Kind::Parked(of),
        })
    }

    /// What stands before all keys of a drain's stream, without the colon.
    #[must_use]
    pub fn key_prefix(&self) -> Option<&str> {
        match &self.kind {
            Kind::Sharded { key_prefix, .. } => key_prefix.as_deref(),
            _ => None,
        }
    }

    /// The name without a [key prefix](Self::key_prefix).
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.kind {
            Kind::Sharded { name, .. } => name,
            _ => &self.text,
        }
    }

    /// Where it is kept which partitions the stream has and had: partition 0 of this stream. Only
    /// an app's streams have one.
    #[must_use]
    pub fn layout(&self) -> Option<Self> {
        matches!(self.kind, Kind::OfApp).then(|| Self {
            text: format!("__layt:{self}").into(),
            kind: Kind::Layout {
                stream: Arc::clone(&self.text),
            },
        })
    }

    /// The name as text, for people: streams of different kinds may share it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Partition `index` of this stream.
    #[must_use]
    pub fn partition(&self, index: u32) -> Partition {
        Partition {
            stream: self.clone(),
            index,
        }
    }

    pub(crate) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// A text that no other stream has, of whatever kind: braces can't be in a name.
    pub(crate) fn identity(&self) -> Cow<'_, str> {
        match &self.kind {
            Kind::Sharded { .. } => Cow::Borrowed(&self.text),
            Kind::OfApp => Cow::Owned(format!("{{{}}}", self.text)),
            Kind::Leadership { app } => Cow::Owned(format!("lead:{{{app}}}")),
            Kind::Control(of) => Cow::Owned(format!("ctrl:{{{}}}{}", of.stream, of.group)),
            Kind::Parked(of) => Cow::Owned(format!("park:{{{}}}{}", of.stream, of.group)),
            Kind::Layout { stream } => Cow::Owned(format!("layt:{{{stream}}}")),
        }
    }

    /// Whether workers of this group can own the stream's partition `index`.
    ///
    /// # Errors
    /// [`Error::Invalid`], which says why not.
    pub(crate) fn check_ownable(&self, group: &GroupName, index: u32) -> Result<()> {
        let refusal = match &self.kind {
            Kind::OfApp | Kind::Leadership { .. } if group.as_str().contains('.') => {
                // A dot would make two groups of two streams share their keys.
                format!("group {group} of an app's stream: its name must not have a '.'")
            }
            Kind::Leadership { .. } if index != 0 => {
                format!("{self} has one partition, 0, and not {index}")
            }
            Kind::Control(_) | Kind::Parked(_) | Kind::Layout { .. } => {
                format!("{self} has no owners")
            }
            Kind::Sharded { .. } | Kind::OfApp | Kind::Leadership { .. } => return Ok(()),
        };
        Err(Error::Invalid(refusal))
    }

    /// Whether its partitions can be sealed: those of a drain belong to its producers.
    ///
    /// # Errors
    /// [`Error::Invalid`], which says so.
    pub(crate) fn check_sealable(&self) -> Result<()> {
        match &self.kind {
            Kind::OfApp => Ok(()),
            _ => Err(Error::Invalid(format!(
                "{self} is no app's stream: it can't be sealed"
            ))),
        }
    }

    /// The stream of what a group parks.
    ///
    /// # Errors
    /// [`Error::Invalid`] where this stream has none.
    pub(crate) fn try_parked(&self, group: &GroupName) -> Result<Self> {
        self.parked(group)
            .ok_or_else(|| Error::Invalid(format!("nothing of {self} can be parked")))
    }

    fn group_of(&self, group: &GroupName) -> Option<GroupOf> {
        matches!(self.kind, Kind::OfApp).then(|| GroupOf {
            stream: Arc::clone(&self.text),
            group: group.clone(),
        })
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The name of a consumer group: readers who share one position in each partition.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupName(Arc<str>);

impl GroupName {
    /// Takes a name under the rules of [`StreamName::new`].
    ///
    /// # Errors
    /// [`Error::Invalid`] for a text that breaks them.
    pub fn new(name: &str) -> Result<Self> {
        check_name("group", name).map(Self)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One partition of a stream: the unit of order and of ownership.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    /// The stream it belongs to.
    pub stream: StreamName,
    /// Its index, from 0.
    pub index: u32,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stream, self.index)
    }
}

fn check_name(what: &'static str, name: &str) -> Result<Arc<str>> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(allowed) {
        return Err(Error::Invalid(format!(
            "{what} name {name:?}: use 1 to {NAME_BYTES_MAX} letters, digits, '_', '-', '.' or ':'"
        )));
    }
    Ok(name.into())
}

fn check_app(app: &str) -> Result<Arc<str>> {
    if app.contains('.') {
        return Err(Error::Invalid(format!(
            "app name {app:?}: it must not have a '.', which ends it"
        )));
    }
    check_name("app", app)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_different_kinds_are_told_apart() {
        let group = GroupName::new("settle").unwrap();
        let of_app = StreamName::of_app("shop", "orders").unwrap();
        let (control, parked) = (of_app.control(&group), of_app.parked(&group));
        let mut identities: Vec<String> = [
            StreamName::new("shop.orders").unwrap(),
            StreamName::new("acme:shop.orders").unwrap(),
            StreamName::prefixed("acme", "shop.orders").unwrap(),
            StreamName::new("__ctrl:shop.orders.settle").unwrap(),
            StreamName::new("__lead:shop").unwrap(),
            StreamName::leadership("shop").unwrap(),
            control.unwrap(),
            parked.unwrap(),
            of_app.layout().unwrap(),
            of_app,
        ]
        .map(|stream| stream.identity().into_owned())
        .into();
        identities.sort();
        identities.dedup();
        assert_eq!(identities.len(), 10);
    }

    #[test]
    fn an_empty_prefix_is_none() {
        let stream = StreamName::new("DRAINER_STREAM").unwrap();
        let tenant = stream.with_key_prefix("acme").unwrap();
        assert_eq!(tenant.as_str(), "acme/DRAINER_STREAM");
        assert_eq!(tenant.with_key_prefix("").unwrap(), stream);
        assert!(stream.with_key_prefix("a{b").is_err());
        let of_app = StreamName::of_app("shop", "orders").unwrap();
        assert!(of_app.with_key_prefix("acme").is_err());
    }

    #[test]
    fn only_an_apps_stream_and_its_leadership_have_a_control_stream() {
        let group = GroupName::new("settle").unwrap();
        assert_eq!(StreamName::new("a.b").unwrap().control(&group), None);
        let leadership = StreamName::leadership("a").unwrap();
        let control = leadership.control(&group).unwrap();
        assert_eq!(control.as_str(), "__ctrl:a.settle");
        assert_eq!(leadership.parked(&group), None);
    }

    #[test]
    fn a_group_with_a_dot_can_own_no_partition_of_an_apps_stream() {
        let dotted = GroupName::new("a.b").unwrap();
        let of_app = StreamName::of_app("shop", "orders").unwrap();
        assert!(of_app.check_ownable(&dotted, 0).is_err());
        let sharded = StreamName::new("orders").unwrap();
        assert!(sharded.check_ownable(&dotted, 0).is_ok());
    }
}
