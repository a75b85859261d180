//! JSON as Python writes it and reads it: kept as text, never as numbers and strings of ours.
//!
//! Python's encoder writes `NaN`, integers of any length and halves of surrogate pairs, which no JSON
//! library of Rust's reads. What a message carries is not ours to change, so a value is the text it
//! came as, checked, without white space and in ASCII, which is how Python would write it again.
//!
//! Pure; nesting has a bound, and nothing here is recursive.

mod scan;

use serde::Serialize;
use serde::de::DeserializeOwned;

use self::scan::{Kind, Scanner};

/// How deep a value may be nested; Python itself gives up at about as many.
pub const NESTING_MAX: usize = 1_000;

/// Why a text is no value: what is wrong and at which byte.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at byte {at}")]
pub struct NotJson {
    pub(crate) problem: &'static str,
    pub(crate) at: usize,
}

/// One value, as compact text in ASCII.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Json(Box<str>);

impl Json {
    /// Reads a value, which is all that the text may hold.
    ///
    /// # Errors
    /// Where Python's reader would refuse it as well, and where it is nested too deep.
    ///
    /// # Examples
    /// ```
    /// use tidegate_dramatiq::Json;
    /// let value = Json::parse(br#"[NaN, 12345678901234567890, "\ud800"]"#)?;
    /// assert_eq!(value.as_str(), r#"[NaN,12345678901234567890,"\ud800"]"#);
    /// # Ok::<(), tidegate_dramatiq::NotJson>(())
    /// ```
    pub fn parse(text: &[u8]) -> Result<Self, NotJson> {
        let text = std::str::from_utf8(text).map_err(|source| NotJson {
            problem: "bytes that are no UTF-8",
            at: source.valid_up_to(),
        })?;
        let compact = Scanner::new(text).whole()?;
        Ok(Self(compact.into_boxed_str()))
    }

    /// Writes a value of Rust's.
    ///
    /// # Errors
    /// What serde says where it can't be JSON.
    pub fn of(value: &(impl Serialize + ?Sized)) -> Result<Self, serde_json::Error> {
        let text = serde_json::to_string(value)?;
        // What serde writes is JSON, unless a raw value in it is nested too deep.
        Self::parse(text.as_bytes()).map_err(serde::ser::Error::custom)
    }

    /// The text of a string.
    #[must_use]
    pub fn text(text: &str) -> Self {
        let mut out = String::with_capacity(text.len() + 2);
        out.push('"');
        text.chars().for_each(|it| scan::push_escaped(&mut out, it));
        out.push('"');
        Self(out.into_boxed_str())
    }

    /// The text of an integer.
    #[must_use]
    pub fn integer(number: i64) -> Self {
        Self(number.to_string().into_boxed_str())
    }

    /// `null`, which is Python's `None`.
    #[must_use]
    pub fn null() -> Self {
        Self("null".into())
    }

    /// `{}`.
    #[must_use]
    pub fn empty_object() -> Self {
        Self("{}".into())
    }

    /// A list of values.
    #[must_use]
    pub fn list<'a>(values: impl IntoIterator<Item = &'a Self>) -> Self {
        let values: Vec<&str> = values.into_iter().map(Self::as_str).collect();
        Self(format!("[{}]", values.join(",")).into_boxed_str())
    }

    /// Names and values, in this order.
    #[must_use]
    pub fn object<'a>(members: impl IntoIterator<Item = (&'a str, &'a Self)>) -> Self {
        let members = members.into_iter();
        let members = members.map(|(name, value)| format!("{}:{value}", Self::text(name)));
        let members: Vec<String> = members.collect();
        Self(format!("{{{}}}", members.join(",")).into_boxed_str())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A value of Rust's.
    ///
    /// # Errors
    /// Where it is another, or none that Rust knows, such as `NaN` or half of a surrogate pair.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.0)
    }

    /// The characters of a string; none for another value, or one with half of a surrogate pair.
    #[must_use]
    pub fn as_text(&self) -> Option<String> {
        self.0
            .starts_with('"')
            .then(|| serde_json::from_str(&self.0).ok())
            .flatten()
    }

    /// An integer; none for another value.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        self.0.parse().ok()
    }

    /// A number, as near as a float can be; none for another value.
    #[must_use]
    pub fn as_number(&self) -> Option<f64> {
        match &*self.0 {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            text if text.starts_with(|it: char| it == '-' || it.is_ascii_digit()) => {
                text.parse().ok()
            }
            _ => None,
        }
    }

    /// Whether Python would take it for true: not `null`, `false`, zero, or empty.
    #[must_use]
    pub fn is_truthy(&self) -> bool {
        match &*self.0 {
            "null" | "false" | "\"\"" | "[]" | "{}" => false,
            _ => self.as_number() != Some(0.0),
        }
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        &*self.0 == "null"
    }

    /// Whether it is an object.
    #[must_use]
    pub fn is_object(&self) -> bool {
        self.0.starts_with('{')
    }

    /// The values of a list; none for another value.
    #[must_use]
    pub fn elements(&self) -> Option<Vec<Self>> {
        self.children(Kind::List)
    }

    /// The names and values of an object, in order; of a name that comes twice the last value counts.
    /// None for another value, and for names with half of a surrogate pair.
    #[must_use]
    pub fn members(&self) -> Option<Vec<(String, Self)>> {
        let mut members: Vec<(String, Self)> = Vec::new();
        let mut children = self.children(Kind::Object)?.into_iter();
        while let (Some(name), Some(value)) = (children.next(), children.next()) {
            let name = name.as_text()?;
            match members.iter_mut().find(|(known, _)| *known == name) {
                Some(known) => known.1 = value,
                None => members.push((name, value)),
            }
        }
        Some(members)
    }

    fn children(&self, kind: Kind) -> Option<Vec<Self>> {
        let parts = scan::children(&self.0, kind)?;
        Some(parts.into_iter().map(|it| Self(it.into())).collect())
    }
}

impl std::fmt::Display for Json {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
