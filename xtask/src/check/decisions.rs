//! Decisions are numbered: `docs/decisions/NNNN-title.md`, each number once.

use std::collections::BTreeMap;

use super::finding::Finding;
use super::tree::Tree;

/// Where the decisions are.
const FOLDER: &str = "docs/decisions/";

/// How many digits a number has.
const NUMBER_LENGTH: usize = 4;

/// Files with another name, or with a number that is taken.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut holders = BTreeMap::new();
    for path in tree.paths() {
        let Some(name) = path.strip_prefix(FOLDER) else {
            continue;
        };
        let Some(number) = number_of(name) else {
            let text = "is not named NNNN-title.md (digits; then small letters, digits, hyphens)";
            found.push(Finding::in_file(path, text));
            continue;
        };
        if let Some(holder) = holders.insert(number, name) {
            let text = format!("has the number of {holder}; take the next free one");
            found.push(Finding::in_file(path, text));
        }
    }
    found
}

/// The number in a well-formed name.
fn number_of(name: &str) -> Option<&str> {
    let (number, title) = name.strip_suffix(".md")?.split_once('-')?;
    let is_number = number.len() == NUMBER_LENGTH && number.bytes().all(|it| it.is_ascii_digit());
    let is_in_title = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-';
    (is_number && !title.is_empty() && title.bytes().all(is_in_title)).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_four_digits_and_a_title() {
        assert_eq!(number_of("0007-two-backends.md"), Some("0007"));
        for wrong in [
            "7-two.md",
            "0007.md",
            "0007-.md",
            "0007-Two.md",
            "0007-two.txt",
            "a/0007-b.md",
        ] {
            assert_eq!(number_of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_number_is_given_once() {
        let tree = Tree::of(&[
            ("docs/decisions/0001-a.md", ""),
            ("docs/decisions/0001-b.md", ""),
            ("docs/decisions/0002-c.md", ""),
        ]);
        let found: Vec<String> = check(&tree).iter().map(ToString::to_string).collect();
        let expected =
            "docs/decisions/0001-b.md: has the number of 0001-a.md; take the next free one";
        assert_eq!(found, [expected]);
    }
}
