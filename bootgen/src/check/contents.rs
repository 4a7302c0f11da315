//! All headers of an image.

use std::collections::BTreeSet;
use std::mem::offset_of;
use std::ops::Range;

use bootimage::boot::{self, RegisterInit};
use bootimage::layout::Layout as _;
use bootimage::{
    BootHeader, Certificate, Error, Image, ImageHeader, ImageHeaderTable, Partition, PartitionHeader, Source,
    Structure, bytes, certificate, headers, partition,
};

use super::finding::{Check, Finding};

/// Where every tool puts the image header table.
pub const USUAL_TABLE: u64 = 0x8c0;

/// Sections begin at multiples of this many bytes, and what is signed is filled up to them.
pub(crate) const GRAIN: u64 = 64;

/// There is room for so many images, and for so many partitions, before more of them move what follows.
pub(crate) const ROOM: u64 = 14;

/// The most partition headers that are looked at: more than any boot loader takes, and few enough for a list of them.
const MOST_PARTITIONS: u32 = 4096;

/// A certificate and its place.
#[derive(Clone, Debug)]
pub struct Placed<T> {
    /// Its first byte.
    pub base: u64,
    /// It.
    pub value: T,
}

/// All headers of an image, as they are.
#[derive(Clone, Debug)]
pub struct Contents {
    /// Bytes of the whole image.
    pub length: u64,
    /// The boot header.
    pub boot: BootHeader,
    /// The register writes, used and unused.
    pub register_inits: Vec<RegisterInit>,
    /// The first byte of the image header table, which need not be what the boot header says.
    pub table_base: u64,
    /// The image header table.
    pub table: ImageHeaderTable,
    /// The image headers in the order of their places.
    pub images: Vec<ImageHeader>,
    /// The first byte of the partition headers, which need not be what the table says.
    pub partitions_base: u64,
    /// The partition headers.
    pub partitions: Vec<Partition>,
    /// The header behind the last partition's, if the image is that long.
    pub null: Option<Partition>,
    /// The certificate of all headers.
    pub header_certificate: Option<Placed<Certificate>>,
    /// The certificate of each partition.
    pub certificates: Vec<Option<Placed<Certificate>>>,
    /// The references that lead nowhere, and what could not be read.
    pub damage: Vec<Finding>,
}

impl Contents {
    /// Reads the headers. What is wrong with them goes to [`Contents::damage`], as long as there is a way around it.
    ///
    /// # Errors
    ///
    /// When the source fails, or is too short for a boot header and an image header table.
    pub fn read<S: Source>(source: &mut S) -> Result<Self, Error<S::Error>> {
        let mut damage = Vec::new();
        let length = source.length();
        let boot: BootHeader = bootimage::structure(source, Structure::BootHeader, 0)?;
        let (table_base, table) = find_table(source, &boot, &mut damage)?;
        let partitions_base = find_partitions(source, &boot, &table, table_base, &mut damage)?;

        // With these headers, the parser finds what there is.
        let mut navigation = table;
        navigation.first_partition.set(u32::try_from(partitions_base / 4).unwrap_or(u32::MAX));
        navigation.partitions.set(count_partitions(source, partitions_base, table.partitions.get())?);
        let mut image = Image::with_headers(&mut *source, boot, navigation);

        let mut register_inits = Vec::new();
        for index in 0..boot::REGISTER_INITS {
            match keep(image.register_init(index), &mut damage)? {
                Some(init) => register_inits.push(init),
                None => break,
            }
        }
        let mut partitions = Vec::new();
        for partition in image.partitions_as_is().collect::<Vec<_>>() {
            partitions.extend(keep(partition, &mut damage)?);
        }
        let null = keep(image.null_header(), &mut damage)?;
        let mut contents = Self {
            length,
            boot,
            register_inits,
            table_base,
            table,
            images: Vec::new(),
            partitions_base,
            partitions,
            null,
            header_certificate: None,
            certificates: Vec::new(),
            damage,
        };
        contents.images = contents.find_images(&mut image)?;
        let base = contents.find_certificate(&mut image)?;
        contents.header_certificate =
            read_certificate(&mut image, Structure::HeaderCertificate, base, &mut contents.damage)?;
        for partition in &contents.partitions {
            let base = partition.header.certificate().map(|place| place.start);
            let structure = Structure::Certificate(partition.index);
            let certificate = read_certificate(&mut image, structure, base, &mut contents.damage)?;
            contents.certificates.push(certificate);
        }
        Ok(contents)
    }

    /// The image headers that the partition headers refer to, and those of the list that make sense.
    fn find_images<S: Source>(&self, image: &mut Image<S>) -> Result<Vec<ImageHeader>, Error<S::Error>> {
        let mut bases: BTreeSet<u64> = self
            .partitions
            .iter()
            .filter(|partition| partition.header.checksum.get() == partition.header.computed_checksum())
            .map(|partition| bytes(partition.header.image_header.get()))
            .collect();
        for header in image.images_as_is() {
            match header {
                Ok(header) if self.is_plausible(&header) => drop(bases.insert(header.base)),
                Ok(_) | Err(Error::Invalid(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let mut images = Vec::new();
        for base in bases {
            match image.image_header(images.len() as u32, base) {
                Ok(header) => images.push(header),
                // The structural checks tell which reference leads there.
                Err(Error::Invalid(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(images)
    }

    /// Where the header certificate is: where the table says, or else in the usual place.
    fn find_certificate<S: Source>(&mut self, image: &mut Image<S>) -> Result<Option<u64>, Error<S::Error>> {
        let stated = self.table.certificate();
        let usual = self.usual_certificate();
        let mut is_certificate = |base| match image.structure::<Certificate>(Structure::HeaderCertificate, base) {
            Ok(found) => Ok(found.header.get() == certificate::HEADER && found.size.get() == certificate::SIZE as u32),
            Err(Error::Invalid(_)) => Ok(false),
            Err(error) => Err(error),
        };
        let as_stated = stated.map(&mut is_certificate).transpose()?.unwrap_or_default();
        // In the usual place, a certificate may also be damaged.
        if as_stated || stated == Some(usual) {
            return Ok(stated);
        }
        let is_usual = is_certificate(usual)?;
        if stated.is_none() && !is_usual {
            return Ok(None);
        }
        let field = ImageHeaderTable::field_at(offset_of!(ImageHeaderTable, certificate));
        let start = self.table_base + field.offset as u64;
        let found = self.table.certificate.get();
        let message = if is_usual {
            format!("is {found:#x}, but a certificate is at word {:#x}", usual / 4)
        } else {
            format!("is {found:#x}, where no certificate is")
        };
        let range = start..start + field.size as u64;
        self.damage.push(Finding::error(Check::Structure, Structure::ImageHeaderTable, range, message).of(field.name));
        Ok(is_usual.then_some(usual))
    }

    /// Where tools put the header certificate: behind the null header, with room for a few more partition headers.
    pub fn usual_certificate(&self) -> u64 {
        let headers = (self.partitions.len() as u64 + 1).max(ROOM + 1);
        self.partitions_base.saturating_add(headers * partition::SIZE)
    }

    /// Whether what the list of image headers leads to can be one.
    fn is_plausible(&self, header: &ImageHeader) -> bool {
        let place = self.table_base + headers::TABLE_SIZE..self.partitions_base;
        let index = header.first_partition().checked_sub(self.partitions_base).map(|offset| offset / partition::SIZE);
        header.base.is_multiple_of(headers::GRAIN)
            && place.contains(&header.base)
            && !header.name.as_bytes().is_empty()
            && index.is_some_and(|index| index < self.partitions.len() as u64)
    }

    /// The number in [`Contents::images`] of the image that partition `index` belongs to.
    pub fn image_of(&self, index: usize) -> Option<usize> {
        let partition = self.partitions.get(index)?;
        let referred = bytes(partition.header.image_header.get());
        let by_reference = self.images.iter().position(|image| image.base == referred);
        by_reference.or_else(|| {
            self.images.iter().position(|image| {
                let end = image.first_partition().saturating_add(bytes(image.start.partitions.get()) * 16);
                (image.first_partition()..end).contains(&partition.base)
            })
        })
    }

    /// The numbers of the partitions that belong to image `image`.
    pub fn partitions_of(&self, image: usize) -> Vec<usize> {
        (0..self.partitions.len()).filter(|&index| self.image_of(index) == Some(image)).collect()
    }

    /// What people call partition `index`: its number, its file, and which part of the file it is.
    pub fn name_of(&self, index: usize) -> String {
        let Some(image) = self.image_of(index) else { return format!("partition {index}") };
        let parts = self.partitions_of(image);
        let name = self.images.get(image).map(|image| image.name.to_string()).unwrap_or_default();
        match parts.iter().position(|&part| part == index) {
            Some(part) if parts.len() > 1 => {
                format!("partition {index} ({name}, part {} of {})", part + 1, parts.len())
            }
            _ => format!("partition {index} ({name})"),
        }
    }

    /// The number of the partition that holds the boot loader.
    pub fn loader(&self) -> Option<usize> {
        let source = u64::from(self.boot.source_offset.get());
        let is_loader = |partition: &Partition| self.boot.has_loader() && partition.data().start == source;
        self.partitions.iter().position(is_loader)
    }

    /// Whether partition `index` is encrypted: the boot header names a key, and the partition's two lengths differ.
    pub fn is_encrypted(&self, index: usize) -> bool {
        self.boot.key_source.get() != 0 && self.has_two_lengths(index)
    }

    /// Whether the two lengths of partition `index` differ by more than the padding of its data explains.
    pub fn has_two_lengths(&self, index: usize) -> bool {
        let header = self.partitions.get(index).map(|partition| partition.header);
        header.is_some_and(|header| plain_length(&header) != u64::from(header.unencrypted_length.get()))
    }

    /// Whether anything in the image is signed.
    pub fn is_signed(&self) -> bool {
        self.header_certificate.is_some() || self.certificates.iter().any(Option::is_some)
    }

    /// The bytes behind partition `index`'s data that fill up what is signed.
    pub fn signed_padding(&self, index: usize) -> Option<Range<u64>> {
        let header = &self.partitions.get(index)?.header;
        let end = header.data().end;
        header.certificate().map(|place| end..end.next_multiple_of(GRAIN).min(place.start).max(end))
    }

    /// The bytes of partition `index` that its MD5 sum covers: the data, and if it is signed the padding and the certificate,
    /// which can lie further behind.
    pub fn summed(&self, index: usize) -> Vec<Range<u64>> {
        let Some(header) = self.partitions.get(index).map(|partition| partition.header) else { return Vec::new() };
        match (self.signed_padding(index), header.certificate()) {
            (Some(padding), Some(certificate)) => vec![header.data().start..padding.end, certificate],
            _ => std::iter::once(header.stored()).collect(),
        }
    }
}

/// The unencrypted length, in words, that follows from the other fields if a partition is not encrypted.
pub fn plain_length(header: &PartitionHeader) -> u64 {
    let padding = header.attributes().head_pad() + header.attributes().tail_pad();
    bytes(header.encrypted_length.get()).saturating_sub(u64::from(padding)).div_ceil(4)
}

/// Where the image header table is: where the boot header says, or else in the usual place.
fn find_table<S: Source>(
    source: &mut S,
    boot: &BootHeader,
    damage: &mut Vec<Finding>,
) -> Result<(u64, ImageHeaderTable), Error<S::Error>> {
    let stated = u64::from(boot.image_header_table.get());
    let at_stated = bootimage::structure(source, Structure::ImageHeaderTable, stated);
    if let Ok(ImageHeaderTable { version, .. }) = at_stated
        && version.get() == headers::VERSION
    {
        return at_stated.map(|table| (stated, table));
    }
    if stated != USUAL_TABLE {
        let usual: Result<ImageHeaderTable, _> = bootimage::structure(source, Structure::ImageHeaderTable, USUAL_TABLE);
        match usual {
            Ok(table) if table.version.get() == headers::VERSION => {
                let message = format!("is {stated:#x}, where no table is; there is one at {USUAL_TABLE:#x}");
                damage.push(boot_finding(offset_of!(BootHeader, image_header_table), message));
                return Ok((USUAL_TABLE, table));
            }
            Err(error @ Error::Read { .. }) => return Err(error),
            _ => {}
        }
    }
    at_stated.map(|table| (stated, table))
}

/// An error of the boot header's field at `offset`.
fn boot_finding(offset: usize, message: String) -> Finding {
    let field = BootHeader::field_at(offset);
    let range = field.offset as u64..(field.offset + field.size) as u64;
    Finding::error(Check::Structure, Structure::BootHeader, range, message).of(field.name)
}

/// Where the partition headers are: where both the boot header and the table say, or else where there is one.
fn find_partitions<S: Source>(
    source: &mut S,
    boot: &BootHeader,
    table: &ImageHeaderTable,
    table_base: u64,
    damage: &mut Vec<Finding>,
) -> Result<u64, Error<S::Error>> {
    let (by_table, by_boot) = (bytes(table.first_partition.get()), u64::from(boot.partition_headers.get()));
    if by_table == by_boot {
        return Ok(by_table);
    }
    // From the right place, there are as many headers up to the null header as the table says.
    let mut is_first = |base| -> Result<_, Error<S::Error>> {
        let count = count_partitions(source, base, 0)?;
        Ok((count > 0, count == table.partitions.get()))
    };
    let boot_is_right = is_first(by_boot)? > is_first(by_table)?;
    if boot_is_right {
        let field = ImageHeaderTable::field_at(offset_of!(ImageHeaderTable, first_partition));
        let start = table_base + field.offset as u64;
        let message = format!("leads to {by_table:#x}, where no partition header is; there is one at {by_boot:#x}");
        let range = start..start + field.size as u64;
        damage.push(Finding::error(Check::Structure, Structure::ImageHeaderTable, range, message).of(field.name));
        Ok(by_boot)
    } else {
        let message = format!("is {by_boot:#x}, but the image header table's leads to {by_table:#x}");
        damage.push(boot_finding(offset_of!(BootHeader, partition_headers), message));
        Ok(by_table)
    }
}

/// How many partition headers there are: as many as the table says, or as have the right checksum, up to the null header.
fn count_partitions<S: Source>(source: &mut S, base: u64, stated: u32) -> Result<u32, Error<S::Error>> {
    let mut count = 0;
    while count < MOST_PARTITIONS {
        let place = base.saturating_add(u64::from(count) * partition::SIZE);
        let header: PartitionHeader = match bootimage::structure(source, Structure::PartitionHeader(count), place) {
            Ok(header) => header,
            Err(Error::Invalid(_)) => break,
            Err(error) => return Err(error),
        };
        let is_sound = header.checksum.get() == header.computed_checksum();
        if header == PartitionHeader::NULL || count >= stated && !is_sound {
            break;
        }
        // A wild number in the table must not make headers out of whatever lies behind them.
        if !is_sound && count > 0 && stated > MOST_PARTITIONS {
            break;
        }
        count += 1;
    }
    Ok(count)
}

/// A certificate at byte `base`, if there is to be one.
fn read_certificate<S: Source>(
    image: &mut Image<S>,
    structure: Structure,
    base: Option<u64>,
    damage: &mut Vec<Finding>,
) -> Result<Option<Placed<Certificate>>, Error<S::Error>> {
    let Some(base) = base.filter(|&base| base.saturating_add(certificate::SIZE) <= image.length()) else {
        return Ok(None);
    };
    let value = keep(image.structure(structure, base), damage)?;
    Ok(value.map(|value| Placed { base, value }))
}

/// What was read, unless the image is damaged there.
fn keep<T, E>(result: Result<T, Error<E>>, damage: &mut Vec<Finding>) -> Result<Option<T>, Error<E>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Error::Invalid(invalid)) => {
            damage.push(invalid.into());
            Ok(None)
        }
        Err(error @ Error::Read { .. }) => Err(error),
    }
}
