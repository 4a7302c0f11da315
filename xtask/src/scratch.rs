//! A copy of the tree to try things out in.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, ensure};

use crate::files::{read, write_if_changed};
use crate::workspace::Workspace;

/// Copies what belongs to the tree of `workspace` to a folder of this `name` in the target folder, lets `change` change the
/// copy, and returns its root. What an earlier copy had more is removed.
///
/// Files that end as they were keep their time, so that Cargo does not take them for changed ones. The copy must not share the
/// tree's target folder: Cargo tells the crates of two trees apart by their places below the root only.
///
/// # Errors
///
/// When Git cannot say what belongs to the tree, a file cannot be copied, or `change` fails.
pub(crate) fn copy(
    workspace: &Workspace,
    name: &str,
    change: impl FnOnce(&Workspace) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let root = workspace.output().join("scratch").join(name);
    std::fs::create_dir_all(&root).with_context(|| root.display().to_string())?;
    let mut before = Vec::new();
    files(&root, &mut before)?;
    let before: Vec<File> = before.into_iter().map(File::new).collect::<anyhow::Result<_>>()?;

    let mut wanted = belonging(&workspace.root)?;
    if root.starts_with(&workspace.root) {
        // Below the tree Cargo reads the tree's own settings anyhow, and would have them twice.
        wanted.remove(Path::new(".cargo/config.toml"));
    }
    for path in &wanted {
        write_if_changed(&root.join(path), &read(&workspace.root.join(path))?)?;
    }
    for File { path, .. } in &before {
        if path.strip_prefix(&root).is_ok_and(|path| !wanted.contains(path)) {
            std::fs::remove_file(path).with_context(|| path.display().to_string())?;
        }
    }

    let manifest = root.join("xtask/Cargo.toml");
    change(&Workspace::at(&manifest)?)?;
    before.iter().try_for_each(File::keep_time)?;
    Ok(root)
}

/// A file as it was.
struct File {
    path: PathBuf,
    contents: Vec<u8>,
    modified: SystemTime,
}

impl File {
    fn new(path: PathBuf) -> anyhow::Result<Self> {
        let contents = read(&path)?;
        let modified = std::fs::metadata(&path).and_then(|metadata| metadata.modified());
        let modified = modified.with_context(|| path.display().to_string())?;
        Ok(Self { path, contents, modified })
    }

    /// Gives the file its time back if it is as it was.
    fn keep_time(&self) -> anyhow::Result<()> {
        if std::fs::read(&self.path).is_ok_and(|contents| contents == self.contents) {
            let file = std::fs::File::options().write(true).open(&self.path);
            let kept = file.and_then(|file| file.set_modified(self.modified));
            kept.with_context(|| self.path.display().to_string())?;
        }
        Ok(())
    }
}

/// The files of the tree: those that Git knows, and new ones that it does not ignore.
fn belonging(root: &Path) -> anyhow::Result<BTreeSet<PathBuf>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root);
    let output = git.output().context("cannot start git")?;
    ensure!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).context("a file's name is no UTF-8")?;
    // Those that were removed and not yet committed are in the list as well.
    Ok(names.split_terminator('\0').map(PathBuf::from).filter(|path| root.join(path).is_file()).collect())
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            files(&path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}
