//! `#[processor(…)]`: from an `async fn` to a value of its name that is a processor.
//!
//! ```text
//! attributes ─► Attributes (checked) ─┐
//! async fn ───► Function (checked) ───┴─► struct + impl IntoProcessor, the function inside
//! ```

mod attributes;
mod retry;

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Error, FnArg, ItemFn, Result, ReturnType, Type};

use self::attributes::{Attributes, is_name};

/// Writes the struct and its implementation.
///
/// # Errors
/// What the user has to change, at its place in the user's code.
pub(crate) fn expand(attributes: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let function: ItemFn = syn::parse2(item)
        .map_err(|error| Error::new(error.span(), "a processor is an async fn over `Events<…>`"))?;
    let attributes = Attributes::parse(attributes)?;
    let arguments = arguments_of(&function)?;
    Ok(write(&attributes, function, &arguments))
}

/// The types of the function's arguments: the events, and what comes from the state.
struct Arguments {
    events: Type,
    state: Vec<Type>,
}

fn arguments_of(function: &ItemFn) -> Result<Arguments> {
    let signature = &function.sig;
    let refuse = |span, why: &str| Err(Error::new(span, why));
    if signature.asyncness.is_none() {
        return refuse(signature.fn_token.span(), "a processor is an `async fn`");
    }
    if !signature.generics.params.is_empty() || signature.generics.where_clause.is_some() {
        let span = signature.generics.span();
        return refuse(
            span,
            "a processor has no generic parameters: name its record",
        );
    }
    if signature.abi.is_some() || signature.variadic.is_some() {
        return refuse(signature.span(), "a processor is an ordinary `async fn`");
    }
    if matches!(signature.output, ReturnType::Default) {
        let span = signature.ident.span();
        return refuse(
            span,
            "a processor returns a `Result<()>`: how else could it fail?",
        );
    }
    let mut types = Vec::new();
    for argument in &signature.inputs {
        match argument {
            FnArg::Typed(argument) => types.push((*argument.ty).clone()),
            FnArg::Receiver(receiver) => {
                return refuse(
                    receiver.span(),
                    "a processor is a free function: ask for `State<T>` instead of `self`",
                );
            }
        }
    }
    let mut types = types.into_iter();
    let Some(events) = types.next() else {
        return refuse(
            signature.paren_token.span.span(),
            "a processor takes the events of a stream: `mut events: Events<Record>`",
        );
    };
    let state: Vec<Type> = types.collect();
    if let Some(other) = state.iter().find(|it| !is_state(it)) {
        return refuse(
            other.span(),
            "beside its events, a processor takes `State<T>`s: values that the application provides",
        );
    }
    Ok(Arguments { events, state })
}

/// Whether the type is written as `State<…>`, with any path before it.
fn is_state(written: &Type) -> bool {
    let Type::Path(path) = written else {
        return false;
    };
    let last = path.path.segments.last();
    last.is_some_and(|last| last.ident == "State" && !last.arguments.is_empty())
}

fn write(attributes: &Attributes, mut function: ItemFn, arguments: &Arguments) -> TokenStream {
    let library = attributes.library();
    let ident = function.sig.ident.clone();
    let visibility = std::mem::replace(&mut function.vis, syn::Visibility::Inherited);
    let (docs, others): (Vec<Attribute>, Vec<Attribute>) = function
        .attrs
        .drain(..)
        .partition(|attribute| attribute.path().is_ident("doc"));
    function.attrs = others;
    let docs = if docs.is_empty() {
        let doc = format!("The processor `{ident}`.");
        quote!(#[doc = #doc])
    } else {
        quote!(#(#docs)*)
    };
    let options = attributes.options(&ident);
    // Not `expect`, which warns in the user's code above a name that needs no exception.
    let level = format_ident!("allow");
    let Arguments { events, state } = arguments;
    let values: Vec<_> = (0..state.len())
        .map(|it| format_ident!("state_{it}"))
        .collect();
    // A function that returns something else is an error at its return type.
    let call = quote_spanned! {function.sig.output.span()=>
        let __ended: ::core::result::Result<(), _> = #ident(__events #(, #values?)*).await;
    };
    quote! {
        #docs
        #[#level(non_camel_case_types, reason = "the processor has the name of its function")]
        #[derive(Clone, Copy, Debug)]
        #visibility struct #ident;

        impl #library::IntoProcessor for #ident {
            type Events = #events;

            fn options(&self) -> #library::ProcessorOptions {
                #options
            }

            fn check(
                &self,
                __state: &#library::StateMap,
            ) -> ::core::result::Result<(), #library::Error> {
                #(<#state as #library::FromState>::from_state(__state)?;)*
                ::core::result::Result::Ok(())
            }

            fn call(&self, __events: Self::Events, __state: &#library::StateMap) -> #library::Running {
                #function

                #(let #values = <#state as #library::FromState>::from_state(__state);)*
                ::std::boxed::Box::pin(async move {
                    #call
                    __ended.map_err(::core::convert::Into::<#library::BoxError>::into)
                })
            }
        }
    }
}

/// The processor's name, if none is given: the function's, without what makes it raw.
fn default_name(ident: &syn::Ident) -> String {
    let text = ident.to_string();
    let name = text.trim_start_matches("r#");
    debug_assert!(is_name(name) || !name.is_ascii(), "identifiers are names");
    name.to_owned()
}

#[cfg(test)]
mod tests;
