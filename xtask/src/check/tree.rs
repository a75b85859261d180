//! The project's files, read once for all rules.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::error::Error;

/// Folders that are not the project's work.
const SKIPPED_FOLDERS: [&str; 3] = [".git", "target", "node_modules"];

/// The kinds of files whose text the rules look at.
const TEXT_ENDINGS: [&str; 3] = [".rs", ".md", ".toml"];

/// All files by their path from the root, with `/` between folders.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// The text of Rust, Markdown and TOML files; `None` for all others.
    files: BTreeMap<String, Option<String>>,
}

impl Tree {
    /// Reads the project under `root`.
    pub(super) fn read(root: &Path) -> Result<Self, Error> {
        let mut tree = Self::default();
        tree.read_folder(root, "")?;
        Ok(tree)
    }

    /// Each file with text, whose path has this ending.
    pub(super) fn texts(&self, ending: &str) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .filter(move |(path, _)| path.ends_with(ending))
            .filter_map(|(path, text)| Some((path.as_str(), text.as_deref()?)))
    }

    /// The text of one file.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.as_deref()
    }

    /// The paths of all files, also of those without text.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Whether there is such a file, or a folder with files; the root is the empty path.
    pub(super) fn has(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        path.is_empty()
            || self.files.contains_key(path)
            || self.paths().any(|it| it.starts_with(&folder))
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) -> Result<(), Error> {
        let unreadable = |source| Error::Unreadable {
            path: folder.to_owned(),
            source,
        };
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            if !entry.file_type().map_err(unreadable)?.is_dir() {
                let is_text = TEXT_ENDINGS.iter().any(|it| name.ends_with(it));
                let text = if is_text {
                    fs::read_to_string(entry.path()).ok()
                } else {
                    None
                };
                self.files.insert(path, text);
            } else if !SKIPPED_FOLDERS.contains(&name.as_str()) {
                self.read_folder(&entry.path(), &format!("{path}/"))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
impl Tree {
    /// A project made up for a test.
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let owned = |(path, text): &(&str, &str)| ((*path).to_owned(), Some((*text).to_owned()));
        Self {
            files: files.iter().map(owned).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_there_if_something_is_in_it() {
        let tree = Tree::of(&[("docs/keys.md", "")]);
        assert!(tree.has("docs") && tree.has("docs/keys.md") && tree.has(""));
        assert!(!tree.has("doc") && !tree.has("docs/keys"));
    }

    #[test]
    fn this_file_is_found_and_read() {
        let tree = Tree::read(&crate::shell::root()).unwrap();
        assert!(
            tree.text("xtask/src/check/tree.rs")
                .unwrap()
                .contains("this_file_is_found")
        );
        assert!(!tree.has("target"));
    }
}
