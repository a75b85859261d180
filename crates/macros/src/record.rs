//! `#[derive(Record)]`: from a struct and its `#[record(…)]` attributes to an `impl Record`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::{Data, DeriveInput, Error, Field, Fields, Ident, LitStr, Path, Result};

/// How the record looks as an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Native,
}

/// What the attributes of a struct say.
#[derive(Default)]
struct Attributes {
    /// A field's name, at the place where it was given.
    partition_by: Option<LitStr>,
    format: Option<Format>,
    /// Where `Record` and `record` are found.
    library: Option<Path>,
}

/// Writes the implementation.
///
/// # Errors
/// What the user has to change, at its place in the user's code.
pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let attributes = Attributes::of(input)?;
    let fields = named_fields(input)?;
    let library = match attributes.library {
        Some(path) => quote!(#path),
        None => quote!(::tidegate::__private),
    };
    let partition_key = match attributes.partition_by {
        Some(name) => {
            let field = find(&fields, &name)?;
            quote! {
                ::core::option::Option::Some(::std::borrow::Cow::Owned(
                    #library::record::python_repr(&self.#field),
                ))
            }
        }
        None => quote!(::core::option::Option::None),
    };
    let (encode, decode, from_json) = match attributes.format.unwrap_or(Format::Json) {
        Format::Json => (
            quote!(#library::record::encode_json(self, compression)),
            quote!(#library::record::decode_json(fields)),
            TokenStream::new(),
        ),
        Format::Native => (
            quote! {
                let _ = compression;
                #library::record::encode_native(self)
            },
            quote!(#library::record::decode_native(fields)),
            quote! {
                fn from_json(
                    json: &[u8],
                ) -> ::core::result::Result<Self, #library::record::BoxError> {
                    #library::record::read_json(json)
                }
            },
        ),
    };
    let name = &input.ident;
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics #library::Record for #name #type_generics #where_clause {
            fn partition_key(&self) -> ::core::option::Option<::std::borrow::Cow<'_, str>> {
                #partition_key
            }

            fn encode(
                &self,
                compression: #library::record::Compression,
            ) -> ::core::result::Result<
                ::std::vec::Vec<#library::record::Field>,
                #library::record::BoxError,
            > {
                #encode
            }

            fn decode(
                fields: &[#library::record::Field],
            ) -> ::core::result::Result<Self, #library::record::BoxError> {
                #decode
            }

            #from_json
        }
    })
}

impl Attributes {
    fn of(input: &DeriveInput) -> Result<Self> {
        let mut attributes = Self::default();
        let ours = input.attrs.iter().filter(|it| it.path().is_ident("record"));
        for attribute in ours {
            attribute.parse_nested_meta(|meta| attributes.read(&meta))?;
        }
        Ok(attributes)
    }

    /// Reads one `name = "value"`.
    fn read(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let twice = if meta.path.is_ident("partition_by") {
            self.partition_by.replace(text(meta)?).is_some()
        } else if meta.path.is_ident("format") {
            self.format.replace(format(&text(meta)?)?).is_some()
        } else if meta.path.is_ident("crate") {
            self.library.replace(text(meta)?.parse()?).is_some()
        } else {
            return Err(meta.error("expected `partition_by`, `format` or `crate`"));
        };
        if twice {
            return Err(meta.error("is given twice"));
        }
        Ok(())
    }
}

fn text(meta: &ParseNestedMeta<'_>) -> Result<LitStr> {
    meta.value()?.parse()
}

fn format(name: &LitStr) -> Result<Format> {
    match name.value().as_str() {
        "json" => Ok(Format::Json),
        "native" => Ok(Format::Native),
        _ => Err(Error::new(
            name.span(),
            "the format of a record is \"json\" or \"native\"",
        )),
    }
}

/// The struct's fields.
fn named_fields(input: &DeriveInput) -> Result<Vec<&Field>> {
    match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => Ok(fields.named.iter().collect()),
            Fields::Unnamed(_) | Fields::Unit => Err(Error::new(
                input.ident.span(),
                "a record is a struct with named fields",
            )),
        },
        Data::Enum(_) | Data::Union(_) => Err(Error::new(
            input.ident.span(),
            "only a struct can be a record; give the struct a field of this type",
        )),
    }
}

/// The field that `partition_by` names.
fn find<'a>(fields: &[&'a Field], name: &LitStr) -> Result<&'a Ident> {
    let wanted = name.value();
    let mut idents = fields.iter().filter_map(|field| field.ident.as_ref());
    idents
        .find(|ident| ident.to_string().trim_start_matches("r#") == wanted)
        .ok_or_else(|| {
            let names: Vec<String> = fields
                .iter()
                .filter_map(|field| field.ident.as_ref())
                .map(|ident| format!("`{ident}`"))
                .collect();
            let names = if names.is_empty() {
                "it has none".to_owned()
            } else {
                format!("it has {}", names.join(", "))
            };
            Error::new(
                name.span(),
                format!("the record has no field `{wanted}`; {names}"),
            )
        })
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    fn refusal(input: &DeriveInput) -> String {
        expand(input).unwrap_err().to_string()
    }

    #[test]
    fn a_partition_by_that_is_no_field_is_refused_with_the_fields_that_there_are() {
        let refusal = refusal(&parse_quote! {
            #[record(partition_by = "order")]
            struct Order { order_id: u64, amount: i64 }
        });
        assert_eq!(
            refusal,
            "the record has no field `order`; it has `order_id`, `amount`"
        );
    }

    #[test]
    fn what_is_no_struct_with_named_fields_is_refused() {
        assert!(
            refusal(&parse_quote!(
                enum Order {
                    A,
                }
            ))
            .contains("only a struct")
        );
        for input in [
            parse_quote!(
                struct Order(u8);
            ),
            parse_quote!(
                struct Order;
            ),
        ] {
            assert_eq!(refusal(&input), "a record is a struct with named fields");
        }
    }

    #[test]
    fn unknown_and_repeated_attributes_are_refused() {
        let unknown = refusal(&parse_quote! { #[record(key = "a")] struct A { a: u8 } });
        assert!(unknown.contains("`partition_by`"), "{unknown}");
        let format = refusal(&parse_quote! { #[record(format = "xml")] struct A { a: u8 } });
        assert!(format.contains("\"native\""), "{format}");
        let twice = refusal(&parse_quote! {
            #[record(partition_by = "a", partition_by = "a")] struct A { a: u8 }
        });
        assert_eq!(twice, "is given twice");
        assert!(expand(&parse_quote! { #[record(format)] struct A { a: u8 } }).is_err());
    }

    #[test]
    fn the_code_refers_to_the_facade_unless_told_otherwise() {
        let code = expand(&parse_quote!(
            struct A {
                a: u8,
            }
        ))
        .unwrap()
        .to_string();
        assert!(
            code.contains(":: tidegate :: __private :: Record"),
            "{code}"
        );
        let code = expand(&parse_quote! { #[record(crate = "other::place")] struct A { a: u8 } });
        let code = code.unwrap().to_string();
        assert!(
            code.contains("impl other :: place :: Record for A"),
            "{code}"
        );
        assert!(!code.contains("tidegate"), "{code}");
    }
}
