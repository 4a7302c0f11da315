//! What the boot ROM and the vendor's first-stage boot loader demand of an image, beyond that it is sound.
//!
//! The boot ROM's rules are those of UG585, chapter 6; the boot loader's are what the vendor's `zynq_fsbl` does. An image may
//! break the latter and be right all the same, for another boot loader; so all of these are warnings. Each
//! says what will happen.

use std::ops::Range;

use bootimage::partition::{self, Destination, Owner};
use bootimage::{Partition, boot, bytes, certificate, headers};

use super::contents::{Contents, plain_length};
use super::finding::{Check, Finding};

/// The on-chip memory that the boot ROM can load to; it keeps the last of its four banks for itself.
const OCM: Range<u64> = 0..0x3_0000;

/// Flash memory that can be run from: NOR (UG585, chapter 11) and QSPI in linear mode (chapter 12).
const FLASH: [Range<u64>; 2] = [0xe200_0000..0xe600_0000, 0xfc00_0000..0xfe00_0000];

/// Where the vendor's boot loader lets partitions begin: below, it runs itself, or the on-chip memory hides the RAM.
const DDR_START: u32 = 0x10_0000;

/// The end of the addresses that the RAM controller can have.
const DDR_END: u64 = 0x4000_0000;

/// Partition headers that the vendor's boot loader reads, the null header included.
const FSBL_HEADERS: usize = 14;

/// Where the vendor's boot loader expects the header certificate, in bytes behind the start of the image header table.
const FSBL_CERTIFICATE: u64 = 0x780;

/// All that will go wrong.
pub fn examine(contents: &Contents) -> Vec<Finding> {
    let mut findings = Vec::new();
    boot_rom(contents, &mut findings);
    if contents.boot.has_loader() {
        headers(contents, &mut findings);
        partitions(contents, &mut findings);
        overlaps(contents, &mut findings);
    }
    findings
}

fn boot_rom(contents: &Contents, findings: &mut Vec<Finding>) {
    let boot = &contents.boot;
    let mut warn = |field: &str, range: Range<u64>, message: String| {
        findings.push(Finding::warning(Check::BootRom, "boot header", range, message).of(field));
    };
    let (length, total) = (u64::from(boot.length.get()), u64::from(boot.total_length.get()));
    let (load, execution) = (u64::from(boot.load_address.get()), u64::from(boot.execution_address.get()));
    if !boot.has_loader() {
        return warn(
            "source offset",
            0x30..0x34,
            "is 0: there is no boot loader, and the boot ROM starts nothing".into(),
        );
    }
    let loader = contents.loader();
    let signed = loader.is_some_and(|loader| matches!(contents.certificates.get(loader), Some(Some(_))));
    if length == 0 {
        if !FLASH.iter().any(|flash| flash.contains(&execution)) {
            let message = format!(
                "is 0, so the boot ROM runs the boot loader in place, but its start at {execution:#x} is in no flash memory"
            );
            warn("length of image", 0x34..0x38, message);
        }
        if boot.key_source.get() != 0 || signed {
            let message = "is 0: a boot loader that runs in place can be neither encrypted nor signed";
            warn("length of image", 0x34..0x38, message.into());
        }
        return;
    }
    if total > OCM.end {
        let message = format!("is {total:#x}, but the boot ROM has {:#x} bytes of on-chip memory for it", OCM.end);
        warn("total image length", 0x40..0x44, message);
    }
    if load.saturating_add(length) > OCM.end {
        let message = format!(
            "is {load:#x}: the boot ROM loads to the on-chip memory below {:#x}, where {length:#x} bytes from there do not fit",
            OCM.end
        );
        warn("load address", 0x38..0x3c, message);
    }
    if !(load..load.saturating_add(length)).contains(&execution) {
        let message =
            format!("is {execution:#x}, outside of what is loaded to {load:#x}..{:#x}", load.saturating_add(length));
        warn("start of execution", 0x3c..0x40, message);
    }
    let source = u64::from(boot.source_offset.get());
    if !source.is_multiple_of(64) || source < boot::SIZE {
        warn(
            "source offset",
            0x30..0x34,
            format!("is {source:#x}, but must be a multiple of 64 behind the boot header"),
        );
    }
}

/// What the vendor's boot loader demands of the headers as a whole.
fn headers(contents: &Contents, findings: &mut Vec<Finding>) {
    let count = contents.partitions.len();
    let range = contents.table_base + 4..contents.table_base + 8;
    let mut warn = |place: &str, range, message: String| {
        findings.push(Finding::warning(Check::BootLoader, place, range, message));
    };
    if count >= FSBL_HEADERS {
        let message = format!(
            "there are {count} partitions; the vendor's boot loader takes at most {} and stops with \"Invalid Partition Count\"",
            FSBL_HEADERS - 1
        );
        warn("image header table", range, message);
    } else if count < 2 {
        let message = "there is nothing but the boot loader; the vendor's needs a partition to load".to_owned();
        warn("image header table", range, message);
    }
    if contents.loader().is_some_and(|loader| loader != 0) {
        let message = "the boot loader is not the first partition; the vendor's skips the first one, whatever that is";
        warn(
            "partition header 0",
            contents.partitions_base..contents.partitions_base + partition::SIZE,
            message.to_owned(),
        );
    }
    let signed = contents.certificates.iter().any(Option::is_some);
    let expected = contents.table_base + FSBL_CERTIFICATE;
    match &contents.header_certificate {
        Some(certificate) if certificate.base != expected => {
            let message = format!(
                "is at {:#x}; the vendor's boot loader looks for it at {expected:#x}, and refuses the image. \
                 More than 13 partitions, or a file name of more than 43 bytes, move it",
                certificate.base
            );
            warn("header certificate", certificate.base..certificate.base + certificate::SIZE, message);
        }
        None if signed => {
            let message = "there is none, but the vendor's boot loader wants it where RSA is enabled".to_owned();
            warn("header certificate", contents.table_base..contents.table_base + headers::TABLE_SIZE, message);
        }
        _ => {}
    }
}

/// What the vendor's boot loader demands of each partition.
fn partitions(contents: &Contents, findings: &mut Vec<Finding>) {
    let mut entered = None;
    for (index, Partition { base, header, .. }) in contents.partitions.iter().enumerate() {
        if contents.loader() == Some(index) {
            continue;
        }
        let (name, attributes) = (contents.name_of(index), header.attributes());
        let range = *base..base + partition::SIZE;
        let mut warn = |field: &str, message: String| {
            findings.push(Finding::warning(Check::BootLoader, &name, range.clone(), message).of(field));
        };
        if attributes.owner() == Some(Owner::UBoot) {
            continue;
        }
        let encrypted = contents.is_encrypted(index);
        if !encrypted && header.encrypted_length != header.unencrypted_length && plain_length(header) > 0 {
            let message = "differs from the encrypted length because of padding; the vendor's boot loader takes the partition for an encrypted one";
            warn("unencrypted length", message.to_owned());
        }
        match attributes.destination() {
            Some(Destination::Pl) => {
                if let Some(before) = entered {
                    let message = format!(
                        "is programmable logic behind partition {before}; the vendor's boot loader wants it before all programs"
                    );
                    warn("attributes", message);
                }
            }
            Some(Destination::Ps) => {
                entered = entered.or(Some(index));
                let load = header.load_address.get();
                if load < DDR_START {
                    let what = if load == 0 && !encrypted && !attributes.is_signed() {
                        "silently loads neither this nor any later partition"
                    } else {
                        "stops with an invalid load address"
                    };
                    let message = format!("is {load:#x}, below {DDR_START:#x}; the vendor's boot loader {what}");
                    warn("load address", message);
                } else if loaded(header).end > DDR_END {
                    warn(
                        "load address",
                        format!("is {load:#x}, and the data goes beyond the end of RAM at {DDR_END:#x}"),
                    );
                }
            }
            None => {}
        }
    }
    let enters = |partition: &Partition| {
        let attributes = partition.header.attributes();
        attributes.destination() == Some(Destination::Ps) && attributes.owner() == Some(Owner::Fsbl)
    };
    let others = contents.partitions.iter().enumerate().filter(|(index, _)| contents.loader() != Some(*index));
    let first = others.map(|(_, partition)| partition).find(|partition| enters(partition));
    if let Some(first) = first.filter(|first| first.header.execution_address.get() == 0) {
        let message = "is 0, and the vendor's boot loader enters the first program that it loads";
        let range = first.base..first.base + partition::SIZE;
        let name = contents.name_of(first.index as usize);
        findings.push(Finding::warning(Check::BootLoader, name, range, message).of("execution address"));
    }
}

/// The addresses that a partition is loaded to.
fn loaded(header: &bootimage::PartitionHeader) -> Range<u64> {
    let start = u64::from(header.load_address.get());
    start..start + bytes(header.unencrypted_length.get())
}

/// Programs that are loaded over each other.
fn overlaps(contents: &Contents, findings: &mut Vec<Finding>) {
    let programs: Vec<_> = contents
        .partitions
        .iter()
        .enumerate()
        .filter(|(index, partition)| {
            let attributes = partition.header.attributes();
            contents.loader() != Some(*index)
                && attributes.destination() == Some(Destination::Ps)
                && attributes.owner() == Some(Owner::Fsbl)
        })
        .collect();
    for (number, (index, later)) in programs.iter().enumerate() {
        // One overlap is enough to tell.
        let a = loaded(&later.header);
        let overlapped = programs.iter().take(number).map(|(other, earlier)| (*other, loaded(&earlier.header)));
        if let Some((other, b)) = overlapped.into_iter().find(|(_, b)| a.start < b.end && b.start < a.end) {
            let message = format!(
                "is loaded to {:#x}..{:#x}, over {} at {:#x}..{:#x}",
                a.start,
                a.end,
                contents.name_of(other),
                b.start,
                b.end
            );
            let range = later.base..later.base + partition::SIZE;
            let name = contents.name_of(*index);
            findings.push(Finding::warning(Check::BootLoader, name, range, message).of("load address"));
        }
    }
}
