//! The kernel's source: where it comes from, and what is changed in it.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use sha2_host::{Digest, Sha256};

use crate::{
    error::{At, Error, Result},
    tools::Log,
};

const PACKAGE: &str = "sel4-sys";
const VERSION: &str = "0.0.28";

/// SHA-256 over the package's folder `seL4`, as [`copy`] computes it.
pub(crate) const HASH: &str = "7e3b6b3c610f75aea51a9b4e855f14ec757d96fc2cc7cee84ef2d69e979c4d6c";

/// Where the configuration header is in the source.
pub(crate) const AUTOCONF: &str = "include/plat/zynq7000/autoconf.h";

/// A text that is replaced in one of the source's files.
pub(crate) struct Patch {
    pub(crate) file: &'static str,
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
}

/// The `ZedBoard`'s RAM ends at 512 MiB. The kernel's table of RAM would have it hand out memory that does not exist.
pub(crate) const RAM_END: Patch = Patch {
    file: "include/plat/zynq7000/plat/machine/hardware.h",
    from: "/* .end = */ 0x40000000 }",
    to: "/* .end = */ 0x20000000 }",
};

impl Patch {
    /// Applies the patch in the source at `root`.
    ///
    /// # Errors
    ///
    /// [`Error::Patch`] if the file does not have the text exactly once.
    pub(crate) fn apply(&self, root: &Path) -> Result<()> {
        let path = root.join(self.file);
        let text = fs::read_to_string(&path).at("read", &path)?;
        let count = text.matches(self.from).count();
        if count != 1 {
            return Err(Error::Patch { path, text: self.from, count });
        }
        fs::write(&path, text.replace(self.from, self.to)).at("write", &path)
    }
}

/// Has Cargo fetch the package, and returns the directory where it unpacked it.
///
/// `scratch` is an empty directory for a manifest that depends on the package.
pub(crate) fn fetch(scratch: &Path, log: &Log) -> Result<PathBuf> {
    let what = "fetching the seL4 source with Cargo";
    let manifest = format!(
        "[package]\nname = \"sel4-source\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n\
         [lib]\npath = \"lib.rs\"\n\n[dependencies]\n{PACKAGE} = \"={VERSION}\"\n\n[workspace]\n"
    );
    for (name, text) in [("Cargo.toml", manifest.as_str()), ("lib.rs", "")] {
        let path = scratch.join(name);
        fs::write(&path, text).at("write", path)?;
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let metadata =
        log.run(what, Command::new(cargo).args(["metadata", "--format-version", "1"]).current_dir(scratch))?;
    let unexpected = |problem: String| Error::Output { what: what.into(), problem };
    let metadata: Value = serde_json::from_slice(&metadata).map_err(|error| unexpected(error.to_string()))?;
    metadata
        .get("packages")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .find(|package| package.get("name").and_then(Value::as_str) == Some(PACKAGE))
        .and_then(|package| Path::new(package.get("manifest_path")?.as_str()?).parent())
        .map(Path::to_path_buf)
        .ok_or_else(|| unexpected(format!("no package {PACKAGE} in the metadata")))
}

/// Copies the kernel's source out of the unpacked package to `to`, which must not exist.
///
/// # Errors
///
/// [`Error::SourceChanged`] if it is not what was released, besides those of reading and writing.
pub(crate) fn copy(package: &Path, to: &Path) -> Result<()> {
    let mut hash = Sha256::new();
    copy_directory(&package.join("seL4"), to, Path::new(""), &mut hash)?;
    let found = hex(&hash.finalize());
    if found == HASH { Ok(()) } else { Err(Error::SourceChanged { path: package.into(), found, expected: HASH }) }
}

/// Copies a directory and feeds its files in the order of their names to `hash`: path, length and content of each.
fn copy_directory(from: &Path, to: &Path, inner: &Path, hash: &mut Sha256) -> Result<()> {
    fs::create_dir(to).at("create", to)?;
    let entries = fs::read_dir(from).and_then(Iterator::collect::<std::io::Result<Vec<_>>>).at("read", from)?;
    let mut names: Vec<_> = entries.into_iter().map(|entry| entry.file_name()).collect();
    names.sort();
    for name in names {
        let (from, to, inner) = (from.join(&name), to.join(&name), inner.join(&name));
        if from.is_dir() {
            copy_directory(&from, &to, &inner, hash)?;
            continue;
        }
        let content = fs::read(&from).at("read", &from)?;
        for part in [inner.as_os_str().as_encoded_bytes(), &content] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        fs::write(&to, &content).at("write", &to)?;
        // The Makefile starts scripts directly; a vendored package may have lost the permission.
        let mode = if content.starts_with(b"#!") { 0o755 } else { 0o644 };
        fs::set_permissions(&to, fs::Permissions::from_mode(mode)).at("set the permissions of", to)?;
    }
    Ok(())
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Error, RAM_END, copy};

    #[test]
    fn patches_only_what_is_there_once() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join(RAM_END.file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        for count in [0, 2] {
            let text = RAM_END.from.repeat(count);
            fs::write(&file, &text).unwrap();
            let error = RAM_END.apply(root.path()).unwrap_err();
            assert!(matches!(error, Error::Patch { count: found, .. } if found == count), "{error}");
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
        }
        fs::write(&file, format!("a {} b", RAM_END.from)).unwrap();
        RAM_END.apply(root.path()).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), format!("a {} b", RAM_END.to));
    }

    #[test]
    fn refuses_a_changed_source() {
        let package = tempfile::tempdir().unwrap();
        fs::create_dir(package.path().join("seL4")).unwrap();
        fs::write(package.path().join("seL4/Makefile"), "all:").unwrap();
        let to = tempfile::tempdir().unwrap();
        let error = copy(package.path(), &to.path().join("source")).unwrap_err();
        assert!(matches!(error, Error::SourceChanged { .. }), "{error}");
    }
}
