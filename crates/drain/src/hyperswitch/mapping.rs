//! The mapping: what stands in the ancestor's program and not in its entries.
//!
//! Hyperswitch's drainer knows by its own types which table a tag means, which columns an update's
//! variant sets, and which of them get a constant or the present time. A mapping file says it to
//! Tidegate, so that a new variant needs no new release. Pure; read once at start.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::value::RawValue;

/// What is known of the ancestor's tables, by their tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    tables: BTreeMap<String, TableMapping>,
}

/// What is known of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TableMapping {
    /// Its name in the target; the tag where it is absent.
    table: Option<String>,
    /// Fields that are called otherwise than their columns.
    rename: BTreeMap<String, String>,
    /// Fields that have no column.
    ignore: BTreeSet<String>,
    /// Fields whose value stands inside of an object with one field, such as `{"TxnId":"…"}`.
    unwrap: BTreeSet<String>,
    /// Texts that are another in the target, by column.
    values: BTreeMap<String, BTreeMap<String, String>>,
    /// How the variants of an update set columns.
    pub(super) variants: BTreeMap<String, Variant>,
}

/// How one variant of an update sets columns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Variant {
    rename: BTreeMap<String, String>,
    ignore: BTreeSet<String>,
    /// Columns that get the time at which the entry was pushed.
    pub(super) now: BTreeSet<String>,
    /// Columns that get a constant.
    pub(super) set: BTreeMap<String, Constant>,
}

/// A constant, as JSON text.
#[derive(Clone, Debug)]
pub(super) struct Constant(pub(super) Box<RawValue>);

impl PartialEq for Constant {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Eq for Constant {}

impl<'de> Deserialize<'de> for Constant {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let value = toml::Value::deserialize(deserializer)?;
        if let toml::Value::Datetime(_) = value {
            return Err(D::Error::custom("write a date or time as a text in quotes"));
        }
        let json =
            serde_json::to_value(value).and_then(|value| serde_json::value::to_raw_value(&value));
        json.map(Self).map_err(D::Error::custom)
    }
}

/// Where a field of an entry goes.
pub(super) enum Place<'m> {
    /// Into the column of its own name.
    Same,
    /// Into this column.
    Column(&'m str),
    /// Nowhere.
    Ignored,
}

impl Mapping {
    /// Reads a mapping file.
    ///
    /// # Errors
    /// What is wrong with it, and in which line.
    ///
    /// # Examples
    /// ```
    /// use tidegate_drain::hyperswitch::Mapping;
    /// let text = "[tables.refund.variants.StatusUpdate]\nnow = [\"modified_at\"]";
    /// assert!(Mapping::parse(text).is_ok());
    /// assert!(Mapping::parse("[tables.refund]\nrenames = {}").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            #[serde(default)]
            tables: BTreeMap<String, TableMapping>,
        }
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        Ok(Self {
            tables: file.tables,
        })
    }

    /// What is known of the table with this tag.
    pub(super) fn table(&self, tag: &str) -> Option<&TableMapping> {
        self.tables.get(tag)
    }

    /// The target's name of the table with this tag.
    pub(super) fn table_name<'m>(&'m self, tag: &'m str) -> &'m str {
        match self.table(tag).and_then(|table| table.table.as_deref()) {
            Some(name) => name,
            // The one tag that is not its table's name in every release of the ancestor.
            None if tag == "reverse_look_up" => "reverse_lookup",
            None => tag,
        }
    }
}

impl TableMapping {
    /// Where a field goes.
    pub(super) fn place<'m>(&'m self, variant: Option<&'m Variant>, field: &str) -> Place<'m> {
        let (rename, ignore) = match variant {
            Some(variant) => (variant.rename.get(field), variant.ignore.contains(field)),
            None => (None, false),
        };
        if ignore || rename.is_none() && self.ignore.contains(field) {
            return Place::Ignored;
        }
        match rename.or_else(|| self.rename.get(field)) {
            Some(name) => Place::Column(name),
            None => Place::Same,
        }
    }

    /// Whether the field's value stands inside of an object with one field.
    pub(super) fn unwraps(&self, field: &str) -> bool {
        self.unwrap.contains(field)
    }

    /// What a text is in the target, where it is another one there.
    pub(super) fn value(&self, column: &str, text: &str) -> Option<&str> {
        self.values.get(column)?.get(text).map(String::as_str)
    }

    /// Whether texts of the column may be others in the target.
    pub(super) fn has_values(&self, column: &str) -> bool {
        self.values.contains_key(column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_in_the_file_is_named_with_its_line() {
        for (text, part) in [
            ("[tables.refund]\nrenames = {}", "renames"),
            ("[table.refund]", "table"),
            ("[tables.refund.variants.A]\nnow = 1", "line 2"),
            (
                "[tables.refund.variants.A.set]\na = 2024-01-01",
                "in quotes",
            ),
            ("[tables", "line 1"),
        ] {
            let error = Mapping::parse(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_variant_knows_better_than_its_table() {
        let mapping = Mapping::parse(
            "[tables.t]\nrename = { a = \"x\", b = \"y\" }\nignore = [\"c\", \"d\"]\n\
             [tables.t.variants.V]\nrename = { a = \"z\", c = \"c\" }\nignore = [\"b\"]",
        );
        let mapping = mapping.expect("a mapping");
        let table = mapping.table("t").expect("the table");
        let variant = table.variants.get("V");
        let place = |variant, field: &str| match table.place(variant, field) {
            Place::Same => field.to_owned(),
            Place::Column(name) => name.to_owned(),
            Place::Ignored => "-".to_owned(),
        };
        let of_table = ["a", "b", "c", "d", "e"].map(|field| place(None, field));
        assert_eq!(of_table, ["x", "y", "-", "-", "e"]);
        let of_variant = ["a", "b", "c", "d", "e"].map(|field| place(variant, field));
        assert_eq!(of_variant, ["z", "-", "c", "-", "e"]);
    }

    #[test]
    fn the_reverse_lookup_has_another_tag() {
        let none = Mapping::default();
        assert_eq!(none.table_name("reverse_look_up"), "reverse_lookup");
        assert_eq!(none.table_name("refund"), "refund");
        let own = Mapping::parse("[tables.customer]\ntable = \"customers\"").expect("a mapping");
        assert_eq!(own.table_name("customer"), "customers");
    }
}
