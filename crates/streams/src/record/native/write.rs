//! From a struct to an entry's fields, and from a value to the text that a Python client writes.

use bytes::Bytes;
use serde::Serialize;
use serde::ser::{Error as _, Impossible, SerializeMap, SerializeStruct, Serializer};
use tidegate_store::Field;

use super::NativeError;
use crate::record::python_repr;

/// Why a value has no text of its own.
const NESTED: &str = "a native field is a number, a boolean, a text or bytes; \
                      a list, a map or a struct needs the JSON format";
/// Why a record has no fields.
const NO_STRUCT: &str = "only a struct with named fields has native fields";

/// Takes the record itself: a struct, or the map that serde makes of one with a flattened field.
pub(super) struct RecordWriter;

/// Collects the record's fields.
pub(super) struct FieldsWriter {
    fields: Vec<Field>,
    /// The name that was written and waits for its value; only maps write them apart.
    name: Option<Bytes>,
}

impl FieldsWriter {
    fn with_capacity(fields: usize) -> Self {
        Self {
            fields: Vec::with_capacity(fields),
            name: None,
        }
    }
}

impl SerializeStruct for FieldsWriter {
    type Ok = Vec<Field>;
    type Error = NativeError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), NativeError> {
        let text = value
            .serialize(ValueWriter)
            .map_err(|error| error.of_field(name))?;
        let name = Bytes::from_static(name.as_bytes());
        self.fields.extend(text.map(|text| (name, text)));
        Ok(())
    }

    fn end(self) -> Result<Vec<Field>, NativeError> {
        Ok(self.fields)
    }
}

impl SerializeMap for FieldsWriter {
    type Ok = Vec<Field>;
    type Error = NativeError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, name: &T) -> Result<(), NativeError> {
        self.name = name.serialize(ValueWriter)?;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NativeError> {
        let name = self.name.take().unwrap_or_default();
        let text = value
            .serialize(ValueWriter)
            .map_err(|error| error.of_field(&String::from_utf8_lossy(&name)))?;
        self.fields.extend(text.map(|text| (name, text)));
        Ok(())
    }

    fn end(self) -> Result<Vec<Field>, NativeError> {
        Ok(self.fields)
    }
}

/// Takes one value. The answer is its text, or none where there is no value.
struct ValueWriter;

fn text(text: impl Into<String>) -> Result<Option<Bytes>, NativeError> {
    Ok(Some(Bytes::from(text.into())))
}

/// What serde may offer and native fields can't hold, refused with one reason.
macro_rules! refuse {
    ($answer:ty, $reason:expr; $($rest:tt)*) => { refuse!(@ $answer, $reason; $($rest)*); };
    (@ $answer:ty, $reason:expr; value $name:ident($($type:ty),*); $($rest:tt)*) => {
        fn $name(self $(, _: $type)*) -> Result<$answer, NativeError> {
            Err(NativeError::custom($reason))
        }
        refuse!(@ $answer, $reason; $($rest)*);
    };
    (@ $answer:ty, $reason:expr; nested $name:ident($($type:ty),*) -> $kind:ident; $($rest:tt)*) => {
        fn $name(self $(, _: $type)*) -> Result<Self::$kind, NativeError> {
            Err(NativeError::custom($reason))
        }
        refuse!(@ $answer, $reason; $($rest)*);
    };
    (@ $answer:ty, $reason:expr;) => {};
}

macro_rules! written_as_python {
    ($($name:ident($type:ty);)*) => {$(
        fn $name(self, value: $type) -> Result<Option<Bytes>, NativeError> {
            text(python_repr(&value))
        }
    )*};
}

impl Serializer for ValueWriter {
    type Ok = Option<Bytes>;
    type Error = NativeError;
    type SerializeSeq = Impossible<Self::Ok, NativeError>;
    type SerializeTuple = Impossible<Self::Ok, NativeError>;
    type SerializeTupleStruct = Impossible<Self::Ok, NativeError>;
    type SerializeTupleVariant = Impossible<Self::Ok, NativeError>;
    type SerializeMap = Impossible<Self::Ok, NativeError>;
    type SerializeStruct = Impossible<Self::Ok, NativeError>;
    type SerializeStructVariant = Impossible<Self::Ok, NativeError>;

    written_as_python! {
        serialize_bool(bool);
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_i128(i128);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_u128(u128);
        serialize_f32(f32);
        serialize_f64(f64);
    }

    fn serialize_char(self, value: char) -> Result<Self::Ok, NativeError> {
        text(value)
    }

    fn serialize_str(self, value: &str) -> Result<Self::Ok, NativeError> {
        text(value)
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<Self::Ok, NativeError> {
        Ok(Some(Bytes::copy_from_slice(value)))
    }

    fn serialize_none(self) -> Result<Self::Ok, NativeError> {
        Ok(None)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Self::Ok, NativeError> {
        value.serialize(self)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<Self::Ok, NativeError> {
        Ok(Some(Bytes::from_static(variant.as_bytes())))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Self::Ok, NativeError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<Self::Ok, NativeError> {
        Err(NativeError::custom(NESTED))
    }

    refuse! { Option<Bytes>, NESTED;
        value serialize_unit();
        value serialize_unit_struct(&'static str);
        nested serialize_seq(Option<usize>) -> SerializeSeq;
        nested serialize_tuple(usize) -> SerializeTuple;
        nested serialize_tuple_struct(&'static str, usize) -> SerializeTupleStruct;
        nested serialize_tuple_variant(&'static str, u32, &'static str, usize) -> SerializeTupleVariant;
        nested serialize_map(Option<usize>) -> SerializeMap;
        nested serialize_struct(&'static str, usize) -> SerializeStruct;
        nested serialize_struct_variant(&'static str, u32, &'static str, usize) -> SerializeStructVariant;
    }
}

impl Serializer for RecordWriter {
    type Ok = Vec<Field>;
    type Error = NativeError;
    type SerializeSeq = Impossible<Self::Ok, NativeError>;
    type SerializeTuple = Impossible<Self::Ok, NativeError>;
    type SerializeTupleStruct = Impossible<Self::Ok, NativeError>;
    type SerializeTupleVariant = Impossible<Self::Ok, NativeError>;
    type SerializeMap = FieldsWriter;
    type SerializeStruct = FieldsWriter;
    type SerializeStructVariant = Impossible<Self::Ok, NativeError>;

    fn serialize_struct(self, _: &'static str, len: usize) -> Result<FieldsWriter, NativeError> {
        Ok(FieldsWriter::with_capacity(len))
    }

    fn serialize_map(self, len: Option<usize>) -> Result<FieldsWriter, NativeError> {
        Ok(FieldsWriter::with_capacity(len.unwrap_or_default()))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Self::Ok, NativeError> {
        value.serialize(self)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Self::Ok, NativeError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<Self::Ok, NativeError> {
        Err(NativeError::custom(NO_STRUCT))
    }

    refuse! { Vec<Field>, NO_STRUCT;
        value serialize_bool(bool);
        value serialize_i8(i8);
        value serialize_i16(i16);
        value serialize_i32(i32);
        value serialize_i64(i64);
        value serialize_u8(u8);
        value serialize_u16(u16);
        value serialize_u32(u32);
        value serialize_u64(u64);
        value serialize_f32(f32);
        value serialize_f64(f64);
        value serialize_char(char);
        value serialize_str(&str);
        value serialize_bytes(&[u8]);
        value serialize_none();
        value serialize_unit();
        value serialize_unit_struct(&'static str);
        value serialize_unit_variant(&'static str, u32, &'static str);
        nested serialize_seq(Option<usize>) -> SerializeSeq;
        nested serialize_tuple(usize) -> SerializeTuple;
        nested serialize_tuple_struct(&'static str, usize) -> SerializeTupleStruct;
        nested serialize_tuple_variant(&'static str, u32, &'static str, usize) -> SerializeTupleVariant;
        nested serialize_struct_variant(&'static str, u32, &'static str, usize) -> SerializeStructVariant;
    }
}
