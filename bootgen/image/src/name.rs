//! Names of input files as image headers hold them.

use core::fmt::{self, Write as _};

/// The longest name that is accepted, in bytes: file systems have no longer ones.
pub const LONGEST: usize = 255;

/// The name of an input file.
///
/// In the image each group of four bytes is stored in reverse, as the bytes of a little-endian word whose highest byte
/// comes first in the name. What displays it escapes whatever could upset a terminal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name {
    bytes: [u8; LONGEST],
    length: u8,
}

impl Name {
    /// The empty name.
    pub(crate) const EMPTY: Self = Self { bytes: [0; LONGEST], length: 0 };

    /// Appends a byte, unless the name is full.
    pub(crate) fn push(&mut self, byte: u8) -> bool {
        match self.bytes.get_mut(self.length as usize) {
            Some(place) => {
                *place = byte;
                self.length = self.length.saturating_add(1);
                true
            }
            None => false,
        }
    }

    /// The bytes of the name.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length as usize).unwrap_or_default()
    }

    /// The name, if it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        str::from_utf8(self.as_bytes()).ok()
    }

    /// Bytes that it takes in the image, with the zeros that end it.
    pub fn stored_size(&self) -> usize {
        (self.length as usize / 4).saturating_add(2).saturating_mul(4)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.as_bytes().utf8_chunks() {
            for character in chunk.valid().chars() {
                if character.is_control() {
                    write!(f, "{}", character.escape_unicode())?;
                } else {
                    f.write_char(character)?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}
