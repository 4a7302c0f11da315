//! What the headers say, compared with each other.
//!
//! Nothing here reads anything but the headers, so that a header with one word replaced can be judged in the same way: where
//! a sum of words is wrong, each word in turn is set to what would make the sum right, and only those words remain
//! suspect with which nothing else contradicts.

use std::mem::offset_of;
use std::ops::Range;

use bootimage::boot::BRANCH_TO_SELF;
use bootimage::headers::{self, ImageHeaderStart};
use bootimage::layout::Layout;
use bootimage::{BootHeader, ImageHeaderTable, Invalid, PartitionHeader, Structure, bytes, certificate, partition};
use zerocopy::FromBytes as _;
use zerocopy::little_endian::U32;

use super::contents::{Contents, GRAIN, ROOM};
use super::finding::{Check, Finding, Suspect};
use crate::crypto::aes;

/// All that the headers themselves show to be wrong. Sums of words come with the fields that may be to blame.
pub fn examine(contents: &Contents) -> Vec<Finding> {
    let mut findings = contents.damage.clone();
    findings.extend(compare(contents));
    findings.extend(boot_checksum(contents));
    findings.extend((0..contents.partitions.len()).filter_map(|index| partition_checksum(contents, index)));
    findings
}

/// Collects findings.
struct Report(Vec<Finding>);

impl Report {
    /// The field `field` bytes from the start of the `T` at byte `base` should be `expected`.
    fn expect<T: Layout>(&mut self, structure: Structure, base: u64, field: usize, found: u64, expected: u64) {
        if found != expected {
            self.wrong::<T>(structure, base, field, format!("is {found:#x}, but should be {expected:#x}"));
        }
    }

    /// The same, with the reason.
    fn wrong<T: Layout>(&mut self, structure: Structure, base: u64, field: usize, message: String) {
        let field = T::field_at(field);
        let start = base.saturating_add(field.offset as u64);
        let range = start..start.saturating_add(field.size as u64);
        self.0.push(Finding::error(Check::Structure, structure, range, message).of(field.name));
    }

    /// What the parser says, but for sums of words, which are looked into separately.
    fn invalid(&mut self, invalid: Invalid) {
        if !matches!(invalid.problem, bootimage::Problem::Checksum { .. }) {
            self.0.push(invalid.into());
        }
    }
}

/// Everything but the sums of words.
fn compare(contents: &Contents) -> Vec<Finding> {
    let mut report = Report(Vec::new());
    boot_header(contents, &mut report);
    register_inits(contents, &mut report);
    table(contents, &mut report);
    images(contents, &mut report);
    for index in 0..contents.partitions.len() {
        partition(contents, index, &mut report);
    }
    if let Some(null) = &contents.null {
        null.header.examine_null(null.base, &mut |invalid| report.0.push(invalid.into()));
    }
    places(contents, &mut report);
    report.0
}

fn boot_header(contents: &Contents, report: &mut Report) {
    let boot = &contents.boot;
    boot.examine(contents.length, &mut |invalid| report.invalid(invalid));
    let mut wrong = |field, message| report.wrong::<BootHeader>(Structure::BootHeader, 0, field, message);
    if !boot.runs_in_place() && boot.interrupt_table != [U32::new(BRANCH_TO_SELF); 8] {
        let message = format!("must hold {BRANCH_TO_SELF:#x} eight times");
        wrong(offset_of!(BootHeader, interrupt_table), message);
    }
    let Some(loader) = contents.loader() else {
        if boot.has_loader() {
            let message = format!("is {:#x}, where no partition begins", boot.source_offset.get());
            wrong(offset_of!(BootHeader, source_offset), message);
        }
        return;
    };
    let Some(header) = contents.partitions.get(loader).map(|partition| partition.header) else { return };
    let (encrypted, attributes) = (contents.has_two_lengths(loader), header.attributes());
    if encrypted != (boot.key_source.get() != 0) {
        let message = if encrypted {
            "names none, but the boot loader is encrypted"
        } else {
            "names one, but the boot loader is not encrypted"
        };
        wrong(offset_of!(BootHeader, key_source), message.to_owned());
    }
    if boot.runs_in_place() {
        let (address, offset) = (boot.execution_address.get(), u64::from(boot.source_offset.get()));
        if u64::from(address & 0x01ff_ffff) != offset && u64::from(address & 0x03ff_ffff) != offset {
            let message = format!(
                "is {address:#x}, but the boot loader that runs in place is at {offset:#x} of the flash memory"
            );
            wrong(offset_of!(BootHeader, execution_address), message);
        }
        return;
    }
    let (length, total) = (u64::from(boot.length.get()), u64::from(boot.total_length.get()));
    if length == 0 && total == 0 {
        // A boot loader of a raw file has no lengths; what the boot ROM makes of that is not a matter of structure.
        return;
    }
    let mut expect =
        |field, found, expected| report.expect::<BootHeader>(Structure::BootHeader, 0, field, found, expected);
    let padding = u64::from(attributes.head_pad() + attributes.tail_pad());
    let stored = bytes(header.encrypted_length.get());
    if encrypted {
        let plain = bytes(header.unencrypted_length.get());
        expect(offset_of!(BootHeader, total_length), total, stored);
        if length.next_multiple_of(4) != plain {
            expect(offset_of!(BootHeader, length), length, plain);
        }
    } else {
        let plain = stored.saturating_sub(padding);
        expect(offset_of!(BootHeader, total_length), total, plain);
        expect(offset_of!(BootHeader, length), length, plain);
    }
    let (load, execution) = (u64::from(header.load_address.get()), u64::from(header.execution_address.get()));
    expect(offset_of!(BootHeader, load_address), u64::from(boot.load_address.get()), load);
    expect(offset_of!(BootHeader, execution_address), u64::from(boot.execution_address.get()), execution);
}

/// Where there are registers that the boot ROM could write to: peripherals, the programmable logic's ports excluded.
const REGISTERS: Range<u32> = 0xe000_0000..0xfc00_0000;

fn register_inits(contents: &Contents, report: &mut Report) {
    let mut ended = false;
    for (index, init) in contents.register_inits.iter().enumerate() {
        let structure = Structure::RegisterInit(index as u32);
        let base = bootimage::boot::REGISTER_INIT + 8 * index as u64;
        let mut wrong =
            |field, message: String| report.wrong::<bootimage::boot::RegisterInit>(structure, base, field, message);
        let (address, value) = (init.address.get(), init.value.get());
        let (at, what) =
            (offset_of!(bootimage::boot::RegisterInit, address), offset_of!(bootimage::boot::RegisterInit, value));
        match (init.is_used(), ended) {
            (true, true) => wrong(at, format!("is {address:#x}, behind the end of the list")),
            (true, false) if address % 4 != 0 || !REGISTERS.contains(&address) => {
                wrong(at, format!("is {address:#x}, where the chip has no register"));
            }
            (false, _) => {
                ended = true;
                if value != 0 {
                    wrong(what, format!("is {value:#x}, but unused pairs have 0"));
                }
            }
            (true, false) => {}
        }
    }
}

fn table(contents: &Contents, report: &mut Report) {
    let (table, base) = (&contents.table, contents.table_base);
    // That the boot header leads elsewhere has been found already.
    table.examine(base, contents.length, table.first_partition.get() << 2, &mut |invalid| report.invalid(invalid));
    let mut expect = |field, found, expected| {
        report.expect::<ImageHeaderTable>(Structure::ImageHeaderTable, base, field, found, expected);
    };
    expect(offset_of!(ImageHeaderTable, partitions), table.partitions.get().into(), contents.partitions.len() as u64);
    if let Some(first) = contents.images.first() {
        expect(offset_of!(ImageHeaderTable, first_image), table.first_image.get().into(), first.base / 4);
    }
}

fn images(contents: &Contents, report: &mut Report) {
    for (index, image) in contents.images.iter().enumerate() {
        let structure = Structure::ImageHeader(index as u32);
        image.examine(contents.length, &mut |invalid| report.invalid(invalid));
        let mut expect = |field, found: U32, expected| {
            report.expect::<ImageHeaderStart>(structure, image.base, field, found.get().into(), expected);
        };
        let next = contents.images.get(index + 1).map_or(0, |next| next.base / 4);
        expect(offset_of!(ImageHeaderStart, next), image.start.next, next);
        let parts = contents.partitions_of(index);
        if let Some(first) = parts.first().and_then(|&first| contents.partitions.get(first)) {
            expect(offset_of!(ImageHeaderStart, first_partition), image.start.first_partition, first.base / 4);
        }
        expect(offset_of!(ImageHeaderStart, partitions), image.start.partitions, parts.len() as u64);
        if image.name.as_bytes().is_empty() {
            let range = image.base + 16..image.base + 20;
            report.0.push(Finding::error(Check::Structure, structure, range, "is empty").of("name"));
        }
        let unfit = |&&byte: &&u8| byte < b' ' || byte == 0x7f || byte == b'/';
        if let Some(byte) = image.name.as_bytes().iter().find(unfit) {
            let range = image.base + 16..image.base + image.size();
            let message = format!("has the byte {byte:#04x}, which no name has");
            report.0.push(Finding::error(Check::Structure, structure, range, message).of("name"));
        }
    }
}

fn partition(contents: &Contents, index: usize, report: &mut Report) {
    let Some(partition) = contents.partitions.get(index) else { return };
    let (structure, base, header) = (Structure::PartitionHeader(index as u32), partition.base, &partition.header);
    header.examine(index as u32, base, contents.length, &mut |invalid| report.invalid(invalid));
    let mut expect = |field, found: U32, expected| {
        report.expect::<PartitionHeader>(structure, base, field, found.get().into(), expected);
    };
    let data = header.data();
    // With its padding and certificate, a signed partition is longer.
    let total = match header.certificate() {
        Some(_) => {
            let certificate = data.end.next_multiple_of(GRAIN);
            let found = bootimage::bytes(header.certificate.get());
            if found < certificate || !found.is_multiple_of(GRAIN) {
                expect(offset_of!(PartitionHeader, certificate), header.certificate, certificate / 4);
            }
            certificate.saturating_add(certificate::SIZE).saturating_sub(data.start)
        }
        None => data.end.saturating_sub(data.start),
    };
    expect(offset_of!(PartitionHeader, total_length), header.total_length, total / 4);
    let image = contents.image_of(index);
    match image.and_then(|image| contents.images.get(image)) {
        Some(image) => expect(offset_of!(PartitionHeader, image_header), header.image_header, image.base / 4),
        None => {
            let message = format!("leads to {:#x}, where no image header is", bytes(header.image_header.get()));
            report.wrong::<PartitionHeader>(structure, base, offset_of!(PartitionHeader, image_header), message);
        }
    }
    if let Some(image) = image {
        let parts = contents.partitions_of(image);
        let expected = if parts.first() == Some(&index) { parts.len() as u64 } else { 0 };
        report.expect::<PartitionHeader>(
            structure,
            base,
            offset_of!(PartitionHeader, section_count),
            header.section_count.get().into(),
            expected,
        );
    }
    lengths(contents, index, report);
    let is_pl = header.attributes().destination() == Some(partition::Destination::Pl);
    if is_pl && header.execution_address.get() != 0 {
        report.wrong::<PartitionHeader>(
            structure,
            base,
            offset_of!(PartitionHeader, execution_address),
            "is set, but programmable logic is not entered".to_owned(),
        );
    }
    let (head, load) = (header.attributes().head_pad(), header.load_address.get());
    if head != if is_pl { 0 } else { load % 4 } {
        let message = format!("say that {head} bytes precede the data, which does not go with load address {load:#x}");
        report.wrong::<PartitionHeader>(structure, base, offset_of!(PartitionHeader, attributes), message);
    }
}

/// The two lengths of a partition's data.
fn lengths(contents: &Contents, index: usize, report: &mut Report) {
    let Some(partition) = contents.partitions.get(index) else { return };
    let (structure, base, header) = (Structure::PartitionHeader(index as u32), partition.base, &partition.header);
    let mut wrong = |field, message| report.wrong::<PartitionHeader>(structure, base, field, message);
    let (stored, plain) = (bytes(header.encrypted_length.get()), bytes(header.unencrypted_length.get()));
    if plain == 0 {
        wrong(offset_of!(PartitionHeader, unencrypted_length), "is 0: there are no empty partitions".to_owned());
    }
    if !contents.has_two_lengths(index) {
        return;
    }
    if contents.boot.key_source.get() == 0 {
        let message = format!(
            "is {:#x} words, but {:#x} words are stored, and the boot header names no key to encrypt with",
            header.unencrypted_length.get(),
            header.encrypted_length.get()
        );
        return wrong(offset_of!(PartitionHeader, unencrypted_length), message);
    }
    let framing = aes::sealed_size(0);
    let Some(data) = stored.checked_sub(framing).filter(|data| data.is_multiple_of(GRAIN)) else {
        let message =
            format!("is {stored:#x} bytes; encrypted data is {framing:#x} bytes and a multiple of {GRAIN:#x}");
        return wrong(offset_of!(PartitionHeader, encrypted_length), message);
    };
    // Two words of a configuration packet precede a program.
    let packet = if header.attributes().destination() == Some(partition::Destination::Ps) { 8 } else { 0 };
    let expected = plain.saturating_add(packet).next_multiple_of(GRAIN);
    // Bytes in front of the data can make it one word longer.
    let head = if header.attributes().head_pad() > 0 { 4 } else { 0 };
    let most = plain.saturating_add(packet + head).next_multiple_of(GRAIN);
    if !(expected..=most).contains(&data) {
        let message = format!("is {plain:#x} bytes, but {data:#x} bytes are encrypted");
        wrong(offset_of!(PartitionHeader, unencrypted_length), message);
    }
}

/// Where things lie: in order, without overlap, and where they belong.
fn places(contents: &Contents, report: &mut Report) {
    let mut unusual = |structure: Structure, range: Range<u64>, field: &str, expected: u64| {
        let message = format!("lies at {:#x}; tools put it at {expected:#x}", range.start);
        report.0.push(Finding::warning(Check::Layout, structure, range, message).of(field));
    };
    let mut cursor = contents.table_base + headers::TABLE_SIZE;
    for (index, image) in contents.images.iter().enumerate() {
        if image.base != cursor {
            unusual(Structure::ImageHeader(index as u32), image.base..image.base + image.size(), "place", cursor);
        }
        cursor = image.base.saturating_add(image.size()).next_multiple_of(headers::GRAIN);
    }
    let images = contents.images.len() as u64;
    if let Some(last) = contents.images.last().filter(|_| images < ROOM) {
        cursor = cursor.max(last.base + (ROOM + 1 - images) * headers::GRAIN);
    }
    if contents.partitions_base != cursor {
        let range = contents.partitions_base..contents.partitions_base + partition::SIZE;
        unusual(Structure::PartitionHeader(0), range, "place", cursor);
    }
    let count = contents.partitions.len() as u64;
    let null = contents.partitions_base + count * partition::SIZE;
    cursor = contents.usual_certificate();
    match &contents.header_certificate {
        Some(certificate) => {
            let range = certificate.base..certificate.base + certificate::SIZE;
            if certificate.base != cursor {
                unusual(Structure::HeaderCertificate, range.clone(), "place", cursor);
            }
            cursor = range.end;
        }
        // Without one its room is left, but where there are many partitions it takes the null header's.
        None if count < ROOM => cursor += certificate::SIZE,
        None => cursor = null + certificate::SIZE,
    }
    for (index, partition) in contents.partitions.iter().enumerate() {
        let structure = Structure::PartitionHeader(index as u32);
        let field = offset_of!(PartitionHeader, data_offset);
        let start = partition.data().start;
        if start < cursor {
            let message = format!("leads to {start:#x}, but what precedes it ends at {cursor:#x}");
            report.wrong::<PartitionHeader>(structure, partition.base, field, message);
        } else if !start.is_multiple_of(GRAIN) {
            let message = format!("leads to {start:#x}, which is no multiple of {GRAIN:#x}");
            report.wrong::<PartitionHeader>(structure, partition.base, field, message);
        }
        let stored = partition.header.stored().end;
        let certificate = partition.header.certificate();
        if let Some(certificate) = certificate.clone().filter(|place| place.end > stored) {
            // What room was left for the data moved it, but not the length that boot loaders go by.
            let message = format!(
                "leads to {:#x}, not directly behind the data; boot loaders look for it by the total length",
                certificate.start
            );
            let field = PartitionHeader::field_at(offset_of!(PartitionHeader, certificate));
            let start = partition.base + field.offset as u64;
            let finding = Finding::warning(Check::Layout, structure, start..start + 4, message);
            report.0.push(finding.of(field.name));
        }
        cursor = certificate.map_or(stored, |place| place.end.max(stored)).next_multiple_of(GRAIN);
    }
    let mut end = contents.partitions.last().map_or(cursor, |partition| {
        let stored = partition.header.stored().end;
        partition.header.certificate().map_or(stored, |place| place.end.max(stored))
    });
    let mut is_first = true;
    for (index, partition) in contents.partitions.iter().enumerate() {
        if let Some(md5) = partition.header.md5() {
            let field = offset_of!(PartitionHeader, checksum_offset);
            let structure = Structure::PartitionHeader(index as u32);
            // Room that was left behind the last partition precedes the first sum.
            if !is_first || md5.start < cursor || !md5.start.is_multiple_of(GRAIN) {
                report.expect::<PartitionHeader>(structure, partition.base, field, md5.start / 4, cursor / 4);
            } else if md5.start > cursor {
                let start = partition.base + field as u64;
                let message = format!("leads to {:#x}; without room in between it would be {cursor:#x}", md5.start);
                let finding = Finding::warning(Check::Layout, structure, start..start + 4, message);
                report.0.push(finding.of(PartitionHeader::field_at(field).name));
            }
            is_first = false;
            end = md5.end;
            cursor = md5.end.next_multiple_of(GRAIN);
        }
    }
    if contents.length > end {
        let message = format!("nothing refers to the {} bytes behind {end:#x}", contents.length - end);
        report.0.push(Finding::error(Check::Layout, "end of the image", end..contents.length, message));
    }
}

/// The sum of words in the boot header.
fn boot_checksum(contents: &Contents) -> Option<Finding> {
    let (found, computed) = (contents.boot.checksum.get(), contents.boot.computed_checksum());
    if found == computed {
        return None;
    }
    let checksum = offset_of!(BootHeader, checksum);
    let suspects = suspects::<BootHeader>(
        0,
        // The ten words before the checksum, and itself.
        offset_of!(BootHeader, width_detection)..checksum,
        checksum,
        computed.wrapping_sub(found),
        |offset, delta| {
            let mut other = contents.clone();
            let value = change(&mut other.boot, offset, delta);
            (compare(&other).len(), value)
        },
    );
    Some(sum_finding::<BootHeader>(Structure::BootHeader, 0, checksum, found, computed, suspects))
}

/// The sum of words in a partition header.
fn partition_checksum(contents: &Contents, index: usize) -> Option<Finding> {
    let partition = contents.partitions.get(index)?;
    let (found, computed) = (partition.header.checksum.get(), partition.header.computed_checksum());
    if found == computed {
        return None;
    }
    let checksum = offset_of!(PartitionHeader, checksum);
    let suspects = suspects::<PartitionHeader>(
        partition.base,
        0..checksum,
        checksum,
        computed.wrapping_sub(found),
        |offset, delta| {
            let mut other = contents.clone();
            let partition = other.partitions.get_mut(index);
            let value = partition.and_then(|partition| change(&mut partition.header, offset, delta));
            (compare(&other).len(), value)
        },
    );
    let structure = Structure::PartitionHeader(index as u32);
    Some(sum_finding::<PartitionHeader>(structure, partition.base, checksum, found, computed, suspects))
}

fn sum_finding<T: Layout>(
    structure: Structure,
    base: u64,
    checksum: usize,
    found: u32,
    computed: u32,
    suspects: Vec<Suspect>,
) -> Finding {
    let field = T::field_at(checksum);
    let start = base + field.offset as u64;
    let message = format!("is {found:#010x}, but the words that it sums up give {computed:#010x}");
    Finding::error(Check::Checksum, structure, start..start + field.size as u64, message)
        .of(field.name)
        .suspecting(suspects)
}

/// The fields of a `T` at byte `base` that alone could have made a sum of words wrong: those after whose correction the fewest
/// contradictions remain. `try_word` adds `delta` to the word at an offset, and gives the number of contradictions and the
/// new word.
fn suspects<T: Layout>(
    base: u64,
    words: Range<usize>,
    checksum: usize,
    delta: u32,
    try_word: impl Fn(usize, u32) -> (usize, Option<u32>),
) -> Vec<Suspect> {
    let offsets = words.step_by(4).chain([checksum]);
    let judged: Vec<_> = offsets.map(|offset| (offset, try_word(offset, delta))).collect();
    let fewest = judged.iter().map(|(_, (count, _))| *count).min().unwrap_or_default();
    let best = judged.into_iter().filter(|(_, (count, _))| *count == fewest);
    best.map(|(offset, (_, value))| {
        let start = base + offset as u64;
        Suspect { field: T::field_at(offset).name.to_owned(), range: start..start + 4, value }
    })
    .collect()
}

/// Adds `delta` to the word at `offset` of a structure, and gives the new word.
fn change<T: Layout>(structure: &mut T, offset: usize, delta: u32) -> Option<u32> {
    let word = <[U32]>::mut_from_bytes(structure.as_mut_bytes()).ok()?.get_mut(offset / 4)?;
    word.set(word.get().wrapping_add(delta));
    Some(word.get())
}
