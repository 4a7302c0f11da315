//! The parser. Behind the image is one byte: it tells whether the sums of words are mended first.

#![no_main]

use bootimage::{BootHeader, Image, Invalid, PartitionHeader, Source};
use libfuzzer_sys::fuzz_target;
use zerocopy::{FromBytes as _, IntoBytes as _};

fuzz_target!(|data: &[u8]| {
    let Some((mode, image)) = data.split_last() else { return };
    if mode & 1 == 0 {
        walk(image);
    } else {
        let mut mended = image.to_vec();
        mend(&mut mended);
        walk(&mended);
    }
});

/// Makes the sums of words right in the boot header and in the first partition headers.
fn mend(bytes: &mut [u8]) {
    let Ok((mut boot, rest)) = BootHeader::read_from_prefix(bytes) else { return };
    let rest = rest.len();
    boot.checksum.set(boot.computed_checksum());
    let (head, _) = bytes.split_at_mut(bytes.len() - rest);
    head.copy_from_slice(boot.as_bytes());
    for index in 0..16 {
        let base = boot.partition_headers.get() as usize + 0x40 * index;
        let Some(place) = base.checked_add(0x40).and_then(|end| bytes.get_mut(base..end)) else { return };
        let Ok(mut header) = PartitionHeader::read_from_bytes(place) else { return };
        header.checksum.set(header.computed_checksum());
        place.copy_from_slice(header.as_bytes());
    }
}

/// Goes through everything that the parser offers.
fn walk(bytes: &[u8]) {
    let mut buffer = [0; 64];
    let mut report = |invalid: Invalid| assert!(invalid.size > 0 && !invalid.to_string().is_empty());
    if let Ok(mut image) = Image::open(bytes) {
        let partitions: Vec<_> = image.partitions().flatten().collect();
        for partition in partitions {
            // What a checked header refers to is there.
            image.pieces(partition.header.stored(), &mut buffer, |_| ()).expect("the data of a sound header");
            let _ = image.certificate(&partition);
        }
        for header in image.images().flatten() {
            assert!(header.name.to_string().len() >= header.name.as_bytes().len());
        }
        let _ = image.header_certificate();
    }
    if let Ok(mut image) = Image::open_as_is(bytes) {
        let length = image.length();
        image.boot().examine(length, &mut report);
        let (base, partitions) = (image.table_base(), image.boot().partition_headers.get());
        image.table().examine(base, length, partitions, &mut report);
        let partitions: Vec<_> = image.partitions_as_is().flatten().collect();
        for partition in partitions {
            partition.header.examine(partition.index, partition.base, length, &mut report);
            let _ = image.certificate(&partition);
        }
        let _ = image.null_header().map(|null| null.header.examine_null(null.base, &mut report));
        for header in image.images_as_is().flatten() {
            header.examine(length, &mut report);
        }
        for index in [0, 128, 255, 256, u32::MAX] {
            let _ = image.register_init(index);
            let _ = image.partition(index);
        }
        assert_eq!(image.into_source().length(), length);
    }
}
