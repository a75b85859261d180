//! What `#[processor(…)]` was given, checked, and how it is written as options.
//!
//! The bounds are those of `tidegate-streams`, which checks them again when a worker starts; here they
//! are an error at the place where they are written.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::parse::Parser;
use syn::{Error, Ident, LitInt, LitStr, Path, Result};

use super::default_name;
use super::retry::Retry;

/// The most bytes of a name, as in the store.
const NAME_BYTES_MAX: usize = 128;
/// The most lanes of a partition, as in the streams.
const LANES_MAX: u32 = 1_024;
/// How many there are unless given.
const LANES_DEFAULT: u32 = 16;
/// The fewest and the most entries that are read ahead, as in the streams.
const PREFETCH_MIN: u32 = 2;
const PREFETCH_MAX: u32 = 100_000;

/// What becomes of an event that fails, by the name it has in the attribute and in the code.
const POLICIES: [(&str, &str); 5] = [
    ("halt", "Halt"),
    ("quarantine", "Quarantine"),
    ("ignore", "Ignore"),
    ("dead_letter", "DeadLetter"),
    ("park", "Park"),
];

/// The attribute's values.
#[derive(Default)]
pub(super) struct Attributes {
    stream: Option<LitStr>,
    name: Option<LitStr>,
    on_error: Option<Ident>,
    retry: Option<Retry>,
    by_key: Option<bool>,
    lanes: Option<LitInt>,
    prefetch: Option<LitInt>,
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
        attributes.check()?;
        Ok(attributes)
    }

    /// Reads one `name = value`.
    fn read(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let path = &meta.path;
        let twice = if path.is_ident("stream") {
            self.stream.replace(name(meta)?).is_some()
        } else if path.is_ident("name") {
            self.name.replace(name(meta)?).is_some()
        } else if path.is_ident("on_error") {
            self.on_error.replace(policy(&text(meta)?)?).is_some()
        } else if path.is_ident("retry") {
            self.retry.replace(Retry::parse(&text(meta)?)?).is_some()
        } else if path.is_ident("concurrency") {
            self.by_key.replace(is_by_key(&text(meta)?)?).is_some()
        } else if path.is_ident("lanes") {
            let lanes = number(meta, 1, LANES_MAX)?;
            self.lanes.replace(lanes).is_some()
        } else if path.is_ident("prefetch") {
            let prefetch = number(meta, PREFETCH_MIN, PREFETCH_MAX)?;
            self.prefetch.replace(prefetch).is_some()
        } else if path.is_ident("crate") {
            self.library.replace(text(meta)?.parse()?).is_some()
        } else {
            return Err(meta.error(
                "expected `stream`, `name`, `on_error`, `retry`, `concurrency`, `lanes` or `prefetch`",
            ));
        };
        if twice {
            return Err(meta.error("is given twice"));
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        if self.stream.is_none() {
            return Err(Error::new(
                Span::call_site(),
                "a processor reads a stream: `#[processor(stream = \"orders\")]`",
            ));
        }
        if let (Some(lanes), false) = (&self.lanes, self.by_key == Some(true)) {
            return Err(Error::new(
                lanes.span(),
                "lanes are for `concurrency = \"key\"`: without it there is one",
            ));
        }
        Ok(())
    }

    /// Where the library is found.
    pub(super) fn library(&self) -> TokenStream {
        match &self.library {
            Some(path) => quote!(#path),
            None => quote!(::tidegate::__private),
        }
    }

    /// The code that makes the options.
    pub(super) fn options(&self, function: &Ident) -> TokenStream {
        let library = self.library();
        let stream = &self.stream;
        let name = match &self.name {
            Some(name) => name.clone(),
            None => LitStr::new(&default_name(function), function.span()),
        };
        let on_error = match &self.on_error {
            Some(policy) => quote!(#library::OnError::#policy),
            None => quote!(#library::OnError::Halt),
        };
        let retry = match &self.retry {
            Some(retry) => {
                let Retry {
                    attempts,
                    min_ms,
                    max_ms,
                } = retry;
                quote!(::core::option::Option::Some(#library::RetryOptions {
                    attempts: #attempts,
                    min: ::core::time::Duration::from_millis(#min_ms),
                    max: ::core::time::Duration::from_millis(#max_ms),
                }))
            }
            None => quote!(::core::option::Option::None),
        };
        let lanes = match (&self.lanes, self.by_key) {
            (Some(lanes), _) => quote!(#lanes),
            (None, Some(true)) => quote!(#LANES_DEFAULT),
            (None, _) => quote!(1),
        };
        let prefetch = match &self.prefetch {
            Some(prefetch) => quote!(::core::option::Option::Some(#prefetch)),
            None => quote!(::core::option::Option::None),
        };
        quote! {
            #library::ProcessorOptions {
                name: #name,
                stream: #stream,
                on_error: #on_error,
                retry: #retry,
                lanes: #lanes,
                prefetch: #prefetch,
            }
        }
    }
}

/// Whether the text can name a stream or a group.
pub(super) fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.chars().all(allowed)
}

fn text(meta: &ParseNestedMeta<'_>) -> Result<LitStr> {
    meta.value()?.parse()
}

fn name(meta: &ParseNestedMeta<'_>) -> Result<LitStr> {
    let text = text(meta)?;
    if is_name(&text.value()) {
        return Ok(text);
    }
    Err(Error::new(
        text.span(),
        format!("use 1 to {NAME_BYTES_MAX} letters, digits, '_', '-', '.' or ':'"),
    ))
}

fn number(meta: &ParseNestedMeta<'_>, min: u32, max: u32) -> Result<LitInt> {
    let number: LitInt = meta.value()?.parse()?;
    let is_plain = number.suffix().is_empty();
    match number.base10_parse::<u32>() {
        Ok(value) if is_plain && (min..=max).contains(&value) => Ok(number),
        _ => Err(Error::new(number.span(), format!("use {min} to {max}"))),
    }
}

fn policy(text: &LitStr) -> Result<Ident> {
    let given = text.value();
    let known = POLICIES.iter().find(|(name, _)| *name == given);
    known.map_or_else(
        || {
            let names = POLICIES.map(|(name, _)| format!("\"{name}\"")).join(", ");
            Err(Error::new(text.span(), format!("use one of {names}")))
        },
        |(_, variant)| Ok(Ident::new(variant, text.span())),
    )
}

fn is_by_key(text: &LitStr) -> Result<bool> {
    match text.value().as_str() {
        "key" => Ok(true),
        "partition" => Ok(false),
        _ => Err(Error::new(
            text.span(),
            "use \"key\" (keys of a partition at the same time) or \"partition\"",
        )),
    }
}
