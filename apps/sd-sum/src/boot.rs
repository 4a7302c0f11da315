//! Finds the file system on the card and checks its boot sector.
//!
//! # Theory of operation
//!
//! Block 0 is either a master boot record, whose partition table starts at byte 446, or the boot sector of a file
//! system that takes the whole card. Both end in 55 AA, so content decides: if the table names a FAT partition that
//! starts with a sound boot sector, that partition is taken; else block 0 itself, if it is one. (mkfs.fat writes a
//! made-up table into the boot sector of an unpartitioned card; its entry starts at block 0 and is passed over. A table
//! written onto a card formatted as a whole, on the other hand, leaves the old boot sector's fields in place.) The
//! first FAT partition counts; those after it are not read.
//!
//! The fields of the boot sector (Microsoft, "FAT File System Specification", 2005, sections 3.1 to 3.5) are all
//! checked against each other and against the device here, since embedded-sdmmc divides by and subtracts what it finds
//! there.
//!
//! Whether a file system is FAT16 or FAT32 is, by that specification, a matter of its number of clusters alone. Yet
//! mkfs.fat makes FAT32 file systems smaller than it allows, and Linux reads them: there, FAT32 is what has no 16-bit
//! FAT size. This module follows Linux.

use crate::error::Error;
use crate::source::{self, BLOCK, Source};

/// A file system with fewer clusters that is not FAT32 is FAT12.
const MIN_FAT16_CLUSTERS: u32 = 4085;
/// FAT32 has at least as many clusters, where it follows the specification.
pub(crate) const MIN_FAT32_CLUSTERS: u32 = 65525;
/// FAT32 has at most as many: links from `0x0FFF_FFF6` on mean something else.
const MAX_FAT32_CLUSTERS: u32 = 0x0FFF_FFF5;

/// The width of a link in the FAT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Fat16,
    Fat32,
}

/// Where the root directory lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Root {
    /// FAT16: that many blocks in front of the data.
    Region { first: u32, blocks: u32 },
    /// FAT32: a chain from this cluster on.
    Cluster(u32),
}

/// The checked layout of a file system. Blocks count from the start of the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) kind: Kind,
    /// The boot sector.
    pub(crate) first: u32,
    /// One past the last block.
    pub(crate) end: u32,
    /// First block of the first FAT.
    pub(crate) fat: u32,
    /// Blocks per FAT.
    pub(crate) fat_blocks: u32,
    pub(crate) root: Root,
    /// The first block of cluster 2.
    pub(crate) data: u32,
    pub(crate) blocks_per_cluster: u32,
    /// How many clusters there are; the first is number 2.
    pub(crate) clusters: u32,
}

impl Layout {
    /// The highest cluster number.
    pub(crate) fn last_cluster(&self) -> u32 {
        self.clusters + 1
    }

    /// Whether a cluster of this number exists.
    pub(crate) fn contains(&self, cluster: u32) -> bool {
        (2..=self.last_cluster()).contains(&cluster)
    }

    /// The first block of a cluster that exists.
    pub(crate) fn block_of(&self, cluster: u32) -> u32 {
        self.data + (cluster - 2) * self.blocks_per_cluster
    }
}

/// Finds and checks the file system; also answers its boot sector.
pub(crate) fn locate<S: Source>(source: &mut S) -> Result<(Layout, [u8; BLOCK]), Error<S::Error>> {
    let card = source.blocks();
    if card == 0 {
        return Err(Error::NoFileSystem);
    }
    let first_block = read_block(source, 0)?;
    let whole_card = parse(&first_block, 0, card);
    let Some(partition) = fat_partition(&first_block) else {
        return match whole_card {
            Ok(layout) => Ok((layout, first_block)),
            Err(Error::NoFileSystem) if has_gpt(&first_block) => Err(Error::Unsupported("a GUID partition table")),
            Err(error) => Err(error),
        };
    };
    let in_partition = open_partition(source, partition, card);
    match (in_partition, whole_card) {
        (Err(_), Ok(layout)) => Ok((layout, first_block)),
        (in_partition, _) => in_partition,
    }
}

fn open_partition<S: Source>(
    source: &mut S,
    Partition { first, blocks }: Partition,
    card: u32,
) -> Result<(Layout, [u8; BLOCK]), Error<S::Error>> {
    if first.checked_add(blocks).is_none_or(|end| end > card) {
        return Err(Error::PartitionBeyondCard { first, blocks, card });
    }
    let sector = read_block(source, first)?;
    match parse(&sector, first, blocks) {
        Err(Error::NoFileSystem) => {
            Err(Error::BootSector { block: first, problem: "its signature or jump instruction is missing" })
        }
        layout => Ok((layout?, sector)),
    }
}

fn read_block<S: Source>(source: &mut S, index: u32) -> Result<[u8; BLOCK], Error<S::Error>> {
    source::read(source, index, 1)?.first_chunk().copied().ok_or(Error::Inconsistent)
}

/// An entry of the partition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Partition {
    first: u32,
    blocks: u32,
}

/// The offset of the partition table in block 0, and the length of an entry.
pub(crate) const TABLE: usize = 446;
const ENTRY: usize = 16;

fn entries(sector: &[u8; BLOCK]) -> &[[u8; ENTRY]] {
    let table = if has_signature(sector) { sector.get(TABLE..TABLE + 4 * ENTRY) } else { None };
    table.unwrap_or_default().as_chunks().0
}

/// The first FAT16 or FAT32 partition, if the block holds a partition table at all.
fn fat_partition(sector: &[u8; BLOCK]) -> Option<Partition> {
    let entries = entries(sector);
    if entries.iter().any(|[status, ..]| status & 0x7F != 0) {
        return None;
    }
    entries.iter().find_map(|entry| {
        let [_, _, _, _, kind, _, _, _, f0, f1, f2, f3, n0, n1, n2, n3] = *entry;
        let first = u32::from_le_bytes([f0, f1, f2, f3]);
        let blocks = u32::from_le_bytes([n0, n1, n2, n3]);
        let is_fat = matches!(kind, 0x04 | 0x06 | 0x0B | 0x0C | 0x0E);
        (is_fat && first > 0 && blocks > 0).then_some(Partition { first, blocks })
    })
}

fn has_gpt(sector: &[u8; BLOCK]) -> bool {
    entries(sector).iter().any(|[_, _, _, _, kind, ..]| *kind == 0xEE)
}

fn has_signature(sector: &[u8; BLOCK]) -> bool {
    sector.last_chunk() == Some(&[0x55, 0xAA])
}

/// Little-endian fields of a boot sector; zero beyond its end.
struct Fields<'a>(&'a [u8; BLOCK]);

impl Fields<'_> {
    fn bytes<const N: usize>(&self, offset: usize) -> [u8; N] {
        self.0.get(offset..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
    }
    fn u8(&self, offset: usize) -> u32 {
        let [value] = self.bytes(offset);
        u32::from(value)
    }
    fn u16(&self, offset: usize) -> u32 {
        u32::from(u16::from_le_bytes(self.bytes(offset)))
    }
    fn u32(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.bytes(offset))
    }
}

/// Checks the boot sector in block `first`, whose file system may have `available` blocks.
fn parse<E: core::error::Error + 'static>(
    sector: &[u8; BLOCK],
    first: u32,
    available: u32,
) -> Result<Layout, Error<E>> {
    let fields = Fields(sector);
    let bad = |problem| Error::BootSector { block: first, problem };
    recognise(&fields)?;
    let sector_size = fields.u16(11);
    let blocks_per_cluster = fields.u8(13);
    let reserved = fields.u16(14);
    let fats = fields.u8(16);
    let root_entries = fields.u16(17);
    let fat_size16 = fields.u16(22);
    let blocks = if fields.u16(19) == 0 { fields.u32(32) } else { fields.u16(19) };

    match sector_size {
        512 => {}
        1024 | 2048 | 4096 => return Err(Error::SectorSize(sector_size as u16)),
        _ => return Err(bad("the sector size is no power of two from 512 to 4096")),
    }
    if !blocks_per_cluster.is_power_of_two() {
        return Err(bad("the cluster size is no power of two"));
    }
    if reserved == 0 {
        return Err(bad("there are no reserved sectors"));
    }
    if !(1..=2).contains(&fats) {
        return Err(bad("there is neither one FAT nor two"));
    }
    let fat_blocks = if fat_size16 == 0 { fields.u32(36) } else { fat_size16 };
    if fat_blocks == 0 {
        return Err(bad("the FAT has no size"));
    }
    if blocks > available {
        return Err(Error::FileSystemBeyondEnd { blocks, available });
    }
    let root_blocks = (root_entries * 32).div_ceil(BLOCK as u32);
    let root = fat_blocks.checked_mul(fats).and_then(|fats| fats.checked_add(reserved));
    let data = root.and_then(|root| root.checked_add(root_blocks)).filter(|&data| data < blocks);
    let (Some(root), Some(data)) = (root, data) else {
        return Err(bad("the FATs leave no room for data"));
    };
    let clusters = (blocks - data) / blocks_per_cluster;
    let (kind, link_size) = if fat_size16 == 0 { (Kind::Fat32, 4) } else { (Kind::Fat16, 2) };
    if kind == Kind::Fat16 && clusters < MIN_FAT16_CLUSTERS {
        return Err(Error::Unsupported("a FAT12 file system"));
    }
    if (u64::from(clusters) + 2) * link_size > u64::from(fat_blocks) * BLOCK as u64 {
        return Err(bad("the FAT is too small for the number of clusters"));
    }
    let root = match kind {
        Kind::Fat16 if clusters >= MIN_FAT32_CLUSTERS => {
            return Err(bad("there are too many clusters for FAT16"));
        }
        Kind::Fat16 if root_entries == 0 => {
            return Err(bad("the root directory has no entries"));
        }
        Kind::Fat16 => Root::Region { first: first + root, blocks: root_blocks },
        Kind::Fat32 if root_entries != 0 => {
            return Err(bad("a FAT32 root directory has no fixed number of entries"));
        }
        Kind::Fat32 if clusters > MAX_FAT32_CLUSTERS => {
            return Err(bad("there are too many clusters for FAT32"));
        }
        Kind::Fat32 => fat32_root(&fields)?,
    };
    Ok(Layout {
        kind,
        first,
        end: first + blocks,
        fat: first + reserved,
        fat_blocks,
        root,
        data: first + data,
        blocks_per_cluster,
        clusters,
    })
}

/// Whether this looks like the boot sector of a FAT file system at all.
fn recognise<E: core::error::Error + 'static>(fields: &Fields<'_>) -> Result<(), Error<E>> {
    match &fields.bytes(3) {
        b"EXFAT   " => return Err(Error::Unsupported("an exFAT file system")),
        b"NTFS    " => return Err(Error::Unsupported("an NTFS file system")),
        _ => {}
    }
    let has_jump = matches!(fields.bytes(0), [0xEB, _, 0x90] | [0xE9, _, _]);
    if has_jump && has_signature(fields.0) { Ok(()) } else { Err(Error::NoFileSystem) }
}

/// The root directory of a FAT32 file system, unless that has features that are not supported.
fn fat32_root<E: core::error::Error + 'static>(fields: &Fields<'_>) -> Result<Root, Error<E>> {
    if fields.u16(42) != 0 {
        return Err(Error::Unsupported("a FAT32 file system of an unknown version"));
    }
    // Bit 7: the FATs are not kept alike, and bits 0 to 3 say which of them is in use.
    let flags = fields.u16(40);
    if flags & 0x80 != 0 && flags & 0x0F != 0 {
        return Err(Error::Unsupported("a FAT32 file system whose first FAT is out of use"));
    }
    Ok(Root::Cluster(fields.u32(44)))
}
