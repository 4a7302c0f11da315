//! The SD card of the emulated board: from an image file of any size to one that QEMU accepts.
//!
//! QEMU wants a card whose size is a power of two. Up to 2 GiB the card is an SDSC one, above SDHC.
//! The user's file is copied (sparsely) and the copy padded with zeros, so that the file itself is
//! neither changed nor has to have a special size.
//!
//! Padding must not hide damage: an image that was cut off in the middle of its file system would
//! get zeros for the missing part, and a reader would take them for data. So the partition table
//! and the boot sector are looked at before an image is padded ([`Error::CutOff`]).

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Smallest card in bytes: below, the capacity of an SDSC card cannot be expressed sensibly.
pub const SMALLEST: u64 = 1 << 20;
/// Largest card in bytes that is accepted: the limit of SDHC (2 TiB are SDXC's).
pub const LARGEST: u64 = 32 << 30;
/// Bytes of a sector.
pub const SECTOR: u64 = 512;

/// Why an image cannot become a card.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read or copied.
    #[error("SD image {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Copying failed.
    #[error("cannot copy SD image {} to {}: {why}", from.display(), to.display())]
    Copy {
        /// The image.
        from: PathBuf,
        /// The copy.
        to: PathBuf,
        /// What `cp` said.
        why: String,
    },
    /// It is empty or larger than any card.
    #[error("SD image {} has {bytes} bytes; 1 byte to 32 GiB are possible", path.display())]
    Size {
        /// The image.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// It is to be used in place, which does not allow padding.
    #[error(
        "SD image {} has {bytes} bytes; to be written in place its size must be a power of two from 1 MiB to 32 GiB: \
         grow it with `truncate -s {wanted} {}`, or leave --sd-writable out to work on a padded copy",
        path.display(), path.display()
    )]
    NotPowerOfTwo {
        /// The image.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The next size that is possible.
        wanted: u64,
    },
    /// It ends before the file system in it does, and padding would hide that.
    #[error(
        "SD image {} is cut off: it has {sectors} sectors, but {what} reaches to sector {end}",
        path.display()
    )]
    CutOff {
        /// The image.
        path: PathBuf,
        /// Its size in sectors of 512 bytes.
        sectors: u64,
        /// The partition or file system.
        what: String,
        /// Its end, in sectors from the start of the image.
        end: u64,
    },
}

impl Error {
    /// Whether the image's *contents* are wrong (a wrong result, exit code 1), as opposed to
    /// the set-up (exit code 3).
    pub fn is_about_contents(&self) -> bool {
        matches!(self, Self::CutOff { .. })
    }
}

/// The size of the card for an image of `bytes` bytes.
pub fn card_size(bytes: u64) -> u64 {
    bytes.max(SMALLEST).next_power_of_two()
}

/// Copies `image` to `card` and pads the copy to a size that QEMU accepts.
///
/// # Errors
///
/// [`Error`] when a file cannot be read or written, the size is impossible, or the image is cut off.
pub fn copy(image: &Path, card: &Path) -> Result<(), Error> {
    let bytes = size(image)?;
    let target = card_size(bytes);
    if target != bytes {
        refuse_cut_off(image, bytes, target)?;
    }
    // `cp` keeps holes, which a 4 GiB image mostly consists of.
    let output = Command::new("cp")
        .args(["--sparse=always", "--no-preserve=mode", "--"])
        .args([image, card])
        .output()
        .map_err(|source| Error::File { path: image.to_owned(), source })?;
    if !output.status.success() {
        return Err(Error::Copy {
            from: image.to_owned(),
            to: card.to_owned(),
            why: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        });
    }
    OpenOptions::new()
        .write(true)
        .open(card)
        .and_then(|file| file.set_len(target))
        .map_err(|source| Error::File { path: card.to_owned(), source })
}

/// Checks that `image` can be the card itself, so that the board writes to it.
///
/// # Errors
///
/// [`Error`] when the file cannot be read or its size is no power of two.
pub fn use_in_place(image: &Path) -> Result<(), Error> {
    let bytes = size(image)?;
    if bytes != card_size(bytes) {
        let wanted = card_size(bytes);
        return Err(Error::NotPowerOfTwo { path: image.to_owned(), bytes, wanted });
    }
    OpenOptions::new()
        .write(true)
        .open(image)
        .map(|_| ())
        .map_err(|source| Error::File { path: image.to_owned(), source })
}

fn size(image: &Path) -> Result<u64, Error> {
    let file = |source| Error::File { path: image.to_owned(), source };
    let metadata = std::fs::metadata(image).map_err(file)?;
    if metadata.is_dir() {
        return Err(file(std::io::ErrorKind::IsADirectory.into()));
    }
    let bytes = metadata.len();
    if (1..=LARGEST).contains(&bytes) { Ok(bytes) } else { Err(Error::Size { path: image.to_owned(), bytes }) }
}

/// Refuses an image whose partition or file system ends behind the image but within the padding.
///
/// What ends behind the padded card as well is left for the board to find.
fn refuse_cut_off(image: &Path, bytes: u64, padded: u64) -> Result<(), Error> {
    let file = |source| Error::File { path: image.to_owned(), source };
    let mut disk = File::open(image).map_err(file)?;
    let first = sector(&mut disk, 0).map_err(file)?;
    let mut extents = Vec::new();
    if let Some(length) = file_system_sectors(&first) {
        extents.push(("its file system".to_owned(), length));
    } else {
        for (index, partition) in partitions(&first).into_iter().enumerate() {
            let Some((start, length)) = partition else {
                continue;
            };
            let number = index + 1;
            extents.push((format!("partition {number}"), start.saturating_add(length)));
            let boot = sector(&mut disk, start).map_err(file)?;
            if let Some(length) = file_system_sectors(&boot) {
                let what = format!("the file system in partition {number}");
                extents.push((what, start.saturating_add(length)));
            }
        }
    }
    let sectors = bytes / SECTOR;
    for (what, end) in extents {
        if end > sectors && end <= padded / SECTOR {
            return Err(Error::CutOff { path: image.to_owned(), sectors, what, end });
        }
    }
    Ok(())
}

/// Sector `index`, zeros where the image has ended.
fn sector(disk: &mut File, index: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    disk.seek(SeekFrom::Start(index.saturating_mul(SECTOR)))?;
    disk.take(SECTOR).read_to_end(&mut bytes)?;
    bytes.resize(SECTOR as usize, 0);
    Ok(bytes)
}

/// The total sectors that a FAT boot sector names (Microsoft, "FAT: General Overview of On-Disk
/// Format" 1.03, BPB), or `None` if the sector is none.
fn file_system_sectors(boot: &[u8]) -> Option<u64> {
    let signature = boot.get(510..512)? == [0x55, 0xAA];
    let jump = matches!(boot.first()?, 0xEB | 0xE9);
    let sector_size = le16(boot, 11)?;
    let fats = *boot.get(16)?;
    if !(signature && jump && sector_size.is_power_of_two() && sector_size >= 512 && fats > 0) {
        return None;
    }
    let total = match le16(boot, 19)? {
        0 => le32(boot, 32)?,
        small => small,
    };
    Some(u64::from(total) * u64::from(sector_size) / SECTOR)
}

/// Start and length in sectors of the four primary partitions.
fn partitions(table: &[u8]) -> [Option<(u64, u64)>; 4] {
    let signed = table.get(510..512) == Some(&[0x55, 0xAA]);
    [446, 462, 478, 494].map(|at| {
        let kind = *table.get(at + 4)?;
        let start = le32(table, at + 8)?;
        let length = le32(table, at + 12)?;
        (signed && kind != 0 && length != 0).then_some((u64::from(start), u64::from(length)))
    })
}

fn le16(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..at + 2)?;
    Some(u32::from(u16::from_le_bytes(field.try_into().ok()?)))
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot_sector(total: u32) -> Vec<u8> {
        let mut sector = vec![0; 512];
        sector[0] = 0xEB;
        sector[11..13].copy_from_slice(&512u16.to_le_bytes());
        sector[16] = 2;
        sector[32..36].copy_from_slice(&total.to_le_bytes());
        sector[510..].copy_from_slice(&[0x55, 0xAA]);
        sector
    }

    fn image(directory: &Path, first: &[u8], bytes: u64) -> PathBuf {
        let path = directory.join("image");
        std::fs::write(&path, first).unwrap();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(bytes).unwrap();
        path
    }

    #[test]
    fn sizes_become_powers_of_two() {
        assert_eq!(card_size(1), SMALLEST);
        assert_eq!(card_size(SMALLEST), SMALLEST);
        assert_eq!(card_size(SMALLEST + 1), 2 * SMALLEST);
        assert_eq!(card_size((2 << 30) + 512), 4 << 30);
    }

    #[test]
    fn the_image_is_copied_and_padded() {
        let directory = tempfile::tempdir().unwrap();
        let from = image(directory.path(), &boot_sector(5000), 5000 * SECTOR);
        let to = directory.path().join("card");
        copy(&from, &to).unwrap();
        let card = std::fs::read(&to).unwrap();
        assert_eq!(card.len(), 4 << 20);
        assert_eq!(card[..512], boot_sector(5000)[..]);
        assert!(card[512..].iter().all(|&byte| byte == 0));
        assert_eq!(std::fs::metadata(&from).unwrap().len(), 5000 * SECTOR);
    }

    #[test]
    fn padding_does_not_hide_a_cut_off_file_system() {
        let directory = tempfile::tempdir().unwrap();
        let to = directory.path().join("card");
        let from = image(directory.path(), &boot_sector(8000), 5000 * SECTOR);
        let error = copy(&from, &to).unwrap_err();
        assert!(matches!(error, Error::CutOff { end: 8000, sectors: 5000, .. }), "{error}");
        assert!(error.is_about_contents());
        // Beyond the padded card: the board sees it by itself.
        let from = image(directory.path(), &boot_sector(9000), 5000 * SECTOR);
        copy(&from, &to).unwrap();
    }

    #[test]
    fn padding_does_not_hide_a_cut_off_partition() {
        let directory = tempfile::tempdir().unwrap();
        let mut table = vec![0; 512];
        table[446 + 4] = 0x0C;
        table[454..458].copy_from_slice(&2048u32.to_le_bytes());
        table[458..462].copy_from_slice(&6000u32.to_le_bytes());
        table[510..].copy_from_slice(&[0x55, 0xAA]);
        let from = image(directory.path(), &table, 5000 * SECTOR);
        let error = copy(&from, &directory.path().join("card")).unwrap_err();
        assert!(matches!(error, Error::CutOff { end: 8048, .. }), "{error}");
    }

    #[test]
    fn only_a_power_of_two_is_used_in_place() {
        let directory = tempfile::tempdir().unwrap();
        use_in_place(&image(directory.path(), b"x", 1 << 21)).unwrap();
        let error = use_in_place(&image(directory.path(), b"x", 3 << 20)).unwrap_err();
        assert!(error.to_string().contains("truncate -s 4194304"), "{error}");
        let error = use_in_place(&image(directory.path(), b"", 0)).unwrap_err();
        assert!(matches!(error, Error::Size { .. }), "{error}");
    }
}
