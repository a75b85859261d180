//! The derives and attributes of Tidegate. They are used through the facade, which re-exports them
//! beside what they stand for.
//!
//! At compile time only: a macro reads the user's item and writes a few calls into
//! `tidegate-streams` or `tidegate-tasks`, where everything that can be a function is one. What it can't accept is a
//! compile error at the place in the user's code that is wrong.

mod duration;
mod processor;
mod record;
mod task;

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

/// Makes an `async fn` a background task.
///
/// The function becomes a value of its own name, to be given to `App::task`, with a function
/// `enqueue` that takes its arguments. It takes, in this order: a `TaskContext` where it wants one,
/// its arguments (one value that serde can write and read; none for `()`), and any number of
/// `State<T>`. It returns a `Result` whose error is any that a `?` accepts, and whose value is
/// the task's result.
///
/// * `queue = "webhooks"`: where it waits; `"default"` unless given.
/// * `name = "send_webhook"`: under which workers know it; the function's name unless given.
/// * `max_retries = 10`: how often it is tried again after its first attempt; 20 unless given.
/// * `backoff = "5s..1h"`: the pauses before; `"1s..1h"` unless given.
/// * `retry_when = is_worth_it`: a function `fn(&BoxError) -> bool`: which errors are.
/// * `time_limit = "30s"`: how long an attempt may run; `"10m"` unless given.
/// * `max_age = "1d"`: how long after it was enqueued an attempt may still begin.
/// * `priority = "high"`: or `"normal"`, or `"low"`.
/// * `on_unknown = "park"`: a task that may have had its effect (the process died, or the time was
///   over) waits for a person; `"retry"` unless given.
/// * `concurrency = 4`: how many of it run at once in a worker.
/// * `result = "10m"`: how long its result is kept; it isn't unless given.
/// * `cron = "30 2 * * MON-FRI"` with `time_zone = "Europe/Berlin"`, or `every = "10s"`: it is
///   enqueued by itself, once however many workers there are. It then takes no arguments.
/// * `overlap = "skip"`: what happens to a time that finds a former run unfinished: or `"queue"`, or
///   `"allow"`.
/// * `missed = "once"`: what happens to times at which no worker was there: or `"all"`, or `"none"`.
/// * `crate = "path"`: where the library is found, if not under `::tidegate`.
///
/// # Examples
/// ```ignore
/// #[task(queue = "webhooks", max_retries = 10, backoff = "5s..1h", time_limit = "30s")]
/// async fn send_webhook(ctx: TaskContext, webhook: Webhook) -> Result<()> {
///     post(&webhook, ctx.id()).await?;
///     Ok(())
/// }
///
/// send_webhook::enqueue(webhook).delay("5s").send(&client).await?;
/// ```
#[proc_macro_attribute]
pub fn task(attributes: TokenStream, item: TokenStream) -> TokenStream {
    task::expand(attributes.into(), item.into())
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
