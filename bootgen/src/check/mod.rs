//! Looking into finished images: what is in them, whether it is sound, how two of them differ.
//!
//! # Theory of operation
//!
//! Everything here begins with [`Contents`]: all headers of an image, read as they are, also where they contradict each other.
//! An image says most things twice: the boot header and the partition header both say where the boot loader is, the
//! image headers and the partition headers refer to each other, lengths follow from lengths, and what lies where
//! follows from the order in which every tool puts it. So a single damaged reference leaves enough to find what it
//! should refer to, and to name the field that is wrong.
//!
//! - [`inspect`] shows the contents, [`describe`] gives them to programs;
//! - [`verify`] judges them. [`structure`] compares what is said twice, [`payload`] the bytes between the headers,
//!   [`signatures`] and [`encryption`] what needs keys, and [`rules`] knows what the boot ROM and the vendor's first-stage
//!   boot loader refuse although it is not damaged. [`coverage`] tells which bytes nothing vouches for;
//! - [`diff`] compares two images by field;
//! - [`extract`] takes the partitions out again.
//!
//! Deliberately not here: the user data in headers and certificates, which mean nothing to anyone but the user, and the
//! checksum of configuration packets inside bitstreams, which the chip checks itself.

pub mod bitstream;
pub mod contents;
pub mod coverage;
pub mod describe;
pub mod diff;
pub mod encryption;
pub mod extract;
pub mod finding;
pub mod inspect;
pub mod payload;
pub mod rules;
pub mod sections;
pub mod signatures;
pub mod source;
pub mod structure;
pub mod verify;

pub use contents::Contents;
pub use finding::{Check, Finding, Severity};
pub use source::FileSource;
