//! Verifies a boot image in memory, and puts its partitions into their places.
//!
//! # What is trusted
//!
//! Nothing but this program. The image lies in memory as a whole, so that what is checked is what is used, whatever the card does meanwhile.
//! All checks come first: structure and sums of headers, MD5 sums, signatures, places in memory. Only then is a byte copied or the
//! programmable logic configured.
//!
//! An image is *signed* if it has a certificate of its headers. Then its headers and every partition that is used must be signed, by the
//! same primary key. If the boot loader itself came with a certificate, which the boot ROM of a chip with the RSA eFUSE checks and leaves
//! behind it, that key is the *anchor*: the image must be signed, and by it. Without an anchor a signature says no more than that the
//! image is of one piece.
//!
//! # What it does not
//!
//! Encrypted partitions are refused: decryption is possible only with a chip that started encrypted.

use core::ops::Range;

use bootimage::certificate::Certificate;
use bootimage::partition::{Destination, Owner};
use bootimage::{Image, Invalid, OutOfRange, Partition};
use heapless::Vec;
use md5::{Digest as _, Md5};
use thiserror::Error;

use crate::memory::Ram;
use crate::signature::{self, Digest, Distrust};

/// Most partitions of an image, the boot loader's included (the reference boot loader's own limit is 13).
pub const MOST: usize = 32;

/// Why an image is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ImageError {
    /// A header is damaged, or the file is no boot image.
    #[error(transparent)]
    Invalid(Invalid),
    /// The image is cut off; where its parts are was checked, so that this cannot come.
    #[error("the image ends before byte {0:#x}")]
    Short(u64),
    /// More partitions than this program keeps in mind.
    #[error("the image has more than {MOST} partitions")]
    TooMany,
    /// An encrypted partition.
    #[error("partition {0} is encrypted, which this boot loader does not support")]
    Encrypted(u32),
    /// An MD5 sum is wrong.
    #[error("partition {0} is damaged: its MD5 sum is wrong")]
    Md5(u32),
    /// The headers are not signed as they should be.
    #[error("the headers are not authentic: {0}")]
    Headers(Distrust),
    /// A partition is not signed as it should be.
    #[error("partition {0} is not authentic: {1}")]
    Partition(u32, Distrust),
    /// A partition without a certificate in a signed image.
    #[error("partition {0} is not signed, but the headers are")]
    Unsigned(u32),
    /// The boot loader is signed, the image is not.
    #[error("the image is not signed, but the boot loader is")]
    NotSigned,
    /// A partition goes where it cannot.
    #[error("partition {index} goes to {:#010x} to {:#010x}, which is {why}", place.start, place.end)]
    Place {
        /// Which partition.
        index: u32,
        /// Where to.
        place: Range64,
        /// What is there.
        why: &'static str,
    },
    /// A bitstream that is not aligned to words.
    #[error("the bitstream of partition {0} does not begin or end at a word")]
    Bitstream(u32),
    /// No partition says where to go on.
    #[error("no partition for the processors has an entry point")]
    NoEntry,
    /// The entry point lies in none of the partitions.
    #[error("the entry point {0:#010x} is not in any partition, or not that of an ARM instruction")]
    Entry(u32),
}

impl From<bootimage::Error<OutOfRange>> for ImageError {
    fn from(error: bootimage::Error<OutOfRange>) -> Self {
        match error {
            bootimage::Error::Read { offset, .. } => Self::Short(offset),
            bootimage::Error::Invalid(invalid) => Self::Invalid(invalid),
        }
    }
}

/// A range that can be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range64 {
    /// First address.
    pub start: u64,
    /// Behind the last.
    pub end: u64,
}

/// A piece of the image and where it goes. Offsets are in the image, addresses in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Which partition.
    pub index: u32,
    /// The bytes of the image.
    pub bytes: Range<u32>,
    /// Where to.
    pub target: Target,
}

/// Where a piece goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Memory, from this address on.
    Memory(u32),
    /// The programmable logic.
    Logic,
}

/// An image that was found good.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Its pieces, in order.
    pub pieces: Vec<Piece, MOST>,
    /// Where to go on.
    pub entry: u32,
    /// The digest of the primary key, if it is signed.
    pub signer: Option<Digest>,
}

/// Checks the image in `bytes`, which lies in the memory `ram` from address `staging` on. `anchor` is the digest of the key that the boot loader
/// is signed with, if it is.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify(bytes: &[u8], staging: u32, ram: &Range<u32>, anchor: Option<&Digest>) -> Result<Verified, ImageError> {
    let mut image = Image::open(bytes)?;
    let signer = match image.header_certificate()? {
        Some(certificate) => Some(headers(&image, bytes, &certificate, anchor)?),
        None if anchor.is_some() => return Err(ImageError::NotSigned),
        None => None,
    };
    let loader = image.boot().has_loader().then_some(u64::from(image.boot().source_offset.get()));
    let mut pieces: Vec<Piece, MOST> = Vec::new();
    let mut entry = None;
    for index in 0..image.table().partitions.get() {
        let partition = image.partition(index)?;
        let attributes = partition.header.attributes();
        // The boot ROM has loaded the first, and others are none of our business.
        if Some(partition.data().start) == loader || attributes.owner() != Some(Owner::Fsbl) {
            continue;
        }
        if partition.header.encrypted_length != partition.header.unencrypted_length {
            return Err(ImageError::Encrypted(index));
        }
        check_md5(bytes, &partition)?;
        if let Some(signer) = &signer {
            check_signature(&mut image, bytes, &partition, signer)?;
        }
        let piece = match attributes.destination() {
            Some(Destination::Pl) => logic(&partition)?,
            _ => memory(&partition, staging..staging.saturating_add(bytes.len() as u32), ram, &pieces)?,
        };
        let execution = partition.header.execution_address.get();
        if matches!(piece.target, Target::Memory(_)) && execution != 0 && entry.is_none() {
            entry = Some(execution);
        }
        pieces.push(piece).map_err(|_| ImageError::TooMany)?;
    }
    // Behind the last there must be the null header.
    image.partitions().try_for_each(|partition| partition.map(|_| ()))?;
    let entry = entry.ok_or(ImageError::NoEntry)?;
    let is_inside = pieces.iter().any(|piece| match piece.target {
        Target::Memory(address) => (address..address + (piece.bytes.end - piece.bytes.start)).contains(&entry),
        Target::Logic => false,
    });
    if !is_inside || !entry.is_multiple_of(4) {
        return Err(ImageError::Entry(entry));
    }
    Ok(Verified { pieces, entry, signer })
}

/// Checks the certificate of the headers, and returns the digest of its primary key.
fn headers(
    image: &Image<&[u8]>,
    bytes: &[u8],
    certificate: &Certificate,
    anchor: Option<&Digest>,
) -> Result<Digest, ImageError> {
    let end = image.table().certificate().unwrap_or_default();
    let signed = part(bytes, image.table_base()..end)?;
    signature::verify(certificate, &[signed], anchor).map_err(ImageError::Headers)?;
    Ok(signature::primary(certificate))
}

/// The MD5 sum is of everything that is stored, padding and certificate included.
fn check_md5(bytes: &[u8], partition: &Partition) -> Result<(), ImageError> {
    let Some(place) = partition.header.md5() else { return Ok(()) };
    let sum = Md5::digest(part(bytes, partition.header.stored())?);
    if part(bytes, place)? == sum.as_slice() { Ok(()) } else { Err(ImageError::Md5(partition.index)) }
}

fn check_signature(
    image: &mut Image<&[u8]>,
    bytes: &[u8],
    partition: &Partition,
    signer: &Digest,
) -> Result<(), ImageError> {
    let Some(certificate) = image.certificate(partition)? else {
        return Err(ImageError::Unsigned(partition.index));
    };
    let place = partition.header.certificate().unwrap_or_default();
    let stored = partition.header.stored();
    // Data, padding, certificate: nothing else, and all data before it.
    if place.end != stored.end || place.start < partition.data().end {
        return Err(ImageError::Partition(partition.index, Distrust::Data));
    }
    let signed = part(bytes, stored.start..place.start)?;
    signature::verify(&certificate, &[signed], Some(signer))
        .map_err(|distrust| ImageError::Partition(partition.index, distrust))
}

fn logic(partition: &Partition) -> Result<Piece, ImageError> {
    let data = narrow(partition.data())?;
    if partition.header.attributes().tail_pad() != 0 || partition.header.attributes().head_pad() != 0 || data.is_empty()
    {
        return Err(ImageError::Bitstream(partition.index));
    }
    Ok(Piece { index: partition.index, bytes: data, target: Target::Logic })
}

/// The padding at both ends, which makes words of bytes, is left out.
fn memory(partition: &Partition, staging: Range<u32>, ram: &Range<u32>, others: &[Piece]) -> Result<Piece, ImageError> {
    let index = partition.index;
    let attributes = partition.header.attributes();
    let data = narrow(partition.data())?;
    let bytes = data.start.saturating_add(attributes.head_pad())..data.end.saturating_sub(attributes.tail_pad());
    let start = u64::from(partition.header.load_address.get());
    let end = start + u64::from(bytes.end.saturating_sub(bytes.start));
    let place = Range64 { start, end };
    let refuse = |why| Err(ImageError::Place { index, place, why });
    if start >= end {
        return refuse("empty");
    }
    if start < u64::from(ram.start) || end > u64::from(ram.end) {
        return refuse("not within the memory");
    }
    let overlaps = |other: Range<u32>| start < u64::from(other.end) && u64::from(other.start) < end;
    if overlaps(staging) {
        return refuse("where the boot loader keeps the image");
    }
    for other in others {
        if let Target::Memory(address) = other.target
            && overlaps(address..address + (other.bytes.end - other.bytes.start))
        {
            return refuse("taken by another partition");
        }
    }
    Ok(Piece { index, bytes, target: Target::Memory(start as u32) })
}

/// Copies all pieces for the memory to their places. `staging` is where the image lies.
///
/// # Errors
/// [`ImageError::Place`], which a verified image does not give.
pub fn place(verified: &Verified, staging: u32, ram: &mut impl Ram) -> Result<(), ImageError> {
    for piece in &verified.pieces {
        let Target::Memory(address) = piece.target else { continue };
        let from = staging.saturating_add(piece.bytes.start)..staging.saturating_add(piece.bytes.end);
        let place = Range64 { start: address.into(), end: u64::from(address) + u64::from(from.end - from.start) };
        if !ram.copy(from, address) {
            return Err(ImageError::Place { index: piece.index, place, why: "not within the memory" });
        }
    }
    Ok(())
}

fn part(bytes: &[u8], range: Range<u64>) -> Result<&[u8], ImageError> {
    let range = narrow(range)?;
    bytes.get(range.start as usize..range.end as usize).ok_or(ImageError::Short(range.end.into()))
}

fn narrow(range: Range<u64>) -> Result<Range<u32>, ImageError> {
    match (u32::try_from(range.start), u32::try_from(range.end)) {
        (Ok(start), Ok(end)) => Ok(start..end),
        _ => Err(ImageError::Short(range.end)),
    }
}
