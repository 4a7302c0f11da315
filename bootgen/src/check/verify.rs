//! The judgement of an image.

use std::collections::BTreeSet;

use bootimage::{Error, Source};
use serde::Serialize;

use super::contents::Contents;
use super::coverage::{self, Gap};
use super::finding::{Check, Finding, Severity};
use super::sections::locate;
use super::{encryption, payload, rules, signatures, structure};
use crate::crypto::aes::Secrets;
use crate::crypto::rsa::Digest;

/// What an image is judged with.
#[derive(Debug, Default)]
pub struct Known {
    /// The digest of the primary key, as the chip's eFUSEs hold it.
    pub primary: Option<Digest>,
    /// The keys of encrypted partitions.
    pub secrets: Option<Secrets>,
}

/// What was checked, and how much of it there was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Partitions.
    pub partitions: usize,
    /// Partitions with an MD5 sum.
    pub md5: usize,
    /// Signatures of data or headers.
    pub signatures: usize,
    /// Encrypted partitions.
    pub encrypted: usize,
    /// Whether those were decrypted.
    pub decrypted: bool,
    /// The digest of the primary key in the image, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary: Option<String>,
    /// Whether that is the digest that was asked for.
    pub anchored: bool,
}

/// A judgement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// What was checked.
    pub checked: Checked,
    /// What is wrong, the worst first.
    pub findings: Vec<Finding>,
    /// The bytes that nothing vouches for.
    pub unchecked: Vec<Gap>,
}

impl Verdict {
    /// Whether the image is sound: nothing worse than a warning.
    pub fn is_sound(&self) -> bool {
        self.errors() == 0
    }

    /// How many errors there are.
    pub fn errors(&self) -> usize {
        self.count(Severity::Error)
    }

    /// How many warnings there are.
    pub fn warnings(&self) -> usize {
        self.count(Severity::Warning)
    }

    fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// The kinds of check that found an error.
    pub fn failed(&self) -> BTreeSet<Check> {
        let errors = self.findings.iter().filter(|finding| finding.severity == Severity::Error);
        errors.map(|finding| finding.check).collect()
    }

    /// Takes up further findings.
    pub fn add(&mut self, findings: Vec<Finding>) {
        for finding in findings {
            if !self.findings.contains(&finding) {
                self.findings.push(finding);
            }
        }
        self.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    }
}

/// Judges the image that `source` holds.
///
/// # Errors
///
/// When the source fails, or is too short for a boot header and an image header table.
pub fn verify<S: Source>(source: &mut S, known: &Known) -> Result<Verdict, Error<S::Error>> {
    let contents = Contents::read(source)?;
    let encrypted = (0..contents.partitions.len()).filter(|&index| contents.is_encrypted(index)).count();
    let primary = contents
        .header_certificate
        .iter()
        .chain(contents.certificates.iter().flatten())
        .next()
        .map(|certificate| crate::keys::to_hex(&signatures::digest_of_primary(&certificate.value)));
    let checked = Checked {
        partitions: contents.partitions.len(),
        md5: contents.partitions.iter().filter(|partition| partition.header.md5().is_some()).count(),
        signatures: usize::from(contents.header_certificate.is_some()) + contents.certificates.iter().flatten().count(),
        encrypted,
        decrypted: known.secrets.is_some() && encrypted > 0,
        anchored: known.primary.is_some() && primary.is_some(),
        primary,
    };
    let unchecked = coverage::gaps(&contents, known.secrets.is_some());
    let mut verdict = Verdict { checked, findings: Vec::new(), unchecked };
    verdict.add(structure::examine(&contents));
    verdict.add(payload::examine(&contents, source)?);
    verdict.add(signatures::examine(&contents, source, known.primary.as_ref())?);
    verdict.add(encryption::examine(&contents, source, known.secrets.as_ref())?);
    verdict.add(rules::examine(&contents));
    Ok(verdict)
}

/// Compares an image with what it should be, byte by byte; every difference is an error of the field that it lies in.
///
/// # Errors
///
/// When one of the sources fails, or the first is too short for a boot header and an image header table.
pub fn compare<A: Source, B: Source>(
    source: &mut A,
    reference: &mut B,
) -> Result<Vec<Finding>, CompareError<A::Error, B::Error>> {
    let contents = Contents::read(source).map_err(CompareError::Image)?;
    let (length, right) = (source.length(), reference.length());
    let mut findings: Vec<Finding> = Vec::new();
    let (mut here, mut there) = (vec![0; payload::PIECE], vec![0; payload::PIECE]);
    let mut offset = 0;
    while offset < length.min(right) {
        let size = usize::try_from(length.min(right) - offset).unwrap_or(payload::PIECE).min(payload::PIECE);
        let (Some(here), Some(there)) = (here.get_mut(..size), there.get_mut(..size)) else { break };
        source.read(offset, here).map_err(|cause| CompareError::Image(Error::Read { offset, length: size, cause }))?;
        reference
            .read(offset, there)
            .map_err(|cause| CompareError::Reference(Error::Read { offset, length: size, cause }))?;
        if here != there {
            differences(&contents, offset, here, there, &mut findings);
        }
        offset += size as u64;
    }
    if length != right {
        let range = length.min(right)..length.max(right);
        let message = format!("is at {length:#x}, but should be at {right:#x}");
        findings.push(Finding::error(Check::Comparison, "end of the image", range, message));
    }
    Ok(findings)
}

/// Why two images could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError<A: std::fmt::Debug + std::fmt::Display, B: std::fmt::Debug + std::fmt::Display> {
    /// The image cannot be read.
    #[error(transparent)]
    Image(Error<A>),
    /// What it is compared with cannot be read.
    #[error("the reference: {0}")]
    Reference(Error<B>),
}

/// Adds a finding for each field in which two pieces from byte `base` differ, unless it has one already.
fn differences(contents: &Contents, base: u64, here: &[u8], there: &[u8], findings: &mut Vec<Finding>) {
    let mut skip_to = base;
    for (offset, _) in (base..).zip(here.iter().zip(there)).filter(|(_, (found, expected))| found != expected) {
        if offset < skip_to {
            continue;
        }
        let place = locate(contents, offset);
        skip_to = place.range.end;
        if findings.last().is_some_and(|last| last.range == place.range) {
            continue;
        }
        let message = format!("differs from what it should be, from {offset:#x} on");
        let finding = Finding::error(Check::Comparison, &place.structure, place.range, message);
        findings.push(match place.field {
            Some(field) => finding.of(field),
            None => finding,
        });
    }
}
