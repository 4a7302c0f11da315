//! What a bitstream says about itself (UG470, chapter 5).
//!
//! A bitstream is a sequence of packets that write to registers of the configuration logic. One of them writes the
//! identification of the chip that the bitstream is for, with which the logic compares its own.

use bootimage::{Error, Image, Source};
use std::ops::Range;

/// Bytes in which the identification is looked for; it comes before the frames.
const SEARCHED: u64 = 4096;

/// The word by which the configuration logic finds the packets.
pub const SYNC: u32 = 0xaa99_5566;

/// A packet that writes one word to the register of the identification.
const WRITE_IDCODE: u32 = 0x3001_8001;

/// What the identifications of all Zynq-7000 have in common: all but the device code and, in the four highest bits, the
/// revision.
const FAMILY: (u32, u32) = (0x0ffe_0fff, 0x0372_0093);

/// The parts by their device codes (UG585, appendix B, `PSS_IDCODE`).
const DEVICES: [(u32, &str); 10] = [
    (0x02, "7z010"),
    (0x03, "7z007s"),
    (0x07, "7z020"),
    (0x08, "7z014s"),
    (0x0c, "7z030"),
    (0x11, "7z045"),
    (0x12, "7z035"),
    (0x16, "7z100"),
    (0x1b, "7z015"),
    (0x1c, "7z012s"),
];

/// The part that the identification is of, without package and `xc`.
pub fn device(idcode: u32) -> Option<&'static str> {
    let (mask, family) = FAMILY;
    let code = idcode >> 12 & 0x1f;
    let known = DEVICES.iter().find(|(device, _)| *device == code).map(|(_, name)| *name);
    known.filter(|_| idcode & mask == family)
}

/// The identification in the words of a bitstream, if there is one behind a sync word.
pub fn idcode(words: impl IntoIterator<Item = u32>) -> Option<u32> {
    let mut words = words.into_iter().skip_while(|word| *word != SYNC);
    words.find(|word| *word == WRITE_IDCODE)?;
    words.next()
}

/// The identification in the bitstream whose stored words are at `range`.
pub(crate) fn stored_idcode<S: Source>(
    image: &mut Image<S>,
    range: Range<u64>,
) -> Result<Option<u32>, Error<S::Error>> {
    let end = range.end.min(range.start.saturating_add(SEARCHED)).min(image.length());
    let mut bytes = vec![0; usize::try_from(end.saturating_sub(range.start)).unwrap_or_default()];
    image.read(range.start, &mut bytes)?;
    Ok(idcode(bytes.as_chunks::<4>().0.iter().map(|&word| u32::from_le_bytes(word))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_by_their_identification() {
        assert_eq!(device(0x0372_7093), Some("7z020"));
        assert_eq!(device(0x2373_6093), Some("7z100"), "the revision does not matter");
        assert_eq!(device(0x0373_c093), Some("7z012s"));
        assert_eq!(device(0x0362_d093), None, "an Artix-7");
    }

    #[test]
    fn the_identification_comes_behind_the_sync_word() {
        assert_eq!(idcode([WRITE_IDCODE, 1, SYNC, 0, WRITE_IDCODE, 2]), Some(2));
        assert_eq!(idcode([WRITE_IDCODE, 1]), None);
    }
}
