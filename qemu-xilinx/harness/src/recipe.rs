//! Recipes for SD cards: what a card holds, in a few lines, and the same bytes every time.
//!
//! A recipe names the size of the image, the file system, and files with generated contents.
//! [`Recipe::build`] makes the image with `mkfs.fat` and mtools, so that the file systems do not come from
//! the code that is to read them, and returns the files with their checksums. What those tools cannot make,
//! fragmented files and damaged allocation chains, is edited into the finished file system.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use toml::Spanned;

use crate::card::SECTOR;
use crate::fat;
use crate::size::Size;
use crate::sums;

/// First sector of the partition, if there is a partition table: 1 MiB, as partitioning tools do.
pub(crate) const PARTITION: u64 = 2048;
/// Most files that one entry makes.
const MOST: u32 = 10_000;
/// Longest long name of a FAT directory entry.
const LONGEST_NAME: usize = 255;

/// A card.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Recipe {
    /// Size of the image.
    pub size: Spanned<Size>,
    /// What is on it.
    #[serde(default)]
    pub format: Format,
    /// Whether the file system is in a partition (MBR) or fills the card.
    #[serde(default)]
    pub mbr: bool,
    /// Size of a cluster; `mkfs.fat` decides if absent.
    pub cluster: Option<Spanned<Size>>,
    /// Files and directories.
    #[serde(default)]
    pub file: Vec<Entry>,
    /// Cut the finished image to this size.
    pub cut: Option<Spanned<Size>>,
}

/// What is on a card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Zeros.
    #[default]
    Blank,
    /// Bytes without any sense in the first MiB.
    Noise,
    /// FAT with 16-bit entries.
    Fat16,
    /// FAT with 32-bit entries.
    Fat32,
}

/// One file, many files of one kind, or a directory.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Entry {
    /// Absolute path. One that ends in `/` is a directory; missing parents are made.
    pub path: Spanned<String>,
    /// The contents.
    pub text: Option<String>,
    /// The length of generated contents that differ from file to file; zero if absent.
    pub bytes: Option<Spanned<Size>>,
    /// Make so many files: `{}` in the path becomes 0001, 0002, ...
    pub count: Option<Spanned<u32>>,
    /// Scatter its clusters, so that none follows its predecessor on the card.
    #[serde(default)]
    pub fragmented: bool,
    /// What is wrong with its chain of clusters.
    pub chain: Option<fat::Damage>,
}

pub use crate::fat::Damage;

/// A mistake in a recipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where in the TOML text, if it is at one place.
    pub span: Option<Range<usize>>,
    /// What is wrong.
    pub what: String,
}

/// Why a card could not be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the host cannot be written or read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A tool is missing.
    #[error("cannot start `{tool}`: {source} (`cargo xtask doctor` tells how to install it)")]
    Start {
        /// The tool.
        tool: String,
        /// Why.
        source: std::io::Error,
    },
    /// A tool failed.
    #[error("`{tool}` failed on the card: {said}")]
    Tool {
        /// The tool.
        tool: String,
        /// What it said.
        said: String,
    },
    /// The number of clusters makes it another kind of FAT.
    #[error("size and cluster size do not give a FAT{wanted}: FAT16 has 4085 to 65524 clusters, FAT32 has more")]
    Clusters {
        /// Bits of an entry of the table that is wanted.
        wanted: u32,
    },
    /// The file system cannot be edited as the recipe wants.
    #[error("cannot edit {path} on the card: {source}")]
    Edit {
        /// The file on the card.
        path: String,
        /// Why.
        source: fat::Error,
    },
}

impl Recipe {
    /// Everything that is wrong with the recipe itself.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        let mut add = |span: Range<usize>, what: String| {
            mistakes.push(Mistake { span: Some(span), what });
        };
        let size = self.size.get_ref().0;
        if size == 0 || !size.is_multiple_of(1024) || size > crate::card::LARGEST {
            add(self.size.span(), "a card is a multiple of 1 KiB, up to 32 GiB".into());
        }
        if self.mbr && size <= (PARTITION + 64) * SECTOR {
            add(self.size.span(), "too small for a partition behind the first MiB".into());
        }
        if let Some(cluster) = &self.cluster {
            let bytes = cluster.get_ref().0;
            if !bytes.is_power_of_two() || !(SECTOR..=64 << 10).contains(&bytes) {
                add(cluster.span(), "a cluster is a power of two from 512 bytes to 64 KiB".into());
            }
        }
        if let Some(cut) = &self.cut
            && (cut.get_ref().0 == 0 || cut.get_ref().0 >= size)
        {
            add(cut.span(), "`cut` is less than `size`".into());
        }
        let mut paths = BTreeSet::new();
        for entry in &self.file {
            let path = entry.path.get_ref();
            if !self.format.is_fat() {
                add(entry.path.span(), "only a FAT file system holds files".into());
            }
            if let Some(why) = wrong_path(path) {
                add(entry.path.span(), format!("`{path}`: {why}"));
            }
            if !paths.insert(path.trim_end_matches('/').to_lowercase()) {
                add(entry.path.span(), format!("`{path}` is there already"));
            }
            if let Some(bytes) = entry.bytes.as_ref().filter(|_| entry.text.is_some()) {
                add(bytes.span(), "a file has either `text` or `bytes`".into());
            }
            if path.ends_with('/') && (entry.text.is_some() || entry.bytes.is_some()) {
                add(entry.path.span(), "a directory has no contents".into());
            }
            if path.contains("{}") != entry.count.is_some() {
                add(entry.path.span(), "`{}` in the path and `count` go together".into());
            }
            if let Some(count) = &entry.count
                && !(1..=MOST).contains(count.get_ref())
            {
                add(count.span(), format!("a count is 1 to {MOST}"));
            }
        }
        mistakes
    }

    /// Builds the card in the file `image` and returns its files.
    ///
    /// The same recipe gives the same image with the same versions of the tools.
    ///
    /// # Errors
    ///
    /// [`Error`] when a tool is missing or fails (a card that is too small, for instance).
    pub fn build(&self, image: &Path) -> Result<Vec<sums::File>, Error> {
        let file = |source| Error::File { path: image.to_owned(), source };
        let size = self.size.get_ref().0;
        let disk = File::create(image).map_err(file)?;
        disk.set_len(size).map_err(file)?;
        let start = if self.mbr && self.format.is_fat() { PARTITION } else { 0 };
        if start > 0 {
            let partition = Partition { kind: self.partition_kind(), first: start, sectors: size / SECTOR - start };
            disk.write_all_at(&partition_table(&[partition]), 0).map_err(file)?;
        }
        drop(disk);
        let files = self.fill(image, start, size - start * SECTOR)?;
        if let Some(cut) = &self.cut {
            let disk = File::options().write(true).open(image).map_err(file)?;
            disk.set_len(cut.get_ref().0).map_err(file)?;
        }
        Ok(files)
    }

    /// Puts what is on the card, less a partition table of its own, into `bytes` bytes of `image` from sector `start`
    /// on, which are zero; returns the files.
    pub(crate) fn fill(&self, image: &Path, start: u64, bytes: u64) -> Result<Vec<sums::File>, Error> {
        match self.format {
            Format::Blank => Ok(Vec::new()),
            Format::Noise => {
                let mut noise = vec![0; bytes.min(1 << 20) as usize];
                Generator::new("noise").fill(&mut noise);
                let disk = File::options().write(true).open(image);
                let written = disk.and_then(|disk| disk.write_all_at(&noise, start * SECTOR));
                written.map_err(|source| Error::File { path: image.to_owned(), source })?;
                Ok(Vec::new())
            }
            Format::Fat16 | Format::Fat32 => {
                let bits = if self.format == Format::Fat16 { 16 } else { 32 };
                let cluster = self.cluster.as_ref().map(|cluster| cluster.get_ref().0);
                let volume = NewVolume { bits, cluster, label: "ZELKOVA", serial: "5A454C4B" };
                volume.make(image, start, bytes)?;
                let tools = Mtools { image, start };
                let mut files = self.put_files(&tools)?;
                self.edit(&tools)?;
                files.sort();
                Ok(files)
            }
        }
    }

    /// The files with their checksums, as [`build`](Self::build) returns them, without making a card.
    pub fn files(&self) -> Vec<sums::File> {
        let files = self.paths().filter(|(path, _)| !path.ends_with('/'));
        // The sink takes everything.
        let mut files: Vec<_> =
            files.filter_map(|(path, entry)| write_contents(&mut std::io::sink(), &path, entry).ok()).collect();
        files.sort();
        files
    }

    /// The kind of partition for it in a partition table: FAT with LBA, or data without a file system.
    pub(crate) fn partition_kind(&self) -> u8 {
        match self.format {
            Format::Fat16 => 0x0E,
            Format::Fat32 => FAT32,
            Format::Blank | Format::Noise => 0xDA,
        }
    }

    /// Copies the files on the card, directory by directory in the order of the recipe.
    fn put_files(&self, tools: &Mtools<'_>) -> Result<Vec<sums::File>, Error> {
        let scratch = tempfile::Builder::new()
            .prefix("zelkova-card-")
            .tempdir()
            .map_err(|source| Error::File { path: std::env::temp_dir(), source })?;
        let mut directories = BTreeSet::new();
        let mut groups: Vec<(String, Vec<PathBuf>)> = Vec::new();
        let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
        let mut files = Vec::new();
        for (path, entry) in self.paths() {
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
            for (at, _) in path.match_indices('/').skip(1) {
                let directory = path.get(..at).unwrap_or_default();
                if directories.insert(directory.to_owned()) {
                    tools.run("mmd", &[&format!("::{directory}")])?;
                }
            }
            if name.is_empty() {
                continue;
            }
            let group = *numbers.entry(parent.to_owned()).or_insert_with(|| {
                groups.push((parent.to_owned(), Vec::new()));
                groups.len() - 1
            });
            let staged = scratch.path().join(group.to_string()).join(name);
            files.push(stage(&staged, &path, entry)?);
            if let Some((_, members)) = groups.get_mut(group) {
                members.push(staged);
            }
        }
        for (directory, members) in groups {
            let mut arguments: Vec<&Path> = members.iter().map(PathBuf::as_path).collect();
            let target = PathBuf::from(format!("::{directory}/"));
            arguments.push(&target);
            tools.run("mcopy", &arguments)?;
        }
        Ok(files)
    }

    fn edit(&self, tools: &Mtools<'_>) -> Result<(), Error> {
        for (path, entry) in self.paths() {
            if !entry.fragmented && entry.chain.is_none() {
                continue;
            }
            let path = path.trim_end_matches('/');
            let said = tools.run("mshowfat", &[&format!("::{path}")])?;
            let edit = |source| Error::Edit { path: path.to_owned(), source };
            let clusters = fat::clusters(&said).map_err(edit)?;
            let mut volume = fat::Volume::open(tools.image, tools.start * SECTOR).map_err(edit)?;
            if entry.fragmented {
                volume.scatter(&clusters).map_err(edit)?;
            }
            if let Some(damage) = entry.chain {
                volume.damage(&clusters, damage).map_err(edit)?;
            }
        }
        Ok(())
    }

    /// Every path of the card with its entry.
    fn paths(&self) -> impl Iterator<Item = (String, &Entry)> {
        self.file.iter().flat_map(|entry| {
            let path = entry.path.get_ref();
            let count = entry.count.as_ref().map_or(1, |count| *count.get_ref());
            (1..=count).map(move |number| (path.replace("{}", &format!("{number:04}")), entry))
        })
    }
}

impl Format {
    fn is_fat(self) -> bool {
        matches!(self, Self::Fat16 | Self::Fat32)
    }
}

/// Why `path` cannot be a path on a card.
fn wrong_path(path: &str) -> Option<String> {
    let Some(relative) = path.strip_prefix('/') else {
        return Some("paths begin with `/`".into());
    };
    let relative = relative.strip_suffix('/').unwrap_or(relative);
    for name in relative.split('/') {
        if name.is_empty() || name == "." || name == ".." {
            return Some("every part of a path needs a name".into());
        }
        if let Some(letter) = name.chars().find(|&c| c.is_control() || "\\:*?\"<>|".contains(c)) {
            return Some(format!("FAT names cannot hold {letter:?}"));
        }
        if let Some(letter) = name.chars().find(|&letter| letter > '\u{FFFF}') {
            return Some(format!("mtools cannot write {letter:?}, which takes two UTF-16 units"));
        }
        if name.chars().count() > LONGEST_NAME {
            return Some(format!("FAT names have at most {LONGEST_NAME} characters"));
        }
    }
    None
}

/// Writes the contents of `entry` for the card's file `path` into the host's file `staged`.
fn stage(staged: &Path, path: &str, entry: &Entry) -> Result<sums::File, Error> {
    let error = |source| Error::File { path: staged.to_owned(), source };
    if let Some(parent) = staged.parent() {
        std::fs::create_dir_all(parent).map_err(error)?;
    }
    let mut output = BufWriter::new(File::create(staged).map_err(error)?);
    let file = write_contents(&mut output, path, entry).map_err(error)?;
    output.flush().map_err(error)?;
    Ok(file)
}

/// Writes the contents of `entry` for the card's file `path`.
fn write_contents(output: &mut impl Write, path: &str, entry: &Entry) -> std::io::Result<sums::File> {
    let mut hash = Sha256::new();
    let bytes = if let Some(text) = &entry.text {
        output.write_all(text.as_bytes())?;
        hash.update(text.as_bytes());
        text.len() as u64
    } else {
        let bytes = entry.bytes.as_ref().map_or(0, |bytes| bytes.get_ref().0);
        let mut generator = Generator::new(path);
        let mut left = bytes;
        let mut chunk = vec![0; 64 << 10];
        while left > 0 {
            let length = left.min(chunk.len() as u64);
            generator.fill(&mut chunk);
            let part = chunk.get(..length as usize).unwrap_or(&chunk);
            output.write_all(part)?;
            hash.update(part);
            left -= length;
        }
        bytes
    };
    let sha256 = hexadecimal(&hash.finalize());
    Ok(sums::File { path: path.to_owned(), bytes, sha256 })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Bytes that look random and depend on a seed only (xorshift64*, seeded by FNV-1a).
struct Generator(u64);

impl Generator {
    fn new(seed: &str) -> Self {
        let hash = seed
            .bytes()
            .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3));
        Self(hash | 1)
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            let word = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes();
            for (byte, value) in chunk.iter_mut().zip(word) {
                *byte = value;
            }
        }
    }
}

/// An entry of a partition table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Partition {
    /// What is in it.
    pub(crate) kind: u8,
    /// Its first sector.
    pub(crate) first: u64,
    /// Its length in sectors.
    pub(crate) sectors: u64,
}

/// The kind of a partition with a FAT32 that is addressed by LBA.
pub(crate) const FAT32: u8 = 0x0C;

/// A master boot record with up to four partitions; cylinders and heads are not used by anyone with LBA.
pub(crate) fn partition_table(partitions: &[Partition]) -> [u8; 512] {
    let mut table = [0; 512];
    let mut put = |at: usize, bytes: &[u8]| table.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = *from);
    for (index, partition) in partitions.iter().take(4).enumerate() {
        let entry = 446 + 16 * index;
        let word = |value: u64| u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes();
        put(entry + 1, &[0xFE, 0xFF, 0xFF, partition.kind, 0xFE, 0xFF, 0xFF]);
        put(entry + 8, &word(partition.first));
        put(entry + 12, &word(partition.sectors));
    }
    put(510, &[0x55, 0xAA]);
    table
}

/// A FAT file system to be made.
pub(crate) struct NewVolume {
    /// Bits of an entry of its table: 16 or 32.
    pub(crate) bits: u32,
    /// Bytes of a cluster; `mkfs.fat` decides if absent.
    pub(crate) cluster: Option<u64>,
    /// Its label.
    pub(crate) label: &'static str,
    /// Its serial number in hexadecimal digits.
    pub(crate) serial: &'static str,
}

impl NewVolume {
    /// Makes it in `bytes` bytes of `image` from sector `start` on.
    pub(crate) fn make(&self, image: &Path, start: u64, bytes: u64) -> Result<(), Error> {
        let wanted = self.bits;
        let mut command = Command::new("mkfs.fat");
        command.args(["--invariant", "-i", self.serial, "-n", self.label, "-F", &wanted.to_string()]);
        command.args(["-h", &start.to_string(), &format!("--offset={start}")]);
        if let Some(cluster) = self.cluster {
            command.args(["-s", &(cluster / SECTOR).to_string()]);
        }
        command.arg(image).arg((bytes / 1024).to_string());
        run(command)?;
        // `mkfs.fat` makes a FAT32 with too few clusters, which everybody else takes for a FAT16.
        let made = fat::Volume::open(image, start * SECTOR).map(|volume| volume.entry_bits());
        if made.is_ok_and(|bits| bits == wanted) { Ok(()) } else { Err(Error::Clusters { wanted }) }
    }
}

/// The mtools on the file system that starts at sector `start` of `image`.
pub(crate) struct Mtools<'a> {
    /// The image.
    pub(crate) image: &'a Path,
    /// The sector.
    pub(crate) start: u64,
}

impl Mtools<'_> {
    /// Runs `tool` and returns what it printed.
    pub(crate) fn run<A: AsRef<std::ffi::OsStr>>(&self, tool: &str, arguments: &[A]) -> Result<String, Error> {
        let mut image = self.image.as_os_str().to_owned();
        image.push(format!("@@{}", self.start * SECTOR));
        let mut command = Command::new(tool);
        // Neither the user's settings nor the time of day may show on the card.
        command.env("MTOOLSRC", "/dev/null").env("TZ", "UTC").env("LC_ALL", "C.UTF-8");
        command.env("SOURCE_DATE_EPOCH", "1577836800").env("MTOOLS_SKIP_CHECK", "1");
        command.arg("-i").arg(image).args(arguments);
        run(command)
    }
}

/// Runs `command` and returns what it printed.
fn run(mut command: Command) -> Result<String, Error> {
    let tool = command.get_program().to_string_lossy().into_owned();
    // Debian keeps `mkfs.fat` where only root's search path leads.
    let path = std::env::var("PATH").unwrap_or_default();
    let output = command
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .stdin(std::process::Stdio::null())
        .output()
        .map_err(|source| Error::Start { tool: tool.clone(), source })?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Error::Tool { tool, said })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(text: &str) -> Recipe {
        let recipe: Recipe = toml::from_str(text).unwrap();
        assert_eq!(recipe.mistakes(), []);
        recipe
    }

    /// Builds `recipe` and lets fsck.fat judge the file system; returns files, fsck's report, image.
    fn build(recipe: &Recipe) -> (Vec<sums::File>, String, Vec<u8>) {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("card");
        let files = recipe.build(&image).unwrap();
        let bytes = std::fs::read(&image).unwrap();
        let start = if recipe.mbr { (PARTITION * SECTOR) as usize } else { 0 };
        let volume = directory.path().join("volume");
        std::fs::write(&volume, &bytes[start..]).unwrap();
        let output = Command::new("fsck.fat").arg("-n").arg(&volume).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        // The files must read back with another tool than wrote them.
        if output.status.success() {
            for file in &files {
                let text = Mtools { image: &image, start: start as u64 / SECTOR }
                    .run("mcopy", &[format!("::{}", file.path), directory.path().join("x").display().to_string()]);
                assert!(text.is_ok(), "{file:?}: {text:?}");
                let contents = std::fs::read(directory.path().join("x")).unwrap();
                let sum = hexadecimal(&Sha256::digest(&contents));
                assert_eq!((contents.len() as u64, sum), (file.bytes, file.sha256.clone()));
                std::fs::remove_file(directory.path().join("x")).unwrap();
            }
        }
        (files, format!("{:?} {said}", output.status.code()), bytes)
    }

    const MIXED: &str = r#"
        size = "40M"
        format = "fat16"
        mbr = true
        cluster = "2K"
        [[file]]
        path = "/EMPTY.TXT"
        [[file]]
        path = "/one/two/A long name with umlauts: no, but Ä.txt"
        text = "hello"
        [[file]]
        path = "/many/{} file.bin"
        bytes = 3000
        count = 20
        [[file]]
        path = "/scattered.bin"
        bytes = "1M"
        fragmented = true
        [[file]]
        path = "/nothing in here/"
    "#;

    #[test]
    fn a_card_holds_what_the_recipe_says() {
        let recipe = recipe(&MIXED.replace(':', ""));
        let (files, said, image) = build(&recipe);
        assert!(said.starts_with("Some(0)"), "{said}");
        assert_eq!(files.len(), 23);
        assert!(files.iter().any(|file| file.path == "/many/0020 file.bin" && file.bytes == 3000));
        let sums: BTreeSet<_> = files.iter().map(|file| &file.sha256).collect();
        assert_eq!(sums.len(), 23, "contents differ from file to file");
        assert_eq!(build(&recipe).2, image, "the same recipe gives the same card");
        assert_eq!(recipe.files(), files, "and tells them without one");
    }

    #[test]
    fn damaged_chains_are_damaged() {
        for (damage, complaint) in [
            ("ends-early", "File size is"),
            ("loops", "Circular cluster chain"),
            ("leaves-the-card", "out of range"),
            ("reaches-free", "free cluster"),
        ] {
            let recipe = recipe(&format!(
                "size = \"40M\"\nformat = \"fat32\"\ncluster = \"512\"\n\
                 [[file]]\npath = \"/BIG.BIN\"\nbytes = \"256K\"\nchain = \"{damage}\""
            ));
            let (_, said, _) = build(&recipe);
            assert!(!said.starts_with("Some(0)"), "{damage}: {said}");
            assert!(said.to_lowercase().contains(&complaint.to_lowercase()), "{damage}: {said}");
        }
    }

    #[test]
    fn mistakes_are_found_before_anything_is_built() {
        let text = r#"
            size = "3"
            cluster = "3K"
            cut = "1M"
            [[file]]
            path = "no slash"
            text = ""
            bytes = 1
            [[file]]
            path = "/a/../b"
            [[file]]
            path = "/x*"
            count = 0
        "#;
        let recipe: Recipe = toml::from_str(text).unwrap();
        let found: Vec<String> = recipe.mistakes().into_iter().map(|mistake| mistake.what).collect();
        for expected in [
            "a card is a multiple of 1 KiB, up to 32 GiB",
            "a cluster is a power of two from 512 bytes to 64 KiB",
            "`cut` is less than `size`",
            "only a FAT file system holds files",
            "`no slash`: paths begin with `/`",
            "a file has either `text` or `bytes`",
            "`/a/../b`: every part of a path needs a name",
            "`/x*`: FAT names cannot hold '*'",
            "`{}` in the path and `count` go together",
            "a count is 1 to 10000",
        ] {
            assert!(found.iter().any(|what| what == expected), "{expected}: {found:#?}");
        }
    }

    #[test]
    fn the_number_of_clusters_must_give_the_kind_of_fat() {
        let directory = tempfile::tempdir().unwrap();
        for text in [
            "size = \"64M\"\nformat = \"fat32\"\ncluster = \"4K\"",
            "size = \"1M\"\nformat = \"fat16\"\ncluster = \"4K\"",
        ] {
            let error = recipe(text).build(&directory.path().join("card")).unwrap_err();
            assert!(matches!(error, Error::Clusters { .. } | Error::Tool { .. }), "{error}");
        }
    }

    #[test]
    fn a_card_that_is_too_small_is_an_error() {
        let recipe =
            recipe("size = \"4M\"\nformat = \"fat16\"\ncluster = \"512\"\n[[file]]\npath = \"/A\"\nbytes = \"8M\"");
        let directory = tempfile::tempdir().unwrap();
        let error = recipe.build(&directory.path().join("card")).unwrap_err();
        assert!(matches!(error, Error::Tool { .. }), "{error}");
    }
}
