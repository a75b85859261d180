//! Addresses: the URLs of servers, which are secrets because they may hold a password.

use std::path::PathBuf;

/// What stands in the place of a password.
pub(crate) const HIDDEN: &str = "***";
/// A parameter whose name holds one of these is taken for a secret.
const SECRET_NAMES: [&str; 4] = ["pass", "secret", "token", "key"];

/// Where the tables are.
#[derive(Debug, PartialEq, Eq)]
pub enum SinkUrl {
    /// A PostgreSQL server; the URL itself stays with the caller.
    Postgres,
    /// A SQLite file.
    Sqlite(PathBuf),
}

impl SinkUrl {
    /// Reads a sink's URL.
    ///
    /// # Errors
    /// What is allowed, for any other text.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.split_once("://") {
            Some(("sqlite", "")) => Err("sqlite:// needs a file: sqlite://FILE".to_owned()),
            Some(("sqlite", path)) => Ok(Self::Sqlite(PathBuf::from(path))),
            Some(("postgres" | "postgresql", _)) => Ok(Self::Postgres),
            _ => Err("use postgres://USER@HOST/DATABASE or sqlite://FILE".to_owned()),
        }
    }
}

/// The URL without its passwords. It reads the text itself, because also a URL that no parser
/// takes has to be shown in an error. In doubt it hides too much.
#[must_use]
pub fn redact(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        // Perhaps somebody forgot the scheme.
        return if url.contains(['@', ':', '=']) {
            HIDDEN.to_owned()
        } else {
            url.to_owned()
        };
    };
    if scheme == "sqlite" {
        return url.to_owned();
    }
    let rest = match rest.rsplit_once('@') {
        Some((login, host)) => match login.split_once(':') {
            Some((user, _)) => format!("{user}:{HIDDEN}@{host}"),
            None => format!("{login}@{host}"),
        },
        None => rest.to_owned(),
    };
    let (address, query) = match rest.split_once('?') {
        Some((address, query)) => (address, Some(query)),
        None => (rest.as_str(), None),
    };
    let Some(query) = query else {
        return format!("{scheme}://{address}");
    };
    let parameters: Vec<String> = query.split('&').map(redact_parameter).collect();
    format!("{scheme}://{address}?{}", parameters.join("&"))
}

fn redact_parameter(parameter: &str) -> String {
    let Some((name, _)) = parameter.split_once('=') else {
        return parameter.to_owned();
    };
    let lower = name.to_ascii_lowercase();
    if SECRET_NAMES.iter().any(|secret| lower.contains(secret)) {
        format!("{name}={HIDDEN}")
    } else {
        parameter.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_hidden() {
        let cases = [
            (
                "redis://user:hunter2@host:6379/0",
                "redis://user:***@host:6379/0",
            ),
            ("redis://:hunter2@host", "redis://:***@host"),
            ("postgres://u:hun/ter?2@host/db", "postgres://u:***@host/db"),
            ("postgres://u:hun@ter2@host/db", "postgres://u:***@host/db"),
            (
                "postgres://h1:1,h2:2/db?user=u&password=hunter2",
                "postgres://h1:1,h2:2/db?user=u&password=***",
            ),
            ("postgres://localhost/db", "postgres://localhost/db"),
            (
                "sqlite:///var/lib/a@b.sqlite",
                "sqlite:///var/lib/a@b.sqlite",
            ),
            ("user:hunter2@host", "***"),
        ];
        for (url, expected) in cases {
            assert_eq!(redact(url), expected);
        }
    }

    #[test]
    fn sinks_are_told_apart() {
        assert_eq!(SinkUrl::parse("postgresql://h/d"), Ok(SinkUrl::Postgres));
        assert_eq!(
            SinkUrl::parse("sqlite://a/b.db"),
            Ok(SinkUrl::Sqlite("a/b.db".into()))
        );
        for wrong in ["sqlite://", "redis://h", "postgres", ""] {
            assert!(SinkUrl::parse(wrong).is_err(), "{wrong}");
        }
    }
}
