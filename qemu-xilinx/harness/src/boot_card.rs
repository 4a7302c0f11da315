//! A card that the board starts from: a partition with the boot files, and one for the system that they start.
//!
//! # Layout
//!
//! The boot ROM of the Zynq-7000 reads a partition table in block 0 and looks for `BOOT.BIN` in the root directory of
//! the first partition, which holds a FAT16 or FAT32 (UG585, "SD Boot"). So that is where the boot files are:
//!
//! | sectors of 512 bytes | what |
//! |---|---|
//! | 0 | partition table |
//! | 2,048 to 131,071 | boot partition, FAT32, 63 MiB |
//! | from 131,072 | data partition: what a [`Recipe`] says, less a partition table of its own |
//!
//! The boot partition always has this size, so that the place of the data does not depend on what boots, and the system
//! can be told of it before the boot files are made. A driver that shows its clients the data partition as a whole card
//! keeps the boot files out of their reach. A card with 64 MiB of data has 128 MiB, a power of two, as the emulator wants it.
//!
//! The same inputs give the same image, byte for byte, with the same versions of `mkfs.fat` and mtools: files have the
//! time 2020-01-01, volumes and the disk a fixed serial number.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::card::{LARGEST, SECTOR};
use crate::recipe::{self, FAT32, Mtools, NewVolume, PARTITION, Partition, Recipe, partition_table};
use crate::sums;

/// First sector of the data partition: 64 MiB.
pub const DATA: u64 = 131_072;
/// Bytes of the boot partition.
const BOOT_BYTES: u64 = (DATA - PARTITION) * SECTOR;
/// Bytes of a cluster of the boot partition, so that it has the 65,525 clusters that make a FAT32.
const BOOT_CLUSTER: u64 = SECTOR;
/// Bytes of the boot partition that its boot sectors, tables and root directory take at most.
const BOOT_OVERHEAD: u64 = 2 << 20;
/// Where a partition table has the disk's serial number.
const SERIAL: u64 = 440;

/// A file for the boot partition.
#[derive(Clone, Debug)]
pub struct BootFile {
    /// Its name there, like `BOOT.BIN`.
    pub name: &'static str,
    /// Where its contents are.
    pub contents: PathBuf,
}

/// Why a card could not be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the host cannot be written or read.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The boot files are larger than their partition.
    #[error("the boot files have {needed} bytes together, the boot partition has room for {room}")]
    Boot {
        /// Their bytes.
        needed: u64,
        /// The partition's.
        room: u64,
    },
    /// The data is larger than a card.
    #[error("with a data partition of {0} bytes the card would be larger than 32 GiB; reduce `size` in [board.sd]")]
    Data(u64),
    /// A file system cannot be made.
    #[error(transparent)]
    FileSystem(#[from] recipe::Error),
}

/// The sectors of the data partition that holds `recipe`: its first, and how many.
///
/// A card that the recipe cuts off makes a partition that ends there.
pub fn data_partition(recipe: &Recipe) -> (u64, u64) {
    let cut = recipe.cut.as_ref().unwrap_or(&recipe.size).get_ref().0;
    (DATA, cut.min(recipe.size.get_ref().0) / SECTOR)
}

/// Builds a card with `boot` files, and `data` if there is any, in the file `image`; returns the files of the latter.
///
/// # Errors
///
/// When a file cannot be read or written, a tool is missing or fails, or something does not fit.
pub fn build(image: &Path, boot: &[BootFile], data: Option<&Recipe>) -> Result<Vec<sums::File>, Error> {
    let mut needed = 0u64;
    for BootFile { contents, .. } in boot {
        let length = std::fs::metadata(contents).map_err(|error| Error::File { path: contents.clone(), error })?.len();
        needed = needed.saturating_add(length.next_multiple_of(BOOT_CLUSTER));
    }
    let room = BOOT_BYTES - BOOT_OVERHEAD;
    if needed > room {
        return Err(Error::Boot { needed, room });
    }

    let mut partitions = vec![Partition { kind: FAT32, first: PARTITION, sectors: DATA - PARTITION }];
    let mut bytes = DATA * SECTOR;
    if let Some(recipe) = data {
        let (first, sectors) = data_partition(recipe);
        let size = recipe.size.get_ref().0;
        bytes = bytes.saturating_add(size);
        if bytes > LARGEST {
            return Err(Error::Data(size));
        }
        partitions.push(Partition { kind: recipe.partition_kind(), first, sectors });
    }
    let file = |error| Error::File { path: image.to_owned(), error };
    let disk = File::create(image).map_err(file)?;
    disk.set_len(bytes).map_err(file)?;
    disk.write_all_at(&partition_table(&partitions), 0).map_err(file)?;
    disk.write_all_at(b"ZELK", SERIAL).map_err(file)?;

    let volume = NewVolume { bits: 32, cluster: Some(BOOT_CLUSTER), label: "ZELKOVABOOT", serial: "5A454C42" };
    volume.make(image, PARTITION, BOOT_BYTES)?;
    let tools = Mtools { image, start: PARTITION };
    for BootFile { name, contents } in boot {
        tools.run("mcopy", &[contents.as_os_str(), format!("::/{name}").as_ref()])?;
    }
    let Some(recipe) = data else { return Ok(Vec::new()) };
    let files = recipe.fill(image, DATA, recipe.size.get_ref().0)?;
    if recipe.cut.is_some() {
        let (first, sectors) = data_partition(recipe);
        disk.set_len((first + sectors) * SECTOR).map_err(file)?;
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const DATA_RECIPE: &str = r#"
        size = "34M"
        format = "fat32"
        cluster = "512"
        mbr = true
        [[file]]
        path = "/A long name.txt"
        text = "hello"
        [[file]]
        path = "/many/{}.bin"
        bytes = 3000
        count = 4
    "#;

    struct Scratch(tempfile::TempDir);

    impl Scratch {
        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn boot_file(&self, name: &'static str, contents: &[u8]) -> BootFile {
            std::fs::write(self.path(name), contents).unwrap();
            BootFile { name, contents: self.path(name) }
        }

        /// What `tool` says of the partition at `first`.
        fn tool(&self, tool: &str, image: &str, first: u64, arguments: &[&str]) -> String {
            Mtools { image: &self.path(image), start: first }.run(tool, arguments).unwrap()
        }

        fn fsck(&self, image: &str, range: std::ops::Range<u64>) {
            let bytes = std::fs::read(self.path(image)).unwrap();
            std::fs::write(self.path("volume"), &bytes[(range.start * SECTOR) as usize..(range.end * SECTOR) as usize])
                .unwrap();
            let output = Command::new("fsck.fat").arg("-n").arg(self.path("volume")).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        }
    }

    #[test]
    fn boot_files_and_data_are_where_others_find_them() {
        let scratch = Scratch(tempfile::tempdir().unwrap());
        let recipe: Recipe = toml::from_str(DATA_RECIPE).unwrap();
        let boot = [scratch.boot_file("BOOT.BIN", &vec![7; 100_000]), scratch.boot_file("BOOT.ALT", b"old")];
        let files = build(&scratch.path("card"), &boot, Some(&recipe)).unwrap();
        assert_eq!(files, recipe.files());

        let card = std::fs::read(scratch.path("card")).unwrap();
        let (first, sectors) = data_partition(&recipe);
        assert_eq!(card.len() as u64, (first + sectors) * SECTOR);
        let entry = |at: usize| {
            let word = |at: usize| u32::from_le_bytes(card[at..at + 4].try_into().unwrap());
            (card[at], card[at + 4], u64::from(word(at + 8)), u64::from(word(at + 12)))
        };
        assert_eq!(entry(446), (0, 0x0C, 2048, 129_024));
        assert_eq!(entry(462), (0, 0x0C, first, sectors));
        assert_eq!(card[478..510], [0; 32]);

        scratch.fsck("card", PARTITION..DATA);
        scratch.fsck("card", first..first + sectors);
        let copy = scratch.path("copy").display().to_string();
        scratch.tool("mcopy", "card", PARTITION, &["::/BOOT.BIN", &copy]);
        assert_eq!(std::fs::read(&copy).unwrap(), vec![7; 100_000]);
        let listing = scratch.tool("mdir", "card", PARTITION, &["-b", "::/"]);
        assert_eq!(listing.lines().collect::<Vec<_>>(), ["::/BOOT.BIN", "::/BOOT.ALT"]);
        assert_eq!(scratch.tool("mtype", "card", first, &["::/A long name.txt"]), "hello");
    }

    #[test]
    fn two_builds_are_equal() {
        let scratch = Scratch(tempfile::tempdir().unwrap());
        let recipe: Recipe = toml::from_str(DATA_RECIPE).unwrap();
        let boot = [scratch.boot_file("BOOT.BIN", &vec![7; 100_000])];
        build(&scratch.path("one"), &boot, Some(&recipe)).unwrap();
        // FAT keeps times of two seconds.
        std::thread::sleep(std::time::Duration::from_millis(2100));
        std::fs::write(scratch.path("BOOT.BIN"), vec![7; 100_000]).unwrap();
        build(&scratch.path("two"), &boot, Some(&recipe)).unwrap();
        assert!(std::fs::read(scratch.path("one")).unwrap() == std::fs::read(scratch.path("two")).unwrap());
    }

    #[test]
    fn a_card_need_not_have_data_or_a_file_system() {
        let scratch = Scratch(tempfile::tempdir().unwrap());
        let boot = [scratch.boot_file("BOOT.BIN", b"x")];
        assert_eq!(build(&scratch.path("card"), &boot, None).unwrap(), []);
        let card = std::fs::read(scratch.path("card")).unwrap();
        assert_eq!((card.len(), card[462 + 4]), (64 << 20, 0));
        let noise: Recipe = toml::from_str("size = \"3M\"\nformat = \"noise\"").unwrap();
        build(&scratch.path("card"), &boot, Some(&noise)).unwrap();
        let card = std::fs::read(scratch.path("card")).unwrap();
        assert_eq!((card.len(), card[462 + 4]), (67 << 20, 0xDA));
        assert!(card[64 << 20..65 << 20].iter().any(|byte| *byte != 0));
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let scratch = Scratch(tempfile::tempdir().unwrap());
        let large = scratch.boot_file("BOOT.BIN", b"");
        File::options().write(true).open(&large.contents).unwrap().set_len(62 << 20).unwrap();
        let error = build(&scratch.path("card"), &[large], None).unwrap_err();
        assert!(matches!(error, Error::Boot { .. }), "{error}");
        let huge: Recipe = toml::from_str("size = \"32G\"").unwrap();
        let boot = [scratch.boot_file("BOOT.BIN", b"x")];
        let error = build(&scratch.path("card"), &boot, Some(&huge)).unwrap_err();
        assert!(matches!(error, Error::Data(_)), "{error}");
    }
}
