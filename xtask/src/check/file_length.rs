//! A file is short, or says why it is long.

use super::finding::Finding;
use super::tree::Tree;

/// Above this many lines a file is noted: look for a seam.
const LINES_NOTED_ABOVE: usize = 400;

/// Above this many lines a file must explain itself.
const LINES_EXPLAINED_ABOVE: usize = 600;

/// The word that the explanation is recognised by.
const EXPLANATION: &str = "long";

/// Files above the limits.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.texts(".rs")
        .filter_map(|(path, text)| judge(path, text))
        .collect()
}

fn judge(path: &str, text: &str) -> Option<Finding> {
    let lines = text.lines().count();
    if lines > LINES_EXPLAINED_ABOVE && !is_explained(text) {
        let text = format!(
            "{lines} lines: split it, or let its `//!` doc say why it is {EXPLANATION} (above \
             {LINES_EXPLAINED_ABOVE} it must)"
        );
        return Some(Finding::in_file(path, text));
    }
    (lines > LINES_NOTED_ABOVE).then(|| Finding::note(path, format!("{lines} lines")))
}

fn is_explained(text: &str) -> bool {
    let doc = text
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("//!"));
    doc.flat_map(|line| line.split(|it: char| !it.is_alphanumeric()))
        .any(|it| it == EXPLANATION)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(doc: &str, lines: usize) -> String {
        format!("//! {doc}\n{}", "//\n".repeat(lines - 1))
    }

    #[test]
    fn a_file_within_the_limit_is_not_mentioned() {
        assert_eq!(judge("a.rs", &file("A part.", 400)), None);
    }

    #[test]
    fn a_file_above_the_first_limit_is_noted() {
        assert!(!judge("a.rs", &file("A part.", 401)).unwrap().is_wrong());
        assert!(!judge("a.rs", &file("A part.", 600)).unwrap().is_wrong());
    }

    #[test]
    fn a_file_above_the_second_limit_must_explain_itself() {
        assert!(
            judge("a.rs", &file("A part that belongs to us.", 601))
                .unwrap()
                .is_wrong()
        );
        assert!(
            !judge("a.rs", &file("It is long: one table.", 601))
                .unwrap()
                .is_wrong()
        );
    }
}
