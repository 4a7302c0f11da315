//! Reading and writing files, with their names in errors.

use std::path::Path;

use anyhow::Context;

/// What is in a file.
///
/// # Errors
///
/// It cannot be read.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| path.display().to_string())
}

/// Writes a file, and makes its folder. One that has the right contents is left alone, for those who watch its time stamp.
///
/// # Errors
///
/// It cannot be written.
pub(crate) fn write_if_changed(path: &Path, contents: &[u8]) -> anyhow::Result<()> {
    if std::fs::read(path).is_ok_and(|old| old == contents) {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
    }
    std::fs::write(path, contents).with_context(|| path.display().to_string())
}
