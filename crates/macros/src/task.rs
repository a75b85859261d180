//! `#[task(…)]`: from an `async fn` to a value of its name that is a task.
//!
//! ```text
//! attributes ─► Attributes (checked) ─┐
//! async fn ───► Arguments (checked) ──┴─► struct + impl Task + fn enqueue, the function inside
//! ```

mod attributes;
mod times;

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Error, FnArg, ItemFn, Result, ReturnType, Type, parse_quote};

use self::attributes::Attributes;

/// Writes the struct and its implementation.
///
/// # Errors
/// What the user has to change, at its place in the user's code.
pub(crate) fn expand(attributes: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let function: ItemFn =
        syn::parse2(item).map_err(|error| Error::new(error.span(), "a task is an async fn"))?;
    let attributes = Attributes::parse(attributes)?;
    let arguments = arguments_of(&function)?;
    if let (true, Some(given)) = (attributes.is_scheduled(), &arguments.arguments) {
        return Err(Error::new(
            given.span(),
            "a task with `cron` or `every` takes no arguments: nobody could give them",
        ));
    }
    Ok(write(&attributes, function, &arguments))
}

/// What the function takes.
struct Arguments {
    /// Whether it takes a `TaskContext`.
    context: bool,
    arguments: Option<Type>,
    state: Vec<Type>,
}

fn arguments_of(function: &ItemFn) -> Result<Arguments> {
    let signature = &function.sig;
    let refuse = |span, why: &str| Err(Error::new(span, why));
    if signature.asyncness.is_none() {
        return refuse(signature.fn_token.span(), "a task is an `async fn`");
    }
    if !signature.generics.params.is_empty() || signature.generics.where_clause.is_some() {
        let span = signature.generics.span();
        return refuse(span, "a task has no generic parameters: name its arguments");
    }
    if signature.abi.is_some() || signature.variadic.is_some() {
        return refuse(signature.span(), "a task is an ordinary `async fn`");
    }
    if matches!(signature.output, ReturnType::Default) {
        let span = signature.ident.span();
        return refuse(span, "a task returns a `Result`: how else could it fail?");
    }
    let mut types = Vec::new();
    for argument in &signature.inputs {
        match argument {
            FnArg::Typed(argument) => types.push((*argument.ty).clone()),
            FnArg::Receiver(receiver) => {
                return refuse(
                    receiver.span(),
                    "a task is a free function: ask for `State<T>` instead of `self`",
                );
            }
        }
    }
    let mut types = types.into_iter().peekable();
    let context = types.next_if(|it| is_named(it, "TaskContext")).is_some();
    let arguments = types.next_if(|it| !is_named(it, "State"));
    let state: Vec<Type> = types.collect();
    if let Some(other) = state.iter().find(|it| !is_named(it, "State")) {
        return refuse(
            other.span(),
            "a task takes a `TaskContext`, one value with all its arguments, and then `State<T>`s: \
             put several arguments into a struct",
        );
    }
    Ok(Arguments {
        context,
        arguments,
        state,
    })
}

/// Whether the type's last word is this one.
fn is_named(written: &Type, name: &str) -> bool {
    let Type::Path(path) = written else {
        return false;
    };
    let last = path.path.segments.last();
    last.is_some_and(|last| last.ident == name)
}

/// The documentation of the function, for what takes its name.
fn take_docs(function: &mut ItemFn) -> TokenStream {
    let attributes = function.attrs.drain(..);
    let (docs, others): (Vec<Attribute>, Vec<Attribute>) =
        attributes.partition(|attribute| attribute.path().is_ident("doc"));
    function.attrs = others;
    if docs.is_empty() {
        let doc = format!("The task `{}`.", function.sig.ident);
        return quote!(#[doc = #doc]);
    }
    quote!(#(#docs)*)
}

fn write(attributes: &Attributes, mut function: ItemFn, arguments: &Arguments) -> TokenStream {
    let library = attributes.library();
    let ident = function.sig.ident.clone();
    let visibility = std::mem::replace(&mut function.vis, syn::Visibility::Inherited);
    let docs = take_docs(&mut function);
    let options = attributes.options(&ident);
    // Not `expect`, which warns in the user's code above a name that needs no exception.
    let level = format_ident!("allow");
    let given: Type = match &arguments.arguments {
        Some(given) => given.clone(),
        None => parse_quote!(()),
    };
    let state = &arguments.state;
    let values: Vec<_> = (0..state.len())
        .map(|it| format_ident!("state_{it}"))
        .collect();
    let context = arguments.context.then(|| quote!(__context,));
    let passed = arguments.arguments.as_ref().map(|_| quote!(__arguments,));
    let (enqueue, enqueued) = match &arguments.arguments {
        Some(given) => (quote!(arguments: #given), quote!(arguments)),
        None => (quote!(), quote!(())),
    };
    // A function that returns something else is an error at its return type.
    let call = quote_spanned! {function.sig.output.span()=>
        let __ended: ::core::result::Result<_, _> = #ident(#context #passed #(#values?,)*).await;
    };
    quote! {
        #docs
        #[#level(non_camel_case_types, reason = "the task has the name of its function")]
        #[derive(Clone, Copy, Debug)]
        #visibility struct #ident;

        impl #ident {
            /// A task with these arguments, to be changed and sent.
            #[#level(dead_code, reason = "a scheduled task is enqueued by itself")]
            #visibility fn enqueue(#enqueue) -> #library::Enqueue {
                #library::Enqueue::of(&#ident, #enqueued)
            }
        }

        impl #library::Task for #ident {
            type Arguments = #given;

            fn options(&self) -> #library::TaskOptions {
                #options
            }

            fn check(
                &self,
                __state: &#library::StateMap,
            ) -> ::core::result::Result<(), #library::StateError> {
                #(<#state as #library::FromState>::from_state(__state)?;)*
                ::core::result::Result::Ok(())
            }

            fn call(
                &self,
                __context: #library::TaskContext,
                __arguments: Self::Arguments,
                __state: &#library::StateMap,
            ) -> #library::Running {
                #function

                #(let #values = <#state as #library::FromState>::from_state(__state);)*
                ::std::boxed::Box::pin(async move {
                    #call
                    match __ended {
                        ::core::result::Result::Ok(__result) => #library::encode_result(&__result),
                        ::core::result::Result::Err(__error) => ::core::result::Result::Err(
                            ::core::convert::Into::<#library::BoxError>::into(__error),
                        ),
                    }
                })
            }
        }
    }
}

#[cfg(test)]
mod tests;
