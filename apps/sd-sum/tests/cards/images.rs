//! Makes images, patches them, and plays the block device.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use sha2::{Digest, Sha256};
use tempfile::TempDir;
use zelkova_sd_sum::{BLOCK, Buffers, Error, IN_FLIGHT, MAX_REQUEST, Source, Totals, sum};

/// Runs a tool of the packages dosfstools or mtools.
pub(crate) fn tool(name: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) {
    let output = Command::new(name)
        .args(arguments)
        .env("LC_ALL", "C.UTF-8")
        .env("MTOOLS_SKIP_CHECK", "1")
        .env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()))
        .output()
        .unwrap_or_else(|error| panic!("cannot run {name} ({error}); install the packages dosfstools and mtools"));
    assert!(
        output.status.success(),
        "{name} failed: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// An image being filled, and what was put there.
pub(crate) struct Builder {
    directory: TempDir,
    pub(crate) image: PathBuf,
    files: Vec<(String, Vec<u8>)>,
}

impl Builder {
    /// A file system of `kib` KiB, made by mkfs.fat with these options.
    pub(crate) fn new(kib: u32, options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("image");
        let mut arguments: Vec<&OsStr> = options.iter().map(OsStr::new).collect();
        let size = kib.to_string();
        arguments.extend([OsStr::new("-C"), image.as_os_str(), OsStr::new(&size)]);
        tool("mkfs.fat", arguments);
        Self { directory, image, files: Vec::new() }
    }

    pub(crate) fn mkdir(&mut self, path: &str) -> &mut Self {
        tool("mmd", [OsStr::new("-i"), self.image.as_os_str(), OsStr::new(&format!("::{path}"))]);
        self
    }

    /// Copies a file into the image.
    pub(crate) fn file(&mut self, path: &str, contents: &[u8]) -> &mut Self {
        let (directory, name) = path.rsplit_once('/').unwrap();
        self.files(directory, [(name.to_owned(), contents.to_vec())])
    }

    /// Copies several files into the same directory.
    pub(crate) fn files(&mut self, directory: &str, files: impl IntoIterator<Item = (String, Vec<u8>)>) -> &mut Self {
        let host = self.directory.path().join("files");
        fs::create_dir(&host).unwrap();
        let mut arguments = vec!["-i".into(), self.image.clone().into_os_string()];
        for (name, contents) in files {
            let path = host.join(&name);
            fs::write(&path, &contents).unwrap();
            arguments.push(path.into_os_string());
            self.files.push((format!("{directory}/{name}"), contents));
        }
        arguments.push(format!("::{directory}/").into());
        tool("mcopy", arguments);
        fs::remove_dir_all(&host).unwrap();
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        fs::read(&self.image).unwrap()
    }

    /// The lines expected, in the order in which the files were added.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |(path, contents): &(String, Vec<u8>)| {
            let hash = Sha256::digest(contents).iter().fold(String::new(), |hash, byte| hash + &format!("{byte:02x}"));
            format!("SUM {hash} {} {path}", contents.len())
        };
        self.files.iter().map(line).collect()
    }

    pub(crate) fn totals(&self) -> Totals {
        Totals {
            files: self.files.len() as u32,
            bytes: self.files.iter().map(|(_, contents)| contents.len() as u64).sum(),
        }
    }
}

/// Bytes that repeat at no power of two.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    };
    let mut bytes = Vec::with_capacity(length + 4);
    while bytes.len() < length {
        bytes.extend(next().to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// The image as the only FAT partition, after another one, from block `start` on.
pub(crate) fn partitioned(file_system: &[u8], kind: u8, start: u32) -> Vec<u8> {
    let mut card = vec![0; start as usize * BLOCK];
    card.extend_from_slice(file_system);
    let blocks = (file_system.len() / BLOCK) as u32;
    let mut entry = |index: usize, kind: u8, first: u32, blocks: u32| {
        let at = 446 + 16 * index;
        card[at + 4] = kind;
        card[at + 8..at + 12].copy_from_slice(&first.to_le_bytes());
        card[at + 12..at + 16].copy_from_slice(&blocks.to_le_bytes());
    };
    entry(0, 0x83, 1, start - 1);
    entry(1, kind, start, blocks);
    card[510..512].copy_from_slice(&[0x55, 0xAA]);
    card
}

/// What is wrong with the medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("medium error")]
pub(crate) struct MediumError;

/// A block device that counts, and insists on the contract of [`Source`].
pub(crate) struct Disk {
    bytes: Vec<u8>,
    announced: VecDeque<(u32, u32)>,
    pub(crate) requests: u64,
    pub(crate) blocks_read: u64,
    pub(crate) most_announced: usize,
    /// The number of requests after which the reader is taken to hang.
    pub(crate) limit: u64,
    /// The block that cannot be read.
    pub(crate) defect: Option<u32>,
}

impl Disk {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            announced: VecDeque::new(),
            requests: 0,
            blocks_read: 0,
            most_announced: 0,
            limit: u64::MAX,
            defect: None,
        }
    }
}

impl Source for Disk {
    type Error = MediumError;

    fn blocks(&self) -> u32 {
        (self.bytes.len() / BLOCK) as u32
    }

    fn prefetch(&mut self, first: u32, count: u32) -> Result<(), MediumError> {
        self.announced.push_back((first, count));
        self.most_announced = self.most_announced.max(self.announced.len());
        assert!(self.announced.len() <= IN_FLIGHT);
        Ok(())
    }

    fn read(&mut self, first: u32, count: u32) -> Result<&[u8], MediumError> {
        if let Some(place) = self.announced.iter().position(|&request| request == (first, count)) {
            assert_eq!(place, 0, "announced requests are read in order");
            self.announced.pop_front();
        }
        self.requests += 1;
        self.blocks_read += u64::from(count);
        assert!(self.requests <= self.limit, "the walk does not end");
        assert!((1..=MAX_REQUEST).contains(&count));
        let end = first.checked_add(count).unwrap();
        assert!(end <= self.blocks(), "read beyond the end");
        if self.defect.is_some_and(|defect| (first..end).contains(&defect)) {
            return Err(MediumError);
        }
        Ok(&self.bytes[first as usize * BLOCK..end as usize * BLOCK])
    }
}

/// What [`sum`] said about a disk.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) lines: Vec<String>,
    /// The totals, or the path and what is wrong with it.
    pub(crate) result: Result<Totals, (String, Error<MediumError>)>,
}

pub(crate) fn sum_disk(disk: &mut Disk) -> Outcome {
    let mut buffers = Box::new(Buffers::new());
    let mut lines = Vec::new();
    let result = sum(disk, &mut buffers, |file| lines.push(file.to_string()));
    let result = result.map_err(|failure| {
        assert!(!failure.to_string().is_empty());
        (failure.path.to_owned(), failure.error)
    });
    if result.is_ok() {
        assert!(disk.announced.is_empty(), "everything announced is read");
    }
    Outcome { lines, result }
}

pub(crate) fn sum_bytes(bytes: Vec<u8>) -> Outcome {
    sum_disk(&mut Disk::new(bytes))
}

/// Asserts that a disk has exactly these files, in whatever order.
pub(crate) fn assert_sums(outcome: Outcome, builder: &Builder) {
    let mut expected = builder.lines();
    expected.sort();
    let mut lines = outcome.lines;
    lines.sort();
    assert_eq!(outcome.result, Ok(builder.totals()));
    assert_eq!(lines, expected);
}

/// A FAT file system in memory, to be patched.
pub(crate) struct FileSystem {
    pub(crate) bytes: Vec<u8>,
    pub(crate) is_fat32: bool,
    pub(crate) fat: usize,
    fat_length: usize,
    fats: usize,
    pub(crate) root: usize,
    data: usize,
    pub(crate) cluster_length: usize,
}

impl FileSystem {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        let number = |offset: usize, length: usize| {
            bytes[offset..offset + length].iter().rev().fold(0, |value, &byte| value << 8 | usize::from(byte))
        };
        let is_fat32 = number(22, 2) == 0;
        let fat = number(14, 2) * BLOCK;
        let fat_length = if is_fat32 { number(36, 4) } else { number(22, 2) } * BLOCK;
        let fats = number(16, 1);
        let after_fats = fat + fats * fat_length;
        let data = after_fats + number(17, 2) * 32;
        let cluster_length = number(13, 1) * BLOCK;
        let root = if is_fat32 { data + (number(44, 4) - 2) * cluster_length } else { after_fats };
        Self { bytes, is_fat32, fat, fat_length, fats, root, data, cluster_length }
    }

    /// Leaves off all but the first `clusters` clusters.
    ///
    /// Thus come FAT32 file systems with fewer of them than mtools is willing to fill.
    pub(crate) fn shrink(&mut self, clusters: u32) {
        let length = self.data + clusters as usize * self.cluster_length;
        assert!(self.bytes[length..].iter().all(|&byte| byte == 0), "nothing is lost");
        self.bytes.truncate(length);
        self.put(19, &[0; 2]);
        self.put(32, &((length / BLOCK) as u32).to_le_bytes());
        if self.is_fat32 {
            for information_sector in [1, 7] {
                self.put(information_sector * BLOCK + 488, &[0xFF; 8]);
            }
        }
    }

    pub(crate) fn clusters(&self) -> u32 {
        ((self.bytes.len() - self.data) / self.cluster_length) as u32
    }

    /// The offset of a cluster.
    pub(crate) fn cluster(&self, cluster: u32) -> usize {
        self.data + (cluster as usize - 2) * self.cluster_length
    }

    /// The offset of the first entry of this short name.
    pub(crate) fn entry(&self, name: &[u8; 11]) -> usize {
        let is_it = |&at: &usize| self.bytes[at..].starts_with(name) && self.bytes[at + 11] != 0x0F;
        (self.root..self.bytes.len()).step_by(32).find(is_it).unwrap_or_else(|| panic!("no {name:?}"))
    }

    pub(crate) fn first_cluster(&self, entry: usize) -> u32 {
        let low = u16::from_le_bytes([self.bytes[entry + 26], self.bytes[entry + 27]]);
        let high = u16::from_le_bytes([self.bytes[entry + 20], self.bytes[entry + 21]]);
        u32::from(high) << 16 | u32::from(low)
    }

    pub(crate) fn set_first_cluster(&mut self, entry: usize, cluster: u32) {
        self.put(entry + 26, &(cluster as u16).to_le_bytes());
        self.put(entry + 20, &((cluster >> 16) as u16).to_le_bytes());
    }

    pub(crate) fn set_size(&mut self, entry: usize, size: u32) {
        self.put(entry + 28, &size.to_le_bytes());
    }

    pub(crate) fn put(&mut self, offset: usize, bytes: &[u8]) {
        self.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    pub(crate) fn link(&self, cluster: u32) -> u32 {
        let cluster = cluster as usize;
        if self.is_fat32 {
            let at = self.fat + 4 * cluster;
            u32::from_le_bytes(self.bytes[at..at + 4].try_into().unwrap()) & 0x0FFF_FFFF
        } else {
            let at = self.fat + 2 * cluster;
            u32::from(u16::from_le_bytes(self.bytes[at..at + 2].try_into().unwrap()))
        }
    }

    /// Links a cluster in all FATs.
    pub(crate) fn set_link(&mut self, cluster: u32, link: u32) {
        for fat in 0..self.fats {
            let start = self.fat + fat * self.fat_length;
            if self.is_fat32 {
                self.put(start + 4 * cluster as usize, &link.to_le_bytes());
            } else {
                self.put(start + 2 * cluster as usize, &(link as u16).to_le_bytes());
            }
        }
    }

    pub(crate) fn end_mark(&self) -> u32 {
        if self.is_fat32 { 0x0FFF_FFFF } else { 0xFFFF }
    }

    pub(crate) fn chain(&self, first: u32) -> Vec<u32> {
        let is_cluster = |&link: &u32| (2..self.clusters() + 2).contains(&link);
        std::iter::successors(Some(first), |&cluster| Some(self.link(cluster)).filter(is_cluster)).collect()
    }

    /// Moves a file's clusters: what was the `order[n]`-th by place becomes the `n`-th of the chain.
    pub(crate) fn scatter(&mut self, name: &[u8; 11], order: impl Fn(usize) -> Vec<usize>) {
        let entry = self.entry(name);
        let chain = self.chain(self.first_cluster(entry));
        let old = self.bytes.clone();
        let new: Vec<u32> = order(chain.len()).into_iter().map(|index| chain[index]).collect();
        for (index, (&from, &to)) in chain.iter().zip(&new).enumerate() {
            let (source, target) = (self.cluster(from), self.cluster(to));
            self.put(target, &old[source..source + self.cluster_length]);
            self.set_link(to, new.get(index + 1).copied().unwrap_or(self.end_mark()));
        }
        self.set_first_cluster(entry, new[0]);
    }

    /// Asserts that the file system is sound in the eyes of fsck.fat.
    pub(crate) fn check(&self) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), &self.bytes).unwrap();
        tool("fsck.fat", [OsStr::new("-n"), file.path().as_os_str()]);
    }
}
