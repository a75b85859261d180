//! Slots: the place of a setting, what may be put there, and how it is shown.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use jiff::SignedDuration;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tidegate_drain::hyperswitch::Mapping;
use tidegate_drain::tenants::OnStoreLost;
use tidegate_store::stream::NAME_BYTES_MAX;
use tidegate_store::{StoreUrl, StreamName};

use super::address::{HIDDEN, SinkUrl, redact};
use super::given::Written;

/// What is allowed for a switch.
const SWITCH: &str = "use true or false";
/// The most bytes that PostgreSQL allows a name to have.
const SCHEMA_BYTES_MAX: usize = 63;

/// The place of one setting within [`Settings`](super::Settings).
pub(crate) enum Slot<'a> {
    /// The URL of a store.
    StoreUrl(&'a mut SecretString),
    /// The URL of a sink.
    SinkUrl(&'a mut SecretString),
    /// A number within bounds.
    Count(&'a mut usize, RangeInclusive<usize>),
    /// A number of shards.
    Partitions(&'a mut u32, RangeInclusive<u32>),
    /// A duration within bounds.
    Time(&'a mut Duration, RangeInclusive<Duration>),
    /// The name of a stream.
    Stream(&'a mut StreamName),
    /// The name of a schema; none for the database's own default.
    Schema(&'a mut Option<String>),
    /// What stands before a stream's keys; empty for nothing.
    StreamPrefix(&'a mut StreamName),
    /// A file that is read at once.
    Mapping(&'a mut Option<(PathBuf, Mapping)>),
    /// On or off.
    Switch(&'a mut bool),
    /// Names; a variable has them with commas in between.
    Names(&'a mut BTreeSet<String>),
    /// A tenant's own URL of a sink.
    OwnSinkUrl(&'a mut Option<SecretString>),
    /// A tenant's own number.
    OwnCount(&'a mut Option<usize>, RangeInclusive<usize>),
    /// What stands before a tenant's keys; empty for nothing.
    KeyPrefix(&'a mut Option<String>),
    /// An address of this machine, with its port.
    Address(&'a mut Option<SocketAddr>),
    /// A secret.
    Secret(&'a mut Option<SecretString>),
    /// The URL of a server that speaks HTTP.
    HttpUrl(&'a mut Option<String>),
    /// What follows when the store is lost.
    OnStoreLost(&'a mut OnStoreLost),
}

/// Why a value was not taken.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The value, without a password.
    pub(crate) shown: String,
    /// What is allowed.
    pub(crate) allowed: String,
}

impl Slot<'_> {
    /// Checks a value and puts it into its place.
    ///
    /// # Errors
    /// A [`Refusal`]; the place is unchanged then.
    pub(crate) fn set(self, written: &Written) -> Result<(), Refusal> {
        let is_url = matches!(
            self,
            Self::StoreUrl(_) | Self::SinkUrl(_) | Self::OwnSinkUrl(_) | Self::HttpUrl(_)
        );
        let is_secret = matches!(self, Self::Secret(_));
        self.put(written).map_err(|allowed| Refusal {
            shown: match is_secret {
                true => HIDDEN.to_owned(),
                false => show_written(written, is_url),
            },
            allowed,
        })
    }

    fn put(self, written: &Written) -> Result<(), String> {
        match self {
            Self::StoreUrl(place) => {
                let url = text(written).ok_or("use a URL in quotes")?;
                StoreUrl::parse(url).map_err(|error| error.to_string())?;
                *place = url.into();
            }
            Self::SinkUrl(place) => *place = sink_url(written)?,
            Self::OwnSinkUrl(place) => *place = Some(sink_url(written)?),
            Self::OwnCount(place, bounds) => *place = Some(number(written, &bounds)?),
            Self::Count(place, bounds) => *place = number(written, &bounds)?,
            Self::Partitions(place, bounds) => *place = number(written, &bounds)?,
            Self::Time(place, bounds) => *place = duration(written, &bounds)?,
            Self::Stream(place) => {
                let key_prefix = place.key_prefix().unwrap_or_default();
                *place = text(written)
                    .and_then(|name| StreamName::new(name).ok())
                    .and_then(|stream| stream.with_key_prefix(key_prefix).ok())
                    .ok_or_else(|| {
                        format!("use 1 to {NAME_BYTES_MAX} letters, digits, '_', '-', '.' or ':'")
                    })?;
            }
            Self::KeyPrefix(place) => *place = Some(key_prefix(written)?),
            Self::Address(place) => {
                let address = text(written).and_then(|text| text.parse().ok());
                let allowed = "use an IP address with a port, such as \"127.0.0.1:9000\"";
                *place = Some(address.ok_or(allowed)?);
            }
            Self::Secret(place) => {
                let secret = text(written).filter(|text| !text.is_empty());
                *place = Some(secret.ok_or("use a text in quotes")?.into());
            }
            Self::HttpUrl(place) => {
                let is_http =
                    |url: &&str| url.starts_with("http://") || url.starts_with("https://");
                let url = text(written).filter(is_http);
                *place = Some(
                    url.ok_or("use http://HOST:PORT or https://HOST")?
                        .to_owned(),
                );
            }
            Self::OnStoreLost(place) => {
                *place = match text(written) {
                    Some("wait") => OnStoreLost::Wait,
                    Some("shut_down") => OnStoreLost::ShutDown,
                    _ => return Err("use \"wait\" or \"shut_down\"".to_owned()),
                };
            }
            Self::Schema(place) => {
                let is_name = |name: &&str| !name.is_empty() && name.len() <= SCHEMA_BYTES_MAX;
                let name = text(written).filter(is_name).ok_or_else(|| {
                    format!("use a schema's name of 1 to {SCHEMA_BYTES_MAX} bytes, or leave it out")
                })?;
                *place = Some(name.to_owned());
            }
            Self::StreamPrefix(place) => {
                *place = text(written)
                    .and_then(|prefix| place.with_key_prefix(prefix).ok())
                    .ok_or_else(|| {
                        format!("use up to {NAME_BYTES_MAX} letters, digits, '_', '-', '.' or ':'")
                    })?;
            }
            Self::Mapping(place) => *place = Some(mapping(written)?),
            Self::Switch(place) => *place = switch(written)?,
            Self::Names(place) => *place = names(written)?,
        }
        Ok(())
    }

    /// The value for people and machines, without a password.
    pub(crate) fn show(&self) -> Value {
        match self {
            Self::StoreUrl(url) | Self::SinkUrl(url) => redact(url.expose_secret()).into(),
            Self::Count(count, _) => (**count).into(),
            Self::Partitions(count, _) => (**count).into(),
            Self::Time(time, _) => show_duration(**time).into(),
            Self::Stream(stream) => stream.name().into(),
            Self::StreamPrefix(stream) => stream.key_prefix().unwrap_or_default().into(),
            Self::Mapping(mapping) => mapping
                .as_ref()
                .map(|(file, _)| file.display().to_string())
                .into(),
            Self::Switch(switch) => (**switch).into(),
            Self::Names(names) => names.iter().map(String::as_str).collect(),
            Self::Schema(name) | Self::KeyPrefix(name) => name.as_deref().into(),
            Self::OwnSinkUrl(url) => {
                let shown = url.as_ref().map(|url| redact(url.expose_secret()));
                shown.into()
            }
            Self::OwnCount(count, _) => (**count).into(),
            Self::Address(address) => address.map(|address| address.to_string()).into(),
            Self::Secret(secret) => secret.as_ref().map(|_| HIDDEN).into(),
            Self::HttpUrl(url) => url.as_deref().map(redact).into(),
            Self::OnStoreLost(choice) => match choice {
                OnStoreLost::Wait => "wait".into(),
                OnStoreLost::ShutDown => "shut_down".into(),
            },
        }
    }
}

fn sink_url(written: &Written) -> Result<SecretString, String> {
    let url = text(written).ok_or("use a URL in quotes")?;
    SinkUrl::parse(url)?;
    Ok(url.into())
}

fn mapping(written: &Written) -> Result<(PathBuf, Mapping), String> {
    let file = text(written).ok_or("use a file's name in quotes")?;
    let content = std::fs::read_to_string(file)
        .map_err(|error| format!("the file can't be read: {error}"))?;
    Ok((PathBuf::from(file), Mapping::parse(&content)?))
}

fn switch(written: &Written) -> Result<bool, String> {
    match written {
        Written::Switch(switch) => Ok(*switch),
        Written::Variable(text) => text.parse().map_err(|_unread| SWITCH.to_owned()),
        _ => Err(SWITCH.to_owned()),
    }
}

fn names(written: &Written) -> Result<BTreeSet<String>, String> {
    match written {
        Written::List(names) => Ok(names.iter().cloned().collect()),
        Written::Variable(text) => {
            let names = text.split(',').map(str::trim);
            Ok(names
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect())
        }
        _ => Err("use a list of names: [\"refund\"]".to_owned()),
    }
}

fn key_prefix(written: &Written) -> Result<String, String> {
    text(written)
        .filter(|prefix| prefix.is_empty() || StreamName::new(prefix).is_ok())
        .map(str::to_owned)
        .ok_or_else(|| {
            "use letters, digits, '_', '-', '.' or ':', or \"\" for no prefix".to_owned()
        })
}

fn text(written: &Written) -> Option<&str> {
    match written {
        Written::Text(text) | Written::Variable(text) => Some(text),
        _ => None,
    }
}

fn number<T>(written: &Written, bounds: &RangeInclusive<T>) -> Result<T, String>
where
    T: TryFrom<i64> + std::str::FromStr + PartialOrd + std::fmt::Display,
{
    let number = match written {
        Written::Number(number) => T::try_from(*number).ok(),
        Written::Variable(text) => text.parse().ok(),
        _ => None,
    };
    number
        .filter(|number| bounds.contains(number))
        .ok_or_else(|| format!("use {} to {}", bounds.start(), bounds.end()))
}

fn duration(written: &Written, bounds: &RangeInclusive<Duration>) -> Result<Duration, String> {
    text(written)
        .and_then(|text| text.parse::<SignedDuration>().ok())
        .and_then(|duration| Duration::try_from(duration).ok())
        .filter(|duration| bounds.contains(duration))
        .ok_or_else(|| {
            let (min, max) = (show_duration(*bounds.start()), show_duration(*bounds.end()));
            format!("use a duration of {min} to {max}, such as \"500ms\", \"30s\" or \"2m\"")
        })
}

fn show_duration(duration: Duration) -> String {
    SignedDuration::try_from(duration).map_or_else(
        |_| format!("{duration:?}"),
        |duration| format!("{duration:#}"),
    )
}

pub(crate) fn show_written(written: &Written, is_url: bool) -> String {
    match written {
        Written::Text(text) | Written::Variable(text) if is_url => format!("{:?}", redact(text)),
        Written::Text(text) | Written::Variable(text) => format!("{text:?}"),
        Written::Number(number) => number.to_string(),
        Written::Switch(switch) => switch.to_string(),
        Written::List(texts) => format!("{texts:?}"),
        Written::Other(shown) => shown.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(written: Written) -> Result<usize, String> {
        let mut place = 0;
        Slot::Count(&mut place, 1..=9)
            .set(&written)
            .map_err(|refusal| refusal.allowed)?;
        Ok(place)
    }

    #[test]
    fn a_number_is_a_number_and_a_variable_may_spell_one() {
        assert_eq!(count(Written::Number(9)), Ok(9));
        assert_eq!(count(Written::Variable("7".to_owned())), Ok(7));
        for wrong in [
            Written::Number(-1),
            Written::Number(10),
            Written::Text("7".to_owned()),
            Written::Variable(String::new()),
            Written::Other("1.5".to_owned()),
        ] {
            assert_eq!(
                count(wrong.clone()),
                Err("use 1 to 9".to_owned()),
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn durations_read_as_they_are_shown() {
        for text in ["500ms", "30s", "1m 30s", "2h"] {
            let mut place = Duration::ZERO;
            let slot = Slot::Time(&mut place, Duration::ZERO..=Duration::from_secs(10_000));
            slot.set(&Written::Text(text.to_owned())).expect("allowed");
            assert_eq!(show_duration(place), text);
        }
        let mut place = Duration::ZERO;
        let slot = Slot::Time(
            &mut place,
            Duration::from_millis(100)..=Duration::from_secs(3600),
        );
        let refusal = slot
            .set(&Written::Text("-3s".to_owned()))
            .expect_err("must be refused");
        assert!(
            refusal.allowed.contains("100ms to 1h"),
            "{}",
            refusal.allowed
        );
    }
}
