//! The boot image format file (*BIF*): the description that an image is made from.
//!
//! # Theory of operation
//!
//! A BIF names groups, each of which becomes an image:
//!
//! ```text
//! the_ROM_image:
//! {
//!     [pskfile] primary.pem                              // about the whole image
//!     [bootloader, authentication = rsa] build/fsbl.elf  // a partition
//!     { type = raw, file = data.bin, load = 0x10_0000 }  // the same in the newer syntax
//! }
//! ```
//!
//! [`parse`] works in two steps. The grammar (`syntax`) turns text into statements and knows no attribute but by
//! whether its value is a number. The meaning (`spec`) knows each attribute: what it may be joined with, which
//! ones belong to other chips, what its numbers have to be. Both report by a [`BifError`] that points into the text.
//!
//! The grammar is more liberal than that of the vendor's tool: whatever that accepts means the same here; beyond it, a
//! file name need not contain one of `/ . - +`, a group's name may consist of hexadecimal letters, expressions may be
//! written without blanks and may multiply, and statements may be separated by commas or semicolons.

use std::path::Path;

mod error;
mod scan;
mod spec;
mod syntax;
pub(crate) mod text;

pub use error::BifError;
pub use spec::{Input, KeyFiles, Kind, Owner, Spec};

/// Parses the text of a BIF; `path` is for messages only.
///
/// # Errors
///
/// At the first thing that is not understood or contradicts something else.
pub fn parse(path: &Path, text: &str) -> Result<Vec<Spec>, BifError> {
    let groups = syntax::parse(text).and_then(|groups| groups.into_iter().map(Spec::of).collect::<Result<Vec<_>, _>>());
    groups.map_err(|problem| problem.within(path, text))
}
