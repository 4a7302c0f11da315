//! MCS files: Intel HEX records, as flash programmers read them.
//!
//! A record is `:`, the number of bytes, their address modulo 64 KiB, a type, the bytes, and a checksum that makes the sum of
//! all of it zero, in hexadecimal. Type 00 has data, type 04 sets the upper half of the addresses of what follows, type 01
//! ends the file.

use std::path::Path;

use super::{Output, OutputError, Sink};

/// Bytes of a full record.
const RECORD: usize = 16;

/// Bytes whose addresses have the upper half in common; no record goes beyond them.
const PAGE: u64 = 1 << 16;

/// A file of records.
pub struct Mcs {
    output: Output,
    fill: Option<u8>,
    /// Whether records may go beyond a page.
    crosses: bool,
    /// The byte behind the last one.
    at: u64,
    /// What is not written yet: the begin of a record that ends at `at`.
    pending: Vec<u8>,
    /// The upper half of the address that is set.
    upper: Option<u64>,
    text: Vec<u8>,
}

impl Mcs {
    /// Creates a file in which gaps are left out, or filled.
    ///
    /// With `crosses`, records of 16 bytes go beyond the 64 KiB that the upper half of addresses is set for, as the
    /// vendor's tool has them behind data whose length is no multiple of 16. Readers that obey the format put their end
    /// at the begin of these 64 KiB.
    ///
    /// # Errors
    ///
    /// When it cannot be created.
    pub fn create(path: &Path, fill: Option<u8>, crosses: bool) -> Result<Self, OutputError> {
        let output = Output::create(path)?;
        Ok(Self {
            output,
            fill,
            crosses,
            at: 0,
            pending: Vec::with_capacity(16),
            upper: None,
            text: Vec::with_capacity(64),
        })
    }

    /// The same, with the upper half of addresses taken as set; in a new file, that is right for zero only.
    pub(super) fn with_upper(mut self, upper: u64) -> Self {
        self.upper = Some(upper);
        self
    }

    /// Begins at `place` instead of zero.
    pub(super) fn starting_at(mut self, place: u64) -> Self {
        self.at = place;
        self
    }

    fn append(&mut self, mut bytes: &[u8]) -> Result<(), OutputError> {
        while !bytes.is_empty() {
            let page = if self.crosses { RECORD } else { (PAGE - self.at % PAGE) as usize };
            let room = (RECORD - self.pending.len()).min(page).min(bytes.len());
            let (now, later) = bytes.split_at(room);
            self.pending.extend_from_slice(now);
            self.at += now.len() as u64;
            if self.pending.len() == RECORD || !self.crosses && self.at.is_multiple_of(PAGE) {
                self.flush()?;
            }
            bytes = later;
        }
        Ok(())
    }

    /// Writes the record that is pending.
    fn flush(&mut self) -> Result<(), OutputError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let start = self.at - self.pending.len() as u64;
        let upper = start >> 16;
        if self.upper != Some(upper) {
            self.upper = Some(upper);
            self.record(0, 4, &(upper as u16).to_be_bytes())?;
        }
        let pending = std::mem::take(&mut self.pending);
        self.record(start as u16, 0, &pending)?;
        self.pending = pending;
        self.pending.clear();
        Ok(())
    }

    fn record(&mut self, address: u16, kind: u8, bytes: &[u8]) -> Result<(), OutputError> {
        let [high, low] = address.to_be_bytes();
        let mut sum = 0_u8;
        self.text.clear();
        self.text.push(b':');
        for byte in [bytes.len() as u8, high, low, kind].iter().chain(bytes) {
            sum = sum.wrapping_add(*byte);
            push_hex(&mut self.text, *byte);
        }
        push_hex(&mut self.text, sum.wrapping_neg());
        self.text.push(b'\n');
        self.output.put(&self.text)
    }
}

fn push_hex(text: &mut Vec<u8>, byte: u8) {
    text.extend([byte >> 4, byte & 15].map(|digit| if digit < 10 { b'0' + digit } else { b'A' + digit - 10 }));
}

impl Sink for Mcs {
    fn write(&mut self, place: u64, bytes: &[u8]) -> Result<(), OutputError> {
        let gap = place.saturating_sub(self.at);
        if gap > 0 {
            // Records hold either what is in the image or filling.
            self.flush()?;
            match self.fill {
                Some(fill) => super::fill(fill, gap, |bytes| self.append(bytes))?,
                None => self.at = place,
            }
            self.flush()?;
        }
        self.append(bytes)
    }

    fn finish(&mut self) -> Result<(), OutputError> {
        self.flush()?;
        self.record(0, 1, &[])?;
        self.output.finish()
    }
}
