//! A copy of the tree to try things out in.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, ensure};

use crate::files::{read, write_if_changed};
use crate::workspace::Workspace;

/// The version of all packages of a copy.
const VERSION: &str = "0.0.0-copy";
/// What the tree's manifest says about the version of its packages.
const SECTION: &str = "[workspace.package]";
const KEY: &str = "\nversion = \"";

/// Copies what belongs to the tree of `workspace` to a folder of this `name` in the target folder, lets `change` change the
/// copy, and returns its root. What an earlier copy had more is removed.
///
/// Files that end as they were keep their time, so that Cargo does not take them for changed ones. The packages of the copy have
/// [another version](VERSION): Cargo tells packages of two trees apart by name, version and place below the root, and so those of the copy
/// from those of the tree, while what both have from the registry is compiled once if they [share the folder](share) for that.
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
            // Cargo takes a folder without a manifest for a broken package. One that is not empty stays.
            let mut emptied = path.ancestors().skip(1).take_while(|folder| *folder != root);
            while emptied.next().is_some_and(|folder| std::fs::remove_dir(folder).is_ok()) {}
        }
    }

    let manifest = root.join("Cargo.toml");
    let text = std::fs::read_to_string(&manifest).with_context(|| manifest.display().to_string())?;
    write_if_changed(&manifest, with_version(&text)?.as_bytes())?;
    let manifest = root.join("xtask/Cargo.toml");
    change(&Workspace::at(&manifest)?)?;
    before.iter().try_for_each(File::keep_time)?;
    Ok(root)
}

/// Lets Cargo, run in a copy of `workspace`, put its results into the folder `scratch/target`, and share with the tree what it
/// compiles on the way.
pub(crate) fn share(workspace: &Workspace, cargo: &mut Command) {
    cargo.env("CARGO_TARGET_DIR", workspace.output().join("scratch/target"));
    cargo.env("CARGO_BUILD_BUILD_DIR", &workspace.intermediate);
}

/// `manifest`, the tree's, with another version for all its packages.
fn with_version(manifest: &str) -> anyhow::Result<String> {
    let (before, behind) = manifest.split_once(SECTION).with_context(|| format!("no {SECTION:?} in Cargo.toml"))?;
    let (between, behind) = behind.split_once(KEY).with_context(|| format!("no version behind {SECTION:?}"))?;
    let (_, behind) = behind.split_once('"').context("the version in Cargo.toml does not end")?;
    Ok(format!("{before}{SECTION}{between}{KEY}{VERSION}\"{behind}"))
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
