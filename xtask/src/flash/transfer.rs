//! Writing an image and comparing what was written.
//!
//! # Theory of operation
//!
//! The image goes onto the medium in chunks. Its first block, which has the partition table, is kept back: before anything
//! else is written the medium's first block is cleared, and after everything else has arrived the image's is written.
//! So whatever is interrupted, by a key, a pulled card or a power cut, leaves a card without a partition table, which nobody
//! takes for a good one; and doing it again, from the start, makes it good, because nothing of what was there before
//! is relied on.
//!
//! When only what differs is to be written, each chunk is read from the medium first and compared block by block. A
//! medium that holds the image already is not written at all, not even its first block.
//!
//! Then the medium is told to write back what it still holds, and all of it is read again and compared. What
//! [`Medium::read`] can promise about caches is the medium's affair.

use std::io;
use std::ops::{ControlFlow, Range};

/// Bytes that are read, written and compared at once.
pub(crate) const CHUNK: usize = 1 << 20;
/// Bytes of a block, the least that is written when only what differs is. No medium's own sectors are larger.
pub(crate) const BLOCK: usize = 4096;

/// What is written to.
pub(crate) trait Medium {
    /// Reads what the medium holds from byte `offset`.
    fn read(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;
    /// Writes to byte `offset`.
    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Waits until everything written would outlast a power cut.
    fn flush(&mut self) -> io::Result<()>;
}

/// What is written.
pub(crate) trait Image {
    /// Its length in bytes.
    fn length(&self) -> u64;
    /// Reads from byte `offset`.
    fn read(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;
}

/// What is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The image is written.
    Write,
    /// It is compared.
    Compare,
}

/// Why an image is not, or not rightly, on the medium.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The medium failed.
    #[error("{doing} at byte {offset}: {error}")]
    Medium {
        /// What was being done.
        doing: &'static str,
        /// Where, in bytes from the start.
        offset: u64,
        /// What the operating system says.
        error: io::Error,
    },
    /// The image cannot be read.
    #[error("reading the image at byte {offset}: {error}")]
    Image {
        /// Where, in bytes from the start.
        offset: u64,
        /// What the operating system says.
        error: io::Error,
    },
    /// The medium holds something else than was written.
    #[error(
        "byte {offset} reads {found:#04x}, but {wanted:#04x} was written: the card is worn out, a fake, or has a bad contact"
    )]
    Differs {
        /// The first such byte, from the start.
        offset: u64,
        /// What was written.
        wanted: u8,
        /// What was read.
        found: u8,
    },
    /// The user wants no more.
    #[error("interrupted at byte {offset}{}", if *written { "; the card is not usable, do it again" } else { "" })]
    Interrupted {
        /// Where, in bytes from the start.
        offset: u64,
        /// Something had been written, and not yet everything.
        written: bool,
    },
}

/// Memory for a chunk that starts at a multiple of [`BLOCK`], as direct access to a medium wants it.
pub(crate) struct Aligned {
    memory: Vec<u8>,
    first: usize,
}

impl Aligned {
    fn new() -> Self {
        let memory = vec![0; CHUNK + BLOCK];
        let first = memory.as_ptr().align_offset(BLOCK).min(BLOCK);
        Self { memory, first }
    }

    fn get(&mut self, length: usize) -> &mut [u8] {
        let end = self.first + length.min(CHUNK);
        self.memory.get_mut(self.first..end).unwrap_or_default()
    }
}

/// Writes `image` and returns how many bytes had to be written, without the clearing of the first block.
///
/// `watch` is called with the bytes that are done after each chunk and ends the work by breaking.
///
/// # Errors
///
/// [`Error`], with the place.
pub(crate) fn write(
    image: &mut impl Image,
    medium: &mut impl Medium,
    changed_only: bool,
    mut watch: impl FnMut(Phase, u64) -> ControlFlow<()>,
) -> Result<u64, Error> {
    let length = image.length();
    let (mut new, mut old) = (Aligned::new(), Aligned::new());
    let mut first_block = Aligned::new();
    let head = length.min(BLOCK as u64) as usize;
    let mut head_differs = true;
    let mut begun = false;
    let mut written = 0;
    for chunk in chunks(length) {
        let bytes = new.get((chunk.end - chunk.start) as usize);
        read_image(image, chunk.start, bytes)?;
        let kept_back = if chunk.start == 0 { head } else { 0 };
        let runs = if changed_only {
            let before = old.get(bytes.len());
            read_medium(medium, chunk.start, before)?;
            if kept_back > 0 {
                head_differs = bytes.get(..head) != before.get(..head);
            }
            differing(bytes, before, kept_back)
        } else {
            std::iter::once(kept_back..bytes.len()).filter(|run| !run.is_empty()).collect()
        };
        for run in runs {
            if !begun {
                begun = true;
                let zeros = first_block.get(head);
                zeros.fill(0);
                write_medium(medium, 0, zeros)?;
                flush(medium, 0)?;
            }
            let part = bytes.get(run.clone()).unwrap_or_default();
            write_medium(medium, chunk.start + run.start as u64, part)?;
            written += part.len() as u64;
        }
        if watch(Phase::Write, chunk.end).is_break() {
            return Err(Error::Interrupted { offset: chunk.end, written: begun });
        }
    }
    if begun || head_differs {
        flush(medium, length)?;
        let bytes = first_block.get(head);
        read_image(image, 0, bytes)?;
        write_medium(medium, 0, bytes)?;
        written += bytes.len() as u64;
        flush(medium, 0)?;
    }
    Ok(written)
}

/// Reads the medium and compares it with `image`.
///
/// `watch` is called as for [`write()`].
///
/// # Errors
///
/// [`Error`], with the place.
pub(crate) fn compare(
    image: &mut impl Image,
    medium: &mut impl Medium,
    mut watch: impl FnMut(Phase, u64) -> ControlFlow<()>,
) -> Result<(), Error> {
    let (mut new, mut found) = (Aligned::new(), Aligned::new());
    for chunk in chunks(image.length()) {
        let wanted = new.get((chunk.end - chunk.start) as usize);
        read_image(image, chunk.start, wanted)?;
        let found = found.get(wanted.len());
        read_medium(medium, chunk.start, found)?;
        // Chunks that are equal, all in the rule, are compared as fast as memory allows.
        if wanted != found {
            let first = wanted.iter().zip(found.iter()).enumerate().find(|(_, (wanted, found))| wanted != found);
            if let Some((index, (&wanted, &found))) = first {
                return Err(Error::Differs { offset: chunk.start + index as u64, wanted, found });
            }
        }
        if watch(Phase::Compare, chunk.end).is_break() {
            return Err(Error::Interrupted { offset: chunk.end, written: false });
        }
    }
    Ok(())
}

fn chunks(length: u64) -> impl Iterator<Item = Range<u64>> {
    (0..length).step_by(CHUNK).map(move |start| start..length.min(start + CHUNK as u64))
}

/// The runs of blocks from `first` on that differ.
fn differing(new: &[u8], old: &[u8], first: usize) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (index, (new, old)) in new.chunks(BLOCK).zip(old.chunks(BLOCK)).enumerate() {
        let start = index * BLOCK;
        if start < first || new == old {
            continue;
        }
        match runs.last_mut() {
            Some(run) if run.end == start => run.end += new.len(),
            _ => runs.push(start..start + new.len()),
        }
    }
    runs
}

fn read_image(image: &mut impl Image, offset: u64, bytes: &mut [u8]) -> Result<(), Error> {
    image.read(offset, bytes).map_err(|error| Error::Image { offset, error })
}

fn read_medium(medium: &mut impl Medium, offset: u64, bytes: &mut [u8]) -> Result<(), Error> {
    medium.read(offset, bytes).map_err(|error| Error::Medium { doing: "reading", offset, error })
}

fn write_medium(medium: &mut impl Medium, offset: u64, bytes: &[u8]) -> Result<(), Error> {
    medium.write(offset, bytes).map_err(|error| Error::Medium { doing: "writing", offset, error })
}

/// `offset` is up to where it had been written.
fn flush(medium: &mut impl Medium, offset: u64) -> Result<(), Error> {
    medium.flush().map_err(|error| Error::Medium { doing: "writing back what comes", offset, error })
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Image for Vec<u8> {
        fn length(&self) -> u64 {
            self.len() as u64
        }

        fn read(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
            bytes.copy_from_slice(&self[offset as usize..offset as usize + bytes.len()]);
            Ok(())
        }
    }

    /// A card that can fail: every write counts, and from one on it takes no more, or only the first half of it.
    struct Card {
        bytes: Vec<u8>,
        /// Operations left before the power goes.
        left: usize,
        operations: usize,
        written: u64,
        /// A byte that does not keep its value.
        worn: Option<usize>,
    }

    impl Card {
        fn new(length: usize) -> Self {
            let bytes = (0..length).map(|index| (index / 3) as u8).collect();
            Self { bytes, left: usize::MAX, operations: 0, written: 0, worn: None }
        }

        fn step(&mut self) -> io::Result<()> {
            self.operations += 1;
            self.left = self.left.checked_sub(1).ok_or(io::ErrorKind::BrokenPipe)?;
            Ok(())
        }
    }

    impl Medium for Card {
        fn read(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
            self.bytes.read(offset, bytes)?;
            let at = self.worn.and_then(|worn| worn.checked_sub(offset as usize));
            if let Some(byte) = at.and_then(|at| bytes.get_mut(at)) {
                *byte ^= 0x10;
            }
            Ok(())
        }

        fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
            let result = self.step();
            let kept = if result.is_ok() { bytes.len() } else { bytes.len() / 2 };
            self.bytes[offset as usize..][..kept].copy_from_slice(&bytes[..kept]);
            self.written += kept as u64;
            result
        }

        fn flush(&mut self) -> io::Result<()> {
            self.step()
        }
    }

    /// Three and a bit chunks, no two blocks alike, no byte of them zero.
    fn image() -> Vec<u8> {
        (0..3 * CHUNK + 5 * BLOCK + 700).map(|index| (index / BLOCK * 7 + index) as u8 | 1).collect()
    }

    fn on(_: Phase, _: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    #[test]
    fn an_image_of_any_length_arrives() {
        for length in [1, 511, 512, BLOCK - 1, BLOCK, BLOCK + 1, CHUNK, CHUNK + 512, 2 * CHUNK + 1] {
            let mut image = image();
            image.truncate(length);
            for changed_only in [false, true] {
                let mut card = Card::new(4 * CHUNK);
                assert_eq!(write(&mut image, &mut card, changed_only, on).unwrap(), length as u64);
                assert_eq!(card.bytes[..length], image[..]);
                assert_eq!(card.bytes[length..], Card::new(4 * CHUNK).bytes[length..], "what is behind is left alone");
                compare(&mut image, &mut card, on).unwrap();
            }
        }
    }

    #[test]
    fn only_what_differs_is_written() {
        let mut image = image();
        let mut card = Card::new(4 * CHUNK);
        write(&mut image, &mut card, false, on).unwrap();
        card.written = 0;
        assert_eq!(write(&mut image, &mut card, true, on).unwrap(), 0);
        assert_eq!(card.written, 0, "an equal card is not touched");
        // One byte in the middle of a chunk, two neighbours across a border of blocks, and the last byte.
        for index in [CHUNK + 9000, 2 * CHUNK + BLOCK - 1, 2 * CHUNK + BLOCK, image.len() - 1] {
            card.bytes[index] ^= 1;
        }
        let expected = 3 * BLOCK + 700 + BLOCK;
        assert_eq!(write(&mut image, &mut card, true, on).unwrap(), expected as u64);
        assert_eq!(card.written, (expected + BLOCK) as u64, "and the first block is cleared meanwhile");
        compare(&mut image, &mut card, on).unwrap();
        card.bytes[3] ^= 1;
        assert_eq!(write(&mut image, &mut card, true, on).unwrap(), BLOCK as u64);
        compare(&mut image, &mut card, on).unwrap();
    }

    #[test]
    fn wherever_the_power_goes_the_card_is_recognised_as_unfinished_and_doing_it_again_helps() {
        let mut image = image();
        let mut whole = Card::new(4 * CHUNK);
        write(&mut image, &mut whole, false, on).unwrap();
        for changed_only in [false, true] {
            for left in 0..whole.operations {
                let mut card = Card::new(4 * CHUNK);
                card.left = left;
                let error = write(&mut image, &mut card, changed_only, on).unwrap_err();
                assert!(matches!(error, Error::Medium { .. }), "{error}");
                let untouched = card.bytes == Card::new(4 * CHUNK).bytes;
                let complete = card.bytes[..image.len()] == image[..];
                let cleared = card.bytes[..BLOCK / 2].iter().all(|byte| *byte == 0);
                // Only in the first and the last step is the first block itself half written.
                let at_an_end = left == 0 || left + 2 >= whole.operations;
                assert!(untouched || complete || cleared || at_an_end, "after {left} operations");
                card.left = usize::MAX;
                write(&mut image, &mut card, changed_only, on).unwrap();
                compare(&mut image, &mut card, on).unwrap();
            }
        }
    }

    #[test]
    fn the_user_can_stop_it_after_every_chunk() {
        let mut image = image();
        for stop in 0..4 {
            let mut card = Card::new(4 * CHUNK);
            let mut seen = 0;
            let error = write(&mut image, &mut card, false, |_, _| {
                seen += 1;
                if seen > stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .unwrap_err();
            assert!(matches!(error, Error::Interrupted { written: true, .. }), "{error}");
            assert!(card.bytes[..BLOCK].iter().all(|byte| *byte == 0));
            write(&mut image, &mut card, true, on).unwrap();
            compare(&mut image, &mut card, on).unwrap();
        }
    }

    #[test]
    fn a_byte_that_does_not_keep_its_value_is_found() {
        let mut image = image();
        for worn in [0, 5, CHUNK, 3 * CHUNK + 17, image.len() - 1] {
            let mut card = Card::new(4 * CHUNK);
            card.worn = Some(worn);
            write(&mut image, &mut card, false, on).unwrap();
            let error = compare(&mut image, &mut card, on).unwrap_err();
            assert!(matches!(error, Error::Differs { offset, .. } if offset == worn as u64), "{error}");
        }
    }

    #[test]
    fn memory_is_aligned() {
        let mut memory = Aligned::new();
        let bytes = memory.get(CHUNK);
        assert_eq!((bytes.len(), bytes.as_ptr().align_offset(BLOCK)), (CHUNK, 0));
    }
}
