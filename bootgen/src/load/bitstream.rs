//! Bitstreams for the programmable logic.
//!
//! A `.bit` file is a header of fields (design, part, date, time), each a letter, a length and a text, and then
//! configuration words with the most significant byte first. An `.rbt` file has lines of text and then a line of 32
//! binary digits for each word. Images hold the words with the least significant byte first.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Seek as _};
use std::path::Path;
use std::sync::Arc;

use super::Reason;
use crate::crypto::aes::NOP;
use crate::payload::{CHUNK, Payload, ReadError};

/// What a `.bit` file begins with.
const MAGIC: [u8; 13] = [0x00, 0x09, 0x0f, 0xf0, 0x0f, 0xf0, 0x0f, 0xf0, 0x0f, 0xf0, 0x00, 0x00, 0x01];

/// How the names of the parts begin that have this chip in them.
const PARTS: &[&str] = &["xc7z", "7z", "xa7z", "a7z", "xq7z", "q7z"];

/// The word that configuration begins with; the logic ignores all before it.
const SYNC: u32 = 0xaa99_5566;

/// A write of one word to the command register.
const COMMAND: u32 = 0x3000_8001;

/// Commands that end the configuration: DESYNC and, in images for fallback, REBOOT.
const ENDS: [u32; 2] = [0xd, 0xe];

/// The words of a `.bit` file.
pub(super) fn bit(path: &Arc<Path>) -> Result<Payload, Reason> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut fields = Fields { file: BufReader::new(file), offset: 0 };
    fields.part()?;
    if fields.take("the field e")? != *b"e" {
        return Err(Reason::Bitstream { offset: fields.offset - 1, expected: "the field e" });
    }
    let announced = u64::from(u32::from_be_bytes(fields.take("the length of the data")?));
    let found = size.saturating_sub(fields.offset);
    if announced > found {
        return Err(Reason::Length { announced, found });
    }
    if !announced.is_multiple_of(4) {
        return Err(Reason::Words(announced));
    }
    if announced == 0 {
        return Err(Reason::Empty);
    }
    Ok(Payload::swapped_file(path, fields.offset, announced))
}

/// The part that a `.bit` file is for.
pub(super) fn part(path: &Path) -> Result<String, Reason> {
    Fields { file: BufReader::new(File::open(path)?), offset: 0 }.part()
}

struct Fields {
    file: BufReader<File>,
    offset: u64,
}

impl Fields {
    /// Reads the header up to the data, and answers the part.
    fn part(&mut self) -> Result<String, Reason> {
        if self.take::<13>("the header of a bitstream")? != MAGIC {
            return Err(Reason::Bitstream { offset: 0, expected: "the header of a bitstream" });
        }
        let mut part = String::new();
        for letter in *b"abcd" {
            if self.take("a field's letter, a to d, in order")? != [letter] {
                let offset = self.offset - 1;
                return Err(Reason::Bitstream { offset, expected: "a field's letter, a to d, in order" });
            }
            let length = u16::from_be_bytes(self.take("a field's length")?);
            let mut text = vec![0; length.into()];
            self.fill(&mut text, "a field's text")?;
            if letter == b'b' {
                let text = String::from_utf8_lossy(&text);
                text.trim_end_matches('\0').clone_into(&mut part);
                if !PARTS.iter().any(|start| part.starts_with(start)) {
                    return Err(Reason::Part(part));
                }
            }
        }
        Ok(part)
    }

    fn fill(&mut self, bytes: &mut [u8], expected: &'static str) -> Result<(), Reason> {
        self.file.read_exact(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Reason::Bitstream { offset: self.offset, expected },
            _ => Reason::Io(error),
        })?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    fn take<const N: usize>(&mut self, expected: &'static str) -> Result<[u8; N], Reason> {
        let mut bytes = [0; N];
        self.fill(&mut bytes, expected)?;
        Ok(bytes)
    }
}

/// The words of an `.rbt` file.
pub(super) fn rbt(path: &Arc<Path>) -> Result<Payload, Reason> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    loop {
        let offset = reader.stream_position()?;
        line.clear();
        // Longer lines are text, and are read in parts.
        if reader.by_ref().take(256).read_until(b'\n', &mut line)? == 0 {
            return Err(Reason::NoDigits);
        }
        if !is_digits(&line) {
            continue;
        }
        let mut words = 1;
        loop {
            line.clear();
            let read = reader.by_ref().take(256).read_until(b'\n', &mut line)?;
            if read == 0 || line.trim_ascii().is_empty() {
                return Ok(Payload::digits(path, offset, words));
            }
            if !is_digits(&line) {
                let offset = reader.stream_position()? - read as u64;
                return Err(ReadError::Line { path: Arc::clone(path), offset }.into());
            }
            words += 1;
        }
    }
}

fn is_digits(line: &[u8]) -> bool {
    let digits = line.trim_ascii_end();
    digits.len() == 32 && digits.iter().all(|digit| matches!(digit, b'0' | b'1'))
}

/// Fills up with NOPs to the bursts of 32 bytes that the PCAP bridge moves.
pub fn pad(payload: &mut Payload) {
    let gap = payload.length().next_multiple_of(32) - payload.length();
    payload.push_fill(NOP.to_le_bytes(), gap);
}

/// Why a bitstream cannot be encrypted.
#[derive(Debug, thiserror::Error)]
pub enum CoreError {
    /// It cannot be read.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// There is no sync word, so this configures nothing.
    #[error("the bitstream has no sync word 0xAA995566")]
    NoSync,
    /// Nothing ends the configuration.
    #[error("the bitstream has no DESYNC command behind its sync word")]
    NoDesync,
}

/// The part of a bitstream that the decryption engine hands on: behind the sync word, and before the command that ends
/// configuration, since the engine's own packets begin and end it.
///
/// # Errors
///
/// When there is no such part.
pub fn core(bitstream: &Payload) -> Result<Payload, CoreError> {
    let mut scan = Scan { word: 0, sync: None, before: 0, end: None };
    bitstream.stream(&mut vec![0; CHUNK], |chunk| {
        scan.chunk(chunk);
        Ok::<_, ReadError>(())
    })?;
    let sync = scan.sync.ok_or(CoreError::NoSync)?;
    let end = scan.end.ok_or(CoreError::NoDesync)?;
    let mut core = bitstream.clone();
    core.truncate(end * 4);
    core.skip((sync + 1) * 4);
    Ok(core)
}

/// A search through a bitstream's words.
struct Scan {
    /// Words so far.
    word: u64,
    /// Where the sync word is.
    sync: Option<u64>,
    /// The word before.
    before: u32,
    /// Where the command is that ends configuration.
    end: Option<u64>,
}

impl Scan {
    fn chunk(&mut self, chunk: &[u8]) {
        for bytes in chunk.as_chunks::<4>().0 {
            let word = u32::from_le_bytes(*bytes);
            if self.sync.is_none() {
                self.sync = (word == SYNC).then_some(self.word);
            } else if self.end.is_none() && self.before == COMMAND && ENDS.contains(&word) {
                self.end = Some(self.word - 1);
            }
            self.before = word;
            self.word += 1;
        }
    }
}
