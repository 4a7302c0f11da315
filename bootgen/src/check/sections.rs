//! The map of an image: which bytes belong to what.

use std::fmt;
use std::ops::Range;

use bootimage::boot::{self, RegisterInit};
use bootimage::certificate::{self, PublicKey};
use bootimage::headers::{ImageHeaderStart, TABLE_SIZE};
use bootimage::layout::{Field, Layout};
use bootimage::{BootHeader, Certificate, ImageHeaderTable, PartitionHeader, Structure, partition};
use serde::Serialize;

use super::contents::Contents;

/// What a range of bytes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "index")]
pub enum Kind {
    /// The boot header.
    BootHeader,
    /// The register initialization.
    RegisterInit,
    /// The image header table.
    ImageHeaderTable,
    /// An image header.
    ImageHeader(usize),
    /// A partition header.
    PartitionHeader(usize),
    /// The null partition header.
    NullHeader,
    /// The certificate of all headers.
    HeaderCertificate,
    /// A partition's data.
    Data(usize),
    /// What fills up a partition's data to what is signed.
    Padding(usize),
    /// A partition's certificate.
    Certificate(usize),
    /// A partition's MD5 sum.
    Md5(usize),
    /// Bytes between two others.
    Fill,
    /// Bytes behind all others.
    Rest,
}

/// A range of bytes, and what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Section {
    /// The bytes.
    pub range: Range<u64>,
    /// What they are.
    #[serde(flatten)]
    pub kind: Kind,
}

/// All sections with their gaps, in order of their first bytes. Where headers are damaged, sections can overlap.
pub fn sections(contents: &Contents) -> Vec<Section> {
    let mut sections = stated(contents);
    sections.sort_by_key(|section| (section.range.start, section.range.end));
    let mut all = Vec::new();
    let mut end = 0;
    for section in sections {
        if section.range.start > end {
            all.push(Section { range: end..section.range.start.min(contents.length), kind: Kind::Fill });
        }
        end = end.max(section.range.end);
        all.push(section);
    }
    if end < contents.length {
        all.push(Section { range: end..contents.length, kind: Kind::Rest });
    }
    all.retain(|section| section.range.start < section.range.end);
    all
}

/// The sections that the headers speak of.
fn stated(contents: &Contents) -> Vec<Section> {
    let section = |base: u64, size: u64, kind| Section { range: base..base.saturating_add(size), kind };
    let mut all = vec![
        section(0, boot::REGISTER_INIT, Kind::BootHeader),
        section(boot::REGISTER_INIT, boot::SIZE - boot::REGISTER_INIT, Kind::RegisterInit),
        section(contents.table_base, TABLE_SIZE, Kind::ImageHeaderTable),
    ];
    for (index, image) in contents.images.iter().enumerate() {
        all.push(section(image.base, image.size(), Kind::ImageHeader(index)));
    }
    for (index, partition) in contents.partitions.iter().enumerate() {
        all.push(section(partition.base, partition::SIZE, Kind::PartitionHeader(index)));
        all.push(Section { range: partition.data(), kind: Kind::Data(index) });
        if let Some(range) = contents.signed_padding(index) {
            all.push(Section { range, kind: Kind::Padding(index) });
        }
        if let Some(range) = partition.header.certificate() {
            all.push(Section { range, kind: Kind::Certificate(index) });
        }
        if let Some(range) = partition.header.md5() {
            all.push(Section { range, kind: Kind::Md5(index) });
        }
    }
    if let Some(null) = &contents.null {
        all.push(section(null.base, partition::SIZE, Kind::NullHeader));
    }
    if let Some(certificate) = &contents.header_certificate {
        all.push(section(certificate.base, certificate::SIZE, Kind::HeaderCertificate));
    }
    all
}

impl Kind {
    /// What people call it.
    pub fn describe(self, contents: &Contents) -> String {
        match self {
            Self::BootHeader => "boot header".to_owned(),
            Self::RegisterInit => "register initialization".to_owned(),
            Self::ImageHeaderTable => "image header table".to_owned(),
            Self::ImageHeader(index) => match contents.images.get(index) {
                Some(image) => format!("image header {index} ({})", image.name),
                None => format!("image header {index}"),
            },
            Self::PartitionHeader(index) => format!("partition header {index}"),
            Self::NullHeader => "null partition header".to_owned(),
            Self::HeaderCertificate => "header certificate".to_owned(),
            Self::Data(index) => contents.name_of(index),
            Self::Padding(index) => format!("padding of partition {index}"),
            Self::Certificate(index) => format!("certificate of partition {index}"),
            Self::Md5(index) => format!("MD5 sum of partition {index}"),
            Self::Fill => "fill bytes".to_owned(),
            Self::Rest => "bytes behind the image".to_owned(),
        }
    }
}

/// A byte's place in an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// What it belongs to.
    pub structure: String,
    /// The field of it, if that has any.
    pub field: Option<String>,
    /// All bytes of the field, or of the structure.
    pub range: Range<u64>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.structure)?;
        match &self.field {
            Some(field) => write!(f, ", field `{field}`"),
            None => Ok(()),
        }
    }
}

/// What the byte at `offset` belongs to.
pub fn locate(contents: &Contents, offset: u64) -> Place {
    let found = sections(contents).into_iter().find(|section| section.range.contains(&offset));
    let Some(Section { range, kind }) = found else {
        return Place { structure: "the end of the image".to_owned(), field: None, range: offset..offset + 1 };
    };
    let inside = offset - range.start;
    let structure = kind.describe(contents);
    let at = |field: Field| {
        let start = range.start + field.offset as u64;
        Place {
            structure: structure.clone(),
            field: Some(field.name.to_owned()),
            range: start..start + field.size as u64,
        }
    };
    let inside_index = usize::try_from(inside).unwrap_or(usize::MAX);
    match kind {
        Kind::BootHeader => at(BootHeader::field_at(inside_index)),
        Kind::RegisterInit => {
            let index = inside / size_of::<RegisterInit>() as u64;
            let field = RegisterInit::field_at(inside_index % size_of::<RegisterInit>());
            let start = range.start + index * size_of::<RegisterInit>() as u64 + field.offset as u64;
            Place {
                structure: Structure::RegisterInit(index as u32).to_string(),
                field: Some(field.name.to_owned()),
                range: start..start + field.size as u64,
            }
        }
        Kind::ImageHeaderTable => at(ImageHeaderTable::field_at(inside_index)),
        Kind::ImageHeader(_) if inside_index < size_of::<ImageHeaderStart>() => {
            at(ImageHeaderStart::field_at(inside_index))
        }
        Kind::ImageHeader(_) => Place {
            structure,
            field: Some("name".to_owned()),
            range: range.start + size_of::<ImageHeaderStart>() as u64..range.end,
        },
        Kind::PartitionHeader(_) | Kind::NullHeader => at(PartitionHeader::field_at(inside_index)),
        Kind::HeaderCertificate | Kind::Certificate(_) => at(certificate_field(inside_index)),
        Kind::Data(_) | Kind::Padding(_) | Kind::Md5(_) | Kind::Fill | Kind::Rest => {
            Place { structure, field: None, range }
        }
    }
}

/// The field of a certificate at `offset`; those of the keys one by one.
pub fn certificate_field(offset: usize) -> Field {
    let outer = Certificate::field_at(offset);
    if outer.size != size_of::<PublicKey>() {
        return outer;
    }
    let names: [(&str, &str); 4] = [
        ("primary modulus", "secondary modulus"),
        ("primary modulus extension", "secondary modulus extension"),
        ("primary exponent", "secondary exponent"),
        ("primary padding", "secondary padding"),
    ];
    let inner = PublicKey::field_at(offset - outer.offset);
    let number = PublicKey::FIELDS.iter().position(|field| *field == inner);
    let (primary, secondary) = number.and_then(|number| names.get(number)).copied().unwrap_or(("key", "key"));
    let is_primary = outer.offset == std::mem::offset_of!(Certificate, primary);
    let name = if is_primary { primary } else { secondary };
    Field { name, offset: outer.offset + inner.offset, size: inner.size }
}
