//! Images for two QSPI flash chips.
//!
//! In *parallel*, the controller reads four bits from each chip at a time: a byte's even bits come from the first, its odd
//! ones from the second. *Stacked* chips follow each other: the second begins where the first ends.

use std::path::{Path, PathBuf};

use super::{Bin, Format, Mcs, OutputError, Sink};

/// Distributes bits to two chips.
pub struct Parallel {
    first: Box<dyn Sink>,
    second: Box<dyn Sink>,
    at: u64,
    /// The first of a pair of bytes.
    half: Option<u8>,
    pairs: (Vec<u8>, Vec<u8>),
}

impl Parallel {
    /// Creates the two files. Each chip gets its bits of the filling, too; with `whole_fill`, both files of bytes get
    /// the filling as it is, as from the vendor's tool.
    ///
    /// # Errors
    ///
    /// When one cannot be created.
    pub fn create(first: &Path, second: &Path, format: Format, whole_fill: bool) -> Result<Self, OutputError> {
        let half = |shift: u8| {
            let fill = |byte: u8| even(byte >> shift) << 4 | even(byte >> shift);
            match format {
                Format::Bin { .. } if whole_fill => format,
                Format::Bin { fill: byte } => Format::Bin { fill: fill(byte) },
                Format::Mcs { fill: byte, crosses } => Format::Mcs { fill: byte.map(fill), crosses },
            }
        };
        let (first, second) = (half(0).create(first)?, half(1).create(second)?);
        Ok(Self { first, second, at: 0, half: None, pairs: (Vec::new(), Vec::new()) })
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        for &byte in bytes {
            match self.half.take() {
                None => self.half = Some(byte),
                Some(before) => {
                    self.pairs.0.push(even(before) << 4 | even(byte));
                    self.pairs.1.push(even(before >> 1) << 4 | even(byte >> 1));
                }
            }
        }
        self.at += bytes.len() as u64;
        self.flush()
    }

    fn flush(&mut self) -> Result<(), OutputError> {
        // Behind the last whole pair.
        let place = self.at / 2 - self.pairs.0.len() as u64;
        self.first.write(place, &self.pairs.0)?;
        self.second.write(place, &self.pairs.1)?;
        self.pairs.0.clear();
        self.pairs.1.clear();
        Ok(())
    }

    /// Completes a pair of which only the first byte came.
    fn complete(&mut self) -> Result<(), OutputError> {
        if self.half.is_some() { self.append(&[0xff]) } else { Ok(()) }
    }
}

/// A byte's even bits, side by side.
fn even(byte: u8) -> u8 {
    byte & 1 | byte >> 1 & 2 | byte >> 2 & 4 | byte >> 3 & 8
}

impl Sink for Parallel {
    fn write(&mut self, place: u64, bytes: &[u8]) -> Result<(), OutputError> {
        if place > self.at {
            self.complete()?;
            self.at = place;
        }
        self.append(bytes)
    }

    fn finish(&mut self) -> Result<(), OutputError> {
        self.complete()?;
        self.first.finish()?;
        self.second.finish()
    }
}

/// Lets the second chip follow the first.
pub struct Stacked {
    first: Box<dyn Sink>,
    second: Option<Box<dyn Sink>>,
    second_path: PathBuf,
    format: Format,
    /// Bytes of the first chip.
    size: u64,
    /// The byte behind the last one on the first chip.
    at: u64,
}

impl Stacked {
    /// Writes `size` bytes to `first` and, if there are more, the others to a new file.
    pub fn new(first: Box<dyn Sink>, second_path: PathBuf, format: Format, size: u64) -> Self {
        Self { first, second: None, second_path, format, size, at: 0 }
    }

    fn second(&mut self) -> Result<&mut Box<dyn Sink>, OutputError> {
        let sink: Box<dyn Sink> = match (self.second.take(), self.format) {
            (Some(sink), _) => sink,
            (None, Format::Bin { fill }) => {
                // The first chip is full.
                self.first.write(self.size, &[])?;
                Box::new(Bin::create(&self.second_path, fill)?)
            }
            (None, Format::Mcs { fill, crosses }) => {
                if fill.is_some() {
                    self.first.write(self.size, &[])?;
                    self.at = self.size;
                }
                // The vendor's tool takes both files for one in this respect.
                let upper = self.at.saturating_sub(1) >> 16;
                Box::new(Mcs::create(&self.second_path, fill, crosses)?.with_upper(upper))
            }
        };
        Ok(self.second.insert(sink))
    }
}

impl Sink for Stacked {
    fn write(&mut self, place: u64, bytes: &[u8]) -> Result<(), OutputError> {
        let here = self.size.saturating_sub(place).min(bytes.len() as u64);
        let (first, second) = bytes.split_at_checked(here as usize).unwrap_or((bytes, &[]));
        if !first.is_empty() {
            self.first.write(place, first)?;
            self.at = place + here;
        }
        if !second.is_empty() {
            let place = place + here - self.size;
            self.second()?.write(place, second)?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), OutputError> {
        self.first.finish()?;
        self.second.as_mut().map_or(Ok(()), |second| second.finish())
    }
}
