//! The derives and attributes of Tidegate. They are used through the facade, which re-exports them
//! beside what they stand for.
//!
//! At compile time only: a macro reads the user's item and writes a few calls into
//! `tidegate-streams`, where everything that can be a function is one. What it can't accept is a
//! compile error at the place in the user's code that is wrong.

mod processor;

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
