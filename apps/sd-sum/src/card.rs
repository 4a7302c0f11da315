//! The card as embedded-sdmmc sees it.
//!
//! # Theory of operation
//!
//! embedded-sdmmc 0.10 trusts what it reads. It knows only cards with a partition table, follows a looping directory
//! for ever, takes an error between two clusters of a directory for the end of the directory, and panics on some boot
//! sectors and on cluster numbers out of range. So it does not see the device itself. [`Card`] is a [`BlockDevice`]
//! that shows it
//!
//! - as block 0, a partition table with one partition, from block 1 on, whether or not the card has one;
//! - from block 1 on, the file system that [`crate::boot`] has found and checked.
//!
//! While the volume is being opened, the boot sector and the information sector are shown, both in the form that the
//! crate insists on (see [`boot_sector`] and [`information_sector`]). After that, it is FAT blocks and the blocks of
//! one directory at a time, whose chain [`State::directory`] has checked; anything else is refused, and so are more
//! reads than that chain has blocks. Writes are always refused.
//!
//! The crate's reads go through two [`ReadAhead`]s, for directories and for their links in the FAT. The links of the
//! files in between have another, so that the two do not push each other out.
//!
//! What the crate says about an entry is not enough for [`crate::name`]. Therefore the block that it was given last
//! stays in [`Slots`], with the entries in front of it.

use core::cell::{RefCell, RefMut};

use embedded_sdmmc::{Block, BlockCount, BlockDevice, BlockIdx};

use crate::boot::{Kind, Layout, MIN_FAT32_CLUSTERS, Root, TABLE};
use crate::error::Error;
use crate::fat::{Chain, Fat};
use crate::name::{ENTRY, MAX_LONG_ENTRIES};
use crate::source::{BLOCK, ReadAhead, Source};

/// Where the information sector is shown, from the boot sector on.
const INFORMATION_SECTOR: u32 = 1;

/// The longest directory that the specification allows: 65,536 entries.
const MAX_DIRECTORY_BLOCKS: u32 = 65_536 * ENTRY as u32 / BLOCK as u32;

/// Tells the crate that a block was not read; why, [`State::failure`] says.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("refused")]
pub(crate) struct Refused;

/// The blocks of a directory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    /// The first block.
    pub(crate) first: u32,
    /// How many there are.
    pub(crate) blocks: u32,
    /// How many clusters that is; none for the root directory of FAT16.
    pub(crate) clusters: u32,
}

/// The directory block read last, behind the entries in front of it.
pub(crate) struct Slots {
    bytes: [u8; HISTORY + BLOCK],
    block: Option<u32>,
}

const HISTORY: usize = MAX_LONG_ENTRIES * ENTRY;

impl Slots {
    const fn new() -> Self {
        Self { bytes: [0; HISTORY + BLOCK], block: None }
    }

    fn clear(&mut self) {
        self.bytes.fill(0);
        self.block = None;
    }

    fn push(&mut self, index: u32, block: &[u8; BLOCK]) {
        self.bytes.copy_within(BLOCK.., 0);
        if let Some(last) = self.bytes.last_chunk_mut() {
            *last = *block;
        }
        self.block = Some(index);
    }

    /// The entry at byte `offset` of block `block`, and the [`MAX_LONG_ENTRIES`] entries in front of it, if the block
    /// is the one read last.
    pub(crate) fn entry(&self, block: u32, offset: u32) -> Option<(&[u8], &[u8; ENTRY])> {
        let (before, rest) = self.bytes.get(offset as usize..)?.split_at_checked(HISTORY)?;
        rest.first_chunk().filter(|_| self.block == Some(block)).map(|entry| (before, entry))
    }
}

/// The memory of a [`Card`].
pub(crate) struct CardBuffers {
    file_links: ReadAhead,
    directories: ReadAhead,
    directory_links: ReadAhead,
    slots: Slots,
}

impl CardBuffers {
    pub(crate) const fn new() -> Self {
        Self {
            file_links: ReadAhead::new(),
            directories: ReadAhead::new(),
            directory_links: ReadAhead::new(),
            slots: Slots::new(),
        }
    }
}

/// What [`Card`] guards.
pub(crate) struct State<'a, S: Source> {
    pub(crate) source: &'a mut S,
    pub(crate) fat: Fat<'a>,
    pub(crate) slots: &'a mut Slots,
    directories: &'a mut ReadAhead,
    directory_links: &'a mut ReadAhead,
    /// The boot sector while the volume is being opened.
    boot_sector: Option<[u8; BLOCK]>,
    /// Reads that the crate may still do.
    allowance: u32,
    /// The first block of the directory that has just been entered.
    expected: Option<u32>,
    /// The first thing that went wrong behind the crate's back.
    failure: Option<Error<S::Error>>,
}

/// A read-only view of the file system for embedded-sdmmc.
pub(crate) struct Card<'a, S: Source>(RefCell<State<'a, S>>);

impl<'a, S: Source> Card<'a, S> {
    pub(crate) fn new(
        source: &'a mut S,
        layout: Layout,
        boot_sector: &[u8; BLOCK],
        buffers: &'a mut CardBuffers,
    ) -> Self {
        let CardBuffers { file_links, directories, directory_links, slots } = buffers;
        for window in [&mut *file_links, directories, directory_links] {
            window.clear();
        }
        Self(RefCell::new(State {
            source,
            fat: Fat { layout, window: file_links },
            slots,
            directories,
            directory_links,
            boot_sector: Some(*boot_sector),
            allowance: 3,
            expected: None,
            failure: None,
        }))
    }

    /// What the card guards. Not to be held while the crate reads.
    pub(crate) fn state(&self) -> Result<RefMut<'_, State<'a, S>>, Error<S::Error>> {
        self.0.try_borrow_mut().map_err(|_| Error::Inconsistent)
    }

    /// Ends the opening of the volume: from here on, only directories are shown.
    pub(crate) fn opened(&self) -> Result<(), Error<S::Error>> {
        self.state()?.boot_sector = None;
        Ok(())
    }

    /// Lets the crate read this directory once from its start. It must not hold a block of it already.
    pub(crate) fn enter(&self, extent: Extent) -> Result<(), Error<S::Error>> {
        let mut state = self.state()?;
        state.slots.clear();
        state.allowance = extent.blocks.saturating_add(extent.clusters);
        state.expected = Some(extent.first);
        Ok(())
    }

    /// The result of a call of the crate, once what it has kept to itself is considered.
    pub(crate) fn judge<T>(&self, result: Result<T, embedded_sdmmc::Error<Refused>>) -> Result<T, Error<S::Error>> {
        use embedded_sdmmc::Error as Sdmmc;
        if let Some(failure) = self.state()?.failure.take() {
            return Err(failure);
        }
        result.map_err(|error| match error {
            Sdmmc::FormatError(problem) => Error::Refused(problem),
            Sdmmc::OpenedFileAsDir => Error::DuplicateName,
            Sdmmc::TooManyOpenDirs => Error::TooDeep { max: crate::MAX_DEPTH },
            _ => Error::Inconsistent,
        })
    }
}

impl<S: Source> State<'_, S> {
    /// Where the root directory lies.
    pub(crate) fn root(&mut self) -> Result<Extent, Error<S::Error>> {
        match self.fat.layout.root {
            Root::Region { first, blocks } => Ok(Extent { first, blocks, clusters: 0 }),
            Root::Cluster(cluster) => self.directory(cluster),
        }
    }

    /// Where the directory lies whose chain starts with `cluster`; checks that chain.
    pub(crate) fn directory(&mut self, cluster: u32) -> Result<Extent, Error<S::Error>> {
        let clusters = Chain::new(cluster).finish(&mut self.fat, self.source)?;
        let blocks = clusters.saturating_mul(self.fat.layout.blocks_per_cluster);
        if blocks > MAX_DIRECTORY_BLOCKS.max(self.fat.layout.blocks_per_cluster) {
            return Err(Error::DirectoryTooLarge { blocks });
        }
        Ok(Extent { first: self.fat.layout.block_of(cluster), blocks, clusters })
    }

    /// Block `index` as the crate counts them.
    fn show(&mut self, index: u32, block: &mut Block) -> Result<(), Error<S::Error>> {
        let layout = self.fat.layout;
        self.allowance = self.allowance.checked_sub(1).ok_or(Error::Inconsistent)?;
        if let Some(sector) = &self.boot_sector {
            block.contents = match index {
                0 => partition_table(&layout),
                1 => boot_sector(sector, &layout),
                _ => information_sector(),
            };
            return Ok(());
        }
        let index = device_block(&layout, index).ok_or(Error::Inconsistent)?;
        let directories = match layout.root {
            Root::Region { first, .. } => first,
            Root::Cluster(_) => layout.data,
        };
        let fat = layout.fat..layout.fat + layout.fat_blocks;
        if fat.contains(&index) {
            block.contents = *self.directory_links.block(self.source, index, fat)?;
        } else {
            if self.expected.take().is_some_and(|first| first != index) {
                return Err(Error::DuplicateName);
            }
            block.contents = *self.directories.block(self.source, index, directories..layout.end)?;
            self.slots.push(index, &block.contents);
        }
        Ok(())
    }
}

/// The block of the device that the crate knows as `index`.
pub(crate) fn device_block(layout: &Layout, index: u32) -> Option<u32> {
    index.checked_sub(1)?.checked_add(layout.first)
}

impl<S: Source> BlockDevice for &Card<'_, S> {
    type Error = Refused;

    fn read(&self, blocks: &mut [Block], start: BlockIdx) -> Result<(), Refused> {
        let mut state = self.0.try_borrow_mut().map_err(|_| Refused)?;
        for (index, block) in (start.0..).zip(blocks) {
            if let Err(error) = state.show(index, block) {
                state.failure.get_or_insert(error);
                return Err(Refused);
            }
        }
        Ok(())
    }

    fn write(&self, _blocks: &[Block], _start: BlockIdx) -> Result<(), Refused> {
        Err(Refused)
    }

    fn num_blocks(&self) -> Result<BlockCount, Refused> {
        let state = self.0.try_borrow().map_err(|_| Refused)?;
        Ok(BlockCount(state.fat.layout.end - state.fat.layout.first + 1))
    }
}

fn put<const N: usize>(block: &mut [u8; BLOCK], offset: usize, bytes: [u8; N]) {
    if let Some(place) = block.get_mut(offset..offset + N) {
        place.copy_from_slice(&bytes);
    }
}

/// A partition table with the file system as its only partition, from block 1 on.
fn partition_table(layout: &Layout) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    put(&mut block, TABLE + 4, [0x0C]);
    put(&mut block, TABLE + 8, 1u32.to_le_bytes());
    put(&mut block, TABLE + 12, (layout.end - layout.first).to_le_bytes());
    put(&mut block, 510, [0x55, 0xAA]);
    block
}

/// The boot sector in a form that makes the crate come to the same layout.
///
/// For FAT32, the information sector is put where [`information_sector`] is shown, and a file system with fewer
/// clusters than the specification wants is made to look long enough. The crate uses the number of clusters for nothing
/// else.
fn boot_sector(sector: &[u8; BLOCK], layout: &Layout) -> [u8; BLOCK] {
    let mut block = *sector;
    if layout.kind == Kind::Fat32 {
        put(&mut block, 48, (INFORMATION_SECTOR as u16).to_le_bytes());
        if layout.clusters < MIN_FAT32_CLUSTERS {
            let overhead = layout.data - layout.first;
            let blocks = overhead.saturating_add(MIN_FAT32_CLUSTERS * layout.blocks_per_cluster);
            put(&mut block, 19, [0; 2]);
            put(&mut block, 32, blocks.to_le_bytes());
        }
    }
    block
}

/// An information sector that knows nothing. What it could know is a hint for writers, and the crate refuses a file
/// system that has none or a damaged one, though it can be read as well as any other.
fn information_sector() -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    put(&mut block, 0, *b"RRaA");
    put(&mut block, 484, *b"rrAa");
    put(&mut block, 488, [0xFF; 8]);
    put(&mut block, 510, [0x55, 0xAA]);
    block
}
