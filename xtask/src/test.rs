//! `test`: all tests of the workspace, on the servers that `setup` provides.

use crate::error::Error;
use crate::setup;
use crate::shell::{cargo, run as run_command, succeeds};

/// Runs the tests, and the examples in the docs unless `args` choose some of the tests.
pub(crate) fn run(args: &[String]) -> Result<(), Error> {
    setup::run(false)?;
    let has_nextest = succeeds(cargo(&["nextest", "--version"]));
    let runner: &[&str] = if has_nextest {
        &["nextest", "run"]
    } else {
        &["test", "--all-targets"]
    };
    let mut tests = cargo(runner);
    if !chooses_packages(args) {
        tests.arg("--workspace");
    }
    tests.args(args);
    run_command(tests)?;
    if args.is_empty() {
        run_command(cargo(&["test", "--doc", "--workspace"]))?;
    }
    Ok(())
}

/// Whether the user names packages: `--workspace` would override them.
fn chooses_packages(args: &[String]) -> bool {
    args.iter()
        .any(|it| it.starts_with("-p") || it.starts_with("--package"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_package_is_not_overridden() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(chooses_packages(&words("-p tidegate-store")));
        assert!(chooses_packages(&words("--package=tidegate-store a_name")));
        assert!(!chooses_packages(&words("a_name --no-capture")));
    }
}
