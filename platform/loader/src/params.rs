//! The loader's parameters: what to check and where to jump.
//!
//! The block is the whole of the loader's section `.params`, which the linker leaves zero and `pack` fills in.
//! All of its words are 32 bit, little endian. Ranges are physical and half open.

use core::ops::Range;

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{CORE_BASE, KERNEL_WINDOW, PAGE, RAM_END};

/// First word of the block: "ZKLP".
pub const MAGIC: u32 = u32::from_le_bytes(*b"ZKLP");
/// The version described here.
pub const VERSION: u32 = 1;

/// The block as it is in memory. Nothing about it is certain before [`Parameters::check`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Parameters {
    /// [`MAGIC`].
    pub magic: U32,
    /// [`VERSION`].
    pub version: U32,
    /// First physical address of the kernel, a multiple of a page.
    pub kernel_start: U32,
    /// End of the kernel, its bss included, rounded up to a page.
    pub kernel_end: U32,
    /// Virtual address of the kernel's first instruction.
    pub kernel_entry: U32,
    /// First physical address of the user image, which is core's.
    pub image_start: U32,
    /// End of the user image, rounded up to a page.
    pub image_end: U32,
    /// Virtual address of core's first instruction.
    pub image_entry: U32,
    /// Physical address of the module table, a multiple of a page, within the user image and behind core.
    pub modules: U32,
}

/// What is wrong with the parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nobody filled the block in.
    #[error(
        "no parameters: their first word is {0:#010x}, not {MAGIC:#010x}: the loader must be packed, not run as it is"
    )]
    Magic(u32),
    /// A block that this loader cannot read.
    #[error(
        "the parameters have version {0}, not {VERSION}: pack the image with the tools that the loader was built with"
    )]
    Version(u32),
    /// An address that must be a multiple of a page is not.
    #[error("the {what} begins or ends at {address:#010x}, which is no multiple of a page")]
    Alignment {
        /// Whose address.
        what: &'static str,
        /// The address.
        address: u32,
    },
    /// A range is empty or ends before it begins.
    #[error("the {what} ends at {end:#010x}, which is not behind its start {start:#010x}")]
    Empty {
        /// Whose range.
        what: &'static str,
        /// Its start.
        start: u32,
        /// Its end.
        end: u32,
    },
    /// A range reaches beyond the RAM.
    #[error("the {what} ends at {end:#010x}, beyond the end of RAM at {RAM_END:#010x}")]
    BeyondRam {
        /// Whose range.
        what: &'static str,
        /// Its end.
        end: u32,
    },
    /// A range overlaps the loader.
    #[error("the {what} at {start:#010x} to {end:#010x} overlaps the loader")]
    OverlapsLoader {
        /// Whose range.
        what: &'static str,
        /// Its start.
        start: u32,
        /// Its end.
        end: u32,
    },
    /// The kernel only starts with the image directly behind it.
    #[error("the user image begins at {image:#010x}, not at the kernel's end {kernel:#010x}")]
    NotBehindKernel {
        /// End of the kernel.
        kernel: u32,
        /// Start of the image.
        image: u32,
    },
    /// An entry point lies outside of what it should enter, or is not the address of an ARM instruction.
    #[error("the entry point {entry:#010x} of the {what} is not within {start:#010x} to {end:#010x}, or not aligned")]
    Entry {
        /// Whose entry point.
        what: &'static str,
        /// The entry point, virtual.
        entry: u32,
        /// First virtual address it may be at.
        start: u32,
        /// End of those.
        end: u32,
    },
    /// The module table lies outside of the user image.
    #[error("the module table at {0:#010x} is not within the user image behind core")]
    Modules(u32),
}

/// What the kernel is entered with, checked. Addresses are physical where nothing else is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handover {
    /// Virtual address to jump to.
    pub kernel_entry: u32,
    /// The user image, whole pages.
    pub image: Range<u32>,
    /// Physical minus virtual address of the image, modulo 2^32.
    pub offset: u32,
    /// Virtual address of core's first instruction.
    pub image_entry: u32,
    /// The module table and all that follows it in the image.
    pub modules: Range<u32>,
}

impl Parameters {
    /// Checks the block for a loader that lies at `loader` in physical memory.
    ///
    /// # Errors
    /// The first thing that is wrong: the block itself, then the kernel, then the user image.
    pub fn check(&self, loader: &Range<u32>) -> Result<Handover, Error> {
        if self.magic.get() != MAGIC {
            return Err(Error::Magic(self.magic.get()));
        }
        if self.version.get() != VERSION {
            return Err(Error::Version(self.version.get()));
        }
        let kernel = range("kernel", self.kernel_start, self.kernel_end, loader)?;
        // No overflow: both ends are within the RAM, and the window is as large.
        entry("kernel", self.kernel_entry, kernel.start | KERNEL_WINDOW, (kernel.end - 1) | KERNEL_WINDOW)?;

        let image = range("user image", self.image_start, self.image_end, loader)?;
        if image.start != kernel.end {
            return Err(Error::NotBehindKernel { kernel: kernel.end, image: image.start });
        }
        let modules = aligned("module table", self.modules)?;
        if modules <= image.start || modules >= image.end {
            return Err(Error::Modules(modules));
        }
        entry("root task", self.image_entry, CORE_BASE, CORE_BASE + (modules - image.start) - 1)?;
        Ok(Handover {
            kernel_entry: self.kernel_entry.get(),
            offset: image.start.wrapping_sub(CORE_BASE),
            image_entry: self.image_entry.get(),
            modules: modules..image.end,
            image,
        })
    }
}

/// The address, if it is one of a page.
fn aligned(what: &'static str, address: U32) -> Result<u32, Error> {
    let address = address.get();
    if address.is_multiple_of(PAGE) { Ok(address) } else { Err(Error::Alignment { what, address }) }
}

/// The range, if it is one of pages in RAM beside the loader.
fn range(what: &'static str, start: U32, end: U32, loader: &Range<u32>) -> Result<Range<u32>, Error> {
    let (start, end) = (aligned(what, start)?, aligned(what, end)?);
    if start >= end {
        return Err(Error::Empty { what, start, end });
    }
    if end > RAM_END {
        return Err(Error::BeyondRam { what, end });
    }
    if start < loader.end && loader.start < end {
        return Err(Error::OverlapsLoader { what, start, end });
    }
    Ok(start..end)
}

/// Refuses an entry point that is not an ARM instruction's between `start` and `last`.
fn entry(what: &'static str, entry: U32, start: u32, last: u32) -> Result<(), Error> {
    let entry = entry.get();
    if entry.is_multiple_of(4) && (start..=last).contains(&entry) {
        Ok(())
    } else {
        Err(Error::Entry { what, entry, start, end: last.wrapping_add(1) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOADER: Range<u32> = 0x1000_0000..0x1000_8000;

    fn good() -> Parameters {
        Parameters {
            magic: MAGIC.into(),
            version: VERSION.into(),
            kernel_start: 0.into(),
            kernel_end: 0x3_4000.into(),
            kernel_entry: 0xe000_0000.into(),
            image_start: 0x3_4000.into(),
            image_end: 0x5_4000.into(),
            image_entry: 0x0040_0010.into(),
            modules: 0x4_4000.into(),
        }
    }

    #[test]
    fn a_good_block_says_how_to_enter_the_kernel() {
        let handover = good().check(&LOADER).unwrap();
        assert_eq!(handover.kernel_entry, 0xe000_0000);
        assert_eq!(handover.image, 0x3_4000..0x5_4000);
        assert_eq!(handover.offset, 0xffc3_4000);
        assert_eq!(handover.image_entry, 0x0040_0010);
        assert_eq!(handover.modules, 0x4_4000..0x5_4000);
    }

    #[test]
    fn a_kernel_that_fills_its_window_leaves_no_room_for_an_image() {
        let kernel_end = U32::from(RAM_END);
        let parameters = Parameters { kernel_end, image_start: kernel_end, ..good() };
        let empty = Error::Empty { what: "user image", start: RAM_END, end: 0x5_4000 };
        assert_eq!(parameters.check(&(RAM_END..RAM_END)).unwrap_err(), empty);
    }

    #[test]
    fn refuses_what_is_wrong() {
        let check = |parameters: Parameters| parameters.check(&LOADER).unwrap_err();
        assert_eq!(check(Parameters::default()), Error::Magic(0));
        assert_eq!(check(Parameters { version: 9.into(), ..good() }), Error::Version(9));
        assert_eq!(
            check(Parameters { kernel_start: 4.into(), ..good() }),
            Error::Alignment { what: "kernel", address: 4 }
        );
        assert_eq!(
            check(Parameters { kernel_end: 0.into(), ..good() }),
            Error::Empty { what: "kernel", start: 0, end: 0 }
        );
        assert_eq!(
            check(Parameters { kernel_entry: 0xe003_4000.into(), ..good() }),
            Error::Entry { what: "kernel", entry: 0xe003_4000, start: 0xe000_0000, end: 0xe003_4000 }
        );
        assert!(matches!(check(Parameters { kernel_entry: 0xe000_0001.into(), ..good() }), Error::Entry { .. }));
        assert!(matches!(check(Parameters { kernel_entry: 0.into(), ..good() }), Error::Entry { .. }));
        assert_eq!(
            check(Parameters { image_end: 0x2000_1000.into(), ..good() }),
            Error::BeyondRam { what: "user image", end: 0x2000_1000 }
        );
        assert_eq!(
            check(Parameters { image_end: 0x1000_1000.into(), ..good() }),
            Error::OverlapsLoader { what: "user image", start: 0x3_4000, end: 0x1000_1000 }
        );
        assert_eq!(
            check(Parameters { image_start: 0x3_5000.into(), ..good() }),
            Error::NotBehindKernel { kernel: 0x3_4000, image: 0x3_5000 }
        );
        assert_eq!(check(Parameters { modules: 0x5_4000.into(), ..good() }), Error::Modules(0x5_4000));
        assert_eq!(check(Parameters { modules: 0x3_4000.into(), ..good() }), Error::Modules(0x3_4000));
        assert_eq!(
            check(Parameters { modules: 0x4_4001.into(), ..good() }),
            Error::Alignment { what: "module table", address: 0x4_4001 }
        );
        assert_eq!(
            check(Parameters { image_entry: 0x0041_0000.into(), ..good() }),
            Error::Entry { what: "root task", entry: 0x0041_0000, start: 0x0040_0000, end: 0x0041_0000 }
        );
    }
}
