//! Certificates, keys and signatures.
//!
//! The chain has three links: the digest in the chip's eFUSEs is that of the primary key, the primary key has signed the secondary
//! one, and the secondary key has signed the headers and each partition. The digest is not in the image; whoever knows
//! it gives it, and without it the chain proves only that the image is of one piece.

use std::ops::Range;

use bootimage::certificate::{self, PublicKey as StoredKey};
use bootimage::{Certificate, Error, Image, Source, Structure, boot};
use sha2_host::{Digest as _, Sha256};
use zerocopy::IntoBytes as _;

use super::contents::{Contents, Placed};
use super::coverage;
use super::finding::{Check, Finding, Suspect};
use super::payload::{PIECE, signed_part};
use super::sections::{Kind, certificate_field};
use crate::crypto::rsa::{Blob, Digest, InvalidKey, PublicKey, Signature};

/// What a signature is of, and who made it.
struct Signed<'a> {
    certificate: &'a Placed<Certificate>,
    /// What people call the certificate.
    place: String,
    /// The bytes that are signed, in order, without the certificate.
    ranges: Vec<Range<u64>>,
}

/// Checks all certificates, down to a primary key with the digest `primary` if that is given.
///
/// # Errors
///
/// When the source fails.
pub fn examine<S: Source>(
    contents: &Contents,
    source: &mut S,
    primary: Option<&Digest>,
) -> Result<Vec<Finding>, Error<S::Error>> {
    let mut image = Image::with_headers(source, contents.boot, contents.table);
    let mut findings = Vec::new();
    let all = signed(contents);
    for Signed { certificate, place, .. } in &all {
        let structure = match contents.certificates.iter().flatten().position(|other| other.base == certificate.base) {
            Some(index) => Structure::Certificate(index as u32),
            None => Structure::HeaderCertificate,
        };
        certificate.value.examine(structure, certificate.base, &mut |invalid| {
            findings.push(Finding { check: Check::Signature, ..Finding::from(invalid) });
        });
        findings.extend(primary.and_then(|digest| wrong_primary(certificate, place, digest)));
    }
    findings.extend(differing(&all));
    for signed in &all {
        findings.extend(chain(contents, signed, &mut image)?);
    }
    if all.is_empty() && primary.is_some() {
        let range = 0..contents.length;
        findings.push(Finding::error(
            Check::Signature,
            "image",
            range,
            "is not signed at all, but a primary key is asked for",
        ));
    }
    findings.extend(unsigned(contents, primary.is_some()));
    Ok(findings)
}

/// Finds what is not signed in an image in which something is. That others may be unsigned is the user's choice, but without
/// the boot loader and the headers there is no chain: where one is `wanted`, that is an error.
fn unsigned(contents: &Contents, wanted: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !contents.is_signed() {
        return findings;
    }
    let message = "is not signed, although other things are";
    if contents.header_certificate.is_none() && wanted {
        let range = contents.table_base..contents.partitions_base;
        findings.push(Finding::error(Check::Signature, "headers", range, message));
    }
    for (index, partition) in contents.partitions.iter().enumerate() {
        if !partition.header.attributes().is_signed() {
            let finding = Finding::warning(Check::Signature, contents.name_of(index), partition.data(), message);
            let is_link = wanted && contents.loader() == Some(index);
            findings.push(if is_link { Finding { severity: super::Severity::Error, ..finding } } else { finding });
        }
    }
    findings
}

/// All certificates and what they are of.
fn signed(contents: &Contents) -> Vec<Signed<'_>> {
    let mut all = Vec::new();
    if let Some(certificate) = &contents.header_certificate {
        all.push(Signed {
            certificate,
            place: Kind::HeaderCertificate.describe(contents),
            ranges: std::iter::once(contents.table_base..certificate.base).collect(),
        });
    }
    for (index, certificate) in contents.certificates.iter().enumerate() {
        let Some(certificate) = certificate else { continue };
        let Some(partition) = contents.partitions.get(index) else { continue };
        // With the boot loader, the boot header is signed too.
        let header = (contents.loader() == Some(index)).then_some(0..boot::SIZE);
        let data = partition.data();
        let data = data.start..contents.signed_padding(index).map_or(data.end, |padding| padding.end);
        all.push(Signed {
            certificate,
            place: Kind::Certificate(index).describe(contents),
            ranges: header.into_iter().chain([data]).collect(),
        });
    }
    all
}

/// The digest of a certificate's primary key, as the eFUSEs would hold it.
pub fn digest_of_primary(certificate: &Certificate) -> Digest {
    Sha256::digest(certificate.primary.as_bytes()).into()
}

/// The digest of a certificate's secondary key, which the primary key signs.
pub fn digest_of_secondary(certificate: &Certificate) -> Digest {
    Sha256::digest(certificate.secondary.as_bytes()).into()
}

/// Compares a certificate's primary key with the digest that it should have.
fn wrong_primary(certificate: &Placed<Certificate>, place: &str, digest: &Digest) -> Option<Finding> {
    let found = digest_of_primary(&certificate.value);
    (found != *digest).then(|| {
        let range = field_range(certificate.base, std::mem::offset_of!(Certificate, primary));
        let range = range.start..range.start + certificate::KEY_SIZE;
        let message = format!("has the digest {}, not the one asked for", crate::keys::to_hex(&found));
        Finding::error(Check::Signature, place, range, message).of("primary public key")
    })
}

/// Finds certificates whose keys are not those of the others: one image has one pair of keys.
fn differing(all: &[Signed<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    // All but the user's data, the last signature, and what has one right value anyway.
    let shared = std::mem::offset_of!(Certificate, primary)..certificate::SIGNED_SIZE as usize;
    let mut offset = shared.start;
    while offset < shared.end {
        let field = certificate_field(offset);
        let values: Vec<&[u8]> = all
            .iter()
            .map(|signed| {
                let bytes = signed.certificate.value.as_bytes();
                bytes.get(field.offset..field.offset + field.size).unwrap_or_default()
            })
            .collect();
        let count = |value: &[u8]| values.iter().filter(|other| **other == value).count();
        let most = values.iter().map(|value| count(value)).max().unwrap_or_default();
        for (signed, value) in all.iter().zip(&values) {
            if count(value) < values.len() && (count(value) < most || most * 2 <= values.len()) {
                let range = field_range(signed.certificate.base, field.offset);
                let message = "is not that of the other certificates";
                findings.push(Finding::error(Check::Signature, &signed.place, range, message).of(field.name));
            }
        }
        offset = field.offset + field.size.max(1);
    }
    findings
}

/// Checks the keys of one certificate, and both signatures.
fn chain<S: Source>(
    contents: &Contents,
    signed: &Signed<'_>,
    image: &mut Image<S>,
) -> Result<Vec<Finding>, Error<S::Error>> {
    let mut findings = Vec::new();
    let Signed { certificate, place, ranges } = signed;
    let base = certificate.base;
    let error = |field: usize, message: String| {
        let name = certificate_field(field).name;
        Finding::error(Check::Signature, place, field_range(base, field), message).of(name)
    };
    let primary_at = std::mem::offset_of!(Certificate, primary);
    let secondary_at = std::mem::offset_of!(Certificate, secondary);
    let primary = key(&certificate.value.primary, primary_at, &error, &mut findings);
    let secondary = key(&certificate.value.secondary, secondary_at, &error, &mut findings);
    if let Some(primary) = primary {
        let digest = Sha256::digest(certificate.value.secondary.as_bytes()).into();
        let signature: &Signature = &certificate.value.secondary_signature;
        if !primary.verifies(&digest, signature) {
            let message = "is not by the primary key and of the secondary key: the signature or one of the keys is damaged or forged";
            let start = base + primary_at as u64;
            let end = base + secondary_at as u64 + certificate::KEY_SIZE;
            let suspects = coverage::suspects(contents, start..end);
            let offset = std::mem::offset_of!(Certificate, secondary_signature);
            findings.push(error(offset, message.to_owned()).suspecting(suspects));
        }
    }
    if let Some(secondary) = secondary {
        let mut digest = Sha256::new();
        let all = ranges.iter().cloned().chain([signed_part(base)]);
        let mut buffer = vec![0; PIECE];
        let mut suspects: Vec<Suspect> = Vec::new();
        for range in all {
            if range.end > contents.length {
                return Ok(findings);
            }
            suspects.extend(coverage::suspects(contents, range.clone()));
            image.pieces(range, &mut buffer, |piece| digest.update(piece))?;
        }
        if !secondary.verifies(&digest.finalize().into(), &certificate.value.signature) {
            let covered: Vec<String> =
                ranges.iter().map(|range| format!("{:#x}..{:#x}", range.start, range.end)).collect();
            let message = format!(
                "is not by the secondary key and of {} and the certificate: the signature, the key or what is signed is damaged or forged",
                covered.join(", ")
            );
            let offset = std::mem::offset_of!(Certificate, signature);
            findings.push(error(offset, message).suspecting(suspects));
        }
    }
    Ok(findings)
}

/// A key from its stored form, or what is wrong with it; `at` is its place in the certificate.
fn key(
    stored: &StoredKey,
    at: usize,
    error: &impl Fn(usize, String) -> Finding,
    findings: &mut Vec<Finding>,
) -> Option<PublicKey> {
    let blob: Blob = zerocopy::transmute!(*stored);
    match PublicKey::from_blob(&blob) {
        Ok(key) => Some(key),
        Err(problem) => {
            let field = match problem {
                InvalidKey::MontgomeryConstant => std::mem::offset_of!(StoredKey, modulus_extension),
                InvalidKey::Padding => std::mem::offset_of!(StoredKey, padding),
                InvalidKey::Exponent => std::mem::offset_of!(StoredKey, exponent),
                _ => std::mem::offset_of!(StoredKey, modulus),
            };
            let mut finding = error(at + field, problem.to_string());
            // Either the number or what was computed from it is wrong, and a wrong number can be no key at all.
            if field != std::mem::offset_of!(StoredKey, padding) {
                let parts = [
                    std::mem::offset_of!(StoredKey, modulus),
                    std::mem::offset_of!(StoredKey, modulus_extension),
                    std::mem::offset_of!(StoredKey, exponent),
                ];
                finding.suspects = parts.map(|part| suspect(&finding, at + field, at + part)).to_vec();
            }
            findings.push(finding);
            None
        }
    }
}

/// The field at `other` of the certificate in which `finding` concerns the one at `this`.
fn suspect(finding: &Finding, this: usize, other: usize) -> Suspect {
    let field = certificate_field(other);
    let start = finding.range.start - this as u64 + other as u64;
    Suspect { field: field.name.to_owned(), range: start..start + field.size as u64, value: None }
}

/// The bytes in the image of the field at `offset` of the certificate at byte `base`.
fn field_range(base: u64, offset: usize) -> Range<u64> {
    let field = certificate_field(offset);
    let start = base.saturating_add(field.offset as u64);
    start..start.saturating_add(field.size as u64)
}
