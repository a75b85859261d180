use super::*;

fn refusal(attributes: TokenStream, item: TokenStream) -> String {
    expand(attributes, item).unwrap_err().to_string()
}

fn settle() -> TokenStream {
    quote! {
        async fn settle(mut orders: Events<Order>) -> Result<()> {
            Ok(())
        }
    }
}

#[test]
fn attributes_that_make_no_sense_are_refused_with_a_reason() {
    for (attributes, reason) in [
        (quote!(), "stream = \"orders\""),
        (quote!(stream = "two words"), "letters"),
        (quote!(stream = "a", stream = "b"), "twice"),
        (quote!(stream = "a", policy = "halt"), "`on_error`"),
        (
            quote!(stream = "a", on_error = "explode"),
            "\"dead_letter\"",
        ),
        (quote!(stream = "a", retry = "5"), "1s..1m"),
        (quote!(stream = "a", concurrency = "all"), "\"partition\""),
        (quote!(stream = "a", lanes = 4), "concurrency = \"key\""),
        (
            quote!(stream = "a", concurrency = "key", lanes = 0),
            "use 1 to",
        ),
        (quote!(stream = "a", prefetch = 1), "use 2 to"),
        (quote!(stream = "a", prefetch = 99usize), "use 2 to"),
    ] {
        let text = attributes.to_string();
        let refusal = refusal(attributes, settle());
        assert!(refusal.contains(reason), "{text}: {refusal}");
    }
}

#[test]
fn functions_that_can_be_no_processor_are_refused_with_a_reason() {
    for (item, reason) in [
        (
            quote!(
                struct Order;
            ),
            "async fn",
        ),
        (
            quote!(
                fn f(e: Events<O>) -> Result<()> {
                    Ok(())
                }
            ),
            "`async fn`",
        ),
        (
            quote!(
                async fn f() -> Result<()> {
                    Ok(())
                }
            ),
            "takes the events",
        ),
        (
            quote!(
                async fn f(e: Events<O>) {}
            ),
            "returns a `Result<()>`",
        ),
        (
            quote!(
                async fn f<R>(e: Events<R>) -> Result<()> {
                    Ok(())
                }
            ),
            "no generic",
        ),
        (
            quote!(
                async fn f(&self, e: Events<O>) -> Result<()> {
                    Ok(())
                }
            ),
            "free function",
        ),
        (
            quote!(
                async fn f(e: Events<O>, db: Db) -> Result<()> {
                    Ok(())
                }
            ),
            "`State<T>`s",
        ),
    ] {
        let text = item.to_string();
        let refusal = refusal(quote!(stream = "orders"), item);
        assert!(refusal.contains(reason), "{text}: {refusal}");
    }
}

#[test]
fn the_name_is_the_functions_unless_given() {
    let code = expand(quote!(stream = "orders"), settle())
        .unwrap()
        .to_string();
    assert!(code.contains("name : \"settle\""), "{code}");
    assert!(
        code.contains("impl :: tidegate :: __private :: IntoProcessor for settle"),
        "{code}"
    );
    let code = expand(quote!(stream = "orders", name = "billing"), settle())
        .unwrap()
        .to_string();
    assert!(code.contains("name : \"billing\""), "{code}");
}
