//! What `#[task(…)]` was given, checked, and how it is written as options.
//!
//! The bounds are those of `tidegate-tasks`; here they are an error at the place where they are
//! written.

use proc_macro2::TokenStream;
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::parse::Parser;
use syn::{Error, Ident, LitInt, LitStr, Path, Result};

use super::times::Times;
use crate::duration;

/// The most bytes of a queue's or a task's name, as in the store.
const NAME_BYTES_MAX: usize = 128;
const RETRIES_MAX: u32 = 1_000_000;
const CONCURRENCY_MAX: u32 = 100_000;
/// What holds where nothing is given.
const RETRIES: u32 = 20;
const BACKOFF_MS: (u64, u64) = (1_000, 3_600_000);
const TIME_LIMIT_MS: u64 = 600_000;

/// The attribute's values.
#[derive(Default)]
pub(super) struct Attributes {
    queue: Option<LitStr>,
    name: Option<LitStr>,
    max_retries: Option<LitInt>,
    backoff: Option<(u64, u64)>,
    retry_when: Option<Path>,
    time_limit: Option<u64>,
    max_age: Option<u64>,
    priority: Option<Ident>,
    on_unknown: Option<Ident>,
    concurrency: Option<LitInt>,
    result: Option<u64>,
    times: Times,
    library: Option<Path>,
}

impl Attributes {
    /// Reads and checks them.
    ///
    /// # Errors
    /// What the user has to change.
    pub(super) fn parse(tokens: TokenStream) -> Result<Self> {
        let mut attributes = Self::default();
        syn::meta::parser(|meta| attributes.read(&meta)).parse2(tokens)?;
        attributes.times.check()?;
        Ok(attributes)
    }

    /// Reads one `name = value`.
    fn read(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let path = &meta.path;
        let twice = if path.is_ident("queue") {
            self.queue.replace(queue(meta)?).is_some()
        } else if path.is_ident("name") {
            self.name.replace(name(meta)?).is_some()
        } else if path.is_ident("max_retries") {
            let retries = number(meta, 0, RETRIES_MAX)?;
            self.max_retries.replace(retries).is_some()
        } else if path.is_ident("backoff") {
            let backoff = duration::range(&text(meta)?, "30d")?;
            self.backoff.replace(backoff).is_some()
        } else if path.is_ident("retry_when") {
            self.retry_when.replace(meta.value()?.parse()?).is_some()
        } else if path.is_ident("time_limit") {
            let limit = duration::within(&text(meta)?, "1ms", "30d")?;
            self.time_limit.replace(limit).is_some()
        } else if path.is_ident("max_age") {
            let age = duration::within(&text(meta)?, "1ms", "3660d")?;
            self.max_age.replace(age).is_some()
        } else if path.is_ident("priority") {
            let choices = [("high", "High"), ("normal", "Normal"), ("low", "Low")];
            self.priority.replace(choice(meta, &choices)?).is_some()
        } else if path.is_ident("on_unknown") {
            let choices = [("retry", "Retry"), ("park", "Park")];
            self.on_unknown.replace(choice(meta, &choices)?).is_some()
        } else if path.is_ident("concurrency") {
            let concurrency = number(meta, 1, CONCURRENCY_MAX)?;
            self.concurrency.replace(concurrency).is_some()
        } else if path.is_ident("result") {
            let ttl = duration::within(&text(meta)?, "1s", "366d")?;
            self.result.replace(ttl).is_some()
        } else if path.is_ident("crate") {
            self.library.replace(text(meta)?.parse()?).is_some()
        } else if let Some(twice) = self.times.read(meta)? {
            twice
        } else {
            return Err(meta.error(
                "expected `queue`, `name`, `max_retries`, `backoff`, `retry_when`, `time_limit`, \
                 `max_age`, `priority`, `on_unknown`, `concurrency`, `result`, `cron`, \
                 `time_zone`, `every`, `overlap` or `missed`",
            ));
        };
        if twice {
            return Err(meta.error("is given twice"));
        }
        Ok(())
    }

    /// Whether the task is enqueued by itself.
    pub(super) fn is_scheduled(&self) -> bool {
        self.times.is_given()
    }

    /// Where the library is found.
    pub(super) fn library(&self) -> TokenStream {
        match &self.library {
            Some(path) => quote!(#path),
            None => quote!(::tidegate::tasks),
        }
    }

    /// The code that makes the options.
    pub(super) fn options(&self, function: &Ident) -> TokenStream {
        let library = self.library();
        let own_name = LitStr::new(
            function.to_string().trim_start_matches("r#"),
            function.span(),
        );
        let name = self.name.as_ref().unwrap_or(&own_name);
        let default = LitStr::new("default", function.span());
        let queue = self.queue.as_ref().unwrap_or(&default);
        let max_retries = match &self.max_retries {
            Some(retries) => quote!(#retries),
            None => quote!(#RETRIES),
        };
        let (min, max) = self.backoff.unwrap_or(BACKOFF_MS);
        let (min, max) = (milliseconds(min), milliseconds(max));
        let time_limit = milliseconds(self.time_limit.unwrap_or(TIME_LIMIT_MS));
        let max_age = option(self.max_age.map(milliseconds));
        let result_ttl = option(self.result.map(milliseconds));
        let concurrency = option(self.concurrency.as_ref().map(|it| quote!(#it)));
        let retry_when = option(self.retry_when.as_ref().map(|it| quote!(#it)));
        let variant = |given: &Option<Ident>, default: &str| {
            let default = Ident::new(default, function.span());
            let variant = given.as_ref().unwrap_or(&default).clone();
            quote!(#variant)
        };
        let priority = variant(&self.priority, "Normal");
        let on_unknown = variant(&self.on_unknown, "Retry");
        let schedule = option(self.times.options(&library));
        quote! {
            #library::TaskOptions {
                name: #name,
                queue: #queue,
                max_retries: #max_retries,
                backoff: (#min, #max),
                time_limit: #time_limit,
                max_age: #max_age,
                priority: #library::Priority::#priority,
                on_unknown: #library::OnUnknown::#on_unknown,
                result_ttl: #result_ttl,
                concurrency: #concurrency,
                retry_when: #retry_when,
                schedule: #schedule,
            }
        }
    }
}

/// The code of an optional value.
pub(super) fn option(code: Option<TokenStream>) -> TokenStream {
    match code {
        Some(code) => quote!(::core::option::Option::Some(#code)),
        None => quote!(::core::option::Option::None),
    }
}

/// The code of a duration.
pub(super) fn milliseconds(ms: u64) -> TokenStream {
    quote!(::core::time::Duration::from_millis(#ms))
}

pub(super) fn text(meta: &ParseNestedMeta<'_>) -> Result<LitStr> {
    meta.value()?.parse()
}

/// One of some words, as the variant that it stands for.
pub(super) fn choice(meta: &ParseNestedMeta<'_>, choices: &[(&str, &str)]) -> Result<Ident> {
    let text = text(meta)?;
    let given = text.value();
    match choices.iter().find(|(name, _)| *name == given) {
        Some((_, variant)) => Ok(Ident::new(variant, text.span())),
        None => {
            let names: Vec<_> = choices
                .iter()
                .map(|(name, _)| format!("{name:?}"))
                .collect();
            let why = format!("use one of {}", names.join(", "));
            Err(Error::new(text.span(), why))
        }
    }
}

fn queue(meta: &ParseNestedMeta<'_>) -> Result<LitStr> {
    let text = text(meta)?;
    let value = text.value();
    let begins = value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if begins && is_name(&value) {
        return Ok(text);
    }
    Err(Error::new(
        text.span(),
        format!(
            "{value:?} can't name a queue: begin with a letter or '_', and go on with letters, \
             digits, '.', '_' or '-', {NAME_BYTES_MAX} at most"
        ),
    ))
}

fn name(meta: &ParseNestedMeta<'_>) -> Result<LitStr> {
    let text = text(meta)?;
    if is_name(&text.value()) {
        return Ok(text);
    }
    Err(Error::new(
        text.span(),
        format!("use 1 to {NAME_BYTES_MAX} letters, digits, '_', '-' or '.'"),
    ))
}

fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.chars().all(allowed)
}

fn number(meta: &ParseNestedMeta<'_>, min: u32, max: u32) -> Result<LitInt> {
    let number: LitInt = meta.value()?.parse()?;
    let is_plain = number.suffix().is_empty();
    match number.base10_parse::<u32>() {
        Ok(value) if is_plain && (min..=max).contains(&value) => Ok(number),
        _ => Err(Error::new(number.span(), format!("use {min} to {max}"))),
    }
}
