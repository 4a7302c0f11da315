//! Reads the boot image of the Zynq-7000 (`BOOT.BIN`): no allocator, no trust in a single byte of it.
//!
//! # Theory of operation
//!
//! The boot ROM knows one thing about an image: the *boot header* at its start, a block of fixed layout that says where
//! the first-stage boot loader lies, how long it is and where it goes. Everything behind that is between the tool that
//! made the image and the boot loader that reads it: three kinds of headers, which refer to each other and to the data
//! by offsets in words of four bytes.
//!
//! ```text
//! 0x0000  boot header            source, length and place of the boot loader; its sum of words; 256 register writes
//! 0x08c0  image header table     how many partitions there are, and where the two lists of headers begin
//! 0x0900  image headers          a linked list, one for each input file: its name, its first partition
//! 0x0c80  partition headers      an array, one for each loadable piece: lengths, place in memory, attributes, sum of words
//!         null header            the array's end
//! 0x1040  certificate            of all headers before it, if the image is signed
//! 0x1700  partitions             each its data and, if it is signed, its own certificate (0x6c0 bytes)
//!         MD5 sums               16 bytes for each partition that has one
//! ```
//!
//! The offsets at the left are what these places usually have; the headers decide. The structures are described in the
//! vendor's manuals UG585 (chapter 6, "Boot and Configuration") and UG1283 (chapter "Boot Image Layout"), whose names for
//! fields are used here.
//!
//! The same code serves a boot loader that reads from a card, a few sectors at a time, and a tool on a host that has a file
//! or a slice in memory: both give a [`Source`], and an [`Image`] reads no more of it than the header that was asked for.
//! Structures have the layout of the image ([`layout`]), so a tool can also write them, and each of them knows the
//! names and places of its fields.
//!
//! Whatever is wrong is an [`Error`] that names the structure, the field and its offset in the image. Nothing here can
//! panic, whatever the image holds: there is no indexing, no arithmetic that could overflow (offsets are 64 bits wide,
//! which 32-bit words of four bytes cannot exhaust), and no loop that is not bounded by the length of the image.
//!
//! Deliberately not here: anything that needs a key or computes a digest. [`Image::pieces`] hands the bytes to whoever does.
//!
//! # Example
//!
//! ```
//! use zelkova_bootimage::{Error, Image, Source};
//!
//! /// Bytes that all partitions for the processing system take in memory.
//! fn size<S: Source>(card: S) -> Result<u64, Error<S::Error>> {
//!     let mut image = Image::open(card)?;
//!     let mut sum = 0_u64;
//!     for partition in image.partitions() {
//!         let data = partition?.data();
//!         sum = sum.saturating_add(data.end.saturating_sub(data.start));
//!     }
//!     Ok(sum)
//! }
//! assert_eq!(
//!     size(&[0; 8][..]).unwrap_err().to_string(),
//!     "boot header, field `interrupt table` at 0x0: the image ends at 0x8, before the field does"
//! );
//! ```

#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable
)]

pub mod boot;
pub mod certificate;
mod error;
pub mod headers;
mod image;
pub mod layout;
mod name;
pub mod partition;
mod source;

pub use crate::boot::BootHeader;
pub use crate::certificate::Certificate;
pub use crate::error::{Error, Invalid, Problem, Structure};
pub use crate::headers::{ImageHeader, ImageHeaderTable};
pub use crate::image::{Image, Images, Partition, Partitions, structure};
pub use crate::name::{LONGEST, Name};
pub use crate::partition::PartitionHeader;
pub use crate::source::{OutOfRange, Source};

/// Bytes in a word, the unit of most offsets and lengths in the headers.
pub const WORD: u64 = 4;

/// The byte that a word offset or a word count stands for.
pub const fn bytes(words: u32) -> u64 {
    (words as u64).saturating_mul(WORD)
}
