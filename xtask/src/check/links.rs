//! Each relative link in Markdown leads to a file or a folder of the project.

use super::finding::Finding;
use super::tree::Tree;

/// Links that lead nowhere.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, text) in tree.texts(".md") {
        let mut in_code = false;
        for (index, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                in_code = !in_code;
            } else if !in_code {
                let dead = targets(line).filter(|target| !leads_somewhere(tree, path, target));
                found.extend(dead.map(|target| {
                    Finding::in_line(
                        path,
                        index,
                        format!("`{target}` does not exist; mend the link"),
                    )
                }));
            }
        }
    }
    found
}

/// The targets of a line's links, without titles: `[text](target "title")` and `[label]: target`.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    // What stands between backticks is code: every second part.
    let prose = line.split('`').step_by(2);
    let inline = prose.flat_map(|part| {
        part.split("](")
            .skip(1)
            .filter_map(|it| it.split(')').next())
    });
    let labelled = line
        .starts_with('[')
        .then(|| line.split_once("]: "))
        .flatten();
    inline
        .chain(labelled.map(|(_, target)| target))
        .filter_map(|it| it.split_whitespace().next())
}

fn leads_somewhere(tree: &Tree, from: &str, target: &str) -> bool {
    let path = target.split('#').next().unwrap_or_default();
    // An anchor alone, or an address with a scheme: neither is a file of ours.
    if path.is_empty() || path.split('/').next().is_some_and(|it| it.contains(':')) {
        return true;
    }
    resolve(from, path).is_some_and(|resolved| tree.has(&resolved))
}

/// The path from the root; `None` if it leads out of the project.
fn resolve(from: &str, target: &str) -> Option<String> {
    let mut folders: Vec<&str> = match target.starts_with('/') {
        true => Vec::new(),
        false => from
            .rsplit_once('/')
            .map_or(Vec::new(), |(folder, _)| folder.split('/').collect()),
    };
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                folders.pop()?;
            }
            name => folders.push(name),
        }
    }
    Some(folders.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(text: &str) -> Vec<String> {
        let tree = Tree::of(&[
            ("docs/guide.md", text),
            ("docs/keys.md", ""),
            ("src/lib.rs", ""),
        ]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn links_to_files_folders_anchors_and_other_sites_are_fine() {
        let text = "[a](keys.md#part) [b](../src/) [c](#here) [d](https://example.org/x.md)\n\
                    [e](./keys.md \"title\") [f](/src/lib.rs) [g](mailto:a@example.org) [h](..)\n\
                    `[code](nowhere.md)`\n```\n[code](nowhere.md)\n```\n[label]: keys.md\n";
        assert_eq!(check_text(text), Vec::<String>::new());
    }

    #[test]
    fn a_dead_link_is_found_in_its_line() {
        let found = check_text("fine\n[a](key.md) [b](keys.md)\n[label]: ../../outside.md\n");
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].starts_with("docs/guide.md:2: `key.md`"),
            "{found:?}"
        );
        assert!(
            found[1].starts_with("docs/guide.md:3: `../../outside.md`"),
            "{found:?}"
        );
    }
}
