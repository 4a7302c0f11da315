//! What is stored between the headers: fill bytes, the padding of data, MD5 sums.

use std::ops::Range;

use bootimage::{Error, Image, Source, certificate};
use md5::{Digest as _, Md5};

use super::contents::Contents;
use super::finding::{Check, Finding};
use super::sections::{Kind, Section, sections};

/// Bytes that are read at once.
pub(crate) const PIECE: usize = 64 << 10;

/// What tools fill signed gaps with, and all others unless told otherwise.
const FILL: u8 = 0xff;

/// Checks all bytes that can only be fill, padding or an MD5 sum.
///
/// # Errors
///
/// When the source fails.
pub fn examine<S: Source>(contents: &Contents, source: &mut S) -> Result<Vec<Finding>, Error<S::Error>> {
    let mut image = Image::with_headers(source, contents.boot, contents.table);
    let mut findings = Vec::new();
    let sections = sections(contents);
    let fill = fill_byte(&sections, &mut image)?;
    for Section { range, kind } in &sections {
        match kind {
            Kind::Fill => {
                // The gaps between signed headers are filled by whoever signs them.
                let behind_name = sections
                    .iter()
                    .any(|other| matches!(other.kind, Kind::ImageHeader(_)) && other.range.end == range.start);
                let end = if behind_name { range.start.next_multiple_of(64).min(range.end) } else { range.start };
                let byte = if contents.header_certificate.is_some() { FILL } else { fill };
                findings.extend(other_bytes(&mut image, "gap", range.start..end, byte)?);
                findings.extend(other_bytes(&mut image, "gap", end..range.end, fill)?);
            }
            Kind::Padding(index) => {
                let place = kind.describe(contents);
                findings.extend(other_bytes(&mut image, &place, range.clone(), FILL)?);
                let _ = index;
            }
            Kind::Data(index) if !contents.is_encrypted(*index) => {
                findings.extend(data_padding(contents, *index, range, &mut image)?);
            }
            Kind::ImageHeader(index) => findings.extend(name_padding(contents, *index, range, &mut image)?),
            _ => {}
        }
    }
    for index in 0..contents.partitions.len() {
        findings.extend(md5(contents, index, &mut image)?);
    }
    Ok(findings)
}

/// The byte that the gaps of an image are filled with.
///
/// # Errors
///
/// When the source fails.
pub fn fill<S: Source>(contents: &Contents, source: &mut S) -> Result<u8, Error<S::Error>> {
    fill_byte(&sections(contents), &mut Image::with_headers(source, contents.boot, contents.table))
}

/// The byte that gaps are filled with: what most bytes of the gap behind the boot header are.
fn fill_byte<S: Source>(sections: &[Section], image: &mut Image<S>) -> Result<u8, Error<S::Error>> {
    let mut bytes = [FILL; 32];
    if let Some(gap) = sections.iter().find(|section| section.kind == Kind::Fill) {
        let size = usize::try_from(gap.range.end - gap.range.start).unwrap_or(usize::MAX);
        if let Some(bytes) = bytes.get_mut(..size.min(32)) {
            image.read(gap.range.start, bytes)?;
        }
    }
    bytes.sort_unstable();
    let most = bytes.chunk_by(|a, b| a == b).max_by_key(|equal| equal.len());
    Ok(most.and_then(|equal| equal.first()).copied().unwrap_or(FILL))
}

/// Finds bytes in `range` that are not `expected`.
fn other_bytes<S: Source>(
    image: &mut Image<S>,
    place: &str,
    range: Range<u64>,
    expected: u8,
) -> Result<Option<Finding>, Error<S::Error>> {
    let range = range.start..range.end.min(image.length());
    let (mut first, mut last, mut count, mut offset) = (None, range.start, 0_u64, range.start);
    image.pieces(range.clone(), &mut vec![0; PIECE], |piece| {
        for byte in piece {
            if *byte != expected {
                first.get_or_insert(offset);
                last = offset;
                count += 1;
            }
            offset += 1;
        }
    })?;
    Ok(first.map(|first| {
        let message = format!(
            "{count} of the bytes {:#x}..{:#x} {} not {expected:#04x}, with which they are filled",
            range.start,
            range.end,
            if count == 1 { "is" } else { "are" },
        );
        Finding::error(Check::Layout, place, first..last + 1, message)
    }))
}

/// The zeros around a partition's data.
fn data_padding<S: Source>(
    contents: &Contents,
    index: usize,
    data: &Range<u64>,
    image: &mut Image<S>,
) -> Result<Vec<Finding>, Error<S::Error>> {
    let mut findings = Vec::new();
    let Some(partition) = contents.partitions.get(index) else { return Ok(findings) };
    if data.end > contents.length {
        return Ok(findings);
    }
    let attributes = partition.header.attributes();
    let (head, tail) = (u64::from(attributes.head_pad()), u64::from(attributes.tail_pad()));
    let place = contents.name_of(index);
    for range in
        [data.start..(data.start + head).min(data.end), data.end.saturating_sub(tail).max(data.start)..data.end]
    {
        findings.extend(other_bytes(image, &format!("padding of {place}"), range, 0)?);
    }
    Ok(findings)
}

/// The zeros behind a name.
fn name_padding<S: Source>(
    contents: &Contents,
    index: usize,
    header: &Range<u64>,
    image: &mut Image<S>,
) -> Result<Option<Finding>, Error<S::Error>> {
    let Some(name) = contents.images.get(index).map(|image| image.name) else { return Ok(None) };
    if header.end > contents.length {
        return Ok(None);
    }
    let mut stored = vec![0; name.stored_size()];
    let start = header.end - stored.len() as u64;
    image.read(start, &mut stored)?;
    let mut expected = name.as_bytes().to_vec();
    expected.resize(stored.len(), 0);
    expected.as_chunks_mut::<4>().0.iter_mut().for_each(|group| group.reverse());
    let differs = stored.iter().zip(&expected).position(|(found, expected)| found != expected);
    Ok(differs.map(|place| {
        let offset = start + place as u64;
        let message = "is followed by something else than zeros";
        Finding::error(Check::Structure, Kind::ImageHeader(index).describe(contents), offset..header.end, message)
            .of("name")
    }))
}

/// Compares a partition with its MD5 sum, which covers the data with its padding and the certificate.
fn md5<S: Source>(contents: &Contents, index: usize, image: &mut Image<S>) -> Result<Option<Finding>, Error<S::Error>> {
    let Some(header) = contents.partitions.get(index).map(|partition| partition.header) else { return Ok(None) };
    let stored = header.stored();
    let summed = contents.summed(index);
    let Some(place) = header.md5().filter(|place| place.end <= contents.length) else { return Ok(None) };
    if summed.iter().any(|range| range.end > contents.length) {
        return Ok(None);
    }
    let mut digest = Md5::new();
    for range in &summed {
        image.pieces(range.clone(), &mut vec![0; PIECE], |piece| digest.update(piece))?;
    }
    let mut expected = [0; 16];
    image.read(place.start, &mut expected)?;
    if digest.finalize().as_slice() == expected {
        return Ok(None);
    }
    let name = contents.name_of(index);
    let message = format!(
        "the MD5 sum at {:#x} does not fit the data at {:#x}..{:#x}: one of both is damaged",
        place.start, stored.start, stored.end
    );
    let suspects = summed.into_iter().flat_map(|range| super::coverage::suspects(contents, range)).collect();
    let finding = Finding::error(Check::Md5, name, place, message).of("MD5 sum");
    Ok(Some(finding.suspecting(suspects)))
}

/// The bytes of a certificate that its last signature covers, from its first byte at `base`.
pub(crate) const fn signed_part(base: u64) -> Range<u64> {
    base..base.saturating_add(certificate::SIGNED_SIZE)
}
