//! The bytes of an image's headers. `zelkova-bootimage` reads what this writes, and documents each field.

use bootimage::boot::{BRANCH_TO_SELF, IDENTIFICATION, REGISTER_INITS, UNUSED, VERSION, WIDTH_DETECTION};

use crate::crypto::aes::KeySource;

/// Bytes of the boot header.
pub(crate) const BOOT_HEADER: u64 = bootimage::boot::SIZE;

/// Bytes of the image header table and of a partition header.
pub(crate) const TABLE: u64 = 0x40;

/// Bytes of an authentication certificate.
pub(crate) const CERTIFICATE: u64 = 0x6c0;

/// Bytes of the boot header's user defined field.
pub(crate) const UDF_BOOT: usize = 76;

/// Bytes of a certificate's user defined field.
pub(crate) const UDF_CERTIFICATE: usize = 56;

/// Builds up little endian words.
#[derive(Default)]
struct Words(Vec<u8>);

impl Words {
    fn push(mut self, word: u32) -> Self {
        self.0.extend(word.to_le_bytes());
        self
    }

    fn extend(self, words: impl IntoIterator<Item = u32>) -> Self {
        words.into_iter().fold(self, Self::push)
    }

    /// The complement of the sum of the words from byte `from` on.
    fn checksum(self, from: usize) -> Self {
        let words = self.0.get(from..).unwrap_or_default().as_chunks::<4>().0.iter();
        let sum = words.fold(0_u32, |sum, &word| sum.wrapping_add(u32::from_le_bytes(word)));
        self.push(!sum)
    }
}

/// What the boot header says.
#[derive(Clone, Debug)]
pub(crate) struct Boot {
    /// Where the key is, if the boot loader is encrypted.
    pub key_source: Option<KeySource>,
    /// Where the boot loader lies, in bytes.
    pub source: u32,
    /// Its plaintext's bytes.
    pub length: u32,
    /// Where it is copied to.
    pub load: u32,
    /// Where it is entered.
    pub exec: u32,
    /// Its bytes in the image.
    pub total_length: u32,
    /// For the user.
    pub udf: [u8; UDF_BOOT],
    /// Where the image header table lies, in bytes.
    pub image_table: u32,
    /// Where the partition headers lie, in bytes.
    pub partitions: u32,
    /// Registers and what is written to them; at most 256 pairs count.
    pub inits: Vec<(u32, u32)>,
}

/// The word for where a key is.
pub(crate) const fn key_source_word(source: Option<KeySource>) -> u32 {
    match source {
        None => 0,
        Some(KeySource::Bbram) => 0x3a5c_3c5a,
        Some(KeySource::Efuse) => 0xa5c3_c5a3,
    }
}

/// The boot header's bytes.
pub(crate) fn boot(boot: &Boot) -> Vec<u8> {
    let mut words = Words::default()
        .extend([BRANCH_TO_SELF; 8])
        .extend([WIDTH_DETECTION, IDENTIFICATION, key_source_word(boot.key_source), VERSION])
        .extend([boot.source, boot.length, boot.load, boot.exec, boot.total_length])
        .push(1)
        .checksum(0x20);
    words.0.extend(boot.udf);
    let inits = boot.inits.iter().copied().chain(std::iter::repeat((UNUSED, 0)));
    let inits = inits.take(REGISTER_INITS as usize).flat_map(|(address, value)| [address, value]);
    words.extend([boot.image_table, boot.partitions]).extend(inits).0
}

/// The image header table's bytes; places are in words.
pub(crate) fn image_table(partitions: u32, first_partition: u32, first_image: u32, certificate: u32) -> Vec<u8> {
    let words = Words::default().extend([0x0102_0000, partitions, first_partition, first_image, certificate]);
    words.extend([u32::MAX; 11]).0
}

/// Bytes of the header of an image called `name`.
pub(crate) fn image_size(name: &str) -> u64 {
    16 + (name.len() as u64 + 1).next_multiple_of(4) + 4
}

/// An image header's bytes; places are in words.
pub(crate) fn image(next: u32, first_partition: u32, partitions: u32, name: &str) -> Vec<u8> {
    let mut words = Words::default().extend([next, first_partition, 0, partitions]);
    let mut text = name.as_bytes().to_vec();
    text.resize((name.len() + 1).next_multiple_of(4) + 4, 0);
    for group in text.as_chunks::<4>().0 {
        words = words.push(u32::from_be_bytes(*group));
    }
    words.0
}

/// What a partition header says. Lengths and places are in words.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Partition {
    /// As it is stored, without certificate.
    pub stored: u32,
    /// Before it was encrypted.
    pub plain: u32,
    /// With its certificate.
    pub total: u32,
    /// Where it is loaded, an address.
    pub load: u32,
    /// Where it is entered, an address.
    pub exec: u32,
    /// Where it lies.
    pub offset: u32,
    /// Destination, owner, checks, padding.
    pub attributes: u32,
    /// Partitions of its image, in the first one's header.
    pub sections: u32,
    /// Where its digest lies.
    pub checksum: u32,
    /// Where its image's header lies.
    pub image: u32,
    /// Where its certificate lies.
    pub certificate: u32,
}

/// A partition header's bytes. That of the default is the one that ends the table.
pub(crate) fn partition(header: &Partition) -> Vec<u8> {
    let words = Words::default()
        .extend([header.stored, header.plain, header.total, header.load, header.exec, header.offset])
        .extend([header.attributes, header.sections, header.checksum, header.image, header.certificate])
        .extend([0; 4]);
    words.checksum(0).0
}

/// The bytes of a certificate up to the signature that is about them.
pub(crate) fn certificate(
    udf: &[u8; UDF_CERTIFICATE],
    primary: &[u8],
    secondary: &[u8],
    secondary_signature: &[u8],
) -> Vec<u8> {
    let mut bytes = Words::default().extend([0x101, CERTIFICATE as u32]).0;
    for part in [udf, primary, secondary, secondary_signature] {
        bytes.extend_from_slice(part);
    }
    bytes
}
