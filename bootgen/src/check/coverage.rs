//! Which bytes of an image something vouches for.
//!
//! The format has no checksum over everything. This is what finds a damaged byte, and where nothing does:
//!
//! | bytes | found by |
//! |---|---|
//! | interrupt table, identification, versions, reserved words | they have one right value (the table not where the boot loader runs in place) |
//! | rest of the boot header, up to its checksum | the sum of words, and the partition header of the boot loader |
//! | user-defined bytes of the boot header | only the boot loader's signature |
//! | offsets of the header tables | what they lead to, and each other |
//! | used register writes | only the boot loader's signature, and that their addresses are possible |
//! | unused register writes | they have one right value |
//! | image header table, links of image headers | the partition headers |
//! | names | only the header signature; the zeros behind them but for the first, which could be one more letter |
//! | partition headers, null header | the sum of words; addresses have no other witness, so that they share suspicion with it |
//! | certificates | their signatures, and that all of an image have the same keys |
//! | data | its signature, its MD5 sum, or its HMAC when the key is given; otherwise nothing |
//! | wrapping of encrypted data | it has one right value |
//! | padding, gaps, end of the image | they hold fill bytes or zeros, and nothing follows |
//!
//! What nothing vouches for is listed by [`gaps`]. A damaged byte there can only be found by comparing with what the image
//! should be ([`compare`](super::verify::compare)).

use std::ops::Range;

use bootimage::boot;
use serde::Serialize;

use super::contents::Contents;
use super::finding::Suspect;
use super::sections::{Kind, Section, sections};

/// Bytes that nothing vouches for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// What they are.
    pub place: String,
    /// The bytes.
    pub range: Range<u64>,
    /// What would vouch for them.
    pub remedy: &'static str,
}

/// All bytes of an image that nothing vouches for. `decrypted` tells whether the HMACs could be checked.
pub fn gaps(contents: &Contents, decrypted: bool) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let loader_signed =
        contents.loader().is_some_and(|loader| matches!(contents.certificates.get(loader), Some(Some(_))));
    let headers_signed = contents.header_certificate.is_some();
    let sign_loader = "sign the boot loader: its signature covers the boot header";
    if !loader_signed {
        let mut add = |place: &str, range| gaps.push(Gap { place: place.to_owned(), range, remedy: sign_loader });
        if contents.boot.runs_in_place() {
            add("boot header, field `interrupt table`", 0..0x20);
        }
        add("boot header, field `user defined`", 0x4c..0x98);
        let used = contents.register_inits.iter().take_while(|init| init.is_used()).count() as u64;
        if used > 0 {
            add("register initialization", boot::REGISTER_INIT..boot::REGISTER_INIT + 8 * used);
        }
    }
    for (index, image) in contents.images.iter().enumerate() {
        if !headers_signed {
            // The first zero behind the name could also be its last letter.
            let letters = (image.name.as_bytes().len() as u64 + 1).next_multiple_of(4);
            let start = image.base + 16;
            gaps.push(Gap {
                place: format!("{}, field `name`", Kind::ImageHeader(index).describe(contents)),
                range: start..start + letters,
                remedy: "sign the image: the header certificate covers all headers",
            });
        }
    }
    for (index, partition) in contents.partitions.iter().enumerate() {
        let signed = matches!(contents.certificates.get(index), Some(Some(_)));
        let encrypted = contents.is_encrypted(index);
        if signed || partition.header.md5().is_some() || encrypted && decrypted {
            continue;
        }
        let data = partition.data();
        let attributes = partition.header.attributes();
        let plain =
            data.start + u64::from(attributes.head_pad())..data.end.saturating_sub(u64::from(attributes.tail_pad()));
        let ranges = if encrypted { super::encryption::noise(&data).to_vec() } else { vec![plain] };
        let remedy = if encrypted {
            "give the key file with --nky: the HMAC covers the data"
        } else if contents.loader() == Some(index) {
            "sign or encrypt the boot loader"
        } else {
            "give the partition a checksum, or sign it"
        };
        gaps.extend(ranges.into_iter().map(|range| Gap { place: contents.name_of(index), range, remedy }));
    }
    gaps
}

/// All sections that `range` has a part of, as suspects of a check that covers the range.
pub fn suspects(contents: &Contents, range: Range<u64>) -> Vec<Suspect> {
    let mut suspects: Vec<Suspect> = Vec::new();
    for Section { range: section, kind } in sections(contents) {
        let (start, end) = (section.start.max(range.start), section.end.min(range.end));
        if start < end {
            suspects.push(Suspect { field: kind.describe(contents), range: start..end, value: None });
        }
    }
    suspects
}
