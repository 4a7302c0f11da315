//! The device or file that is written, and how its caches are kept out.
//!
//! A kernel answers reads from memory where it can, so that reading what was just written proves nothing about the
//! card. Therefore device and file are opened a second time with `O_DIRECT`, which moves whole blocks between the
//! medium and the caller's memory. Where that is refused (some file systems), writes go the usual way and before each
//! read the kernel is asked to forget the place (`POSIX_FADV_DONTNEED`), which it does with everything that has been
//! written back. What a card reader or the card itself keeps in memory, nobody can look behind.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, OFlag, PosixFadviseAdvice, fallocate, posix_fadvise};

use super::transfer::{BLOCK, Image, Medium};

/// An open device or file.
#[derive(Debug)]
pub(crate) struct Device {
    file: File,
    /// The same without the kernel's cache.
    direct: Option<File>,
    /// Something was read the other way.
    through_cache: bool,
}

/// How sure a comparison is: that of its least sure part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Past the kernel's cache.
    Direct,
    /// After the kernel was asked to empty its cache.
    CacheDropped,
}

impl Device {
    /// Opens `path` for reading and writing; `exclusive` fails with [`io::ErrorKind::ResourceBusy`] if it is a disk that
    /// the kernel itself has in use.
    pub(crate) fn open(path: &Path, exclusive: bool) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let file = options.clone().custom_flags(if exclusive { OFlag::O_EXCL.bits() } else { 0 }).open(path)?;
        // Once more exclusively would be refused: the first one is it already.
        let direct = options.custom_flags(OFlag::O_DIRECT.bits()).open(path).ok();
        Ok(Self { file, direct, through_cache: false })
    }

    /// Its size in bytes.
    pub(crate) fn capacity(&mut self) -> io::Result<u64> {
        self.file.seek(SeekFrom::End(0))
    }

    /// Makes sure of the space that the first `length` bytes of a file take, so that the file system is not found
    /// to be full half way.
    pub(crate) fn reserve(&self, length: u64) -> io::Result<()> {
        let length = i64::try_from(length).map_err(io::Error::other)?;
        match fallocate(&self.file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, length) {
            // A file system that cannot reserve may still have the space.
            Ok(()) | Err(Errno::EOPNOTSUPP) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// How what was read came.
    pub(crate) fn reading(&self) -> Reading {
        if self.through_cache { Reading::CacheDropped } else { Reading::Direct }
    }

    /// The file without cache, if it can serve bytes there.
    fn direct(&self, offset: u64, bytes: &[u8]) -> Option<&File> {
        let whole = offset.is_multiple_of(BLOCK as u64)
            && bytes.len().is_multiple_of(BLOCK)
            && bytes.as_ptr().align_offset(BLOCK) == 0;
        self.direct.as_ref().filter(|_| whole)
    }
}

/// Whether the kernel does not do direct access here after all.
fn is_refused(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::EINVAL as i32)
}

impl Medium for Device {
    fn read(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        if let Some(direct) = self.direct(offset, bytes) {
            match direct.read_exact_at(bytes, offset) {
                Err(error) if is_refused(&error) => self.direct = None,
                result => return result,
            }
        }
        self.through_cache = true;
        let (start, length) = (offset as i64, bytes.len() as i64);
        posix_fadvise(&self.file, start, length, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
        self.file.read_exact_at(bytes, offset)
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if let Some(direct) = self.direct(offset, bytes) {
            match direct.write_all_at(bytes, offset) {
                Err(error) if is_refused(&error) => self.direct = None,
                result => return result,
            }
        }
        self.file.write_all_at(bytes, offset)?;
        // Otherwise the progress would be that of memory, and errors would come without their place.
        self.file.sync_data()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.sync_all()
    }
}

/// An image in a file.
#[derive(Debug)]
pub(crate) struct ImageFile {
    file: File,
    length: u64,
}

impl ImageFile {
    /// Opens it.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "this is no file"));
        }
        if metadata.len() == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the file is empty"));
        }
        Ok(Self { file, length: metadata.len() })
    }
}

impl Image for ImageFile {
    fn length(&self) -> u64 {
        self.length
    }

    fn read(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }
}
