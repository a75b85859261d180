//! The derives and attributes of Tidegate. They are used through the facade, which re-exports them
//! beside what they stand for.
//!
//! At compile time only: a macro reads the user's item and writes a few calls into
//! `tidegate-streams`, where everything that can be a function is one. What it can't accept is a
//! compile error at the place in the user's code that is wrong.

mod processor;
mod record;

use proc_macro::TokenStream;

/// Makes an `async fn` over the events of a stream a processor.
///
/// The function becomes a value of its own name, to be given to `App::processor`. It takes the
/// events first and then any number of `State<T>`, which are clones of what the application
/// provides, and returns a `Result<()>` whose error is any that a `?` accepts. It is called once for
/// each partition that a worker owns.
///
/// * `stream = "orders"`: the stream it reads. The only one that is needed.
/// * `name = "settle"`: the consumer group; the function's name unless given.
/// * `on_error = "halt"`: what becomes of an event that fails: `"halt"` (the worker stops; the
///   default), `"quarantine"` (its partition stops), `"ignore"`, `"dead_letter"` or `"park"` (its key
///   stops).
/// * `retry = "5, 1s..1m"`: before that, it is tried 5 times in all, with growing pauses from 1
///   second to 1 minute.
/// * `concurrency = "key"`: keys of one partition are processed at the same time, each in order, in
///   `lanes = 16` lanes. The default is `"partition"`: one event after the other.
/// * `prefetch = 1000`: the most entries of a partition that are in memory.
/// * `crate = "path"`: where the library is found, if not under `::tidegate`.
///
/// # Examples
/// ```ignore
/// #[processor(stream = "orders", on_error = "dead_letter", retry = "5, 1s..1m")]
/// async fn settle(mut orders: Events<Order>, State(db): State<Db>) -> Result<()> {
///     while let Some(order) = orders.next().await? {
///         db.settle(order.order_id).await?;
///     }
///     Ok(())
/// }
/// ```
#[proc_macro_attribute]
pub fn processor(attributes: TokenStream, item: TokenStream) -> TokenStream {
    processor::expand(attributes.into(), item.into())
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

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
