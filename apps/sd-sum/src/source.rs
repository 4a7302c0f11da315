//! Where the blocks come from, and the read-ahead for metadata.
//!
//! A block device behind a session answers a request for 128 blocks in about the time it needs for one, because most of
//! that time is the round trip. Two things follow from it:
//!
//! - File contents are asked for in requests of up to [`MAX_REQUEST`] blocks, several of them in flight
//!   ([`Source::prefetch`]), and are hashed where the source put them: nothing is copied.
//! - FAT and directory blocks are wanted one at a time, mostly in ascending order. [`ReadAhead`] turns this into one
//!   request per [`WINDOW`] blocks.

use core::ops::Range;

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

/// The consecutive blocks around the one read last. They start at a multiple of their number, so that a reader that
/// goes backwards in small steps is served as well as one that goes forwards.
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

    /// Block `index` of `region`, beyond which nothing is read.
    pub(crate) fn block<S: Source>(
        &mut self,
        source: &mut S,
        index: u32,
        region: Range<u32>,
    ) -> Result<&[u8; BLOCK], Error<S::Error>> {
        if !region.contains(&index) {
            return Err(Error::Inconsistent);
        }
        let held = self.first..self.first.saturating_add(self.count);
        if !held.contains(&index) {
            let aligned = index - index % WINDOW;
            let first = aligned.max(region.start);
            let count = aligned.saturating_add(WINDOW).min(region.end) - first;
            self.count = 0;
            let bytes = read(source, first, count)?;
            if let Some(window) = self.bytes.get_mut(..bytes.len()) {
                window.copy_from_slice(bytes);
                self.first = first;
                self.count = count;
            }
        }
        let offset = index.checked_sub(self.first).filter(|&offset| offset < self.count).ok_or(Error::Inconsistent)?;
        self.bytes.as_chunks().0.get(offset as usize).ok_or(Error::Inconsistent)
    }
}
