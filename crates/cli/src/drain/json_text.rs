//! The text of a JSON value, laid out for people.
//!
//! The tokens stay exactly as they are: a number that no float can hold is shown with all its
//! digits, and the keys keep their order.

/// How much an inner line is moved in.
const INDENT: &str = "  ";

/// Lays out a valid JSON text; another text comes out with other spaces and nothing lost.
pub(super) fn pretty(json: &str) -> String {
    let mut text = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let mut characters = json.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                text.push('"');
                while let Some(inner) = characters.next() {
                    text.push(inner);
                    match inner {
                        '\\' => text.extend(characters.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '{' | '[' => {
                text.push(character);
                while characters
                    .next_if(|next| next.is_ascii_whitespace())
                    .is_some()
                {}
                if let Some(close) = characters.next_if(|next| matches!(next, '}' | ']')) {
                    text.push(close);
                } else {
                    depth += 1;
                    break_line(&mut text, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                break_line(&mut text, depth);
                text.push(character);
            }
            ',' => {
                text.push(',');
                break_line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            space if space.is_ascii_whitespace() => {}
            other => text.push(other),
        }
    }
    text
}

fn break_line(text: &mut String, depth: usize) {
    text.push('\n');
    (0..depth).for_each(|_| text.push_str(INDENT));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn tokens_stay_as_they_are() {
        let json = r#"{"b":1.10e400,"a":[ ],"t":"x\",{: \\","n":[1,{"k":null}]}"#;
        let expected = "{\n  \"b\": 1.10e400,\n  \"a\": [],\n  \"t\": \"x\\\",{: \\\\\",\n  \"n\": [\n    1,\n    {\n      \"k\": null\n    }\n  ]\n}";
        assert_eq!(pretty(json), expected);
    }

    #[test]
    fn the_layout_is_that_of_serde() {
        let value: Value = json!({"a": [1, 2, {}], "b": {"c": "d"}, "e": [[], [true]]});
        let pretty_by_serde = serde_json::to_string_pretty(&value).expect("JSON");
        assert_eq!(pretty(&value.to_string()), pretty_by_serde);
        assert_eq!(pretty(&pretty_by_serde), pretty_by_serde);
    }
}
