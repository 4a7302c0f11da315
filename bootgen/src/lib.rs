//! Boot images (`BOOT.BIN`) for the Zynq-7000.
//!
//! # Theory of operation
//!
//! The chip's boot ROM reads a boot header from the boot device, perhaps decrypts and authenticates the
//! first-stage boot loader that the header points at, and starts it. That loader reads the tables behind the boot
//! header, and by them loads the other partitions: bitstreams, programs, data. A boot image is all of this in one
//! file.
//!
//! This library makes boot images from a description (a *BIF*, boot image format file), byte for byte as the
//! vendor's tool does where that tool is right. [`crypto`] has the chip's view of RSA and AES, [`keys`] reads and
//! writes the files that keys come in.
#![forbid(unsafe_code)]

pub mod bif;
pub mod build;
pub mod check;
pub mod crypto;
pub mod job;
pub mod keys;
pub mod load;
pub mod output;
pub mod payload;
