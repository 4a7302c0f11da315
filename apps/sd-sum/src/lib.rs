//! Checksums of all files on an SD card.
//!
//! [`sum`] walks the directories of a card's FAT16 or FAT32 file system and reports the size and the SHA-256 of each
//! file. It never writes, and works in the memory of its [`Buffers`]; 16 KiB of stack suffice. Whatever is on the card,
//! it ends, and without a panic. Deadlines for the device are the matter of the [`Source`].
//!
//! # Theory of operation
//!
//! Everything is read through one [`Source`], in three ways:
//!
//! 1. `boot` finds the file system and checks its layout.
//! 2. Directories are read by embedded-sdmmc. It opens the volume and iterates over the entries, on a view of the card
//!    (`card`) that shows it only what has been checked: before a directory is entered, its whole chain has been
//!    followed.
//! 3. File contents are read by `contents`, which follows the file's chain, turns it into large requests and hashes the
//!    data where the source has put them. embedded-sdmmc would read them block by block into a buffer, and would
//!    search the directory from its start for each file it opens: two million entries for a directory of 2,000 files.
//!
//! Files are reported in the order of their directory entries, and the contents of a directory where its own entry is.
//! embedded-sdmmc cannot open a directory while it iterates over another, and opens it by searching for its name. So
//! the iteration over the parent is broken off there, and afterwards starts anew and skips what is done. Hence the cost
//! is linear in the number of files; but for each subdirectory its parent is gone through twice, up to its entry.
//!
//! # Damage
//!
//! The chain of every file and directory is followed to its end. It must be sound and long enough; having an end, it
//! consists of different clusters. All chains together must have no more clusters than the file system, which bounds
//! the walk even where files or directories share clusters. The walk stops at the first thing that is wrong; what has
//! been reported until then is right.
//!
//! Only the first FAT is read. A chain longer than its file is accepted: this is how Linux allocates space in advance.

#![no_std]
#![forbid(unsafe_code)]

mod boot;
mod card;
mod contents;
mod error;
mod fat;
mod name;
mod source;

use core::fmt;
use core::ops::ControlFlow;

use embedded_sdmmc::fat::OnDiskDirEntry;
use embedded_sdmmc::{DirEntry, RawDirectory, ShortFileName, TimeSource, Timestamp, VolumeIdx, VolumeManager};
use heapless::{String, Vec};

use crate::boot::{Kind, Root};
use crate::card::{Card, CardBuffers, Extent, State};
use crate::name::MAX_PATH;

pub use crate::error::{Error, Failure};
pub use crate::source::{BLOCK, IN_FLIGHT, MAX_REQUEST, Source};

/// How many directories may lie inside each other, the root directory not counted.
pub const MAX_DEPTH: usize = 32;

/// The memory that [`sum`] works in: about 30 KiB.
pub struct Buffers {
    card: CardBuffers,
    path: String<MAX_PATH>,
}

impl Buffers {
    /// Buffers for one call of [`sum`] after another.
    pub const fn new() -> Self {
        Self { card: CardBuffers::new(), path: String::new() }
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Self::new()
    }
}

/// A file and its sum. Displayed, it is the line `SUM <sha256> <bytes> <path>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSum<'a> {
    /// The absolute path: long names, separated by slashes.
    pub path: &'a str,
    /// The size in bytes.
    pub bytes: u32,
    /// The SHA-256 of the contents.
    pub sha256: [u8; 32],
}

impl fmt::Display for FileSum<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SUM ")?;
        for byte in self.sha256 {
            write!(f, "{byte:02x}")?;
        }
        write!(f, " {} {}", self.bytes, self.path)
    }
}

/// What a whole file system came to. Displayed, it is the line `sd-sum: <n> files, <bytes> bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// The number of files.
    pub files: u32,
    /// The sum of their sizes in bytes.
    pub bytes: u64,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sd-sum: {} files, {} bytes", self.files, self.bytes)
    }
}

/// Reports the sum of every file on the card to `report`, and answers the totals.
///
/// A failure names the file or directory in question. It comes after the reports of the files before it.
pub fn sum<'b, S: Source>(
    source: &mut S,
    buffers: &'b mut Buffers,
    report: impl FnMut(&FileSum<'_>),
) -> Result<Totals, Failure<'b, S::Error>> {
    let Buffers { card, path } = buffers;
    path.clear();
    let walked = boot::locate(source).and_then(|(layout, boot_sector)| {
        let card = Card::new(source, layout, &boot_sector, card);
        walk(&card, &mut Walk { path: &mut *path, report, totals: Totals::default(), clusters: 0 })
    });
    walked.map_err(|error| Failure { path, error })
}

/// No file is given a time.
struct NoTime;

impl TimeSource for NoTime {
    fn get_timestamp(&self) -> Timestamp {
        Timestamp::from_fat(0, 0)
    }
}

type Volume<'c, 's, S> = VolumeManager<&'c Card<'s, S>, NoTime, { MAX_DEPTH + 1 }, 1, 1>;

/// What the walk has come to.
struct Walk<'p, R> {
    /// The file or directory at hand.
    path: &'p mut String<MAX_PATH>,
    report: R,
    totals: Totals,
    /// Clusters in all chains so far.
    clusters: u32,
}

/// The place of an entry: its block, as embedded-sdmmc counts them, and the offset in it.
type Place = (u32, u32);

/// A directory that the walk is in.
struct Level {
    directory: RawDirectory,
    extent: Extent,
    /// Its first cluster; 0 for the root directory of FAT16.
    cluster: u32,
    /// The entry of the subdirectory that was entered last.
    done: Option<Place>,
    /// The length of its path.
    path: usize,
}

/// A subdirectory come upon.
struct Subdirectory {
    name: ShortFileName,
    cluster: u32,
    place: Place,
}

fn walk<S: Source, R: FnMut(&FileSum<'_>)>(
    card: &Card<'_, S>,
    walk: &mut Walk<'_, R>,
) -> Result<Totals, Error<S::Error>> {
    let manager: Volume<'_, '_, S> = VolumeManager::new_with_limits(card, NoTime, 0);
    // Never closed: closing writes the information sector.
    let volume = card.judge(manager.open_raw_volume(VolumeIdx(0)))?;
    card.opened()?;

    let (extent, cluster) = {
        let mut state = card.state()?;
        let cluster = match state.fat.layout.root {
            Root::Region { .. } => 0,
            Root::Cluster(cluster) => cluster,
        };
        (state.root()?, cluster)
    };
    let directory = card.judge(manager.open_root_dir(volume))?;
    walk.count(extent.clusters, card)?;
    let mut levels: Vec<Level, { MAX_DEPTH + 1 }> = Vec::new();
    let too_deep = |_| Error::TooDeep { max: MAX_DEPTH };
    levels.push(Level { directory, extent, cluster, done: None, path: 0 }).map_err(too_deep)?;

    while let Some(level) = levels.last_mut() {
        let is_root = level.path == 0;
        let Some(found) = walk.list(&manager, card, level, is_root)? else {
            card.judge(manager.close_dir(level.directory))?;
            levels.pop();
            walk.path.truncate(levels.last().map_or(0, |parent| parent.path));
            continue;
        };
        level.done = Some(found.place);
        let (parent, parent_extent) = (level.directory, level.extent);
        if levels.iter().any(|level| level.cluster == found.cluster && found.cluster != 0) {
            return Err(Error::DirectoryLoop { cluster: found.cluster });
        }
        if levels.is_full() {
            return Err(Error::TooDeep { max: MAX_DEPTH });
        }
        let extent = card.state()?.directory(found.cluster)?;
        walk.count(extent.clusters, card)?;
        enter(&manager, card, parent_extent)?;
        let directory = card.judge(manager.open_dir(parent, found.name))?;
        let path = walk.path.len();
        levels.push(Level { directory, extent, cluster: found.cluster, done: None, path }).map_err(too_deep)?;
    }
    Ok(walk.totals)
}

/// Prepares for the one directory that is read next.
fn enter<S: Source>(manager: &Volume<'_, '_, S>, card: &Card<'_, S>, extent: Extent) -> Result<(), Error<S::Error>> {
    // Access to the device makes the manager forget its cached block, so that every read is seen.
    manager.device(|_| ());
    card.enter(extent)
}

impl<R: FnMut(&FileSum<'_>)> Walk<'_, R> {
    /// Adds a chain to those seen so far.
    fn count<S: Source>(&mut self, clusters: u32, card: &Card<'_, S>) -> Result<(), Error<S::Error>> {
        let all = card.state()?.fat.layout.clusters;
        count(&mut self.clusters, clusters, all)
    }

    /// Goes on with a directory's entries, up to the next subdirectory. The path is then that of the subdirectory.
    fn list<S: Source>(
        &mut self,
        manager: &Volume<'_, '_, S>,
        card: &Card<'_, S>,
        level: &Level,
        is_root: bool,
    ) -> Result<Option<Subdirectory>, Error<S::Error>> {
        self.path.truncate(level.path);
        enter(manager, card, level.extent)?;
        let mut skipping = level.done;
        let mut at_start = !is_root && skipping.is_none();
        let mut found = Ok(None);
        let iterated = manager.iterate_dir(level.directory, |entry| {
            if let Some(done) = skipping {
                if done == place_of(entry) {
                    skipping = None;
                }
                return ControlFlow::Continue(());
            }
            let is_dot = entry.name == ShortFileName::this_dir();
            if core::mem::take(&mut at_start) && !is_dot {
                found = Err(Error::NotADirectory);
            } else if !(is_dot || entry.name == ShortFileName::parent_dir() || entry.attributes.is_volume()) {
                self.path.truncate(level.path);
                found = card.state().and_then(|mut state| self.visit(&mut state, entry));
            }
            if matches!(found, Ok(None)) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        if matches!(found, Ok(None)) {
            // What is wrong from here on is wrong with the directory, not with its last file.
            self.path.truncate(level.path);
        }
        card.judge(iterated)?;
        match found {
            Ok(None) if at_start => Err(Error::NotADirectory),
            Ok(None) if skipping.is_some() => Err(Error::Inconsistent),
            found => found,
        }
    }

    /// Appends the name of `entry` to the path; then sums up the file, or answers the subdirectory.
    fn visit<S: Source>(
        &mut self,
        state: &mut State<'_, S>,
        entry: &DirEntry,
    ) -> Result<Option<Subdirectory>, Error<S::Error>> {
        let State { source, fat, slots, .. } = state;
        let place @ (block, offset) = place_of(entry);
        let device_block = card::device_block(&fat.layout, block).ok_or(Error::Inconsistent)?;
        let (before, bytes) = slots.entry(device_block, offset).ok_or(Error::Inconsistent)?;
        name::push(self.path, before, bytes).map_err(|_| Error::PathTooLong { max: MAX_PATH })?;
        let on_disk = OnDiskDirEntry::new(bytes);
        let high = match fat.layout.kind {
            Kind::Fat16 => 0,
            Kind::Fat32 => u32::from(on_disk.first_cluster_hi()) << 16,
        };
        let cluster = high | u32::from(on_disk.first_cluster_lo());
        if entry.attributes.is_directory() {
            return Ok(Some(Subdirectory { name: entry.name, cluster, place }));
        }
        let (sha256, clusters) = contents::digest(fat, *source, cluster, entry.size)?;
        count(&mut self.clusters, clusters, fat.layout.clusters)?;
        self.totals.files += 1;
        self.totals.bytes += u64::from(entry.size);
        (self.report)(&FileSum { path: self.path, bytes: entry.size, sha256 });
        Ok(None)
    }
}

fn place_of(entry: &DirEntry) -> Place {
    (entry.entry_block.0, entry.entry_offset)
}

/// Adds a chain of `clusters` to those seen so far, of a file system that has `all`.
fn count<E: core::error::Error + 'static>(seen: &mut u32, clusters: u32, all: u32) -> Result<(), Error<E>> {
    *seen = seen.saturating_add(clusters);
    if *seen > all { Err(Error::CrossLinked { clusters: all }) } else { Ok(()) }
}
