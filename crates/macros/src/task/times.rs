//! `cron`, `time_zone`, `every`, `overlap` and `missed` of a `#[task(…)]`.
//!
//! An expression that can't be read, or that never happens, is a compile error. Whether a time zone
//! exists is known where the program runs, and checked when it starts.

use croner::Cron;
use jiff::civil::DateTime;
use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::{Error, Ident, LitStr, Result};

use super::attributes::{choice, milliseconds, text};
use crate::duration;

/// Enough for the missed times of a day at one a minute, as in `tidegate-tasks`.
const CATCH_UP_MAX: u32 = 1_000;

/// The values.
#[derive(Default)]
pub(super) struct Times {
    cron: Option<LitStr>,
    time_zone: Option<LitStr>,
    every: Option<u64>,
    overlap: Option<Ident>,
    missed: Option<Ident>,
}

impl Times {
    /// Reads one `name = value`, if it is one of these, and says whether it was there before.
    pub(super) fn read(&mut self, meta: &ParseNestedMeta<'_>) -> Result<Option<bool>> {
        let path = &meta.path;
        let twice = if path.is_ident("cron") {
            self.cron.replace(expression(&text(meta)?)?).is_some()
        } else if path.is_ident("time_zone") {
            self.time_zone.replace(text(meta)?).is_some()
        } else if path.is_ident("every") {
            let every = duration::within(&text(meta)?, "100ms", "366d")?;
            self.every.replace(every).is_some()
        } else if path.is_ident("overlap") {
            let choices = [("skip", "Skip"), ("queue", "Queue"), ("allow", "Allow")];
            self.overlap.replace(choice(meta, &choices)?).is_some()
        } else if path.is_ident("missed") {
            let choices = [("once", "RunOnce"), ("all", "RunAll"), ("none", "Skip")];
            self.missed.replace(choice(meta, &choices)?).is_some()
        } else {
            return Ok(None);
        };
        Ok(Some(twice))
    }

    pub(super) fn is_given(&self) -> bool {
        self.cron.is_some() || self.every.is_some()
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.cron.is_some() && self.every.is_some() {
            let why = "`cron` and `every` exclude each other";
            return Err(Error::new(Span::call_site(), why));
        }
        if let (None, Some(zone)) = (&self.cron, &self.time_zone) {
            return Err(Error::new(zone.span(), "a time zone is for `cron`"));
        }
        let policy = self.overlap.as_ref().or(self.missed.as_ref());
        match policy {
            Some(policy) if !self.is_given() => Err(Error::new(
                policy.span(),
                "this is for tasks with `cron` or `every`",
            )),
            _ => Ok(()),
        }
    }

    /// The code that makes the schedule; none where there is none.
    pub(super) fn options(&self, library: &TokenStream) -> Option<TokenStream> {
        let times = match (&self.cron, self.every) {
            (Some(expression), _) => {
                let utc = LitStr::new("UTC", expression.span());
                let time_zone = self.time_zone.as_ref().unwrap_or(&utc);
                quote!(#library::Times::Cron { expression: #expression, time_zone: #time_zone })
            }
            (None, Some(every)) => {
                let every = milliseconds(every);
                quote!(#library::Times::Every(#every))
            }
            (None, None) => return None,
        };
        let skip = Ident::new("Skip", Span::call_site());
        let overlap = self.overlap.as_ref().unwrap_or(&skip);
        let missed = match &self.missed {
            Some(all) if all == "RunAll" => quote!(RunAll { max: #CATCH_UP_MAX }),
            Some(other) => quote!(#other),
            None => quote!(RunOnce),
        };
        Some(quote! {
            #library::ScheduleOptions {
                times: #times,
                overlap: #library::Overlap::#overlap,
                missed: #library::Missed::#missed,
            }
        })
    }
}

fn expression(text: &LitStr) -> Result<LitStr> {
    let given = text.value();
    let refuse = |why: &dyn std::fmt::Display| {
        Error::new(text.span(), format!("the cron expression {given:?}: {why}"))
    };
    let parsed: Cron = given.parse().map_err(|why| refuse(&why))?;
    let epoch = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
    if parsed.find_next_occurrence(&epoch, true).is_err() {
        return Err(refuse(&"it never happens"));
    }
    Ok(text.clone())
}
