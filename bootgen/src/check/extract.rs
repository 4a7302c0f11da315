//! The partitions of an image, as files again.
//!
//! An image keeps of an input file what a boot loader needs: of an executable the loaded segments, of a bitstream the words.
//! From these a file of the same kind can be made, which gives the same partitions again, though symbols, sections and
//! dates are lost:
//!
//! | partition | file |
//! |---|---|
//! | programmable logic | `.bit`, with the part that the bitstream itself names; without one, the words as `.bin` |
//! | of an executable | ELF with one segment for each partition |
//! | anything else | the bytes |
//!
//! Whether something was an executable is told by the name of the file, by an entry address, by more than one partition,
//! or by its being the boot loader. Encrypted partitions need the key; of an encrypted bitstream, what precedes the
//! first packet was not stored and is made up again.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bootimage::partition::Destination;
use bootimage::{Error, Image, Partition, Source};
use object::Endianness;
use object::elf::{EM_ARM, ET_EXEC, PF_R, PF_W, PF_X, PT_LOAD};
use object::write::elf::{FileHeader, ProgramHeader, Writer};
use tempfile::NamedTempFile;

use super::bitstream::{self, SYNC};
use super::contents::Contents;
use super::encryption::{self, DecryptError};
use super::payload::PIECE;
use crate::crypto::aes::{NOP, PCAP_COUNT, PCAP_WRITE, Secrets};

/// Version 5 of the interface between ARM programs, the only one for this processor.
const EF_ARM_EABI_VER5: u32 = 0x0500_0000;

/// What to extract, and how.
#[derive(Debug, Default)]
pub struct Options<'a> {
    /// Keys of encrypted partitions.
    pub secrets: Option<&'a Secrets>,
    /// Whether files that exist are replaced.
    pub overwrite: bool,
    /// Whether each partition becomes a file of its bytes.
    pub raw: bool,
}

/// The kinds of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// An executable.
    Elf,
    /// A bitstream with the vendor's header.
    Bit,
    /// Bytes.
    Raw,
}

impl Format {
    /// The name, as it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Elf => "ELF",
            Self::Bit => "bitstream",
            Self::Raw => "raw",
        }
    }
}

/// A file that was, or is to be, written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its name, without folders.
    pub name: String,
    /// What it becomes.
    pub format: Format,
    /// The partitions in it.
    pub partitions: Vec<usize>,
}

/// Why a file was not extracted.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError<E: std::fmt::Debug + std::fmt::Display> {
    /// The image cannot be read.
    #[error(transparent)]
    Source(#[from] Error<E>),
    /// A partition is encrypted, and there is no key.
    #[error("{0} is encrypted: give the key file with --nky")]
    NoKey(String),
    /// A partition does not decrypt.
    #[error("{0}: {1}")]
    Decrypt(String, crate::crypto::aes::OpenError),
    /// A header leads beyond the end of the image.
    #[error("{0} is not wholly in the image: see `bootgen verify`")]
    Truncated(String),
    /// A decrypted program does not begin with its length.
    #[error("{0} does not begin with a packet that announces it")]
    Unannounced(String),
    /// The file exists.
    #[error("{0} exists already: --force replaces it")]
    Exists(PathBuf),
    /// The file cannot be written.
    #[error("{0}: {1}")]
    Write(PathBuf, io::Error),
}

/// The files that an image consists of.
pub fn plan(contents: &Contents, options: &Options<'_>) -> Vec<Output> {
    let mut outputs: Vec<Output> = Vec::new();
    for (index, image) in contents.images.iter().enumerate() {
        let partitions = contents.partitions_of(index);
        let name = safe_name(image.name.as_str(), index);
        if options.raw {
            for (part, partition) in partitions.iter().enumerate() {
                let name = if partitions.len() > 1 { format!("{name}.{part}.bin") } else { format!("{name}.bin") };
                outputs.push(Output { name, format: Format::Raw, partitions: vec![*partition] });
            }
        } else if !partitions.is_empty() {
            let format = format_of(contents, &partitions, &name);
            outputs.push(Output { name, format, partitions });
        }
    }
    // Two inputs can have had the same name, from different folders.
    let mut names: Vec<String> = Vec::new();
    for output in &mut outputs {
        let original = output.name.clone();
        for number in 1_u32.. {
            if !names.contains(&output.name) {
                break;
            }
            output.name = match original.rsplit_once('.') {
                Some((stem, extension)) => format!("{stem}.{number}.{extension}"),
                None => format!("{original}.{number}"),
            };
        }
        names.push(output.name.clone());
    }
    outputs
}

/// The name of an input file, if it is one that cannot lead out of a folder.
fn safe_name(name: Option<&str>, index: usize) -> String {
    let is_safe = |name: &&str| {
        let is_plain = Path::new(name).file_name().is_some_and(|file| file == *name);
        is_plain && !name.contains(['/', '\\', ':']) && !name.chars().any(char::is_control)
    };
    name.filter(is_safe).map_or_else(|| format!("image-{index}"), ToOwned::to_owned)
}

fn format_of(contents: &Contents, partitions: &[usize], name: &str) -> Format {
    let headers = partitions.iter().filter_map(|&index| contents.partitions.get(index));
    let is_pl = headers.clone().any(|it| it.header.attributes().destination() == Some(Destination::Pl));
    let is_entered = headers.clone().any(|it| it.header.execution_address.get() != 0);
    let is_loader = partitions.iter().any(|&index| contents.loader() == Some(index));
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
    let is_elf = extension.is_some_and(|it| it.eq_ignore_ascii_case("elf") || it.eq_ignore_ascii_case("axf"));
    // A boot loader of a raw file has no lengths in the boot header.
    let is_raw_loader = is_loader && contents.boot.total_length.get() == 0 && !contents.boot.runs_in_place();
    if is_pl {
        Format::Bit
    } else if is_elf || is_entered || partitions.len() > 1 || is_loader && !is_raw_loader {
        Format::Elf
    } else {
        Format::Raw
    }
}

/// Writes one file to `folder`, and gives its path. What is there already is replaced only when the whole file could be written.
///
/// # Errors
///
/// When the image cannot be read or decrypted, or the file cannot be written.
pub fn extract<S: Source>(
    contents: &Contents,
    source: &mut S,
    output: &Output,
    folder: &Path,
    options: &Options<'_>,
) -> Result<PathBuf, ExtractError<S::Error>> {
    let mut image = Image::with_headers(source, contents.boot, contents.table);
    let mut path = folder.join(&output.name);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |cause: io::Error| ExtractError::Write(path, cause)
    };
    let mut file = NamedTempFile::new_in(folder).map_err(failed(folder))?;
    let mut writer = io::BufWriter::new(&mut file);
    let mut reader = Reader { contents, image: &mut image, secrets: options.secrets };
    match output.format {
        Format::Elf => elf(&mut reader, &output.partitions, &mut writer, &path)?,
        Format::Bit => {
            for &index in &output.partitions {
                let device = reader.device(index)?;
                match device {
                    Some(device) => bit(&mut reader, index, device, &output.name, &mut writer, &path)?,
                    None => {
                        path.set_extension("bin");
                        reader.read(index, |piece| writer.write_all(piece), &path)?;
                    }
                }
            }
        }
        Format::Raw => {
            for &index in &output.partitions {
                reader.read(index, |piece| writer.write_all(piece), &path)?;
            }
        }
    }
    writer.flush().map_err(failed(&path))?;
    drop(writer);
    let persisted = if options.overwrite { file.persist(&path) } else { file.persist_noclobber(&path) };
    persisted.map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => ExtractError::Exists(path.clone()),
        _ => ExtractError::Write(path.clone(), error.error),
    })?;
    Ok(path)
}

/// Reads the plain bytes of partitions.
struct Reader<'a, 'b, S> {
    contents: &'a Contents,
    image: &'a mut Image<S>,
    secrets: Option<&'b Secrets>,
}

impl<S: Source> Reader<'_, '_, S> {
    fn partition(&self, index: usize) -> Result<Partition, ExtractError<S::Error>> {
        let partition = self.contents.partitions.get(index).copied();
        partition
            .filter(|partition| partition.data().end <= self.contents.length)
            .ok_or_else(|| ExtractError::Truncated(self.contents.name_of(index)))
    }

    /// Bytes of a partition without padding, as far as the headers tell.
    fn length(&self, index: usize) -> Result<u64, ExtractError<S::Error>> {
        let header = self.partition(index)?.header;
        let padding = u64::from(header.attributes().head_pad() + header.attributes().tail_pad());
        let words = if self.contents.is_encrypted(index) { header.unencrypted_length } else { header.encrypted_length };
        Ok(bootimage::bytes(words.get()).saturating_sub(padding))
    }

    /// Hands the stored words of a partition to `take`, decrypted, but with all padding.
    fn words(&mut self, index: usize, mut take: impl FnMut(&[u8])) -> Result<(), ExtractError<S::Error>> {
        let data = self.partition(index)?.data();
        if !self.contents.is_encrypted(index) {
            return Ok(self.image.pieces(data, &mut vec![0; PIECE], take)?);
        }
        let name = || self.contents.name_of(index);
        let (Some(secrets), Some(key)) = (self.secrets, encryption::key_source(self.contents)) else {
            return Err(ExtractError::NoKey(name()));
        };
        encryption::decrypt(self.image, &data, key, secrets, &mut take).map_err(|error| match error {
            DecryptError::Source(error) => error.into(),
            DecryptError::Open(error) => ExtractError::Decrypt(name(), error),
        })
    }

    /// The part that a bitstream is for.
    fn device(&mut self, index: usize) -> Result<Option<&'static str>, ExtractError<S::Error>> {
        if !self.contents.is_encrypted(index) {
            let data = self.partition(index)?.data();
            let idcode = bitstream::stored_idcode(self.image, data)?;
            return Ok(idcode.and_then(bitstream::device));
        }
        // The sync word is not stored.
        let mut words = vec![SYNC];
        self.words(index, |piece| {
            if words.len() < PIECE {
                words.extend(piece.as_chunks::<4>().0.iter().map(|&word| u32::from_le_bytes(word)));
            }
        })?;
        Ok(bitstream::idcode(words).and_then(bitstream::device))
    }

    /// Hands the bytes of a partition, without padding, to `write`.
    fn read(
        &mut self,
        index: usize,
        mut write: impl FnMut(&[u8]) -> io::Result<()>,
        path: &Path,
    ) -> Result<(), ExtractError<S::Error>> {
        let header = self.partition(index)?.header;
        let mut skip = u64::from(header.attributes().head_pad());
        let mut rest = self.length(index)?;
        let is_wrapped =
            self.contents.is_encrypted(index) && header.attributes().destination() == Some(Destination::Ps);
        let announcement = [PCAP_WRITE, PCAP_COUNT | header.unencrypted_length.get()];
        let mut found = Vec::new();
        if is_wrapped {
            skip += size_of_val(&announcement) as u64;
        }
        let mut result = Ok(());
        self.words(index, |mut piece| {
            if found.is_empty() {
                found.extend(piece.as_chunks::<4>().0.iter().take(2).map(|&word| u32::from_le_bytes(word)));
            }
            piece = trim(piece, &mut skip, &mut rest);
            if result.is_ok() {
                result = write(piece);
            }
        })?;
        if is_wrapped && found != announcement {
            return Err(ExtractError::Unannounced(self.contents.name_of(index)));
        }
        result.map_err(|cause| ExtractError::Write(path.to_owned(), cause))
    }
}

/// The part of `piece` that is left when `skip` bytes are dropped and no more than `rest` are taken.
fn trim<'a>(piece: &'a [u8], skip: &mut u64, rest: &mut u64) -> &'a [u8] {
    let length = piece.len() as u64;
    let start = length.min(*skip);
    *skip -= start;
    let end = length.min(start.saturating_add(*rest));
    *rest -= end - start;
    // Both are within the piece, whose length is a usize.
    piece.get(start as usize..end as usize).unwrap_or_default()
}

/// Writes an executable with a segment for each partition.
fn elf<S: Source>(
    reader: &mut Reader<'_, '_, S>,
    partitions: &[usize],
    out: &mut impl Write,
    path: &Path,
) -> Result<(), ExtractError<S::Error>> {
    let failed = |cause| ExtractError::Write(path.to_owned(), cause);
    let mut head = Vec::new();
    let mut writer = Writer::new(Endianness::Little, false, &mut head);
    writer.reserve_file_header();
    writer.reserve_program_headers(partitions.len() as u32);
    let mut segments = Vec::new();
    let mut entry = 0;
    for (part, &index) in partitions.iter().enumerate() {
        let header = reader.partition(index)?.header;
        let length = reader.length(index)?;
        let load = header.load_address.get();
        if part == 0 {
            entry = header.execution_address.get();
        }
        let size = usize::try_from(length).unwrap_or_default();
        let offset = writer.reserve(size, 4);
        segments.push((offset as u64, u64::from(load), length));
    }
    let broken = |error: object::write::Error| failed(io::Error::other(error.to_string()));
    let file_header = FileHeader {
        os_abi: 0,
        abi_version: 0,
        e_type: ET_EXEC,
        e_machine: EM_ARM,
        e_entry: u64::from(entry),
        e_flags: EF_ARM_EABI_VER5,
    };
    writer.write_file_header(&file_header).map_err(broken)?;
    writer.write_align_program_headers();
    for &(offset, load, length) in &segments {
        writer.write_program_header(&ProgramHeader {
            p_type: PT_LOAD,
            p_flags: PF_R | PF_W | PF_X,
            p_offset: offset,
            p_vaddr: load,
            p_paddr: load,
            p_filesz: length,
            p_memsz: length,
            p_align: 1,
        });
    }
    out.write_all(&head).map_err(failed)?;
    let mut written = head.len() as u64;
    for (&index, (offset, _, length)) in partitions.iter().zip(segments) {
        let gap = usize::try_from(offset.saturating_sub(written)).unwrap_or_default();
        out.write_all(&vec![0; gap]).map_err(failed)?;
        reader.read(index, |piece| out.write_all(piece), path)?;
        written = offset + length;
    }
    Ok(())
}

/// What stands before the first packet of a bitstream: dummy words, the pattern by which the logic finds out how wide its bus
/// is, and the sync word.
const PREFIX: [u32; 13] = {
    let mut words = [u32::MAX; 13];
    let [.., width, pattern, _, _, sync] = &mut words;
    *width = 0x0000_00bb;
    *pattern = 0x1122_0044;
    *sync = SYNC;
    words
};

/// What ends the configuration, which the engine that decrypts does not need.
const SUFFIX: [u32; 4] = [0x3000_8001, 0x0000_000d, NOP, NOP];

/// Writes a bitstream with the vendor's header.
fn bit<S: Source>(
    reader: &mut Reader<'_, '_, S>,
    index: usize,
    device: &str,
    name: &str,
    out: &mut impl Write,
    path: &Path,
) -> Result<(), ExtractError<S::Error>> {
    let encrypted = reader.contents.is_encrypted(index);
    let (prefix, suffix): (&[u32], &[u32]) = if encrypted { (&PREFIX, &SUFFIX) } else { (&[], &[]) };
    let stored = reader.length(index)?;
    let length = bootimage::bytes((prefix.len() + suffix.len()) as u32) + stored;
    let design = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let head = bit_header(design, device, u32::try_from(length).unwrap_or(u32::MAX));
    let mut result = out.write_all(&head);
    let mut put = |words: &mut dyn Iterator<Item = u32>| {
        if result.is_ok() {
            let bytes: Vec<u8> = words.flat_map(u32::to_be_bytes).collect();
            result = out.write_all(&bytes);
        }
    };
    put(&mut prefix.iter().copied());
    let (mut skip, mut rest) = (0, stored);
    reader.words(index, |piece| {
        let piece = trim(piece, &mut skip, &mut rest);
        put(&mut piece.as_chunks::<4>().0.iter().map(|&word| u32::from_le_bytes(word)));
    })?;
    put(&mut suffix.iter().copied());
    result.map_err(|cause| ExtractError::Write(path.to_owned(), cause))
}

/// The header of a bitstream file: a fixed field, then text with lengths. The image has no dates.
fn bit_header(design: &str, device: &str, length: u32) -> Vec<u8> {
    let mut head = vec![0, 9, 0x0f, 0xf0, 0x0f, 0xf0, 0x0f, 0xf0, 0x0f, 0xf0, 0, 0, 1];
    for (key, text) in [(b'a', design), (b'b', device), (b'c', "1970/01/01"), (b'd', "00:00:00")] {
        head.push(key);
        let text: Vec<u8> = text.bytes().take(1000).chain([0]).collect();
        head.extend((text.len() as u16).to_be_bytes());
        head.extend(text);
    }
    head.push(b'e');
    head.extend(length.to_be_bytes());
    head
}
