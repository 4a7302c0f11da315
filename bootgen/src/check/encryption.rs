//! Encrypted partitions: what they are wrapped in, and with the key, what is in them.

use std::ops::Range;

use bootimage::boot::KeySource as Stored;
use bootimage::{Error, Image, Source};

use super::contents::Contents;
use super::finding::{Check, Finding};
use super::payload::PIECE;
use crate::crypto::aes::{self, BLOCK, HEADER_SIZE, KeySource, NOP, OpenError, Opener, Secrets, TRAILER_SIZE};

/// Words of the initialisation vector in the packets in front of the ciphertext.
const IV_WORDS: Range<usize> = 29..33;

/// The parts of an encrypted partition that cannot be told from noise without the key: vector and ciphertext.
pub fn noise(data: &Range<u64>) -> [Range<u64>; 2] {
    let vector = data.start + 4 * IV_WORDS.start as u64..data.start + 4 * IV_WORDS.end as u64;
    [vector, data.start + HEADER_SIZE as u64..data.end.saturating_sub(TRAILER_SIZE as u64)]
}

/// Why the data of a partition cannot be decrypted.
#[derive(Debug, thiserror::Error)]
pub enum DecryptError<E: std::fmt::Debug + std::fmt::Display> {
    /// The source failed.
    #[error(transparent)]
    Source(#[from] Error<E>),
    /// The key does not fit, or the data is damaged.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Decrypts the partition whose data is at `range`, and hands its plain text to `take`, piece by piece. Nothing of it is to
/// be trusted before this returns.
///
/// # Errors
///
/// When the source fails, the key does not fit, or anything in the partition is damaged.
pub fn decrypt<S: Source>(
    image: &mut Image<S>,
    range: &Range<u64>,
    source: KeySource,
    secrets: &Secrets,
    mut take: impl FnMut(&[u8]),
) -> Result<(), DecryptError<S::Error>> {
    let size = range.end.saturating_sub(range.start);
    let mut start = [0; HEADER_SIZE + BLOCK];
    if size < aes::sealed_size(0) {
        return Err(OpenError::Size(size).into());
    }
    image.read(range.start, &mut start)?;
    let mut opener = Opener::begin(source, secrets, &start, size)?;
    let data = range.start + start.len() as u64..range.start + start.len() as u64 + opener.length();
    let mut offset = data.start;
    let mut buffer = vec![0; PIECE];
    while offset < data.end {
        let size = usize::try_from(data.end - offset).unwrap_or(PIECE).min(PIECE);
        let Some(piece) = buffer.get_mut(..size) else { break };
        image.read(offset, piece)?;
        opener.update(piece)?;
        take(piece);
        offset += size as u64;
    }
    let mut rest = vec![0; usize::try_from(range.end - offset).unwrap_or_default()];
    image.read(offset, &mut rest)?;
    opener.finish(&rest)?;
    Ok(())
}

/// Where the boot header says that the key is.
pub fn key_source(contents: &Contents) -> Option<KeySource> {
    match Stored::from_word(contents.boot.key_source.get())? {
        Stored::None => None,
        Stored::Bbram => Some(KeySource::Bbram),
        Stored::Efuse => Some(KeySource::Efuse),
    }
}

/// Checks all encrypted partitions, as far as that goes without or with the key.
///
/// # Errors
///
/// When the source fails.
pub fn examine<S: Source>(
    contents: &Contents,
    source: &mut S,
    secrets: Option<&Secrets>,
) -> Result<Vec<Finding>, Error<S::Error>> {
    let mut image = Image::with_headers(source, contents.boot, contents.table);
    let mut findings = Vec::new();
    let Some(key) = key_source(contents) else {
        if secrets.is_some() && contents.boot.key_source.get() == 0 {
            let message = "names none: nothing in the image is encrypted, although a key is given";
            findings.push(Finding::warning(Check::Encryption, "boot header", 0x28..0x2c, message).of("key source"));
        }
        return Ok(findings);
    };
    for (index, partition) in contents.partitions.iter().enumerate() {
        let range = partition.data();
        let sound = range.end <= contents.length && range.end.saturating_sub(range.start) >= aes::sealed_size(0);
        if !contents.is_encrypted(index) || !sound {
            continue;
        }
        let name = contents.name_of(index);
        let wrapping = wrapping(&mut image, &name, &range, key)?;
        let is_wrapped = wrapping.is_empty();
        findings.extend(wrapping);
        let Some(secrets) = secrets.filter(|_| is_wrapped) else { continue };
        match decrypt(&mut image, &range, key, secrets, |_| ()) {
            Ok(()) => {}
            Err(DecryptError::Source(error)) => return Err(error),
            Err(DecryptError::Open(problem)) => {
                findings.push(Finding::error(Check::Encryption, name, range, problem).of("encrypted data"));
            }
        }
    }
    Ok(findings)
}

/// Checks the packets in front of the ciphertext and the NOPs behind it.
fn wrapping<S: Source>(
    image: &mut Image<S>,
    name: &str,
    range: &Range<u64>,
    key: KeySource,
) -> Result<Vec<Finding>, Error<S::Error>> {
    let mut findings = Vec::new();
    let mut packets = [0; HEADER_SIZE];
    image.read(range.start, &mut packets)?;
    let found: Vec<u32> = packets.as_chunks::<4>().0.iter().map(|&word| u32::from_le_bytes(word)).collect();
    let ciphertext = (range.end - range.start) - (HEADER_SIZE + TRAILER_SIZE) as u64;
    let expected = aes::header(key, &[0; 16], u32::try_from(ciphertext).unwrap_or(u32::MAX));
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        if *found != expected && !IV_WORDS.contains(&index) {
            let start = range.start + 4 * index as u64;
            let message = format!("word {index} in front of the ciphertext is {found:#010x}, not {expected:#010x}");
            findings.push(Finding::error(Check::Encryption, name, start..start + 4, message).of("encryption header"));
        }
    }
    let mut trailer = [0; TRAILER_SIZE];
    let start = range.end - TRAILER_SIZE as u64;
    image.read(start, &mut trailer)?;
    for (index, word) in trailer.as_chunks::<4>().0.iter().enumerate() {
        let found = u32::from_le_bytes(*word);
        if found != NOP {
            let start = start + 4 * index as u64;
            let message = format!("word {index} behind the ciphertext is {found:#010x}, not {NOP:#010x}");
            findings.push(Finding::error(Check::Encryption, name, start..start + 4, message).of("encryption trailer"));
        }
    }
    Ok(findings)
}
