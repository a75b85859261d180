use super::*;

fn refusal(attributes: TokenStream, item: TokenStream) -> String {
    expand(attributes, item).unwrap_err().to_string()
}

fn send() -> TokenStream {
    quote! {
        async fn send(ctx: TaskContext, webhook: Webhook) -> Result<()> {
            Ok(())
        }
    }
}

#[test]
fn attributes_that_make_no_sense_are_refused_with_a_reason() {
    for (attributes, reason) in [
        (quote!(queue = "two words"), "can't name a queue"),
        (quote!(queue = "7days"), "begin with a letter"),
        (quote!(queue = "a", queue = "b"), "twice"),
        (quote!(name = ""), "letters"),
        (quote!(retries = 3), "`max_retries`"),
        (quote!(max_retries = -1), "use 0 to"),
        (quote!(max_retries = 3usize), "use 0 to"),
        (quote!(backoff = "5s"), "5s..1h"),
        (quote!(backoff = "1h..5s"), "turn them round"),
        (quote!(backoff = "0s..5s"), "1ms to 30d"),
        (quote!(time_limit = "soon"), "is no duration"),
        (quote!(time_limit = "0s"), "use 1ms to"),
        (quote!(max_age = "1 year"), "is no duration"),
        (quote!(priority = "urgent"), "\"high\""),
        (quote!(on_unknown = "pray"), "\"park\""),
        (quote!(concurrency = 0), "use 1 to"),
        (quote!(result = "1ms"), "use 1s to"),
    ] {
        let text = attributes.to_string();
        let refusal = refusal(attributes, send());
        assert!(refusal.contains(reason), "{text}: {refusal}");
    }
}

#[test]
fn times_that_make_no_sense_are_refused_with_a_reason() {
    let item = || {
        quote!(
            async fn tick() -> Result<()> {
                Ok(())
            }
        )
    };
    for (attributes, reason) in [
        (quote!(cron = "0 0 30 2 *"), "it never happens"),
        (quote!(cron = "61 * * * *"), "the cron expression"),
        (
            quote!(cron = "* * * * *", every = "1s"),
            "exclude each other",
        ),
        (quote!(every = "1s", time_zone = "UTC"), "is for `cron`"),
        (quote!(every = "1ms"), "use 100ms to"),
        (quote!(overlap = "skip"), "`cron` or `every`"),
        (quote!(every = "1s", missed = "some"), "\"once\""),
    ] {
        let text = attributes.to_string();
        let refusal = refusal(attributes, item());
        assert!(refusal.contains(reason), "{text}: {refusal}");
    }
    let refusal = refusal(quote!(every = "1s"), send());
    assert!(refusal.contains("takes no arguments"), "{refusal}");
}

#[test]
fn functions_that_can_be_no_task_are_refused_with_a_reason() {
    for (item, reason) in [
        (
            quote!(
                struct Webhook;
            ),
            "async fn",
        ),
        (
            quote!(
                fn f(w: Webhook) -> Result<()> {
                    Ok(())
                }
            ),
            "`async fn`",
        ),
        (
            quote!(
                async fn f(w: Webhook) {}
            ),
            "returns a `Result`",
        ),
        (
            quote!(
                async fn f<T>(w: T) -> Result<()> {
                    Ok(())
                }
            ),
            "no generic",
        ),
        (
            quote!(
                async fn f(&self) -> Result<()> {
                    Ok(())
                }
            ),
            "free function",
        ),
        (
            quote!(
                async fn f(a: u32, b: u32) -> Result<()> {
                    Ok(())
                }
            ),
            "into a struct",
        ),
    ] {
        let text = item.to_string();
        let refusal = refusal(quote!(), item);
        assert!(refusal.contains(reason), "{text}: {refusal}");
    }
}

#[test]
fn the_name_is_the_functions_unless_given() {
    let code = expand(quote!(queue = "webhooks"), send())
        .unwrap()
        .to_string();
    assert!(code.contains("name : \"send\""), "{code}");
    assert!(
        code.contains("impl :: tidegate :: tasks :: Task for send"),
        "{code}"
    );
    let code = expand(quote!(name = "webhook"), send())
        .unwrap()
        .to_string();
    assert!(code.contains("name : \"webhook\""), "{code}");
}
