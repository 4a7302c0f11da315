//! The descriptor table of ADMA2.
//!
//! # How the hardware works
//!
//! A descriptor is 8 bytes, aligned to 4: attributes in bits 15:0, a length in bytes in bits 31:16 where 0 means
//! 65,536, and the address of the data in the second word (SDHC 1.13, 32 bit addressing). The attributes used here are
//! Valid (bit 0), End (bit 1, set in the last descriptor only) and the action Tran (bits 5:4 = 2). Data is aligned to 4
//! bytes. The lengths must add up to the block count times the block size.
//!
//! # What this module does
//!
//! It writes tables. The memory is the caller's, as a slice of atomic cells: shared with a device, changed through
//! `&`, and free of undefined behaviour without a line of unsafe code. The memory must be mapped so that stores reach
//! the device without cache maintenance (uncached), or be cleaned by the caller's [`Registers::synchronize`].
//!
//! [`Registers::synchronize`]: mmio::Registers::synchronize

use core::sync::atomic::{AtomicU32, Ordering};

use crate::error::SubmitError;

/// The most bytes that one descriptor covers.
pub const DESCRIPTOR_MAX: u32 = 0x1_0000;

/// Alignment of data and of lengths, in bytes.
pub const ALIGNMENT: u32 = 4;

const VALID: u32 = 1 << 0;
const END: u32 = 1 << 1;
const TRANSFER: u32 = 2 << 4;

/// A stretch of memory as the DMA engine addresses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Bus address of the first byte, a multiple of 4.
    pub address: u32,
    /// Length in bytes, a multiple of 4, not 0. May exceed 64 KiB: it is then split over descriptors.
    pub length: u32,
}

/// Memory for descriptors, reachable by the processor and by the DMA engine.
#[derive(Debug)]
pub struct DescriptorTable<'a> {
    cells: &'a [AtomicU32],
    bus_address: u32,
}

impl<'a> DescriptorTable<'a> {
    /// A table in `cells`, which the DMA engine sees at `bus_address` (a multiple of 4).
    ///
    /// Two cells make a descriptor. 16 descriptors allow a request of 1 MiB in one piece, or 64 KiB scattered over 16
    /// pages.
    pub const fn new(cells: &'a [AtomicU32], bus_address: u32) -> Self {
        Self { cells, bus_address }
    }

    /// How many descriptors fit.
    pub const fn capacity(&self) -> usize {
        self.cells.len() / 2
    }

    /// The bus address of the first descriptor.
    pub const fn bus_address(&self) -> u32 {
        self.bus_address
    }

    /// Writes descriptors for `segments`, which must hold `expected` bytes in total.
    ///
    /// # Errors
    ///
    /// [`SubmitError::Misaligned`], [`SubmitError::Length`] or [`SubmitError::TooManySegments`]; the table is then
    /// partly written and must not be used.
    pub fn fill(&self, segments: &[Segment], expected: u32) -> Result<(), SubmitError> {
        let mut total: u32 = 0;
        let mut cells = self.cells.chunks_exact(2);
        let mut last: Option<(&AtomicU32, u32)> = None;
        for segment in segments {
            if (segment.address | segment.length) % ALIGNMENT != 0 || segment.length == 0 {
                return Err(SubmitError::Misaligned { address: segment.address, length: segment.length });
            }
            // Also keeps the addresses below from wrapping around.
            if segment.address.checked_add(segment.length - 1).is_none() || segment.length > expected - total {
                return Err(SubmitError::Length { expected });
            }
            total += segment.length;
            let mut address = segment.address;
            let mut left = segment.length;
            while left != 0 {
                let piece = left.min(DESCRIPTOR_MAX);
                let Some([head, tail]) = cells.next() else {
                    return Err(SubmitError::TooManySegments { needed: needed(segments), capacity: self.capacity() });
                };
                // The length field is 16 bits: 64 KiB shifts out to the 0 that stands for it.
                let attributes = piece << 16 | TRANSFER | VALID;
                head.store(attributes, Ordering::Relaxed);
                tail.store(address, Ordering::Relaxed);
                last = Some((head, attributes));
                address = address.wrapping_add(piece);
                left -= piece;
            }
        }
        match last {
            Some((head, attributes)) if total == expected => {
                head.store(attributes | END, Ordering::Relaxed);
                Ok(())
            }
            _ => Err(SubmitError::Length { expected }),
        }
    }
}

/// How many descriptors `segments` need.
pub fn needed(segments: &[Segment]) -> usize {
    segments.iter().map(|segment| segment.length.div_ceil(DESCRIPTOR_MAX) as usize).sum()
}
