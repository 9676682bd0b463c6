//! This source tree: where it is, what its scripts print, and the version of what the matrix tries.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use anyhow::bail;

/// What the results of the matrix depend on. Not `tests/kernels.toml`, where a line about one kernel
/// does not concern the others, and not prose.
const TRIED: [&str; 13] = [
    "Cargo.lock",
    "Cargo.toml",
    "bpf",
    "crates/guess",
    "crates/guesser",
    "crates/lab",
    "crates/netlink",
    "crates/shared",
    "tests/harness",
    "tests/kernels",
    "tests/scenes",
    "tests/src",
    ":(exclude)*.md",
];

/// Its root: of the tree that this was built from.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Runs one of `scripts/`; returns the last line that it printed.
///
/// # Errors
/// If it fails; the message has its standard error.
pub fn script(name: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new(repository().join("scripts").join(name));
    let printed = stdout_of(command.args(arguments))?;
    Ok(printed.lines().last().unwrap_or_default().to_owned())
}

/// Runs a command; returns what it printed.
///
/// # Errors
/// If it fails; the message has its standard error.
pub fn stdout_of(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .output()
        .with_context(|| format!("start {command:?}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?}: {}: {}", output.status, said.trim_end());
    }
    String::from_utf8(output.stdout).with_context(|| format!("read what {command:?} printed"))
}

/// The version of this tree, as git describes it; `-dirty` if what is tried is not committed.
///
/// # Errors
/// If this is not a checkout.
pub fn version() -> anyhow::Result<String> {
    version_of(&repository())
}

fn version_of(root: &Path) -> anyhow::Result<String> {
    let described = stdout_of(git(root).args(["describe", "--always"]))?;
    let changes = stdout_of(git(root).args(["status", "--porcelain", "--"]).args(TRIED))?;
    let mark = if changes.is_empty() { "" } else { "-dirty" };
    Ok(format!("{}{mark}", described.trim()))
}

/// Is what is tried now the same as in a version? Not if git does not know the version.
///
/// # Errors
/// If git cannot be started.
pub fn is_as_in(version: &str) -> anyhow::Result<bool> {
    is_tree_as_in(&repository(), version)
}

fn is_tree_as_in(root: &Path, version: &str) -> anyhow::Result<bool> {
    let mut git = git(root);
    git.args(["diff", "--quiet", version, "--"]).args(TRIED);
    let output = git.output().with_context(|| format!("start {git:?}"))?;
    Ok(output.status.success())
}

fn git(root: &Path) -> Command {
    let mut git = Command::new("git");
    git.arg("-C").arg(root);
    // Git hooks set these, and they override -C.
    for name in ["GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"] {
        git.env_remove(name);
    }
    git
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    fn commit(root: &Path, file: &str) -> String {
        fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
        fs::write(root.join(file), file).unwrap();
        stdout_of(git(root).args(["add", "."])).unwrap();
        let who = ["-c", "user.name=n", "-c", "user.email=e"];
        let what = ["commit", "--quiet", "--no-verify", "-m", file];
        stdout_of(git(root).args(who).args(what)).unwrap();
        version_of(root).unwrap()
    }

    #[test]
    fn only_what_is_tried_makes_another_version() {
        let directory = TempDir::new().unwrap();
        let root = directory.path();
        stdout_of(git(root).args(["init", "--quiet"])).unwrap();
        let first = commit(root, "bpf/guess.bpf.c");
        for file in ["docs/kernels.md", "bpf/README.md", "tests/kernels.toml"] {
            let second = commit(root, file);
            assert_ne!(first, second);
            assert!(is_tree_as_in(root, &first).unwrap(), "{file}");
        }
        let second = commit(root, "crates/guesser/src/lib.rs");
        assert!(!is_tree_as_in(root, &first).unwrap());
        assert!(is_tree_as_in(root, &second).unwrap());
        for unknown in ["0123abc", "abc-dirty"] {
            assert!(!is_tree_as_in(root, unknown).unwrap());
        }
    }

    #[test]
    fn uncommitted_changes_are_marked_if_they_are_tried() {
        let directory = TempDir::new().unwrap();
        let root = directory.path();
        stdout_of(git(root).args(["init", "--quiet"])).unwrap();
        let clean = commit(root, "bpf/guess.bpf.c");
        fs::write(root.join("page.md"), "written").unwrap();
        assert_eq!(version_of(root).unwrap(), clean);
        fs::write(root.join("bpf/another.bpf.c"), "new").unwrap();
        assert_eq!(version_of(root).unwrap(), format!("{clean}-dirty"));
        fs::remove_file(root.join("bpf/another.bpf.c")).unwrap();
        fs::write(root.join("bpf/guess.bpf.c"), "changed").unwrap();
        assert_eq!(version_of(root).unwrap(), format!("{clean}-dirty"));
        assert!(!is_tree_as_in(root, &clean).unwrap());
    }
}
