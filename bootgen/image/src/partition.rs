//! Partition headers (UG1283, "Partition Header").

use core::mem::offset_of;
use core::ops::Range;

use zerocopy::little_endian::U32;

use crate::error::{Invalid, Problem, Structure};
use crate::layout::{complement_of_sum, layout};
use crate::{bytes, certificate};

/// Bytes of a partition header.
pub const SIZE: u64 = 0x40;

/// Bytes of an MD5 sum.
pub const MD5_SIZE: u64 = 16;

layout! {
    /// What is to be known about a partition. Offsets and lengths are in words.
    pub struct PartitionHeader {
        /// Length as stored, without padding and certificate. A partition is encrypted where this differs from the next.
        pub encrypted_length: U32 = "encrypted length",
        /// Length of the plain text.
        pub unencrypted_length: U32 = "unencrypted length",
        /// Length as stored with padding and certificate.
        pub total_length: U32 = "total length",
        /// Address in memory that it is copied to; 0 for the programmable logic.
        pub load_address: U32 = "load address",
        /// Address at which it is entered; only the first partition of an executable has one.
        pub execution_address: U32 = "execution address",
        /// Offset of the data.
        pub data_offset: U32 = "data offset",
        /// See [`Attributes`].
        pub attributes: U32 = "attributes",
        /// How many partitions the same input file has; 0 in all but the first of them.
        pub section_count: U32 = "section count",
        /// Offset of the MD5 sum; 0: there is none.
        pub checksum_offset: U32 = "checksum offset",
        /// Offset of the image header that it belongs to.
        pub image_header: U32 = "image header offset",
        /// Offset of its certificate; 0: there is none.
        pub certificate: U32 = "certificate offset",
        /// Always 0.
        pub reserved: [U32; 4] = "reserved",
        /// The complement of the sum of all words before it.
        pub checksum: U32 = "header checksum",
    }
}

const _: () = assert!(size_of::<PartitionHeader>() as u64 == SIZE);

/// Where a partition goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Memory of the processing system.
    Ps,
    /// The programmable logic.
    Pl,
}

/// What takes care of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The first-stage boot loader.
    Fsbl,
    /// U-Boot; the first-stage boot loader skips it.
    UBoot,
}

/// The attribute word of a partition header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes(pub u32);

impl Attributes {
    /// Bits that mean something.
    const KNOWN: u32 = 0x0003_f0ff;

    /// Bytes of zero behind the data, up to a whole word: 0 to 3.
    pub const fn tail_pad(self) -> u32 {
        self.0 & 3
    }

    /// Bytes of zero before the data, down to a whole word: 0 to 3.
    pub const fn head_pad(self) -> u32 {
        self.0 >> 2 & 3
    }

    /// Where it goes; `None` for a value without meaning.
    pub const fn destination(self) -> Option<Destination> {
        match self.0 >> 4 & 0xf {
            1 => Some(Destination::Ps),
            2 => Some(Destination::Pl),
            _ => None,
        }
    }

    /// Whether it has an MD5 sum; `None` for a kind of sum without meaning.
    pub const fn has_md5(self) -> Option<bool> {
        match self.0 >> 12 & 7 {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    /// Whether it is signed.
    pub const fn is_signed(self) -> bool {
        self.0 >> 15 & 1 != 0
    }

    /// What takes care of it; `None` for a value without meaning.
    pub const fn owner(self) -> Option<Owner> {
        match self.0 >> 16 & 3 {
            0 => Some(Owner::Fsbl),
            1 => Some(Owner::UBoot),
            _ => None,
        }
    }

    /// Whether all of it has a meaning.
    pub const fn is_defined(self) -> bool {
        self.0 & !Self::KNOWN == 0 && self.destination().is_some() && self.has_md5().is_some() && self.owner().is_some()
    }
}

impl PartitionHeader {
    /// The header behind the last: zeros and their checksum.
    pub const NULL: Self = Self {
        encrypted_length: U32::ZERO,
        unencrypted_length: U32::ZERO,
        total_length: U32::ZERO,
        load_address: U32::ZERO,
        execution_address: U32::ZERO,
        data_offset: U32::ZERO,
        attributes: U32::ZERO,
        section_count: U32::ZERO,
        checksum_offset: U32::ZERO,
        image_header: U32::ZERO,
        certificate: U32::ZERO,
        reserved: [U32::ZERO; 4],
        checksum: U32::from_bytes([0xff; 4]),
    };

    /// The attributes.
    pub fn attributes(&self) -> Attributes {
        Attributes(self.attributes.get())
    }

    /// The bytes of the image that hold its data, without padding and certificate.
    pub fn data(&self) -> Range<u64> {
        let start = bytes(self.data_offset.get());
        start..start.saturating_add(bytes(self.encrypted_length.get()))
    }

    /// The bytes of the image that hold its data, the padding behind it and its certificate.
    pub fn stored(&self) -> Range<u64> {
        let start = bytes(self.data_offset.get());
        start..start.saturating_add(bytes(self.total_length.get()))
    }

    /// The bytes of the image that hold its certificate, if it is signed.
    pub fn certificate(&self) -> Option<Range<u64>> {
        let start = bytes(self.certificate.get());
        self.attributes().is_signed().then(|| start..start.saturating_add(certificate::SIZE))
    }

    /// The bytes of the image that hold its MD5 sum, if it has one.
    pub fn md5(&self) -> Option<Range<u64>> {
        let start = bytes(self.checksum_offset.get());
        (self.attributes().has_md5() == Some(true)).then(|| start..start.saturating_add(MD5_SIZE))
    }

    /// The complement of the sum of all words but the last.
    pub fn computed_checksum(&self) -> u32 {
        let [summed @ .., _checksum] = self.words();
        complement_of_sum(&summed)
    }

    /// Reports what is wrong with this header, number `index`, at byte `base` of an image of `length` bytes; in order of its
    /// fields, the checksum first.
    pub fn examine(&self, index: u32, base: u64, length: u64, report: &mut dyn FnMut(Invalid)) {
        let structure = Structure::PartitionHeader(index);
        let mut wrong = |field, problem| report(Invalid::new::<Self>(structure, base, field, problem));
        let computed = self.computed_checksum();
        if self.checksum.get() != computed {
            wrong(offset_of!(Self, checksum), Problem::Checksum { found: self.checksum.get(), computed });
        }
        let (encrypted, total) = (self.encrypted_length.get() as u64, self.total_length.get() as u64);
        if encrypted > total {
            wrong(offset_of!(Self, encrypted_length), Problem::TooLarge { found: encrypted, most: total });
        }
        let stored = self.stored();
        if stored.end > length {
            let problem = Problem::BeyondEnd { start: stored.start, end: stored.end, length };
            wrong(offset_of!(Self, total_length), problem);
        }
        let attributes = self.attributes();
        if !attributes.is_defined() {
            wrong(offset_of!(Self, attributes), Problem::Undefined(attributes.0));
        }
        let parts = [
            (offset_of!(Self, checksum_offset), self.checksum_offset.get(), self.md5()),
            (offset_of!(Self, certificate), self.certificate.get(), self.certificate()),
        ];
        for (field, found, part) in parts {
            if (found != 0) != part.is_some() {
                wrong(field, Problem::Contradicts { found });
            }
            if let Some(part) = part.filter(|part| part.end > length) {
                wrong(field, Problem::BeyondEnd { start: part.start, end: part.end, length });
            }
        }
        if self.reserved.iter().any(|word| word.get() != 0) {
            wrong(offset_of!(Self, reserved), Problem::NotFill(0));
        }
    }

    /// Reports what distinguishes this header, at byte `base`, from [`PartitionHeader::NULL`].
    pub fn examine_null(&self, base: u64, report: &mut dyn FnMut(Invalid)) {
        for (index, (found, expected)) in self.words().into_iter().zip(Self::NULL.words()).enumerate() {
            if found != expected {
                let problem = Problem::Unexpected { found: found.get(), expected: expected.get() };
                report(Invalid::new::<Self>(Structure::NullHeader, base, index.saturating_mul(4), problem));
            }
        }
    }

    /// All words in order.
    pub fn words(&self) -> [U32; 16] {
        zerocopy::transmute!(*self)
    }
}
