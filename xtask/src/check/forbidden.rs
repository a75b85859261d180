//! Words that must not stay: unfinished code, silenced lints, and one machine's own paths.
//!
//! The words are written here in pieces, so that the rule does not find itself.

use super::finding::Finding;
use super::tree::Tree;

/// Words forbidden in Rust files, each with what to do instead.
const IN_RUST: [(&str, &str); 4] = [
    (
        concat!("to", "do!"),
        "write it, or return an error that says it cannot be done",
    ),
    (
        concat!("unimple", "mented!"),
        "write it, or return an error that says it cannot be done",
    ),
    (
        concat!("#[al", "low("),
        "use `#[expect(lint, reason = \"…\")]`, which ends with its reason",
    ),
    (
        concat!("#![al", "low("),
        "use `#![expect(lint, reason = \"…\")]`, which ends with its reason",
    ),
];

/// The folder of somebody's machine, forbidden in every text.
const MACHINE_PATH: &str = concat!("/wo", "rk/");

/// Forbidden words, by line.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let files = tree.texts("");
    files
        .flat_map(|(path, text)| {
            text.lines().enumerate().flat_map(move |(index, line)| {
                judge(path.ends_with(".rs"), line)
                    .map(move |problem| Finding::in_line(path, index, problem))
            })
        })
        .collect()
}

fn judge(is_rust: bool, line: &str) -> impl Iterator<Item = String> {
    let words = IN_RUST
        .iter()
        .filter(move |(word, _)| is_rust && line.contains(word));
    let words = words.map(|(word, instead)| format!("`{word}` must not stay: {instead}"));
    let path = names_machine_path(line)
        .then(|| format!("`{MACHINE_PATH}` is a path of one machine; use a relative one"));
    words.chain(path)
}

/// Whether the line holds the path as an absolute one, not as a part of another path.
fn names_machine_path(line: &str) -> bool {
    line.match_indices(MACHINE_PATH).any(|(index, _)| {
        let before = line.get(..index).and_then(|it| it.chars().next_back());
        !before.is_some_and(|it| it.is_alphanumeric() || "._-}/".contains(it))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forbidden_words_are_found_in_rust_only() {
        let unfinished = format!("fn f() {{}}\nfn g() {{ {}() }}", IN_RUST[0].0);
        let silenced = format!("{}dead_code)]", IN_RUST[2].0);
        let tree = Tree::of(&[
            ("a.rs", &unfinished),
            ("b.rs", &silenced),
            ("c.md", &unfinished),
        ]);
        let found: Vec<String> = check(&tree).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].starts_with("a.rs:2: ") && found[1].starts_with("b.rs:1: "),
            "{found:?}"
        );
    }

    #[test]
    fn one_machines_path_is_found_everywhere_but_within_another_path() {
        assert!(names_machine_path(&format!("see `{MACHINE_PATH}main`")));
        assert!(names_machine_path(&format!("{MACHINE_PATH}main")));
        assert!(!names_machine_path(&format!(
            "crates/cli/src{MACHINE_PATH}plan.rs"
        )));
    }
}
