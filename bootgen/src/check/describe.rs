//! The contents of an image as data, for [`inspect`](super::inspect) and for other programs.

use bootimage::boot::KeySource;
use bootimage::partition::{Destination, Owner};
use bootimage::{Error, Image, Source, bytes};
use serde::Serialize;

use super::bitstream;
use super::contents::Contents;
use super::sections::{Section, sections};
use super::signatures;

/// An image.
#[derive(Clone, Debug, Serialize)]
pub struct Description {
    /// Bytes.
    pub length: u64,
    /// What the boot ROM reads.
    pub boot_header: Boot,
    /// The register writes that the boot ROM performs.
    pub register_initialization: Vec<Write>,
    /// The table of headers.
    pub image_header_table: Table,
    /// The input files.
    pub images: Vec<File>,
    /// Certificates and keys, if something is signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication: Option<Authentication>,
    /// All bytes in order.
    pub sections: Vec<Section>,
}

/// The boot header.
#[derive(Clone, Debug, Serialize)]
pub struct Boot {
    /// Offset of the boot loader in bytes; `None`: there is none.
    pub source_offset: Option<u32>,
    /// Bytes of its plain text; 0: it runs in place.
    pub length: u32,
    /// Bytes as stored.
    pub total_length: u32,
    /// Where it is copied to.
    pub load_address: u32,
    /// Where it begins.
    pub execution_address: u32,
    /// Whether it runs from flash memory.
    pub runs_in_place: bool,
    /// Where the AES key is: `none`, `bbram`, `efuse`, or `undefined`.
    pub key_source: &'static str,
    /// The sum of words.
    pub checksum: u32,
    /// Whether that is right.
    pub checksum_ok: bool,
    /// The user's bytes in hexadecimal, without the zeros at the end.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user_defined: String,
}

/// A write to a register.
#[derive(Clone, Debug, Serialize)]
pub struct Write {
    /// Address.
    pub address: u32,
    /// Value.
    pub value: u32,
}

/// The image header table.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    /// Its first byte.
    pub offset: u64,
    /// Version.
    pub version: u32,
    /// How many partitions it speaks of.
    pub partitions: u32,
    /// Offset of the first image header in bytes.
    pub image_headers: u64,
    /// Offset of the first partition header in bytes.
    pub partition_headers: u64,
    /// Offset of the header certificate in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<u64>,
}

/// An input file.
#[derive(Clone, Debug, Serialize)]
pub struct File {
    /// Its name.
    pub name: String,
    /// Offset of the image header in bytes.
    pub offset: u64,
    /// Its partitions.
    pub partitions: Vec<Part>,
}

/// A partition.
#[derive(Clone, Debug, Serialize)]
pub struct Part {
    /// Its number in the image.
    pub index: usize,
    /// Offset of the partition header in bytes.
    pub header_offset: u64,
    /// Whether the header's sum of words is right.
    pub checksum_ok: bool,
    /// Whether it is what the boot ROM loads.
    pub is_boot_loader: bool,
    /// Offset of the data in bytes.
    pub data_offset: u64,
    /// Bytes of data, as stored, without padding to whole words.
    pub data_length: u64,
    /// Bytes of plain text, in whole words.
    pub plain_length: u64,
    /// Bytes with padding and certificate.
    pub total_length: u64,
    /// Where it goes: `ps`, `pl` or `undefined`.
    pub destination: &'static str,
    /// Who takes care of it: `fsbl`, `uboot` or `undefined`.
    pub owner: &'static str,
    /// Where it is copied to.
    pub load_address: u32,
    /// Where it is entered; 0: it is not.
    pub execution_address: u32,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// Offset of its certificate in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<u64>,
    /// Offset of its MD5 sum in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub md5_offset: Option<u64>,
    /// The MD5 sum in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub md5: Option<String>,
    /// The part that a bitstream is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<&'static str>,
}

/// Keys and certificates.
#[derive(Clone, Debug, Serialize)]
pub struct Authentication {
    /// The digest of the primary key, as the eFUSEs hold it, in hexadecimal.
    pub primary_key_hash: String,
    /// The digest of the secondary key, which the primary key signs.
    pub secondary_key_hash: String,
    /// Offset of the certificate of all headers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header_certificate: Option<u64>,
    /// How many signatures there are.
    pub signatures: usize,
}

/// Describes the image with these contents.
///
/// # Errors
///
/// When the source fails.
pub fn describe<S: Source>(contents: &Contents, source: &mut S) -> Result<Description, Error<S::Error>> {
    let mut image = Image::with_headers(source, contents.boot, contents.table);
    let mut images = Vec::new();
    for (index, header) in contents.images.iter().enumerate() {
        let mut partitions = Vec::new();
        for part in contents.partitions_of(index) {
            partitions.extend(describe_partition(contents, part, &mut image)?);
        }
        images.push(File { name: header.name.to_string(), offset: header.base, partitions });
    }
    // Those whose header leads to no image must not be lost.
    let mut homeless = Vec::new();
    for part in (0..contents.partitions.len()).filter(|&part| contents.image_of(part).is_none()) {
        homeless.extend(describe_partition(contents, part, &mut image)?);
    }
    if !homeless.is_empty() {
        images.push(File { name: "(no image header)".to_owned(), offset: 0, partitions: homeless });
    }
    let used = contents.register_inits.iter().take_while(|init| init.is_used());
    Ok(Description {
        length: contents.length,
        boot_header: describe_boot(contents),
        register_initialization: used
            .map(|init| Write { address: init.address.get(), value: init.value.get() })
            .collect(),
        image_header_table: Table {
            offset: contents.table_base,
            version: contents.table.version.get(),
            partitions: contents.table.partitions.get(),
            image_headers: bytes(contents.table.first_image.get()),
            partition_headers: bytes(contents.table.first_partition.get()),
            certificate: contents.table.certificate(),
        },
        images,
        authentication: describe_authentication(contents),
        sections: sections(contents),
    })
}

fn describe_boot(contents: &Contents) -> Boot {
    let boot = &contents.boot;
    let used = boot.user_defined.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    Boot {
        source_offset: boot.has_loader().then_some(boot.source_offset.get()),
        length: boot.length.get(),
        total_length: boot.total_length.get(),
        load_address: boot.load_address.get(),
        execution_address: boot.execution_address.get(),
        runs_in_place: boot.runs_in_place(),
        key_source: match KeySource::from_word(boot.key_source.get()) {
            Some(KeySource::None) => "none",
            Some(KeySource::Bbram) => "bbram",
            Some(KeySource::Efuse) => "efuse",
            None => "undefined",
        },
        checksum: boot.checksum.get(),
        checksum_ok: boot.checksum.get() == boot.computed_checksum(),
        user_defined: crate::keys::to_hex(boot.user_defined.get(..used).unwrap_or_default()),
    }
}

fn describe_partition<S: Source>(
    contents: &Contents,
    index: usize,
    image: &mut Image<S>,
) -> Result<Option<Part>, Error<S::Error>> {
    let Some(partition) = contents.partitions.get(index) else { return Ok(None) };
    let header = &partition.header;
    let attributes = header.attributes();
    let encrypted = contents.is_encrypted(index);
    let (data, stored) = (header.data(), header.stored());
    let padding = u64::from(attributes.head_pad() + attributes.tail_pad());
    let length = (data.end - data.start).saturating_sub(if encrypted { 0 } else { padding });
    let is_bitstream = attributes.destination() == Some(Destination::Pl) && !encrypted;
    let idcode = if is_bitstream { bitstream::stored_idcode(image, data.clone())? } else { None };
    let md5_place = header.md5().filter(|place| place.end <= contents.length);
    let mut md5 = [0; 16];
    if let Some(place) = &md5_place {
        image.read(place.start, &mut md5)?;
    }
    Ok(Some(Part {
        index,
        header_offset: partition.base,
        checksum_ok: header.checksum.get() == header.computed_checksum(),
        is_boot_loader: contents.loader() == Some(index),
        data_offset: data.start,
        data_length: length,
        plain_length: bytes(header.unencrypted_length.get()),
        total_length: stored.end - stored.start,
        destination: match attributes.destination() {
            Some(Destination::Ps) => "ps",
            Some(Destination::Pl) => "pl",
            None => "undefined",
        },
        owner: match attributes.owner() {
            Some(Owner::Fsbl) => "fsbl",
            Some(Owner::UBoot) => "uboot",
            None => "undefined",
        },
        load_address: header.load_address.get(),
        execution_address: header.execution_address.get(),
        encrypted,
        certificate: header.certificate().map(|place| place.start),
        md5_offset: md5_place.as_ref().map(|place| place.start),
        md5: md5_place.map(|_| crate::keys::to_hex(&md5)),
        device: idcode.and_then(bitstream::device),
    }))
}

fn describe_authentication(contents: &Contents) -> Option<Authentication> {
    let all = contents.header_certificate.iter().chain(contents.certificates.iter().flatten());
    let first = all.clone().next()?;
    Some(Authentication {
        primary_key_hash: crate::keys::to_hex(&signatures::digest_of_primary(&first.value)),
        secondary_key_hash: crate::keys::to_hex(&signatures::digest_of_secondary(&first.value)),
        header_certificate: contents.header_certificate.as_ref().map(|certificate| certificate.base),
        signatures: all.count(),
    })
}
