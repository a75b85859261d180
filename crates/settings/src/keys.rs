//! The keys: every setting there is, with its bounds. A key that is not here is refused.

use std::time::Duration;

use tidegate_cluster::ownership::{LEASE_TTL_MAX, LEASE_TTL_MIN};
use tidegate_drain::options::PARTITIONS_MAX;

use super::settings::Settings;
use super::slot::Slot;
use super::tenant::TenantSettings;

/// How the names of a tenant's settings begin; the tenant's id follows.
pub(crate) const TENANTS: &str = "tenants.";

/// The most connections to the sink.
const CONNECTIONS_MAX: usize = 1_000;
/// The shortest wait for a lock: shorter ones take the drain's own shards for somebody else.
const LOCK_TIMEOUT_MIN: Duration = Duration::from_millis(10);
/// The longest; a statement is ended after a minute.
const LOCK_TIMEOUT_MAX: Duration = Duration::from_secs(30);
/// The longest wait for a parent row.
const PARENT_WAIT_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// The shortest time for which a state is kept: a reader looks at the row after it.
const STATE_TTL_MIN: Duration = Duration::from_secs(1);
/// The longest.
const STATE_TTL_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// The longest grace at shutdown.
const GRACE_MAX: Duration = Duration::from_secs(3600);

/// A setting.
pub(crate) struct Key {
    /// Its name with its section: `drain.batch_max`.
    pub(crate) name: &'static str,
    /// Where its value lies, and what may be put there.
    pub(crate) slot: fn(&mut Settings) -> Slot<'_>,
}

/// A setting that each tenant has.
pub(crate) struct TenantKey {
    /// Its name within the tenant's section.
    pub(crate) name: &'static str,
    /// Where its value lies, and what may be put there.
    pub(crate) slot: fn(&mut TenantSettings) -> Slot<'_>,
}

/// All settings, in the order in which they are shown.
pub(crate) const KEYS: &[Key] = &[
    Key {
        name: "store.url",
        slot: |s| Slot::StoreUrl(&mut s.store_url),
    },
    Key {
        name: "sink.url",
        slot: |s| Slot::SinkUrl(&mut s.sink_url),
    },
    Key {
        name: "sink.connections",
        slot: |s| Slot::Count(&mut s.postgres.connections_max, 1..=CONNECTIONS_MAX),
    },
    Key {
        name: "sink.schema",
        slot: |s| Slot::Schema(&mut s.postgres.schema),
    },
    Key {
        name: "sink.lock_timeout",
        slot: |s| {
            Slot::Time(
                &mut s.postgres.lock_timeout,
                LOCK_TIMEOUT_MIN..=LOCK_TIMEOUT_MAX,
            )
        },
    },
    Key {
        name: "sink.may_fold",
        slot: |s| Slot::Switch(&mut s.postgres.may_fold),
    },
    Key {
        name: "drain.stream",
        slot: |s| Slot::Stream(&mut s.drain.stream),
    },
    Key {
        name: "drain.key_prefix",
        slot: |s| Slot::StreamPrefix(&mut s.drain.stream),
    },
    Key {
        name: "drain.partitions",
        slot: |s| Slot::Partitions(&mut s.drain.partitions, 1..=PARTITIONS_MAX),
    },
    Key {
        name: "drain.batch_max",
        slot: |s| Slot::Count(&mut s.drain.batch_max, 1..=100_000),
    },
    Key {
        name: "drain.batch_bytes_max",
        slot: |s| Slot::Count(&mut s.drain.batch_bytes_max, 1 << 10..=1 << 30),
    },
    Key {
        name: "drain.entry_bytes_max",
        slot: |s| Slot::Count(&mut s.drain.entry_bytes_max, 1 << 10..=256 << 20),
    },
    Key {
        name: "drain.parent_wait",
        slot: |s| Slot::Time(&mut s.drain.parent_wait, Duration::ZERO..=PARENT_WAIT_MAX),
    },
    Key {
        name: "drain.held_max",
        slot: |s| Slot::Count(&mut s.drain.held_max, 1..=10_000_000),
    },
    Key {
        name: "drain.state_ttl",
        slot: |s| Slot::Time(&mut s.drain.state_ttl, STATE_TTL_MIN..=STATE_TTL_MAX),
    },
    Key {
        name: "drain.lease_ttl",
        slot: |s| Slot::Time(&mut s.drain.lease_ttl, LEASE_TTL_MIN..=LEASE_TTL_MAX),
    },
    Key {
        name: "drain.grace",
        slot: |s| Slot::Time(&mut s.drain.grace, Duration::ZERO..=GRACE_MAX),
    },
    Key {
        name: "drain.on_store_lost",
        slot: |s| Slot::OnStoreLost(&mut s.on_store_lost),
    },
    Key {
        name: "console.listen",
        slot: |s| Slot::Address(&mut s.console.listen),
    },
    Key {
        name: "console.token",
        slot: |s| Slot::Secret(&mut s.console.token),
    },
    Key {
        name: "traces.otlp_url",
        slot: |s| Slot::HttpUrl(&mut s.traces.otlp_url),
    },
    Key {
        name: "hyperswitch.mapping",
        slot: |s| Slot::Mapping(&mut s.mapping),
    },
    Key {
        name: "hyperswitch.query",
        slot: |s| Slot::Switch(&mut s.query),
    },
    Key {
        name: "hyperswitch.query_tables",
        slot: |s| Slot::Names(&mut s.query_tables),
    },
];

/// All settings of a tenant; what one doesn't have is as for everybody.
pub(crate) const TENANT_KEYS: &[TenantKey] = &[
    TenantKey {
        name: "key_prefix",
        slot: |t| Slot::KeyPrefix(&mut t.key_prefix),
    },
    TenantKey {
        name: "sink_url",
        slot: |t| Slot::OwnSinkUrl(&mut t.sink_url),
    },
    TenantKey {
        name: "schema",
        slot: |t| Slot::Schema(&mut t.schema),
    },
    TenantKey {
        name: "connections",
        slot: |t| Slot::OwnCount(&mut t.connections, 1..=CONNECTIONS_MAX),
    },
];

/// Says of an unknown name what was probably meant.
pub(crate) fn unknown(name: &str) -> String {
    let section = name.split('.').next().unwrap_or_default();
    let siblings: Vec<&str> = KEYS
        .iter()
        .filter_map(|key| key.name.split_once('.'))
        .filter(|(of, _)| *of == section)
        .map(|(_, key)| key)
        .collect();
    if siblings.is_empty() {
        return format!(
            "{name} is unknown; the sections are [store], [sink], [drain], [hyperswitch], \
             [console], [traces] and [tenants.<id>]"
        );
    }
    format!(
        "{name} is unknown; the keys of [{section}] are {}",
        siblings.join(", ")
    )
}

/// The same of a tenant's key.
pub(crate) fn unknown_of_tenant(id: &str, key: &str) -> String {
    let known: Vec<&str> = TENANT_KEYS.iter().map(|known| known.name).collect();
    format!(
        "{TENANTS}{id}.{key} is unknown; the keys of a tenant are {}",
        known.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::super::given::Written;
    use super::*;

    /// The bounds here must not be wider than those that the drain checks itself.
    #[test]
    fn every_bound_is_one_that_the_drain_takes() {
        for key in KEYS {
            let Slot::Count(_, bounds) = (key.slot)(&mut Settings::default()) else {
                continue;
            };
            for value in [*bounds.start(), *bounds.end()] {
                let mut settings = Settings::default();
                let written = Written::Number(i64::try_from(value).expect("fits"));
                (key.slot)(&mut settings)
                    .set(&written)
                    .unwrap_or_else(|r| panic!("{}", r.allowed));
                settings
                    .drain
                    .check()
                    .unwrap_or_else(|error| panic!("{}: {error}", key.name));
            }
        }
    }
}
