//! The files that partitions are made from.
//!
//! | file | recognised by | becomes |
//! |---|---|---|
//! | ELF, 32 or 64 bits | its magic number | a partition for each loadable segment; a boot loader becomes one |
//! | `.bit` | its name | the words of the bitstream, without the header of fields, for the programmable logic |
//! | `.rbt` | its name | the same from its text form |
//! | `.bin` and all others | | a partition of the file's bytes |
//!
//! Loading reads headers only; the contents are described by a [`Payload`].

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::payload::{Payload, ReadError};

pub mod bitstream;
pub mod elf;

/// What a file consists of.
#[derive(Clone, Debug)]
pub enum Loaded {
    /// A program: its segments in the order of the file, at least one.
    Program {
        /// The segments.
        segments: Vec<Segment>,
        /// Where it is entered.
        entry: u32,
        /// The instruction set by the file (`e_machine`).
        machine: u16,
    },
    /// Words for the programmable logic.
    Bitstream(Payload),
    /// Bytes.
    Raw(Payload),
}

/// A part of a program.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Where it is loaded.
    pub load: u32,
    /// Its bytes.
    pub payload: Payload,
}

/// Why a file cannot become a partition.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct LoadError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: Reason,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// The operating system refuses.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A payload cannot be read.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// Nothing to load.
    #[error("the file is empty")]
    Empty,
    /// An ELF whose structures do not fit the file.
    #[error("no valid ELF file: {0}")]
    Elf(String),
    /// Nothing to load.
    #[error("the ELF file has no loadable segment with contents")]
    NoSegment,
    /// The file is shorter than its program headers say.
    #[error("segment {index} is said to occupy the file's bytes {start:#x}..{end:#x}, but the file has {size:#x}")]
    Truncated {
        /// Which program header.
        index: usize,
        /// Where the segment begins.
        start: u64,
        /// Where it ends.
        end: u64,
        /// Bytes of the file.
        size: u64,
    },
    /// The chip has 32-bit addresses.
    #[error("{what} {address:#x} is beyond the chip's 32-bit addresses")]
    Address {
        /// What has that address.
        what: &'static str,
        /// The address.
        address: u64,
    },
    /// Two parts of the boot loader want the same bytes.
    #[error("the boot loader's segment at {address:#x} lies on top of another one")]
    Overlap {
        /// Where it is loaded.
        address: u32,
    },
    /// A bitstream's header of fields is damaged.
    #[error("byte {offset:#x}: {expected} expected; is this a .bit file?")]
    Bitstream {
        /// Where.
        offset: u64,
        /// What should be there.
        expected: &'static str,
    },
    /// A bitstream for another chip.
    #[error("the bitstream is for the part `{0}`, which is no Zynq-7000")]
    Part(String),
    /// The file is shorter than its header says, or a part of a word is left.
    #[error("the header announces {announced:#x} bytes of configuration data, but {found:#x} are there")]
    Length {
        /// Bytes by the header.
        announced: u64,
        /// Bytes to the end of the file.
        found: u64,
    },
    /// Configuration data is words.
    #[error("{0:#x} bytes of configuration data are no whole number of words")]
    Words(u64),
    /// An `.rbt` file without data.
    #[error("no line of 32 binary digits is in the file; is this an .rbt file?")]
    NoDigits,
}

/// Looks at a file.
///
/// # Errors
///
/// When it cannot be read or is not what it seems to be.
pub fn load(path: &Path) -> Result<Loaded, LoadError> {
    of(path).map_err(|reason| LoadError { path: path.to_owned(), reason })
}

/// The part that a `.bit` file is for, as it calls it: `7z020clg484`.
///
/// # Errors
///
/// When it cannot be read, is no such file, or is for a part that is no Zynq-7000.
pub fn part(path: &Path) -> Result<String, LoadError> {
    bitstream::part(path).map_err(|reason| LoadError { path: path.to_owned(), reason })
}

fn of(path: &Path) -> Result<Loaded, Reason> {
    let shared: Arc<Path> = Arc::from(path);
    let extension = path.extension().map(std::ffi::OsStr::to_ascii_lowercase);
    match extension.as_deref().and_then(|extension| extension.to_str()) {
        Some("bit") => return bitstream::bit(&shared).map(Loaded::Bitstream),
        Some("rbt") => return bitstream::rbt(&shared).map(Loaded::Bitstream),
        _ => {}
    }
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    if length == 0 {
        return Err(Reason::Empty);
    }
    if elf::is_elf(&mut file)? {
        elf::program(file, &shared, length)
    } else {
        Ok(Loaded::Raw(Payload::file(&shared, 0, length)))
    }
}
