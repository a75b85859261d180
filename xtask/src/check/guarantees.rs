//! Each promise in the table of `GUARANTEES.md` names a test, in its last column, and the test exists.

use std::collections::BTreeSet;

use super::finding::Finding;
use super::tree::Tree;

/// Where the promises are.
const PROMISES: &str = "GUARANTEES.md";

/// Promises without a test; without the file, there are no promises.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(promises) = tree.text(PROMISES) else {
        return Vec::new();
    };
    let functions: BTreeSet<&str> = tree
        .texts(".rs")
        .flat_map(|(_, text)| functions_of(text))
        .collect();
    let mut found = Vec::new();
    let lines: Vec<&str> = promises.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let is_head = lines.get(index + 1).is_some_and(|next| is_rule(next));
        let Some(cell) = last_cell(line).filter(|_| !is_head && !is_rule(line)) else {
            continue;
        };
        let mut tests = cell.split('`').skip(1).step_by(2).peekable();
        if tests.peek().is_none() {
            let text = "a promise without a test; name one in backticks in the last column";
            found.push(Finding::in_line(PROMISES, index, text));
        }
        for test in tests {
            let function = test.rsplit("::").next().unwrap_or(test);
            if !functions.contains(function) {
                let text = format!("there is no `fn {function}`; write the test or mend its name");
                found.push(Finding::in_line(PROMISES, index, text));
            }
        }
    }
    found
}

/// The last column of a table's row.
fn last_cell(line: &str) -> Option<&str> {
    let row = line.trim().strip_prefix('|')?;
    row.strip_suffix('|').unwrap_or(row).rsplit('|').next()
}

/// Whether the line is the rule between a table's head and its rows.
fn is_rule(line: &str) -> bool {
    let line = line.trim();
    line.starts_with('|') && line.contains('-') && line.chars().all(|it| "|-: ".contains(it))
}

/// The names of the functions that are defined in a file.
fn functions_of(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let line = line.trim_start();
        let (before, after) = line.split_once("fn ")?;
        let is_definition = before
            .split_whitespace()
            .all(|word| matches!(word, "async" | "const" | "unsafe") || word.starts_with("pub"));
        let end = after.find(|it: char| !it.is_alphanumeric() && it != '_')?;
        after.get(..end).filter(|_| is_definition)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TESTS: &str =
        "    #[tokio::test]\n    async fn nothing_is_lost() {\n// fn in_a_comment() {\n";

    fn check_table(rows: &str) -> Vec<String> {
        let table = format!("# Promises\n\n| promise | test |\n|---|:--|\n{rows}\n");
        let tree = Tree::of(&[(PROMISES, &table), ("crates/drain/tests/crash.rs", TESTS)]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn without_the_file_nothing_is_promised() {
        assert_eq!(check(&Tree::default()), []);
    }

    #[test]
    fn a_promise_with_its_test_is_fine() {
        assert_eq!(
            check_table("| `XADD` is kept | `crash::nothing_is_lost` |"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_test_that_is_gone_is_found() {
        let found = check_table("| kept | `nothing_is_lost` |\n| once | `drain::in_a_comment` |");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("GUARANTEES.md:6: there is no `fn in_a_comment`"),
            "{found:?}"
        );
    }

    #[test]
    fn a_promise_without_a_test_is_found() {
        let found = check_table("| kept | see above |");
        assert!(
            found[0].starts_with("GUARANTEES.md:5: a promise without a test"),
            "{found:?}"
        );
    }
}
