//! Where an image is read from.

use core::fmt;

use thiserror::Error;

/// A medium of known length that can be read at any place.
///
/// An [`Image`](crate::Image) asks only for ranges that lie within the length.
pub trait Source {
    /// What can go wrong on the medium.
    type Error: fmt::Debug + fmt::Display;

    /// Length in bytes: of the file, or of the memory that may hold an image.
    fn length(&self) -> u64;

    /// Fills `buffer` with the bytes from `offset`.
    ///
    /// # Errors
    ///
    /// When the medium does not give all of them; what is in `buffer` then does not matter.
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), Self::Error>;
}

/// A read that goes beyond the end of a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the range is not in the slice")]
pub struct OutOfRange;

impl Source for &[u8] {
    type Error = OutOfRange;

    fn length(&self) -> u64 {
        self.len() as u64
    }

    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), OutOfRange> {
        let bytes = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..))
            .and_then(|rest| rest.get(..buffer.len()))
            .ok_or(OutOfRange)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

impl<S: Source + ?Sized> Source for &mut S {
    type Error = S::Error;

    fn length(&self) -> u64 {
        (**self).length()
    }

    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), S::Error> {
        (**self).read(offset, buffer)
    }
}
