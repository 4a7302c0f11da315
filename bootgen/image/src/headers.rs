//! The image header table and the image headers (UG1283, "Image Header Table" and "Image Header").

use core::mem::offset_of;

use zerocopy::little_endian::U32;

use crate::error::{Invalid, Problem, Structure};
use crate::layout::layout;
use crate::name::Name;
use crate::{bytes, certificate, partition};

/// Bytes of the image header table.
pub const TABLE_SIZE: u64 = 0x40;

/// Image headers begin at multiples of this many bytes, and are filled up to them.
pub const GRAIN: u64 = 0x40;

/// The only version of the table.
pub const VERSION: u32 = 0x0102_0000;

layout! {
    /// Where the headers are. All offsets are in words.
    pub struct ImageHeaderTable {
        /// Always [`VERSION`].
        pub version: U32 = "version",
        /// How many partitions there are, the boot loader's included.
        pub partitions: U32 = "number of partitions",
        /// Offset of the first partition header.
        pub first_partition: U32 = "partition header offset",
        /// Offset of the first image header.
        pub first_image: U32 = "image header offset",
        /// Offset of the certificate of all headers; 0: there is none.
        pub certificate: U32 = "header certificate offset",
        /// All bits set.
        pub reserved: [U32; 11] = "reserved",
    }

    /// The part of an image header that has a fixed layout; the name follows. Offsets are in words.
    pub struct ImageHeaderStart {
        /// Offset of the next image header; 0: this is the last.
        pub next: U32 = "next image header offset",
        /// Offset of the first partition header that belongs to it.
        pub first_partition: U32 = "partition header offset",
        /// Always 0.
        pub reserved: U32 = "reserved",
        /// How many partitions belong to it.
        pub partitions: U32 = "number of partitions",
    }
}

const _: () = assert!(size_of::<ImageHeaderTable>() as u64 == TABLE_SIZE);

impl ImageHeaderTable {
    /// The byte at which the certificate of all headers begins, if there is one.
    pub fn certificate(&self) -> Option<u64> {
        (self.certificate.get() != 0).then_some(bytes(self.certificate.get()))
    }

    /// Reports what is wrong with the table at byte `base` of an image of `length` bytes; in order of its fields.
    ///
    /// `partition_headers` is what the boot header says about their place.
    pub fn examine(&self, base: u64, length: u64, partition_headers: u32, report: &mut dyn FnMut(Invalid)) {
        let mut wrong =
            |field, problem| report(Invalid::new::<Self>(Structure::ImageHeaderTable, base, field, problem));
        let version = self.version.get();
        if version != VERSION {
            wrong(offset_of!(Self, version), Problem::Unexpected { found: version, expected: VERSION });
        }
        let behind = base.saturating_add(TABLE_SIZE);
        let start = bytes(self.first_partition.get());
        // One more than there are partitions, for the null header.
        let end =
            (self.partitions.get() as u64).saturating_add(1).saturating_mul(partition::SIZE).saturating_add(start);
        if self.partitions.get() == 0 {
            wrong(offset_of!(Self, partitions), Problem::Undefined(0));
        }
        if end > length {
            wrong(offset_of!(Self, partitions), Problem::BeyondEnd { start, end, length });
        }
        if start != partition_headers as u64 {
            let expected = partition_headers >> 2;
            wrong(
                offset_of!(Self, first_partition),
                Problem::Unexpected { found: self.first_partition.get(), expected },
            );
        }
        let start = bytes(self.first_image.get());
        if start < behind {
            wrong(offset_of!(Self, first_image), Problem::TooLow { found: start, least: behind });
        }
        if let Some(start) = self.certificate() {
            let end = start.saturating_add(certificate::SIZE);
            if start < behind {
                wrong(offset_of!(Self, certificate), Problem::TooLow { found: start, least: behind });
            }
            if end > length {
                wrong(offset_of!(Self, certificate), Problem::BeyondEnd { start, end, length });
            }
        }
        if self.reserved.iter().any(|word| word.get() != u32::MAX) {
            wrong(offset_of!(Self, reserved), Problem::NotFill(0xff));
        }
    }
}

/// The header of an input file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageHeader {
    /// Its number in the list, from 0.
    pub index: u32,
    /// Its first byte in the image.
    pub base: u64,
    /// What comes before the name.
    pub start: ImageHeaderStart,
    /// The file's name, without folders.
    pub name: Name,
}

impl ImageHeader {
    /// Bytes that it takes: the name is followed by at least one byte of zero, by more up to a whole word, and by one word.
    pub fn size(&self) -> u64 {
        (size_of::<ImageHeaderStart>() as u64).saturating_add(self.name.stored_size() as u64)
    }

    /// The byte at which the next header begins, unless this is the last.
    pub fn next(&self) -> Option<u64> {
        (self.start.next.get() != 0).then_some(bytes(self.start.next.get()))
    }

    /// The byte at which its first partition header begins.
    pub fn first_partition(&self) -> u64 {
        bytes(self.start.first_partition.get())
    }

    /// Reports what is wrong with the header in an image of `length` bytes; in order of its fields.
    pub fn examine(&self, length: u64, report: &mut dyn FnMut(Invalid)) {
        let mut wrong = |field, problem| {
            let structure = Structure::ImageHeader(self.index);
            report(Invalid::new::<ImageHeaderStart>(structure, self.base, field, problem));
        };
        if let Some(next) = self.next() {
            let least = self.base.saturating_add(self.size());
            if next < least {
                wrong(offset_of!(ImageHeaderStart, next), Problem::TooLow { found: next, least });
            }
            let end = next.saturating_add(size_of::<ImageHeaderStart>() as u64);
            if end > length {
                wrong(offset_of!(ImageHeaderStart, next), Problem::BeyondEnd { start: next, end, length });
            }
        }
        if self.start.reserved.get() != 0 {
            let problem = Problem::Unexpected { found: self.start.reserved.get(), expected: 0 };
            wrong(offset_of!(ImageHeaderStart, reserved), problem);
        }
        let start = self.first_partition();
        let end = (self.start.partitions.get() as u64).saturating_mul(partition::SIZE).saturating_add(start);
        if end > length {
            wrong(offset_of!(ImageHeaderStart, partitions), Problem::BeyondEnd { start, end, length });
        }
    }
}
