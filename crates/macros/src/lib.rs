//! The derives of Tidegate. They are used through the facade, which re-exports them beside what they
//! stand for.
//!
//! At compile time only: a derive reads the user's struct and writes a few calls into
//! `tidegate-streams`, where everything that can be a function is one. What it can't accept is a
//! compile error at the place in the user's code that is wrong.

mod record;

use proc_macro::TokenStream;

/// Makes a struct a record: something that can be sent to a stream and read from it.
///
/// The struct needs serde's `Serialize` and `Deserialize`. Attributes, all of them optional:
///
/// * `#[record(partition_by = "order_id")]`: the field whose value is the key. Records with one key go
///   to one partition, in order. Without it records are spread evenly.
/// * `#[record(format = "native")]`: every field of the struct is a field of the entry, for numbers,
///   booleans, texts and bytes. The default is `"json"`: all of it under the field `data`.
/// * `#[record(crate = "path")]`: where the library is found, if not under `::tidegate`.
///
/// # Examples
/// ```ignore
/// #[derive(Record, Serialize, Deserialize)]
/// #[record(partition_by = "order_id")]
/// struct Order {
///     order_id: u64,
///     amount: i64,
/// }
/// ```
#[proc_macro_derive(Record, attributes(record))]
pub fn derive_record(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    record::expand(&input)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
