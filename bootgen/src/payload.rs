//! What a partition holds, described rather than read.
//!
//! A payload is a list of pieces: ranges of files, fixed bytes, filling. Its length is known without reading it, so an
//! image can be laid out first and its bytes can pass through a buffer of fixed size afterwards: memory does
//! not grow with the image.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;

/// Bytes that pass through at a time: a multiple of any block, and small enough to stay in the processor's cache.
pub const CHUNK: usize = 128 * 1024;

/// What a partition holds.
#[derive(Clone, Debug, Default)]
pub struct Payload {
    pieces: Vec<Piece>,
    length: u64,
}

#[derive(Clone, Debug)]
enum Piece {
    Bytes(Vec<u8>),
    /// The pattern over and over.
    Fill {
        pattern: [u8; 4],
        length: u64,
    },
    File {
        path: Arc<Path>,
        offset: u64,
        length: u64,
        swap: bool,
    },
    /// Lines of 32 binary digits, from `offset` on.
    Digits {
        path: Arc<Path>,
        offset: u64,
        length: u64,
    },
}

/// Why a payload cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The operating system refuses.
    #[error("reading {}: {error}", path.display())]
    Io {
        /// The file.
        path: Arc<Path>,
        /// What it says.
        error: io::Error,
    },
    /// The file was longer when it was first looked at.
    #[error("{} became shorter while it was read: byte {offset:#x} is missing", path.display())]
    Shrunk {
        /// The file.
        path: Arc<Path>,
        /// The first byte that is missing.
        offset: u64,
    },
    /// A line of a bitstream in text form.
    #[error("{}: the line at byte {offset:#x} does not consist of 32 binary digits", path.display())]
    Line {
        /// The file.
        path: Arc<Path>,
        /// Where the line begins.
        offset: u64,
    },
}

impl Payload {
    /// `length` bytes of a file from `offset` on.
    pub fn file(path: &Arc<Path>, offset: u64, length: u64) -> Self {
        let mut payload = Self::default();
        payload.push_file(path, offset, length);
        payload
    }

    /// Words of a file with their bytes in the other order; `length` is a multiple of four.
    pub(crate) fn swapped_file(path: &Arc<Path>, offset: u64, length: u64) -> Self {
        Self { pieces: vec![Piece::File { path: Arc::clone(path), offset, length, swap: true }], length }
    }

    /// Words of a file in which each is a line of binary digits.
    pub(crate) fn digits(path: &Arc<Path>, offset: u64, words: u64) -> Self {
        let length = words * 4;
        Self { pieces: vec![Piece::Digits { path: Arc::clone(path), offset, length }], length }
    }

    /// Bytes in all.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Appends bytes of a file.
    pub fn push_file(&mut self, path: &Arc<Path>, offset: u64, length: u64) {
        self.push(Piece::File { path: Arc::clone(path), offset, length, swap: false }, length);
    }

    /// Appends bytes.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        self.push(Piece::Bytes(bytes.to_vec()), bytes.len() as u64);
    }

    /// Appends `length` bytes of a repeated pattern.
    pub fn push_fill(&mut self, pattern: [u8; 4], length: u64) {
        self.push(Piece::Fill { pattern, length }, length);
    }

    /// Appends another payload.
    pub fn append(&mut self, other: Self) {
        self.length += other.length;
        self.pieces.extend(other.pieces);
    }

    /// Leaves away all bytes from `length` on.
    pub(crate) fn truncate(&mut self, length: u64) {
        let mut left = length.min(self.length);
        self.length = left;
        self.pieces.retain_mut(|piece| {
            let kept = left.min(piece.length());
            left -= kept;
            piece.truncate(kept);
            kept > 0
        });
    }

    /// Leaves away the first `length` bytes.
    pub(crate) fn skip(&mut self, length: u64) {
        let mut left = length.min(self.length);
        self.length -= left;
        self.pieces.retain_mut(|piece| {
            let skipped = left.min(piece.length());
            left -= skipped;
            piece.skip(skipped);
            piece.length() > 0
        });
    }

    fn push(&mut self, piece: Piece, length: u64) {
        if length > 0 {
            self.length += length;
            self.pieces.push(piece);
        }
    }

    /// Reads the payload through `buffer`; `visit` gets it filled, save for the last time.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, and those of `visit`.
    pub fn stream<E: From<ReadError>>(
        &self,
        buffer: &mut [u8],
        mut visit: impl FnMut(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut filled = 0;
        for piece in &self.pieces {
            let mut reader = piece.open()?;
            let mut left = piece.length();
            while left > 0 {
                let free = buffer.get_mut(filled..).unwrap_or_default();
                let length = usize::try_from(left).unwrap_or(usize::MAX).min(free.len());
                let part = free.get_mut(..length).unwrap_or_default();
                reader.fill(part)?;
                left -= length as u64;
                filled += length;
                if filled == buffer.len() {
                    visit(buffer)?;
                    filled = 0;
                }
            }
        }
        match buffer.get_mut(..filled) {
            Some(rest) if filled > 0 => visit(rest),
            _ => Ok(()),
        }
    }

    /// The whole payload; for small ones.
    ///
    /// # Errors
    ///
    /// When a file cannot be read.
    pub fn read(&self) -> Result<Vec<u8>, ReadError> {
        let mut bytes = Vec::new();
        self.stream(&mut vec![0; CHUNK], |chunk| {
            bytes.extend_from_slice(chunk);
            Ok::<_, ReadError>(())
        })?;
        Ok(bytes)
    }
}

impl Piece {
    fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Fill { length, .. } | Self::File { length, .. } | Self::Digits { length, .. } => *length,
        }
    }

    fn truncate(&mut self, to: u64) {
        match self {
            Self::Bytes(bytes) => bytes.truncate(to as usize),
            Self::Fill { length, .. } | Self::File { length, .. } | Self::Digits { length, .. } => *length = to,
        }
    }

    fn skip(&mut self, by: u64) {
        match self {
            Self::Bytes(bytes) => drop(bytes.drain(..by as usize)),
            Self::Fill { pattern, length } => {
                pattern.rotate_left((by % 4) as usize);
                *length -= by;
            }
            Self::File { offset, length, .. } => {
                *offset += by;
                *length -= by;
            }
            Self::Digits { path, offset, length } => {
                *length -= by;
                *offset = skip_lines(path, *offset, by / 4);
            }
        }
    }

    fn open(&self) -> Result<Reader<'_>, ReadError> {
        let file = |path: &Arc<Path>, offset: u64| {
            let open = || {
                let mut file = File::open(path)?;
                file.seek(SeekFrom::Start(offset))?;
                Ok(file)
            };
            open().map_err(|error| ReadError::Io { path: Arc::clone(path), error })
        };
        Ok(match self {
            Self::Bytes(bytes) => Reader::Bytes(bytes),
            Self::Fill { pattern, .. } => Reader::Fill { pattern: *pattern, phase: 0 },
            Self::File { path, offset, swap, .. } => {
                Reader::File { file: file(path, *offset)?, path, offset: *offset, swap: *swap }
            }
            Self::Digits { path, offset, .. } => {
                Reader::Digits { file: BufReader::new(file(path, *offset)?), path, offset: *offset }
            }
        })
    }
}

/// Where a text goes on behind `lines` lines.
fn skip_lines(path: &Path, offset: u64, lines: u64) -> u64 {
    let Ok(mut file) = File::open(path) else {
        // Reading the payload reports it.
        return offset;
    };
    if file.seek(SeekFrom::Start(offset)).is_err() {
        return offset;
    }
    let mut reader = BufReader::new(file);
    let (mut at, mut line) = (offset, Vec::new());
    for _ in 0..lines {
        line.clear();
        at += reader.read_until(b'\n', &mut line).unwrap_or(0) as u64;
    }
    at
}

enum Reader<'a> {
    Bytes(&'a [u8]),
    Fill { pattern: [u8; 4], phase: usize },
    File { file: File, path: &'a Arc<Path>, offset: u64, swap: bool },
    Digits { file: BufReader<File>, path: &'a Arc<Path>, offset: u64 },
}

impl Reader<'_> {
    /// Fills `out`, which is within what the piece has. Pieces of words are filled in whole words.
    fn fill(&mut self, out: &mut [u8]) -> Result<(), ReadError> {
        match self {
            Self::Bytes(bytes) => {
                let (now, later) = bytes.split_at_checked(out.len()).unwrap_or((bytes, &[]));
                out.iter_mut().zip(now).for_each(|(to, from)| *to = *from);
                *bytes = later;
            }
            Self::Fill { pattern, phase } => {
                let phase_before = *phase;
                *phase = (phase_before + out.len()) % 4;
                let bytes = pattern.iter().cycle().skip(phase_before);
                out.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            }
            Self::File { file, path, offset, swap } => {
                file.read_exact(out).map_err(|error| match error.kind() {
                    io::ErrorKind::UnexpectedEof => ReadError::Shrunk { path: Arc::clone(path), offset: *offset },
                    _ => ReadError::Io { path: Arc::clone(path), error },
                })?;
                *offset += out.len() as u64;
                if *swap {
                    for word in out.as_chunks_mut::<4>().0 {
                        *word = u32::from_le_bytes(*word).to_be_bytes();
                    }
                }
            }
            Self::Digits { file, path, offset } => {
                for word in out.as_chunks_mut::<4>().0 {
                    *word = line(file, path, offset)?.to_le_bytes();
                }
            }
        }
        Ok(())
    }
}

/// The next line's word.
fn line(file: &mut BufReader<File>, path: &Arc<Path>, offset: &mut u64) -> Result<u32, ReadError> {
    let mut text = Vec::with_capacity(34);
    // A line is 32 digits; what is longer is none, and is not read to its end.
    let read = file.by_ref().take(64).read_until(b'\n', &mut text);
    read.map_err(|error| ReadError::Io { path: Arc::clone(path), error })?;
    let digits = text.trim_ascii_end();
    let word = str::from_utf8(digits).ok().filter(|digits| digits.len() == 32 && !digits.starts_with('+'));
    let word = word.and_then(|digits| u32::from_str_radix(digits, 2).ok());
    let word = word.ok_or(ReadError::Line { path: Arc::clone(path), offset: *offset })?;
    *offset += text.len() as u64;
    Ok(word)
}
