//! Two images compared by field.
//!
//! Files are matched by their names, in order, so that a file that only one image has does not make everything behind it
//! differ. Of what moved along, only what moved is told: an offset that differs because something before it is longer is
//! a difference like any other, since the boot loader reads it.

use bootimage::layout::Layout;
use bootimage::{BootHeader, Certificate, Error, Image, ImageHeaderTable, PartitionHeader, Source};
use md5::{Digest as _, Md5};
use serde::Serialize;

use super::contents::{Contents, Placed};
use super::payload::PIECE;
use super::sections::certificate_field;

/// A difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What differs.
    pub place: String,
    /// The field of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What the first image has; `None`: it has no such thing.
    pub left: Option<String>,
    /// What the second image has.
    pub right: Option<String>,
}

impl Difference {
    fn new(place: &str, field: Option<&str>, left: Option<String>, right: Option<String>) -> Self {
        Self { place: place.to_owned(), field: field.map(ToOwned::to_owned), left, right }
    }
}

/// Why two images cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum DiffError<A: std::fmt::Debug + std::fmt::Display, B: std::fmt::Debug + std::fmt::Display> {
    /// The first cannot be read.
    #[error("the first image: {0}")]
    Left(Error<A>),
    /// The second cannot be read.
    #[error("the second image: {0}")]
    Right(Error<B>),
}

/// Compares two images; no difference means that they say and hold the same, though gaps may be filled differently.
///
/// # Errors
///
/// When one of them cannot be read.
pub fn diff<A: Source, B: Source>(
    left: &mut A,
    right: &mut B,
) -> Result<Vec<Difference>, DiffError<A::Error, B::Error>> {
    let (a, b) = (Contents::read(left).map_err(DiffError::Left)?, Contents::read(right).map_err(DiffError::Right)?);
    let mut found = Vec::new();
    structures("boot header", &a.boot, &b.boot, BootHeader::field_at, &mut found);
    let pairs = |contents: &Contents| {
        let used = contents.register_inits.iter().take_while(|init| init.is_used());
        used.map(|init| format!("{:#010x} = {:#010x}", init.address.get(), init.value.get())).collect::<Vec<_>>()
    };
    let (left_pairs, right_pairs) = (pairs(&a), pairs(&b));
    for index in 0..left_pairs.len().max(right_pairs.len()) {
        let (left, right) = (left_pairs.get(index), right_pairs.get(index));
        if left != right {
            found.push(Difference::new(
                &format!("register initialization {index}"),
                None,
                left.cloned(),
                right.cloned(),
            ));
        }
    }
    structures("image header table", &a.table, &b.table, ImageHeaderTable::field_at, &mut found);
    certificates("header certificate", a.header_certificate.as_ref(), b.header_certificate.as_ref(), &mut found);
    for (mine, theirs) in matched(&a, &b) {
        match (mine, theirs) {
            (Some(mine), Some(theirs)) => images(&a, &b, mine, theirs, left, right, &mut found)?,
            (Some(mine), None) => found.push(Difference::new(&file(&a, mine), None, Some(contains(&a, mine)), None)),
            (None, Some(theirs)) => {
                found.push(Difference::new(&file(&b, theirs), None, None, Some(contains(&b, theirs))));
            }
            (None, None) => {}
        }
    }
    if a.length != b.length {
        let bytes = |contents: &Contents| Some(format!("{} bytes", contents.length));
        found.push(Difference::new("image", Some("length"), bytes(&a), bytes(&b)));
    }
    Ok(found)
}

/// What people call an input file.
fn file(contents: &Contents, index: usize) -> String {
    contents.images.get(index).map(|image| image.name.to_string()).unwrap_or_default()
}

/// What an input file consists of.
fn contains(contents: &Contents, index: usize) -> String {
    super::inspect::plural(contents.partitions_of(index).len(), "partition")
}

/// Pairs of input files with the same name, in the order of both images, and those without a partner: a longest common
/// subsequence.
fn matched(a: &Contents, b: &Contents) -> Vec<(Option<usize>, Option<usize>)> {
    let same = |i: usize, j: usize| match (a.images.get(i), b.images.get(j)) {
        (Some(a), Some(b)) => a.name == b.name,
        _ => false,
    };
    let (rows, columns) = (a.images.len(), b.images.len());
    // The length of the longest common subsequence of what is behind each pair of places.
    let mut longest = vec![vec![0_usize; columns + 1]; rows + 1];
    let get = |longest: &[Vec<usize>], i: usize, j: usize| {
        longest.get(i).and_then(|row| row.get(j)).copied().unwrap_or_default()
    };
    for i in (0..rows).rev() {
        for j in (0..columns).rev() {
            let value = if same(i, j) {
                get(&longest, i + 1, j + 1) + 1
            } else {
                get(&longest, i + 1, j).max(get(&longest, i, j + 1))
            };
            if let Some(cell) = longest.get_mut(i).and_then(|row| row.get_mut(j)) {
                *cell = value;
            }
        }
    }
    let (mut i, mut j, mut pairs) = (0, 0, Vec::new());
    while i < rows || j < columns {
        if same(i, j) {
            pairs.push((Some(i), Some(j)));
            (i, j) = (i + 1, j + 1);
        } else if j == columns || i < rows && get(&longest, i + 1, j) >= get(&longest, i, j + 1) {
            pairs.push((Some(i), None));
            i += 1;
        } else {
            pairs.push((None, Some(j)));
            j += 1;
        }
    }
    pairs
}

/// Compares the partitions of two input files with the same name.
fn images<A: Source, B: Source>(
    a: &Contents,
    b: &Contents,
    mine: usize,
    theirs: usize,
    left: &mut A,
    right: &mut B,
    found: &mut Vec<Difference>,
) -> Result<(), DiffError<A::Error, B::Error>> {
    let (mine, theirs) = (a.partitions_of(mine), b.partitions_of(theirs));
    for part in 0..mine.len().max(theirs.len()) {
        match (mine.get(part), theirs.get(part)) {
            (Some(&mine), Some(&theirs)) => {
                let place = b.name_of(theirs);
                let headers = a.partitions.get(mine).zip(b.partitions.get(theirs));
                if let Some((mine, theirs)) = headers {
                    structures(&place, &mine.header, &theirs.header, PartitionHeader::field_at, found);
                }
                let of = |contents: &Contents, index: usize| contents.certificates.get(index).cloned().flatten();
                certificates(&place, of(a, mine).as_ref(), of(b, theirs).as_ref(), found);
                let digest = digest(a, mine, left).map_err(DiffError::Left)?;
                let other = self::digest(b, theirs, right).map_err(DiffError::Right)?;
                if digest != other {
                    found.push(Difference::new(&place, Some("data"), Some(digest), Some(other)));
                }
            }
            (Some(&mine), None) => {
                found.push(Difference::new(&a.name_of(mine), None, Some("present".to_owned()), None));
            }
            (None, Some(&theirs)) => {
                found.push(Difference::new(&b.name_of(theirs), None, None, Some("present".to_owned())));
            }
            (None, None) => {}
        }
    }
    Ok(())
}

/// Length and MD5 sum of a partition's data, as far as the image goes.
fn digest<S: Source>(contents: &Contents, index: usize, source: &mut S) -> Result<String, Error<S::Error>> {
    let Some(partition) = contents.partitions.get(index) else { return Ok(String::new()) };
    let data = partition.data();
    let data = data.start.min(contents.length)..data.end.min(contents.length);
    let mut digest = Md5::new();
    let mut image = Image::with_headers(source, contents.boot, contents.table);
    image.pieces(data.clone(), &mut vec![0; PIECE], |piece| digest.update(piece))?;
    let length = data.end.saturating_sub(data.start);
    Ok(format!("{length} bytes, MD5 {}", crate::keys::to_hex(&digest.finalize())))
}

/// Compares two structures field by field.
fn structures<T: Layout>(
    place: &str,
    left: &T,
    right: &T,
    field_at: impl Fn(usize) -> bootimage::layout::Field,
    found: &mut Vec<Difference>,
) {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let mut offset = 0;
    while offset < left.len() {
        let field = field_at(offset);
        let bytes = |all: &[u8]| all.get(field.offset..field.offset + field.size).unwrap_or_default().to_vec();
        let (left, right) = (bytes(left), bytes(right));
        if left != right {
            found.push(Difference::new(place, Some(field.name), Some(value(&left)), Some(value(&right))));
        }
        offset = field.offset + field.size.max(1);
    }
}

/// Compares two certificates field by field.
fn certificates(
    place: &str,
    left: Option<&Placed<Certificate>>,
    right: Option<&Placed<Certificate>>,
    found: &mut Vec<Difference>,
) {
    match (left, right) {
        (Some(left), Some(right)) => structures(place, &left.value, &right.value, certificate_field, found),
        (None, None) => {}
        (left, right) => {
            let present = |it: Option<&Placed<Certificate>>| it.map(|it| format!("at {:#x}", it.base));
            found.push(Difference::new(place, Some("certificate"), present(left), present(right)));
        }
    }
}

/// A field for people: one word as a number, long ones by their MD5 sum.
fn value(bytes: &[u8]) -> String {
    match <[u8; 4]>::try_from(bytes) {
        Ok(word) => format!("{:#010x}", u32::from_le_bytes(word)),
        Err(_) if bytes.len() <= 80 => crate::keys::to_hex(bytes),
        Err(_) => format!(
            "{}... (MD5 {})",
            crate::keys::to_hex(bytes.get(..8).unwrap_or_default()),
            crate::keys::to_hex(&Md5::digest(bytes))
        ),
    }
}
