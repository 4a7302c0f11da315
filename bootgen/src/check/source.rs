//! Images in files.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use bootimage::Source;

/// A file that an image is read from, piece by piece.
#[derive(Debug)]
pub struct FileSource {
    file: File,
    length: u64,
}

impl FileSource {
    /// Opens `path`.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened, or has no length.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        // Block devices have no length by their metadata.
        let length = file.seek(SeekFrom::End(0))?;
        Ok(Self { file, length })
    }
}

impl Source for FileSource {
    type Error = io::Error;

    fn length(&self) -> u64 {
        self.length
    }

    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(offset))?;
        self.file.read_exact(buffer)
    }
}
