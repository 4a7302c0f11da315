//! A small image, put together from the structures: a signed boot loader of one partition and an application of two with
//! MD5 sums.

use zelkova_bootimage::boot::{BRANCH_TO_SELF, IDENTIFICATION, VERSION, WIDTH_DETECTION};
use zelkova_bootimage::{BootHeader, Certificate, ImageHeaderTable, PartitionHeader, certificate, headers};
use zerocopy::little_endian::U32;
use zerocopy::{FromZeros as _, IntoBytes};

/// Bytes of the image.
pub(crate) const LENGTH: usize = 0x2000;

fn put(image: &mut [u8], offset: usize, value: &(impl IntoBytes + zerocopy::Immutable + ?Sized)) {
    image[offset..][..value.as_bytes().len()].copy_from_slice(value.as_bytes());
}

fn put_name(image: &mut [u8], offset: usize, name: &str) {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(name.len() / 4 * 4 + 8, 0);
    for (group, word) in bytes.chunks_exact(4).enumerate() {
        put(image, offset + 4 * group, &U32::new(u32::from_be_bytes(word.try_into().unwrap())));
    }
}

fn partition(words: [u32; 11]) -> PartitionHeader {
    let mut header = PartitionHeader::new_zeroed();
    let fields = [
        &mut header.encrypted_length,
        &mut header.unencrypted_length,
        &mut header.total_length,
        &mut header.load_address,
        &mut header.execution_address,
        &mut header.data_offset,
        &mut header.attributes,
        &mut header.section_count,
        &mut header.checksum_offset,
        &mut header.image_header,
        &mut header.certificate,
    ];
    for (field, word) in fields.into_iter().zip(words) {
        field.set(word);
    }
    header.checksum.set(header.computed_checksum());
    header
}

/// The image.
pub(crate) fn image() -> Vec<u8> {
    let mut image = vec![0xff; LENGTH];
    let mut boot = BootHeader::new_zeroed();
    boot.interrupt_table = [U32::new(BRANCH_TO_SELF); 8];
    boot.width_detection.set(WIDTH_DETECTION);
    boot.identification.set(IDENTIFICATION);
    boot.version.set(VERSION);
    boot.source_offset.set(0x1700);
    boot.length.set(0x1a5);
    boot.total_length.set(0x1a5);
    boot.qspi_config.set(1);
    boot.checksum.set(boot.computed_checksum());
    boot.image_header_table.set(0x8c0);
    boot.partition_headers.set(0xc80);
    put(&mut image, 0, &boot);
    for pair in 0..256 {
        put(&mut image, 0xa0 + 8 * pair, &[U32::new(u32::MAX), U32::ZERO]);
    }
    put(&mut image, 0xa0, &[U32::new(0xf800_0170), U32::new(0x0020_0500)]);
    let mut table = ImageHeaderTable::new_zeroed();
    table.version.set(headers::VERSION);
    table.partitions.set(3);
    table.first_partition.set(0xc80 / 4);
    table.first_image.set(0x900 / 4);
    table.reserved = [U32::new(u32::MAX); 11];
    put(&mut image, 0x8c0, &table);
    put(&mut image, 0x900, &[U32::new(0x940 / 4), U32::new(0xc80 / 4), U32::ZERO, U32::new(1)]);
    put_name(&mut image, 0x910, "fsbl.elf");
    put(&mut image, 0x940, &[U32::ZERO, U32::new(0xcc0 / 4), U32::ZERO, U32::new(2)]);
    put_name(&mut image, 0x950, "grün.elf");
    put(
        &mut image,
        0xc80,
        &partition([0x6a, 0x6a, 0x70 + 0x1b0, 0, 0, 0x1700 / 4, 0x8013, 1, 0, 0x900 / 4, (0x1700 + 0x1c0) / 4]),
    );
    put(
        &mut image,
        0xcc0,
        &partition([4, 4, 4, 0x10_0000, 0x10_0000, 0x1f80 / 4, 0x1010, 2, 0x1fe0 / 4, 0x940 / 4, 0]),
    );
    put(&mut image, 0xd00, &partition([4, 4, 4, 0x20_0000, 0, 0x1fc0 / 4, 0x1010, 0, 0x1ff0 / 4, 0x940 / 4, 0]));
    put(&mut image, 0xd40, &PartitionHeader::NULL);
    let mut certificate = Certificate::new_zeroed();
    certificate.header.set(certificate::HEADER);
    certificate.size.set(certificate::SIZE as u32);
    put(&mut image, 0x1700 + 0x1c0, &certificate);
    image
}

/// Goes through everything that the parser offers, and gives what it finds wrong, in the words for people.
pub(crate) fn walk(bytes: &[u8]) -> Vec<String> {
    use zelkova_bootimage::Image;
    let mut problems = Vec::new();
    match Image::open(bytes) {
        Err(error) => problems.push(error.to_string()),
        Ok(mut image) => {
            let partitions: Vec<_> = image.partitions().collect();
            for partition in partitions {
                match partition {
                    Ok(partition) => {
                        problems.extend(image.certificate(&partition).err().map(|error| error.to_string()));
                        let mut buffer = [0; 64];
                        let mut sum = 0;
                        let read = image.pieces(partition.header.stored(), &mut buffer, |piece| sum += piece.len());
                        assert_eq!(read, Ok(()), "a checked header has a readable range");
                        assert_eq!(sum as u64, partition.header.stored().end - partition.header.stored().start);
                    }
                    Err(error) => problems.push(error.to_string()),
                }
            }
            for header in image.images() {
                match header {
                    Ok(header) => drop(header.name.to_string()),
                    Err(error) => problems.push(error.to_string()),
                }
            }
            problems.extend(image.header_certificate().err().map(|error| error.to_string()));
        }
    }
    if let Ok(mut image) = Image::open_as_is(bytes) {
        let mut report = |invalid: zelkova_bootimage::Invalid| drop(invalid.to_string());
        let length = image.length();
        image.boot().examine(length, &mut report);
        let (base, partitions) = (image.table_base(), image.boot().partition_headers.get());
        image.table().examine(base, length, partitions, &mut report);
        for index in [0, 255, 256, u32::MAX] {
            let _ = image.register_init(index);
        }
        let partitions: Vec<_> = image.partitions_as_is().flatten().collect();
        for partition in partitions {
            partition.header.examine(partition.index, partition.base, length, &mut report);
            let _ = image.certificate(&partition);
            // At most a piece: a hostile header may claim gigabytes, of which the source has none.
            let start = partition.header.stored().start;
            let _ = image.pieces(start..partition.header.stored().end.min(start + 64), &mut [0; 64], drop_piece);
        }
        let _ = image.null_header().map(|null| null.header.examine_null(null.base, &mut report));
        for header in image.images_as_is().flatten() {
            header.examine(length, &mut report);
        }
        let _ = image.partition(u32::MAX);
    }
    problems
}

fn drop_piece(_: &[u8]) {}
