//! The boot header: what the boot ROM reads (UG585, chapter 6.3.2).

use core::mem::offset_of;

use zerocopy::little_endian::U32;

use crate::error::{Invalid, Problem, Structure};
use crate::layout::layout;

/// Bytes of the boot header with its register initialization, and of what the boot loader's signature covers of it.
pub const SIZE: u64 = 0x8a0;

/// Where the register initialization begins.
pub const REGISTER_INIT: u64 = 0xa0;

/// Writes in the register initialization, used or not.
pub const REGISTER_INITS: u32 = 256;

/// An interrupt table entry as it must be where the boot loader does not run in place: a branch to itself.
pub const BRANCH_TO_SELF: u32 = 0xeaff_fffe;

/// By this word the boot ROM finds out how wide the bus of the flash memory is.
pub const WIDTH_DETECTION: u32 = 0xaa99_5566;

/// `XNLX` in the order of bytes; by this word the boot ROM knows an image.
pub const IDENTIFICATION: u32 = 0x584c_4e58;

/// The only version of the header.
pub const VERSION: u32 = 0x0101_0000;

layout! {
    /// The boot header without its register initialization.
    pub struct BootHeader {
        /// Eight instructions, which matter only where the boot loader runs in place.
        pub interrupt_table: [U32; 8] = "interrupt table",
        /// Always [`WIDTH_DETECTION`].
        pub width_detection: U32 = "width detection",
        /// Always [`IDENTIFICATION`].
        pub identification: U32 = "image identification",
        /// Where the key of an encrypted boot loader is, see [`KeySource`].
        pub key_source: U32 = "key source",
        /// Always [`VERSION`].
        pub version: U32 = "header version",
        /// Offset of the boot loader in bytes.
        pub source_offset: U32 = "source offset",
        /// Length of the boot loader's plain text in bytes; 0 where it runs in place.
        pub length: U32 = "length of image",
        /// Address in the on-chip memory that it is copied to.
        pub load_address: U32 = "load address",
        /// Address that the boot ROM jumps to.
        pub execution_address: U32 = "start of execution",
        /// Length as stored, in bytes, without certificate and padding.
        pub total_length: U32 = "total image length",
        /// Always 1.
        pub qspi_config: U32 = "QSPI configuration",
        /// The complement of the sum of the ten words before it, see [`BootHeader::computed_checksum`].
        pub checksum: U32 = "header checksum",
        /// Whatever the user likes; no sum covers it.
        pub user_defined: [u8; 76] = "user defined",
        /// Offset of the image header table in bytes; no sum covers it.
        pub image_header_table: U32 = "image header table offset",
        /// Offset of the first partition header in bytes; no sum covers it.
        pub partition_headers: U32 = "partition header table offset",
    }

    /// One write to a register that the boot ROM performs before it loads the boot loader.
    pub struct RegisterInit {
        /// Address of the register, or [`UNUSED`].
        pub address: U32 = "address",
        /// What is written.
        pub value: U32 = "value",
    }
}

const _: () = assert!(size_of::<BootHeader>() as u64 == REGISTER_INIT);
const _: () = assert!(REGISTER_INIT + REGISTER_INITS as u64 * size_of::<RegisterInit>() as u64 == SIZE);

/// The address of a register write that is none.
pub const UNUSED: u32 = 0xffff_ffff;

impl RegisterInit {
    /// Whether the boot ROM performs it.
    pub fn is_used(&self) -> bool {
        self.address.get() != UNUSED
    }
}

/// Where the AES key of an encrypted boot loader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// Nothing is encrypted.
    None,
    /// In battery-backed RAM.
    Bbram,
    /// In eFUSEs.
    Efuse,
}

impl KeySource {
    /// What a header's word means, if it means anything.
    pub const fn from_word(word: u32) -> Option<Self> {
        match word {
            0 => Some(Self::None),
            0x3a5c_3c5a => Some(Self::Bbram),
            0xa5c3_c5a3 => Some(Self::Efuse),
            _ => None,
        }
    }
}

impl BootHeader {
    /// The complement of the sum of the words from the width detection to the QSPI configuration.
    pub fn computed_checksum(&self) -> u32 {
        let words = [
            self.width_detection,
            self.identification,
            self.key_source,
            self.version,
            self.source_offset,
            self.length,
            self.load_address,
            self.execution_address,
            self.total_length,
            self.qspi_config,
        ];
        crate::layout::complement_of_sum(&words)
    }

    /// Whether it names a boot loader at all.
    pub fn has_loader(&self) -> bool {
        self.source_offset.get() != 0
    }

    /// Whether the boot loader runs where it is stored instead of being copied.
    pub fn runs_in_place(&self) -> bool {
        self.has_loader() && self.length.get() == 0 && self.execution_address.get() >> 24 >= 0xe2
    }

    /// Reports what is wrong with the header of an image of `length` bytes; in order of its fields.
    pub fn examine(&self, length: u64, report: &mut dyn FnMut(Invalid)) {
        let mut wrong = |field, problem| report(Invalid::new::<Self>(Structure::BootHeader, 0, field, problem));
        let constants = [
            (offset_of!(Self, width_detection), self.width_detection, WIDTH_DETECTION),
            (offset_of!(Self, identification), self.identification, IDENTIFICATION),
            (offset_of!(Self, version), self.version, VERSION),
            (offset_of!(Self, qspi_config), self.qspi_config, 1),
        ];
        for (field, found, expected) in constants {
            if found.get() != expected {
                wrong(field, Problem::Unexpected { found: found.get(), expected });
            }
        }
        if KeySource::from_word(self.key_source.get()).is_none() {
            wrong(offset_of!(Self, key_source), Problem::Undefined(self.key_source.get()));
        }
        let start = self.source_offset.get() as u64;
        let end = start.saturating_add(self.total_length.get() as u64);
        if self.has_loader() && start < SIZE {
            wrong(offset_of!(Self, source_offset), Problem::TooLow { found: start, least: SIZE });
        }
        if end > length {
            wrong(offset_of!(Self, total_length), Problem::BeyondEnd { start, end, length });
        }
        if self.length > self.total_length {
            let problem = Problem::TooLarge { found: self.length.get() as u64, most: self.total_length.get() as u64 };
            wrong(offset_of!(Self, length), problem);
        }
        let computed = self.computed_checksum();
        if self.checksum.get() != computed {
            wrong(offset_of!(Self, checksum), Problem::Checksum { found: self.checksum.get(), computed });
        }
        for (field, found) in [
            (offset_of!(Self, image_header_table), self.image_header_table),
            (offset_of!(Self, partition_headers), self.partition_headers),
        ] {
            if (found.get() as u64) < SIZE {
                wrong(field, Problem::TooLow { found: found.get() as u64, least: SIZE });
            }
        }
    }
}
