//! Reading an image header by header.

use core::iter::FusedIterator;
use core::ops::Range;

use zerocopy::IntoBytes as _;
use zerocopy::little_endian::U32;

use crate::boot::{self, BootHeader, RegisterInit};
use crate::bytes;
use crate::certificate::Certificate;
use crate::error::{Error, Invalid, Problem, Structure};
use crate::headers::{ImageHeader, ImageHeaderStart, ImageHeaderTable};
use crate::layout::Layout;
use crate::name::{LONGEST, Name};
use crate::partition::{self, PartitionHeader};
use crate::source::Source;

/// An image, of which the boot header and the image header table have been read.
#[derive(Debug)]
pub struct Image<S> {
    source: S,
    boot: BootHeader,
    table: ImageHeaderTable,
}

impl<S: Source> Image<S> {
    /// Reads and checks the boot header and the image header table.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with one of them.
    pub fn open(source: S) -> Result<Self, Error<S::Error>> {
        let image = Self::open_as_is(source)?;
        let length = image.length();
        first(|report| image.boot.examine(length, report))?;
        let (base, partitions) = (image.table_base(), image.boot.partition_headers.get());
        first(|report| image.table.examine(base, length, partitions, report))?;
        Ok(image)
    }

    /// Reads the boot header and the image header table, and checks nothing but that they are there. For tools that look at
    /// damaged images.
    ///
    /// # Errors
    ///
    /// When the image is too short for one of them.
    pub fn open_as_is(mut source: S) -> Result<Self, Error<S::Error>> {
        let boot: BootHeader = read(&mut source, Structure::BootHeader, 0)?;
        let table = read(&mut source, Structure::ImageHeaderTable, boot.image_header_table.get() as u64)?;
        Ok(Self { source, boot, table })
    }

    /// An image with these headers, whatever the source has in their places. For tools that can tell what a damaged header
    /// should say; see [`structure`] for reading them.
    pub const fn with_headers(source: S, boot: BootHeader, table: ImageHeaderTable) -> Self {
        Self { source, boot, table }
    }

    /// Length of the source in bytes.
    pub fn length(&self) -> u64 {
        self.source.length()
    }

    /// The boot header.
    pub fn boot(&self) -> &BootHeader {
        &self.boot
    }

    /// The image header table.
    pub fn table(&self) -> &ImageHeaderTable {
        &self.table
    }

    /// The byte at which the image header table begins.
    pub fn table_base(&self) -> u64 {
        self.boot.image_header_table.get() as u64
    }

    /// The register write `index`, used or not; there are [`boot::REGISTER_INITS`].
    ///
    /// # Errors
    ///
    /// When the image is too short for it, or there is none with that index.
    pub fn register_init(&mut self, index: u32) -> Result<RegisterInit, Error<S::Error>> {
        let structure = Structure::RegisterInit(index);
        let base = (index as u64).saturating_mul(size_of::<RegisterInit>() as u64).saturating_add(boot::REGISTER_INIT);
        if index >= boot::REGISTER_INITS {
            let problem =
                Problem::TooLarge { found: index as u64, most: boot::REGISTER_INITS.saturating_sub(1) as u64 };
            return Err(Invalid::new::<RegisterInit>(structure, base, 0, problem).into());
        }
        read(&mut self.source, structure, base)
    }

    /// The image headers, each checked.
    pub fn images(&mut self) -> Images<'_, S> {
        self.images_with(true)
    }

    /// The image headers as they are; only that they are there is checked. The list still ends where it would lead back.
    pub fn images_as_is(&mut self) -> Images<'_, S> {
        self.images_with(false)
    }

    fn images_with(&mut self, checked: bool) -> Images<'_, S> {
        let next = Some(bytes(self.table.first_image.get()));
        Images { image: self, next, index: 0, checked }
    }

    /// The partition headers, each checked. Behind the last there must be the null header; that it is missing comes as an
    /// error behind the last partition.
    pub fn partitions(&mut self) -> Partitions<'_, S> {
        Partitions { image: self, next: Some(0), checked: true }
    }

    /// The partition headers as they are; only that they are there is checked.
    pub fn partitions_as_is(&mut self) -> Partitions<'_, S> {
        Partitions { image: self, next: Some(0), checked: false }
    }

    /// The header of partition `index`, checked.
    ///
    /// # Errors
    ///
    /// What is wrong with it, or that there is no such partition.
    pub fn partition(&mut self, index: u32) -> Result<Partition, Error<S::Error>> {
        let partition = self.partition_as_is(index)?;
        let length = self.length();
        first(|report| partition.header.examine(index, partition.base, length, report))?;
        Ok(partition)
    }

    /// The header of partition `index` as it is.
    ///
    /// # Errors
    ///
    /// When there is no such partition.
    pub fn partition_as_is(&mut self, index: u32) -> Result<Partition, Error<S::Error>> {
        let structure = Structure::PartitionHeader(index);
        let base = self.partition_base(index);
        if index >= self.table.partitions.get() {
            let problem =
                Problem::TooLarge { found: index as u64, most: (self.table.partitions.get() as u64).saturating_sub(1) };
            return Err(Invalid::new::<PartitionHeader>(structure, base, 0, problem).into());
        }
        Ok(Partition { index, base, header: read(&mut self.source, structure, base)? })
    }

    /// The header behind those of all partitions; it should be [`PartitionHeader::NULL`].
    ///
    /// # Errors
    ///
    /// When the image is too short for it.
    pub fn null_header(&mut self) -> Result<Partition, Error<S::Error>> {
        let index = self.table.partitions.get();
        let base = self.partition_base(index);
        Ok(Partition { index, base, header: read(&mut self.source, Structure::NullHeader, base)? })
    }

    fn partition_base(&self, index: u32) -> u64 {
        bytes(self.table.first_partition.get()).saturating_add((index as u64).saturating_mul(partition::SIZE))
    }

    /// The certificate of all headers, checked as far as that goes without keys; `None` if there is none.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn header_certificate(&mut self) -> Result<Option<Certificate>, Error<S::Error>> {
        match self.table.certificate() {
            Some(base) => self.certificate_at(Structure::HeaderCertificate, base).map(Some),
            None => Ok(None),
        }
    }

    /// The certificate of a partition, checked as far as that goes without keys; `None` if it is not signed.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn certificate(&mut self, partition: &Partition) -> Result<Option<Certificate>, Error<S::Error>> {
        match partition.header.certificate() {
            Some(place) => self.certificate_at(Structure::Certificate(partition.index), place.start).map(Some),
            None => Ok(None),
        }
    }

    fn certificate_at(&mut self, structure: Structure, base: u64) -> Result<Certificate, Error<S::Error>> {
        let certificate: Certificate = read(&mut self.source, structure, base)?;
        first(|report| certificate.examine(structure, base, report))?;
        Ok(certificate)
    }

    /// The structure of type `T` at byte `base`, as it is. `structure` is what an error calls it.
    ///
    /// # Errors
    ///
    /// When the image is too short for it.
    pub fn structure<T: Layout>(&mut self, structure: Structure, base: u64) -> Result<T, Error<S::Error>> {
        read(&mut self.source, structure, base)
    }

    /// The image header at byte `base`, as it is. `index` is what an error calls it.
    ///
    /// # Errors
    ///
    /// When the image is too short for it, or its name does not end.
    pub fn image_header(&mut self, index: u32, base: u64) -> Result<ImageHeader, Error<S::Error>> {
        let structure = Structure::ImageHeader(index);
        let start: ImageHeaderStart = read(&mut self.source, structure, base)?;
        let name = self.name(structure, base.saturating_add(size_of::<ImageHeaderStart>() as u64))?;
        Ok(ImageHeader { index, base, start, name })
    }

    fn name(&mut self, structure: Structure, base: u64) -> Result<Name, Error<S::Error>> {
        let mut name = Name::EMPTY;
        let invalid = |problem| Invalid { structure, field: "name", offset: base, size: LONGEST as u64, problem };
        let mut offset = base;
        loop {
            let Some(word) = self.word(offset)? else {
                return Err(invalid(Problem::Truncated { length: self.length() }).into());
            };
            offset = offset.saturating_add(4);
            for byte in word.get().to_be_bytes() {
                if byte == 0 {
                    return Ok(name);
                }
                if !name.push(byte) {
                    return Err(invalid(Problem::Unterminated(LONGEST)).into());
                }
            }
        }
    }

    /// The word at `offset`, unless the image ends before that.
    fn word(&mut self, offset: u64) -> Result<Option<U32>, Error<S::Error>> {
        if offset.saturating_add(4) > self.length() {
            return Ok(None);
        }
        let mut word = U32::ZERO;
        self.read(offset, word.as_mut_bytes())?;
        Ok(Some(word))
    }

    /// Fills `buffer` with the bytes from `offset`; where it is empty, `offset` does not matter.
    ///
    /// # Errors
    ///
    /// When the source does not have them, or fails.
    pub fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), Error<S::Error>> {
        let length = buffer.len();
        if length == 0 {
            return Ok(());
        }
        self.source.read(offset, buffer).map_err(|cause| Error::Read { offset, length, cause })
    }

    /// Hands the bytes of `range` to `take` in order, in pieces of at most the size of `buffer`, and all but the last of
    /// exactly that size. An empty `buffer` gives none.
    ///
    /// # Errors
    ///
    /// When the source does not have them, or fails; `take` has then seen a part.
    pub fn pieces(
        &mut self,
        range: Range<u64>,
        buffer: &mut [u8],
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), Error<S::Error>> {
        let mut offset = range.start;
        while offset < range.end {
            let rest = range.end.saturating_sub(offset);
            let size = usize::try_from(rest).unwrap_or(usize::MAX).min(buffer.len());
            let Some(piece) = buffer.get_mut(..size).filter(|piece| !piece.is_empty()) else { break };
            self.read(offset, piece)?;
            take(piece);
            offset = offset.saturating_add(size as u64);
        }
        Ok(())
    }

    /// Gives the source back.
    pub fn into_source(self) -> S {
        self.source
    }
}

/// A partition header and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its number, from 0.
    pub index: u32,
    /// The first byte of the header in the image.
    pub base: u64,
    /// The header.
    pub header: PartitionHeader,
}

impl Partition {
    /// The bytes of the image that hold its data, without padding and certificate.
    pub fn data(&self) -> Range<u64> {
        self.header.data()
    }
}

/// The partition headers of an image; ends behind the first error.
#[derive(Debug)]
pub struct Partitions<'a, S> {
    image: &'a mut Image<S>,
    next: Option<u32>,
    checked: bool,
}

impl<S: Source> Iterator for Partitions<'_, S> {
    type Item = Result<Partition, Error<S::Error>>;

    fn next(&mut self) -> Option<Self::Item> {
        let index = self.next.take()?;
        if index >= self.image.table.partitions.get() {
            return self.checked.then(|| self.end()).and_then(Result::err).map(Err);
        }
        let partition = if self.checked { self.image.partition(index) } else { self.image.partition_as_is(index) };
        if partition.is_ok() {
            self.next = index.checked_add(1);
        }
        Some(partition)
    }
}

impl<S: Source> Partitions<'_, S> {
    /// Checks that the list ends where it must.
    fn end(&mut self) -> Result<(), Error<S::Error>> {
        let found = self.image.null_header()?;
        first(|report| found.header.examine_null(found.base, report))
    }
}

impl<S: Source> FusedIterator for Partitions<'_, S> {}

/// The image headers of an image; ends behind the first error.
#[derive(Debug)]
pub struct Images<'a, S> {
    image: &'a mut Image<S>,
    next: Option<u64>,
    index: u32,
    checked: bool,
}

impl<S: Source> Iterator for Images<'_, S> {
    type Item = Result<ImageHeader, Error<S::Error>>;

    fn next(&mut self) -> Option<Self::Item> {
        let base = self.next.take()?;
        let header = match self.header(base) {
            Ok(header) => header,
            Err(error) => return Some(Err(error)),
        };
        // Only ever forwards, so that no list is longer than the image.
        self.next = header.next().filter(|next| *next > base);
        self.index = self.index.saturating_add(1);
        Some(Ok(header))
    }
}

impl<S: Source> Images<'_, S> {
    fn header(&mut self, base: u64) -> Result<ImageHeader, Error<S::Error>> {
        let header = self.image.image_header(self.index, base)?;
        if self.checked {
            let length = self.image.length();
            first(|report| header.examine(length, report))?;
        }
        Ok(header)
    }
}

impl<S: Source> FusedIterator for Images<'_, S> {}

/// The structure of type `T` at byte `base` of `source`, as it is. `name` is what an error calls it.
///
/// # Errors
///
/// When the source is too short for it, or fails.
pub fn structure<S: Source, T: Layout>(source: &mut S, name: Structure, base: u64) -> Result<T, Error<S::Error>> {
    read(source, name, base)
}

/// Reads a structure, or says which of its fields the image is too short for.
fn read<S: Source, T: Layout>(source: &mut S, structure: Structure, base: u64) -> Result<T, Error<S::Error>> {
    let length = source.length();
    let end = base.saturating_add(size_of::<T>() as u64);
    if end > length {
        let present = usize::try_from(length.saturating_sub(base)).unwrap_or(usize::MAX);
        return Err(Invalid::new::<T>(structure, base, present, Problem::Truncated { length }).into());
    }
    let mut value = T::new_zeroed();
    let bytes = value.as_mut_bytes();
    let size = bytes.len();
    source.read(base, bytes).map_err(|cause| Error::Read { offset: base, length: size, cause })?;
    Ok(value)
}

/// The first problem that `examine` reports.
fn first<E>(examine: impl FnOnce(&mut dyn FnMut(Invalid))) -> Result<(), Error<E>> {
    let mut found = None;
    examine(&mut |problem| {
        found.get_or_insert(problem);
    });
    found.map_or(Ok(()), |problem| Err(problem.into()))
}
