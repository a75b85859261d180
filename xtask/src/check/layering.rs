//! Dependencies between the project's crates run one way: down the layers of the design.

use std::cmp::Ordering;

use super::finding::Finding;
use super::tree::Tree;

/// The layers, the lowest first. Crates of one layer do not depend on one another.
const LAYERS: [&[&str]; 9] = [
    &["tidegate-macros"],
    &["tidegate-store"],
    &["tidegate-cluster"],
    &["tidegate-streams"],
    &["tidegate-drain", "tidegate-tasks"],
    &["tidegate-dramatiq"],
    &["tidegate-console"],
    &["tidegate", "tidegate-settings", "tidegate-traces"],
    &["tidegate-cli", "tidegate-gateway"],
];

/// Starts real servers; belongs into the tests and benches of others.
const TESTKIT: &str = "tidegate-testkit";

/// Measures everything, and so may depend on everything.
const BENCH: &str = "tidegate-bench";

/// An application as any user's would be: of ours, it knows the facade alone.
const GATEWAY: &str = "tidegate-gateway";
const FACADE: &str = "tidegate";

/// Dependencies that run up, sideways, or to a crate without a layer.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let manifests = tree
        .texts("/Cargo.toml")
        .filter(|(path, _)| path.starts_with("crates/"));
    manifests
        .flat_map(|(path, text)| judge(path, text))
        .collect()
}

fn judge(path: &str, text: &str) -> Vec<Finding> {
    let manifest: toml::Table = match text.parse() {
        Ok(manifest) => manifest,
        Err(error) => {
            return vec![Finding::in_file(
                path,
                format!("is not valid TOML: {error}"),
            )];
        }
    };
    let name = manifest
        .get("package")
        .and_then(|it| it.get("name"))
        .and_then(|it| it.as_str());
    let Some(name) = name else {
        return vec![Finding::in_file(path, "has no package name; give it one")];
    };
    own_dependencies(&manifest)
        .into_iter()
        .filter_map(|(key, dependency)| {
            let problem = problem(name, &dependency)?;
            let line = text
                .lines()
                .position(|line| line.trim_start().starts_with(&key));
            Some(Finding::in_line(path, line.unwrap_or(0), problem))
        })
        .collect()
}

/// What the manifest depends on outside of its tests: each by its key and its package's name.
fn own_dependencies(manifest: &toml::Table) -> Vec<(String, String)> {
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let targets = targets
        .into_iter()
        .flat_map(toml::Table::values)
        .filter_map(|it| it.as_table());
    let mut found = Vec::new();
    for owner in std::iter::once(manifest).chain(targets) {
        for section in ["dependencies", "build-dependencies"] {
            let Some(section) = owner.get(section).and_then(toml::Value::as_table) else {
                continue;
            };
            for (key, value) in section {
                let renamed = value.get("package").and_then(toml::Value::as_str);
                let package = renamed.unwrap_or(key);
                if package == FACADE || package.starts_with("tidegate-") {
                    found.push((key.clone(), package.to_owned()));
                }
            }
        }
    }
    found
}

/// Why `name` may not depend on `dependency`, if so.
fn problem(name: &str, dependency: &str) -> Option<String> {
    if name == BENCH {
        return None;
    }
    if dependency == TESTKIT {
        return Some(format!(
            "{TESTKIT} is for tests: move it to [dev-dependencies]"
        ));
    }
    if dependency == BENCH {
        return Some(format!(
            "{BENCH} measures other crates: nothing depends on it"
        ));
    }
    if name == TESTKIT {
        return Some(format!(
            "{TESTKIT} stands beside the layers: it uses none of {dependency}"
        ));
    }
    let unplaced = |it| {
        Some(format!(
            "{it} has no layer; give it one in xtask's `layering.rs`"
        ))
    };
    let Some(own) = layer_of(name) else {
        return unplaced(name);
    };
    let Some(other) = layer_of(dependency) else {
        return unplaced(dependency);
    };
    match own.cmp(&other) {
        Ordering::Greater if name == GATEWAY && dependency != FACADE => Some(format!(
            "{GATEWAY} uses {FACADE} and nothing below it, as a user's service would"
        )),
        Ordering::Greater => None,
        Ordering::Equal => Some(format!(
            "{name} and {dependency} are of one layer: move what both need down"
        )),
        Ordering::Less => Some(format!(
            "{dependency} is above {name}: turn the dependency round"
        )),
    }
}

fn layer_of(name: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn down_is_allowed_up_and_sideways_are_not() {
        assert_eq!(problem("tidegate-drain", "tidegate-streams"), None);
        assert_eq!(problem("tidegate-cli", "tidegate-store"), None);
        assert!(
            problem("tidegate-store", "tidegate-drain")
                .unwrap()
                .contains("above")
        );
        assert!(
            problem("tidegate-tasks", "tidegate-drain")
                .unwrap()
                .contains("one layer")
        );
    }

    #[test]
    fn each_special_crate_has_its_rule() {
        assert_eq!(problem("tidegate-bench", "tidegate-testkit"), None);
        assert_eq!(problem("tidegate-gateway", "tidegate"), None);
        assert!(problem("tidegate-gateway", "tidegate-store").is_some());
        assert!(problem("tidegate-testkit", "tidegate-store").is_some());
        assert!(problem("tidegate-cli", "tidegate-bench").is_some());
        assert!(
            problem("tidegate-new", "tidegate-store")
                .unwrap()
                .contains("no layer")
        );
    }

    #[test]
    fn only_dev_dependencies_may_name_the_testkit() {
        let manifest = "[package]\nname = \"tidegate-store\"\n\n[dependencies]\nurl = \"2\"\n\
                        kit = { package = \"tidegate-testkit\", path = \"../testkit\" }\n\n\
                        [dev-dependencies]\ntidegate-testkit.workspace = true\n";
        let tree = Tree::of(&[("crates/store/Cargo.toml", manifest)]);
        let found = check(&tree);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0]
                .to_string()
                .starts_with("crates/store/Cargo.toml:6: "),
            "{}",
            found[0]
        );
    }
}
