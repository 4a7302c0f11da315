//! Where an image goes: one file or several, binary or as text.
//!
//! An image arrives as bytes with their place, in ascending order and with gaps. [`Sink`]s are put together: two
//! files for two flash chips are a [`Parallel`] or [`Stacked`] sink that distributes to two others, which are
//! [`Bin`] or [`Mcs`].

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

mod dual;
mod mcs;
mod split;

pub use dual::{Parallel, Stacked};
pub use mcs::Mcs;
pub use split::Split;

/// A file cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("writing {}: {error}", path.display())]
pub struct OutputError {
    /// The file.
    pub path: PathBuf,
    /// What the operating system says.
    pub error: io::Error,
}

/// Takes an image.
pub trait Sink {
    /// Says that what follows belongs to a segment of the file called `name`.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    fn partition(&mut self, name: &str, segment: usize, bootloader: bool) -> Result<(), OutputError> {
        let _ = (name, segment, bootloader);
        Ok(())
    }

    /// Takes bytes that lie at `place`, behind all that came before.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    fn write(&mut self, place: u64, bytes: &[u8]) -> Result<(), OutputError>;

    /// Ends the image.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    fn finish(&mut self) -> Result<(), OutputError>;
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The bytes; gaps are filled with this one.
    Bin {
        /// The byte.
        fill: u8,
    },
    /// MCS text; gaps are left out unless there is a byte for them.
    Mcs {
        /// The byte.
        fill: Option<u8>,
        /// Whether records may go beyond the 64 KiB that they begin in: see [`Mcs::create`].
        crosses: bool,
    },
}

impl Format {
    /// Creates a file.
    ///
    /// # Errors
    ///
    /// When it cannot be created.
    pub fn create(self, path: &Path) -> Result<Box<dyn Sink>, OutputError> {
        Ok(match self {
            Self::Bin { fill } => Box::new(Bin::create(path, fill)?),
            Self::Mcs { fill, crosses } => Box::new(Mcs::create(path, fill, crosses)?),
        })
    }

    /// What file names end with.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Bin { .. } => "bin",
            Self::Mcs { .. } => "mcs",
        }
    }
}

/// A file and its name, for errors.
struct Output {
    file: BufWriter<File>,
    path: PathBuf,
}

impl Output {
    fn create(path: &Path) -> Result<Self, OutputError> {
        let created = File::create(path).map_err(|error| OutputError { path: path.to_owned(), error });
        created.map(|file| Self { file: BufWriter::with_capacity(64 * 1024, file), path: path.to_owned() })
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        self.file.write_all(bytes).map_err(|error| OutputError { path: self.path.clone(), error })
    }

    fn finish(&mut self) -> Result<(), OutputError> {
        self.file.flush().map_err(|error| OutputError { path: self.path.clone(), error })
    }
}

/// Calls `put` for `length` bytes of filling.
fn fill<E>(byte: u8, length: u64, mut put: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    let block = [byte; 4096];
    let mut left = length;
    while left > 0 {
        let now = left.min(block.len() as u64);
        put(block.get(..now as usize).unwrap_or_default())?;
        left -= now;
    }
    Ok(())
}

/// A file of the image's bytes.
pub struct Bin {
    output: Output,
    at: u64,
    fill: u8,
}

impl Bin {
    /// Creates a file in which gaps are `fill`.
    ///
    /// # Errors
    ///
    /// When it cannot be created.
    pub fn create(path: &Path, fill: u8) -> Result<Self, OutputError> {
        Ok(Self { output: Output::create(path)?, at: 0, fill })
    }

    /// Has what lies at `place` as its first byte.
    fn starting_at(mut self, place: u64) -> Self {
        self.at = place;
        self
    }
}

impl Sink for Bin {
    fn write(&mut self, place: u64, bytes: &[u8]) -> Result<(), OutputError> {
        fill(self.fill, place.saturating_sub(self.at), |bytes| self.output.put(bytes))?;
        self.at = place + bytes.len() as u64;
        self.output.put(bytes)
    }

    fn finish(&mut self) -> Result<(), OutputError> {
        self.output.finish()
    }
}
