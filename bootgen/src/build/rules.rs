//! What a description has to obey, and what the boot ROM and the vendor's boot loader make of the image.

use std::fmt;

use super::partition::Destination;
use super::{BuildError, Content, Image};
use crate::bif::{Kind, Owner, Spec};
use crate::load::elf;

/// What will not work, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The sentence for people.
    pub text: String,
    /// It is the vendor's first-stage boot loader that does not accept it; others may.
    pub vendor_loader: bool,
}

impl fmt::Display for Warning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

/// Checks what the attributes of different partitions have to do with each other.
///
/// # Errors
///
/// When encryption or, but for images of the old kind, authentication leave the boot loader out.
pub(super) fn check(spec: &Spec, legacy: bool) -> Result<(), BuildError> {
    let Some(loader) = spec.inputs.iter().find(|input| input.kind == Kind::Bootloader) else {
        return Ok(());
    };
    if spec.key_source.is_some() && !loader.encrypt {
        return Err(BuildError::PlainBootloader(loader.path.clone()));
    }
    match spec.inputs.iter().find(|input| input.authenticate) {
        Some(signed) if !loader.authenticate && !legacy => {
            Err(BuildError::UnsignedBootloader { partition: signed.path.clone(), loader: loader.path.clone() })
        }
        _ => Ok(()),
    }
}

/// Memory that the boot ROM leaves to the boot loader, in bytes.
const OCM: u64 = 192 * 1024;

/// Where DDR memory begins that the vendor's boot loader loads to.
const DDR: u32 = 0x10_0000;

/// Partition headers that the vendor's boot loader reads, with the one that ends the table.
const MOST_HEADERS: usize = 14;

/// Where the vendor's boot loader expects the tables' certificate.
const CERTIFICATE_PLACE: u64 = 0x1040;

/// What will not work with this image.
pub(super) fn warnings(image: &Image) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |vendor_loader: bool, text: String| warnings.push(Warning { text, vendor_loader });
    let count = image.partitions.len();
    if count >= MOST_HEADERS {
        warn(
            true,
            format!(
                "{count} partitions: the vendor's FSBL reads {MOST_HEADERS} headers including the last, empty one, and stops with \"Invalid Partition Count\""
            ),
        );
    }
    for section in &image.sections {
        if matches!(section.content, Content::HeaderCertificate) && section.place != CERTIFICATE_PLACE {
            warn(
                true,
                format!(
                    "the headers' certificate lies at {:#x}: the vendor's FSBL looks for it at {CERTIFICATE_PLACE:#x}, since it expects at most 14 partitions and file names shorter than 44 characters",
                    section.place
                ),
            );
        }
    }
    let mut processor = false;
    for (index, (_, partition)) in image.partitions().enumerate() {
        let name = &partition.name;
        if partition.machine.is_some_and(|machine| machine != elf::ARM) {
            warn(
                false,
                format!("{name} is a program for another processor (e_machine {})", partition.machine.unwrap_or(0)),
            );
        }
        if partition.bootloader {
            if index != 0 {
                warn(
                    true,
                    format!(
                        "{name}, the boot loader, is not the first partition: the vendor's FSBL takes partition 0 for itself and skips it"
                    ),
                );
            }
            if partition.xip {
                continue;
            }
            let end = u64::from(partition.load) + partition.plain_bytes;
            if end > OCM {
                warn(
                    false,
                    format!(
                        "{name} occupies {:#x}..{end:#x}: the boot ROM copies the boot loader to on-chip memory, 0..{OCM:#x}",
                        partition.load
                    ),
                );
            } else if !(u64::from(partition.load)..end).contains(&u64::from(partition.exec)) {
                warn(false, format!("{name} is entered at {:#x}, outside of what is loaded", partition.exec));
            }
            continue;
        }
        if partition.owner != Owner::Fsbl {
            continue;
        }
        match partition.destination {
            Destination::Logic if processor => {
                warn(
                    true,
                    format!(
                        "{name}, a bitstream, comes behind a program: the vendor's FSBL expects it before all programs"
                    ),
                );
            }
            Destination::Logic => {}
            Destination::Processor => {
                processor = true;
                if partition.load < DDR {
                    let what = if partition.load == 0 && !partition.signed && !partition.encrypted {
                        "the vendor's FSBL stops loading there, without a word"
                    } else {
                        "the vendor's FSBL refuses it"
                    };
                    warn(
                        true,
                        format!(
                            "{name} is loaded to {:#x}, below the DDR memory that begins at {DDR:#x}: {what}",
                            partition.load
                        ),
                    );
                }
            }
        }
    }
    warnings
}
