//! Where the blocks come from, and the read-ahead for metadata.
//!
//! A block device behind a session answers a request for 128 blocks in about the time it needs for one, because most of
//! that time is the round trip. Two things follow from it:
//!
//! - File contents are asked for in requests of up to [`MAX_REQUEST`] blocks, several of them in flight
//!   ([`Source::prefetch`]), and are hashed where the source put them: nothing is copied.
//! - FAT and directory blocks are wanted one at a time, and nearly always in ascending order. [`ReadAhead`] turns this
//!   into one request per [`WINDOW`] blocks.

use crate::error::Error;

/// Bytes in a block.
pub const BLOCK: usize = 512;

/// The most blocks that are asked for in one request: 64 KiB.
pub const MAX_REQUEST: u32 = 128;

/// The most requests announced by [`Source::prefetch`] and not yet read.
pub const IN_FLIGHT: usize = 4;

/// A device of 512-byte blocks that reads several of them at a time.
///
/// Implement `read` alone for a device at hand. For one behind a queue, give `prefetch` a body too: it is how several
/// requests come to be under way while the data of an earlier one is being hashed.
pub trait Source {
    /// What goes wrong in the device.
    type Error: core::error::Error + 'static;

    /// How many blocks the device has.
    fn blocks(&self) -> u32;

    /// Announces that exactly these blocks will be read.
    ///
    /// At most [`IN_FLIGHT`] announcements are outstanding, and they are read in the order they were made. Reads that
    /// were not announced come in between, and must leave the outstanding ones as they are. When [`sum`](crate::sum)
    /// returns an error, outstanding announcements are never read.
    fn prefetch(&mut self, first: u32, count: u32) -> Result<(), Self::Error> {
        let _ = (first, count);
        Ok(())
    }

    /// Reads `count` blocks, 1 to [`MAX_REQUEST`], from block `first` on.
    ///
    /// The blocks lie within the device. Answers `count * 512` bytes, which stay valid until the next call.
    fn read(&mut self, first: u32, count: u32) -> Result<&[u8], Self::Error>;
}

/// Reads from `source`, and sees to it that exactly what was asked for comes back.
pub(crate) fn read<S: Source>(source: &mut S, first: u32, count: u32) -> Result<&[u8], Error<S::Error>> {
    let wanted = count as usize * BLOCK;
    let bytes = source.read(first, count).map_err(|source| Error::Device { first, count, source })?;
    if bytes.len() == wanted { Ok(bytes) } else { Err(Error::ShortRead { first, wanted, got: bytes.len() }) }
}

/// Blocks that [`ReadAhead`] holds: 8 KiB.
pub(crate) const WINDOW: u32 = 16;

/// A window of consecutive blocks that moves forward with a reader that takes one block at a time.
pub(crate) struct ReadAhead {
    first: u32,
    count: u32,
    bytes: [u8; WINDOW as usize * BLOCK],
}

impl ReadAhead {
    pub(crate) const fn new() -> Self {
        Self { first: 0, count: 0, bytes: [0; WINDOW as usize * BLOCK] }
    }

    /// Forgets everything: the next block comes from the device.
    pub(crate) fn clear(&mut self) {
        self.count = 0;
    }

    /// Block `index`, which must be below `end`; no block from `end` on is read.
    pub(crate) fn block<S: Source>(
        &mut self,
        source: &mut S,
        index: u32,
        end: u32,
    ) -> Result<&[u8; BLOCK], Error<S::Error>> {
        let held = index.checked_sub(self.first).filter(|&offset| offset < self.count);
        let offset = if let Some(offset) = held {
            offset
        } else {
            let count = end.saturating_sub(index).min(WINDOW);
            self.count = 0;
            let bytes = read(source, index, count)?;
            if let Some(window) = self.bytes.get_mut(..bytes.len()) {
                window.copy_from_slice(bytes);
                self.first = index;
                self.count = count;
            }
            0
        };
        self.bytes.as_chunks().0.get(offset as usize).filter(|_| offset < self.count).ok_or(Error::Inconsistent)
    }
}
