//! The workspace as Cargo sees it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use serde::Deserialize;

/// The target that programs for the board are built for.
pub(crate) const TARGET: &str = "armv7a-none-eabi";

/// Folders whose programs are components; everything else on the target belongs to the system.
const COMPONENTS: [&str; 2] = ["apps", "drivers"];
/// Folders whose packages have programs for the board.
const ON_TARGET: [&str; 5] = ["apps", "base", "bsp", "drivers", "platform"];

/// The workspace.
#[derive(Clone, Debug)]
pub(crate) struct Workspace {
    /// The folder of the root manifest.
    pub(crate) root: PathBuf,
    /// Cargo's target folder.
    pub(crate) target: PathBuf,
    /// Where Cargo keeps what it compiles on the way; the target folder, unless it is told otherwise.
    pub(crate) intermediate: PathBuf,
    /// Programs for the board: the package of each.
    programs: BTreeMap<String, Program>,
}

#[derive(Clone, Debug)]
struct Program {
    package: String,
    component: bool,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
    target_directory: PathBuf,
    build_directory: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

impl Workspace {
    /// Asks Cargo for the workspace that this program was built from.
    pub(crate) fn find() -> anyhow::Result<Self> {
        Self::at(&Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
    }

    /// Asks Cargo for the workspace that the package with this `manifest` belongs to.
    pub(crate) fn at(manifest: &Path) -> anyhow::Result<Self> {
        let output = cargo()
            .args(["metadata", "--no-deps", "--format-version=1", "--manifest-path"])
            .arg(manifest)
            .output()
            .context("cannot start cargo")?;
        if !output.status.success() {
            bail!("cargo metadata failed:\n{}", String::from_utf8_lossy(&output.stderr));
        }
        Self::from_metadata(&output.stdout)
    }

    fn from_metadata(json: &[u8]) -> anyhow::Result<Self> {
        let metadata: Metadata = serde_json::from_slice(json).context("cannot read what cargo metadata printed")?;
        let mut programs = BTreeMap::new();
        for package in &metadata.packages {
            let folder = package
                .manifest_path
                .strip_prefix(&metadata.workspace_root)
                .ok()
                .and_then(|path| path.components().next())
                .map(|part| part.as_os_str().to_string_lossy().into_owned())
                .unwrap_or_default();
            if !ON_TARGET.contains(&folder.as_str()) {
                continue;
            }
            let component = COMPONENTS.contains(&folder.as_str());
            for target in &package.targets {
                if target.kind.iter().any(|kind| kind == "bin") {
                    let program = Program { package: package.name.clone(), component };
                    programs.insert(target.name.clone(), program);
                }
            }
        }
        let Metadata { workspace_root: root, target_directory: target, build_directory: intermediate, .. } = metadata;
        Ok(Self { root, target, intermediate, programs })
    }

    /// The scenarios' folder.
    pub(crate) fn scenarios(&self) -> PathBuf {
        self.root.join("scenarios")
    }

    /// Where the unstripped `program` for the board is.
    pub(crate) fn program(&self, program: &str) -> PathBuf {
        self.target.join(TARGET).join("release").join(program)
    }

    /// Where what is built for scenarios goes.
    pub(crate) fn output(&self) -> PathBuf {
        self.target.join("zelkova")
    }

    /// The programs that a scenario may name.
    pub(crate) fn components(&self) -> Vec<String> {
        let components = self.programs.iter().filter(|(_, program)| program.component);
        components.map(|(name, _)| name.clone()).collect()
    }

    /// The package that `program` is built from.
    pub(crate) fn package(&self, program: &str) -> Option<&str> {
        self.programs.get(program).map(|program| program.package.as_str())
    }

    /// The packages with programs for the board, each once.
    pub(crate) fn target_packages(&self) -> Vec<&str> {
        let mut packages: Vec<&str> = self.programs.values().map(|program| program.package.as_str()).collect();
        packages.sort_unstable();
        packages.dedup();
        packages
    }
}

/// Cargo: the one that runs this program.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_sorted_by_folder() {
        let json = br#"{
            "workspace_root": "/w", "target_directory": "/t", "build_directory": "/t",
            "packages": [
                { "name": "z-sd", "manifest_path": "/w/drivers/sd/Cargo.toml",
                  "targets": [{ "name": "z_sd", "kind": ["lib"] }, { "name": "sd", "kind": ["bin"] }] },
                { "name": "z-core", "manifest_path": "/w/platform/core/Cargo.toml",
                  "targets": [{ "name": "core", "kind": ["bin"] }] },
                { "name": "xtask", "manifest_path": "/w/xtask/Cargo.toml",
                  "targets": [{ "name": "xtask", "kind": ["bin"] }] }
            ]
        }"#;
        let workspace = Workspace::from_metadata(json).unwrap();
        assert_eq!(workspace.components(), ["sd"]);
        assert_eq!(workspace.package("core"), Some("z-core"));
        assert_eq!(workspace.package("xtask"), None);
        assert_eq!(workspace.target_packages(), ["z-core", "z-sd"]);
    }
}
