//! The module table: what core finds behind itself in memory.
//!
//! All numbers are 32 bit, little endian. The table opens with a header of 12 bytes: [`MAGIC`], [`VERSION`], the number of
//! modules. An entry of 40 bytes follows for each: its name in 32 bytes, padded with zeros; its offset from the table's
//! first byte, a multiple of [`PAGE`]; its size in bytes. Offsets ascend and modules do not
//! overlap. What is between a module's last byte and the next page boundary is zero.
//!
//! [`Modules::parse`] checks all of that once; reading a table that has passed cannot fail.

use core::str;

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::PAGE;

/// First word of a table: "ZKMT".
pub const MAGIC: u32 = u32::from_le_bytes(*b"ZKMT");
/// The version described here.
pub const VERSION: u32 = 1;
/// Most modules of a table: header and entries fit one page.
pub const MAX_MODULES: usize = 64;
/// Most bytes of a name.
pub const MAX_NAME: usize = 32;

/// What opens a table.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct Header {
    pub(crate) magic: U32,
    pub(crate) version: U32,
    pub(crate) count: U32,
}

/// A module in the table.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct Entry {
    pub(crate) name: [u8; MAX_NAME],
    pub(crate) offset: U32,
    pub(crate) bytes: U32,
}

impl Entry {
    /// The name without its padding, if it is one.
    fn name(&self) -> Option<&str> {
        let end = self.name.iter().position(|&byte| byte == 0).unwrap_or(MAX_NAME);
        let (name, padding) = self.name.split_at_checked(end)?;
        let name = str::from_utf8(name).ok()?;
        (!name.is_empty() && padding.iter().all(|&byte| byte == 0)).then_some(name)
    }
}

/// What is wrong with a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes end within the header or the entries.
    #[error("the module table is cut off after {0} bytes")]
    CutOff(usize),
    /// Something else is where the table should be.
    #[error("no module table: its first word is {0:#010x}, not {MAGIC:#010x}")]
    Magic(u32),
    /// A table that this code cannot read.
    #[error("the module table has version {0}, not {VERSION}: pack the image anew")]
    Version(u32),
    /// More modules than a table can have.
    #[error("the module table claims {0} modules, at most {MAX_MODULES} are possible")]
    Count(u32),
    /// The name is empty, not UTF-8, or has bytes behind its first zero.
    #[error("the name of module {index} is not valid")]
    Name {
        /// Place in the table.
        index: usize,
    },
    /// The module does not begin on a page boundary.
    #[error("module {index} begins at {offset:#x}, which is no multiple of a page")]
    Alignment {
        /// Place in the table.
        index: usize,
        /// Its offset.
        offset: u32,
    },
    /// The module begins before the end of the table or of the module before it.
    #[error("module {index} begins at {offset:#x}, before the end of what precedes it")]
    Overlap {
        /// Place in the table.
        index: usize,
        /// Its offset.
        offset: u32,
    },
    /// The module reaches beyond the image.
    #[error("module {index} at {offset:#x}, {bytes} bytes, reaches beyond the image of {available} bytes")]
    Range {
        /// Place in the table.
        index: usize,
        /// Its offset.
        offset: u32,
        /// Its size.
        bytes: u32,
        /// Bytes from the table's first to the image's last.
        available: usize,
    },
}

/// A module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Module<'a> {
    /// Its name, 1 to [`MAX_NAME`] bytes.
    pub name: &'a str,
    /// Bytes from the table's first byte to its own, a multiple of [`PAGE`].
    pub offset: u32,
    /// Its contents.
    pub contents: &'a [u8],
}

/// A table that has been checked.
#[derive(Clone, Copy, Debug)]
pub struct Modules<'a> {
    image: &'a [u8],
    entries: &'a [Entry],
}

impl<'a> Modules<'a> {
    /// Checks the table at the start of `image`, which is everything from the table to the end of the user image.
    ///
    /// # Errors
    /// The first thing that is wrong, in the order of the table. Two modules of the same name are not an error here.
    pub fn parse(image: &'a [u8]) -> Result<Self, Error> {
        let (header, rest) = Header::ref_from_prefix(image).map_err(|_| Error::CutOff(image.len()))?;
        if header.magic.get() != MAGIC {
            return Err(Error::Magic(header.magic.get()));
        }
        if header.version.get() != VERSION {
            return Err(Error::Version(header.version.get()));
        }
        let count = usize::try_from(header.count.get())
            .ok()
            .filter(|&count| count <= MAX_MODULES)
            .ok_or(Error::Count(header.count.get()))?;
        let (entries, _) =
            <[Entry]>::ref_from_prefix_with_elems(rest, count).map_err(|_| Error::CutOff(image.len()))?;
        let mut end = (size_of::<Header>() + size_of_val(entries)) as u64;
        for (index, entry) in entries.iter().enumerate() {
            let (offset, bytes) = (entry.offset.get(), entry.bytes.get());
            if entry.name().is_none() {
                return Err(Error::Name { index });
            }
            if !offset.is_multiple_of(PAGE) {
                return Err(Error::Alignment { index, offset });
            }
            if u64::from(offset) < end {
                return Err(Error::Overlap { index, offset });
            }
            end = u64::from(offset) + u64::from(bytes);
            if end > image.len() as u64 {
                return Err(Error::Range { index, offset, bytes, available: image.len() });
            }
        }
        Ok(Self { image, entries })
    }

    /// Number of modules.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The modules in the order of the table.
    pub fn iter(&self) -> impl Iterator<Item = Module<'a>> + use<'a> {
        let image = self.image;
        self.entries.iter().filter_map(move |entry| {
            let offset = entry.offset.get();
            let contents = image.get(offset as usize..)?.get(..entry.bytes.get() as usize)?;
            Some(Module { name: entry.name()?, offset, contents })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table with these (name, offset, bytes), followed by zeros up to `length`.
    fn table(entries: &[(&str, u32, u32)], length: usize) -> Vec<u8> {
        let header = Header { magic: MAGIC.into(), version: VERSION.into(), count: (entries.len() as u32).into() };
        let mut bytes = header.as_bytes().to_vec();
        for &(name, offset, size) in entries {
            let mut padded = [0; MAX_NAME];
            padded[..name.len()].copy_from_slice(name.as_bytes());
            bytes.extend_from_slice(Entry { name: padded, offset: offset.into(), bytes: size.into() }.as_bytes());
        }
        bytes.resize(length, 0);
        bytes
    }

    #[test]
    fn reads_what_it_describes() {
        let longest = "a".repeat(MAX_NAME);
        let mut bytes = table(&[("init", 4096, 3), ("empty", 8192, 0), (&longest, 8192, 4096)], 12288);
        bytes[4096..4099].copy_from_slice(b"abc");
        bytes[12287] = 7;
        let modules = Modules::parse(&bytes).unwrap();
        assert_eq!((modules.len(), modules.is_empty()), (3, false));
        let modules: Vec<_> = modules.iter().collect();
        assert_eq!(modules[0], Module { name: "init", offset: 4096, contents: b"abc" });
        assert_eq!(modules[1], Module { name: "empty", offset: 8192, contents: b"" });
        assert_eq!(modules[2].name, longest);
        assert_eq!((modules[2].contents.len(), modules[2].contents[4095]), (4096, 7));
    }

    #[test]
    fn a_table_without_modules_is_valid() {
        assert!(Modules::parse(&table(&[], 12)).unwrap().is_empty());
    }

    #[test]
    fn refuses_what_is_wrong() {
        let check = |bytes: &[u8]| Modules::parse(bytes).unwrap_err();
        assert_eq!(check(&[]), Error::CutOff(0));
        assert_eq!(check(&[0; 4096]), Error::Magic(0));
        assert_eq!(check(&table(&[("a", 4096, 1)], 4097)[..51]), Error::CutOff(51));
        let mut bytes = table(&[], 12);
        bytes[4] = 2;
        assert_eq!(check(&bytes), Error::Version(2));
        bytes[4] = 1;
        bytes[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(check(&bytes), Error::Count(u32::MAX));
        bytes[8..12].copy_from_slice(&65u32.to_le_bytes());
        assert_eq!(check(&bytes), Error::Count(65));
        assert_eq!(check(&table(&[("", 4096, 0)], 4096)), Error::Name { index: 0 });
        assert_eq!(check(&table(&[("a\0b", 4096, 0)], 4096)), Error::Name { index: 0 });
        assert_eq!(check(&table(&[("a", 4095, 0)], 4096)), Error::Alignment { index: 0, offset: 4095 });
        assert_eq!(check(&table(&[("a", 0, 0)], 4096)), Error::Overlap { index: 0, offset: 0 });
        assert_eq!(
            check(&table(&[("a", 4096, 4097), ("b", 8192, 1)], 16384)),
            Error::Overlap { index: 1, offset: 8192 }
        );
        assert_eq!(
            check(&table(&[("a", 4096, 4097)], 8192)),
            Error::Range { index: 0, offset: 4096, bytes: 4097, available: 8192 }
        );
        assert_eq!(
            check(&table(&[("a", 0xffff_f000, u32::MAX)], 8192)),
            Error::Range { index: 0, offset: 0xffff_f000, bytes: u32::MAX, available: 8192 }
        );
    }

    #[test]
    fn refuses_names_that_are_not_text() {
        let mut bytes = table(&[("ab", 4096, 0)], 4096);
        bytes[12] = 0xff;
        assert_eq!(Modules::parse(&bytes).unwrap_err(), Error::Name { index: 0 });
    }

    proptest::proptest! {
        #[test]
        fn never_panics(mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..256), valid: bool) {
            if valid && bytes.len() >= 12 {
                bytes[..12].copy_from_slice(&table(&[("a", 4096, 0)], 12)[..12]);
                bytes.resize(8192, 0);
            }
            if let Ok(modules) = Modules::parse(&bytes) {
                proptest::prop_assert_eq!(modules.iter().count(), modules.len());
            }
        }
    }
}
