//! From an entry's fields to a struct, and from a text to a value.

use std::str;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, Visitor};
use serde::forward_to_deserialize_any;
use tidegate_store::Field;

use super::NativeError;

/// Gives an entry's fields as a map from names to values.
pub(super) struct RecordReader<'de> {
    fields: std::slice::Iter<'de, Field>,
    /// The field whose name was given and whose value was not yet.
    current: Option<&'de Field>,
}

impl<'de> RecordReader<'de> {
    pub(super) fn new(fields: &'de [Field]) -> Self {
        Self {
            fields: fields.iter(),
            current: None,
        }
    }
}

impl<'de> MapAccess<'de> for RecordReader<'de> {
    type Error = NativeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, NativeError> {
        self.current = self.fields.next();
        self.current
            .map(|(name, _)| seed.deserialize(Value(name)))
            .transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, NativeError> {
        let Some((name, value)) = self.current.take() else {
            return Err(NativeError::custom("a value was asked for before its name"));
        };
        seed.deserialize(Value(value))
            .map_err(|error| error.of_field(&String::from_utf8_lossy(name)))
    }
}

impl<'de> Deserializer<'de> for RecordReader<'de> {
    type Error = NativeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NativeError> {
        visitor.visit_map(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, NativeError> {
        visitor.visit_newtype_struct(MapAccessDeserializer::new(self))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The bytes of one name or value.
struct Value<'de>(&'de [u8]);

impl<'de> Value<'de> {
    fn text(&self) -> Result<&'de str, NativeError> {
        str::from_utf8(self.0).map_err(NativeError::custom)
    }
}

macro_rules! read_from_text {
    ($($name:ident => $visit:ident: $type:ty;)*) => {$(
        fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NativeError> {
            match self.text()?.parse::<$type>() {
                Ok(value) => visitor.$visit(value),
                Err(source) => Err(NativeError::custom(format_args!(
                    "is no {}: {source}", stringify!($type)
                ))),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Value<'de> {
    type Error = NativeError;

    read_from_text! {
        deserialize_i8 => visit_i8: i8;
        deserialize_i16 => visit_i16: i16;
        deserialize_i32 => visit_i32: i32;
        deserialize_i64 => visit_i64: i64;
        deserialize_i128 => visit_i128: i128;
        deserialize_u8 => visit_u8: u8;
        deserialize_u16 => visit_u16: u16;
        deserialize_u32 => visit_u32: u32;
        deserialize_u64 => visit_u64: u64;
        deserialize_u128 => visit_u128: u128;
        deserialize_f32 => visit_f32: f32;
        deserialize_f64 => visit_f64: f64;
        deserialize_char => visit_char: char;
    }

    /// Python writes `True`; other producers write what they are used to.
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NativeError> {
        match self.0 {
            b"True" | b"true" | b"1" => visitor.visit_bool(true),
            b"False" | b"false" | b"0" => visitor.visit_bool(false),
            _ => Err(NativeError::custom(
                "is no boolean: expected True, true, 1, False, false or 0",
            )),
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NativeError> {
        visitor.visit_borrowed_bytes(self.0)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NativeError> {
        visitor.visit_borrowed_bytes(self.0)
    }

    /// A field that is there has a value; one that has none is left out.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NativeError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, NativeError> {
        visitor.visit_newtype_struct(self)
    }

    /// A variant without content, by its name.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, NativeError> {
        let variant: StrDeserializer<'_, NativeError> = self.text()?.into_deserializer();
        visitor.visit_enum(variant)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NativeError> {
        visitor.visit_unit()
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NativeError> {
        match str::from_utf8(self.0) {
            Ok(text) => visitor.visit_borrowed_str(text),
            Err(_) => visitor.visit_borrowed_bytes(self.0),
        }
    }

    forward_to_deserialize_any! {
        str string unit unit_struct seq tuple tuple_struct map struct identifier
    }
}
