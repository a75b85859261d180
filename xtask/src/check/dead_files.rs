//! Each Rust file of a crate's `src` is declared by its parent module.
//!
//! A file that nobody declares is not compiled: it rots unseen, and misleads whoever reads it.

use super::finding::Finding;
use super::tree::Tree;

/// Where a file's declaration is to be looked for.
struct Place<'a> {
    /// The module's name.
    module: &'a str,
    /// The files that may declare it; one of them must.
    parents: Vec<String>,
}

/// The files that no `mod` leads to.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let files = tree
        .texts(".rs")
        .filter_map(|(path, _)| Some((path, place_of(path)?)));
    files
        .filter(|(_, place)| !is_declared(tree, place))
        .map(|(path, place)| {
            let (module, parents) = (place.module, place.parents.join(" or "));
            let text = format!(
                "no `mod {module};` in {parents}, so it is never compiled; declare or delete it"
            );
            Finding::in_file(path, text)
        })
        .collect()
}

fn is_declared(tree: &Tree, place: &Place<'_>) -> bool {
    let texts = place.parents.iter().filter_map(|parent| tree.text(parent));
    texts
        .flat_map(str::lines)
        .any(|line| declares(line, place.module))
}

/// Whether the line is `mod name;` with any visibility.
fn declares(line: &str, module: &str) -> bool {
    let Some(start) = line.trim().strip_suffix(';') else {
        return false;
    };
    let Some((visibility, name)) = start.rsplit_once("mod ") else {
        return false;
    };
    let visibility = visibility.trim_end();
    name == module && (visibility.is_empty() || visibility.starts_with("pub"))
}

/// The place of a file's declaration; `None` for crate roots and files outside of `src`.
fn place_of(path: &str) -> Option<Place<'_>> {
    let (_, inside) = path.split_once("src/")?;
    let source = path.strip_suffix(inside)?;
    if !(source.starts_with("crates/") || source == "xtask/src/") {
        return None;
    }
    let module_path = inside.strip_suffix(".rs")?;
    let module_path = module_path.strip_suffix("/mod").unwrap_or(module_path);
    let (folder, module) = module_path.rsplit_once('/').unwrap_or(("", module_path));
    let is_root = match folder {
        "" => matches!(module, "lib" | "main"),
        "bin" => true,
        _ => folder.starts_with("bin/") && module == "main",
    };
    if is_root {
        return None;
    }
    let parents = match folder {
        "" => vec![format!("{source}lib.rs"), format!("{source}main.rs")],
        _ => ["/mod.rs", ".rs", "/main.rs"]
            .map(|end| format!("{source}{folder}{end}"))
            .into(),
    };
    let exists_only_for_programs = |parent: &String| {
        folder.starts_with("bin/") || folder.is_empty() || !parent.ends_with("/main.rs")
    };
    Some(Place {
        module,
        parents: parents
            .into_iter()
            .filter(exists_only_for_programs)
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_files_and_roots_are_alive() {
        let tree = Tree::of(&[
            ("crates/a/src/lib.rs", "mod b;\npub(crate) mod c;\n"),
            ("crates/a/src/b.rs", "pub mod d;"),
            ("crates/a/src/b/d.rs", ""),
            ("crates/a/src/c/mod.rs", "mod e;"),
            ("crates/a/src/c/e.rs", ""),
            ("crates/a/src/bin/tool.rs", ""),
            ("crates/a/src/bin/big/main.rs", "mod part;"),
            ("crates/a/src/bin/big/part.rs", ""),
            ("crates/a/tests/anything.rs", ""),
            ("examples/src/anything.rs", ""),
        ]);
        assert_eq!(check(&tree), []);
    }

    #[test]
    fn an_undeclared_file_is_found() {
        let tree = Tree::of(&[
            (
                "xtask/src/main.rs",
                "// mod dead;\nmod deadly;\nmod dead {}",
            ),
            ("xtask/src/dead.rs", ""),
            ("xtask/src/deadly.rs", ""),
            ("xtask/src/orphan/child.rs", ""),
        ]);
        let found: Vec<String> = check(&tree).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("xtask/src/dead.rs: no `mod dead;` in xtask/src/lib.rs or"));
        assert!(found[1].starts_with("xtask/src/orphan/child.rs: "));
    }
}
