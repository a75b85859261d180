//! From the arguments of a call to a value of Rust's, as Python binds them to a function's parameters.
//!
//! The fields of a struct are the parameters: positional arguments go to them in order, those with a
//! name to the field of that name. A tuple or a list takes positional arguments, a map those with
//! names, `()` none, and any other value is the one positional argument. Pure.

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess,
    SeqAccess, Visitor,
};
use serde_json::Error;

use crate::json::Json;
use crate::message::Message;

/// Binds the arguments of a message.
///
/// # Errors
/// Where they don't fit, with the parameter's name where there is one; an argument that is `NaN` or has
/// half of a surrogate pair fits nothing.
pub fn bind<T: DeserializeOwned>(message: &Message) -> Result<T, Error> {
    let missing = || Error::custom("the arguments are no list and object");
    let positional = message.args.elements().ok_or_else(missing)?;
    let named = message.kwargs.members().ok_or_else(missing)?;
    T::deserialize(Arguments {
        positional: &positional,
        named: &named,
    })
}

/// The arguments of one call.
#[derive(Clone, Copy)]
struct Arguments<'a> {
    positional: &'a [Json],
    named: &'a [(String, Json)],
}

impl<'a> Arguments<'a> {
    /// The one positional argument.
    fn only(self) -> Result<&'a Json, Error> {
        match (self.positional, self.named) {
            ([only], []) => Ok(only),
            (positional, named) => Err(Error::custom(format!(
                "one positional argument is wanted; there are {} and {} with names",
                positional.len(),
                named.len()
            ))),
        }
    }

    fn pairs(self, fields: &'static [&'static str]) -> Result<Members<'a>, Error> {
        let Self { positional, named } = self;
        if positional.len() > fields.len() {
            return Err(Error::custom(format!(
                "{} positional arguments for {} parameters",
                positional.len(),
                fields.len()
            )));
        }
        let mut pairs: Vec<(&'a str, &'a Json)> = fields.iter().copied().zip(positional).collect();
        for (name, value) in named {
            if pairs.iter().any(|(known, _)| known == name) {
                return Err(Error::custom(format!(
                    "two values for the parameter {name:?}"
                )));
            }
            pairs.push((name, value));
        }
        Ok(Members::new(pairs))
    }

    fn no_names(self) -> Result<(), Error> {
        match self.named {
            [] => Ok(()),
            [(name, _), ..] => Err(Error::custom(format!(
                "the argument {name:?} has a name, and only positional ones are wanted"
            ))),
        }
    }
}

impl<'de> Deserializer<'de> for Arguments<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match (self.positional, self.named) {
            ([], []) => visitor.visit_unit(),
            ([], _) => self.deserialize_map(visitor),
            ([only], []) => (&mut read(only)).deserialize_any(visitor),
            _ => self.deserialize_seq(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_map(self.pairs(fields)?)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.positional {
            [] => visitor.visit_map(self.pairs(&[])?),
            _ => (&mut read(self.only()?)).deserialize_map(visitor),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.no_names()?;
        visitor.visit_seq(Elements(self.positional.iter()))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match (self.positional, self.named) {
            ([], []) => visitor.visit_unit(),
            _ => (&mut read(self.only()?)).deserialize_unit(visitor),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match (self.positional, self.named) {
            ([], []) => visitor.visit_none(),
            _ => (&mut read(self.only()?)).deserialize_option(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        (&mut read(self.only()?)).deserialize_enum(name, variants, visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf identifier
    }
}

/// Positional arguments.
struct Elements<'a>(std::slice::Iter<'a, Json>);

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        let next = self.0.next();
        next.map(|it| seed.deserialize(&mut read(it))).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

/// Arguments with the names of their parameters.
struct Members<'a> {
    rest: std::vec::IntoIter<(&'a str, &'a Json)>,
    current: Option<(&'a str, &'a Json)>,
}

impl<'a> Members<'a> {
    fn new(pairs: Vec<(&'a str, &'a Json)>) -> Self {
        Self {
            rest: pairs.into_iter(),
            current: None,
        }
    }
}

impl<'de> MapAccess<'de> for Members<'_> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        self.current = self.rest.next();
        let name = self.current.map(|(name, _)| {
            let name: StrDeserializer<'_, Error> = name.into_deserializer();
            seed.deserialize(name)
        });
        name.transpose()
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let (name, value) = self
            .current
            .ok_or_else(|| Error::custom("a value before its name"))?;
        seed.deserialize(&mut read(value))
            .map_err(|source| Error::custom(format!("the parameter {name:?}: {source}")))
    }
}

/// Reads a value without borrowing from its text, which doesn't outlive the call.
fn read(value: &Json) -> serde_json::Deserializer<serde_json::de::IoRead<&[u8]>> {
    serde_json::Deserializer::from_reader(value.as_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use tidegate_store::dramatiq::QueueName;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Add {
        x: i64,
        #[serde(default)]
        y: Option<String>,
    }

    fn bound<T: DeserializeOwned>(args: &str, kwargs: &str) -> Result<T, String> {
        let queue = QueueName::new("q").unwrap();
        let of = |text: &str| Json::parse(text.as_bytes()).unwrap();
        let message = Message::new(&queue, "a", of(args), of(kwargs), 0);
        bind(&message).map_err(|error| error.to_string())
    }

    #[test]
    fn a_structs_fields_are_the_parameters() {
        let expected = |y: Option<&str>| {
            Ok(Add {
                x: 1,
                y: y.map(str::to_owned),
            })
        };
        assert_eq!(bound("[1]", "{}"), expected(None));
        assert_eq!(bound(r#"[1,"a"]"#, "{}"), expected(Some("a")));
        assert_eq!(bound("[1]", r#"{"y":"a"}"#), expected(Some("a")));
        assert_eq!(bound("[]", r#"{"y":"a","x":1}"#), expected(Some("a")));
    }

    #[test]
    fn what_python_would_not_bind_is_refused() {
        let refusal = |args, kwargs| bound::<Add>(args, kwargs).unwrap_err();
        assert!(refusal("[1,null,3]", "{}").contains("3 positional arguments for 2"));
        assert!(refusal("[1]", r#"{"x":1}"#).contains("two values for the parameter \"x\""));
        assert!(refusal(r#"["a"]"#, "{}").contains("the parameter \"x\""));
        assert!(refusal("[]", "{}").contains("missing field"));
        assert!(refusal("[NaN]", "{}").contains("the parameter \"x\""));
    }

    #[test]
    fn other_values_take_what_fits_them() {
        assert_eq!(bound::<i64>("[7]", "{}"), Ok(7));
        assert_eq!(
            bound::<(i64, String)>(r#"[7,"a"]"#, "{}"),
            Ok((7, "a".into()))
        );
        assert_eq!(bound::<Vec<i64>>("[7,8]", "{}"), Ok(vec![7, 8]));
        assert_eq!(bound::<()>("[]", "{}"), Ok(()));
        assert_eq!(bound::<Option<i64>>("[]", "{}"), Ok(None));
        assert_eq!(bound::<Option<i64>>("[3]", "{}"), Ok(Some(3)));
        let named = BTreeMap::from([("a".to_owned(), 1)]);
        assert_eq!(
            bound::<BTreeMap<String, i64>>("[]", r#"{"a":1}"#),
            Ok(named.clone())
        );
        assert_eq!(
            bound::<BTreeMap<String, i64>>(r#"[{"a":1}]"#, "{}"),
            Ok(named)
        );
        assert!(bound::<i64>("[7]", r#"{"x":1}"#).is_err());
        assert!(bound::<Vec<i64>>("[7]", r#"{"x":1}"#).is_err());
        let any: serde_json::Value = bound(r#"[{"a":[1]}]"#, "{}").unwrap();
        assert_eq!(any, serde_json::json!({"a": [1]}));
    }
}
