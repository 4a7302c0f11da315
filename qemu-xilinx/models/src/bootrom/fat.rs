//! As much of FAT as the ROM needs: the file `BOOT.BIN` in the root directory (Microsoft's FAT specification 1.03).

use super::{File, RomError};
use crate::sdcard::{BLOCK_SIZE, Media};

/// The file's short name.
const NAME: &[u8; 11] = b"BOOT    BIN";
/// Attributes of what is no file: directories and volume labels.
const NO_FILE: u8 = 0x18;
const ENTRY: usize = 32;

/// The file system.
struct Volume {
    is_fat32: bool,
    blocks_per_cluster: u64,
    fat: u64,
    /// Block of cluster 2.
    data: u64,
    clusters: u64,
}

/// Finds the file.
pub(super) fn find(media: &mut dyn Media) -> Result<File<'_>, RomError> {
    let table = block(media, 0).ok_or(RomError::NoPartition)?;
    let entry = table.get(446..462).unwrap_or_default();
    let first = u64::from(u32_at(entry, 8));
    if u16_at(&table, 510) != 0xaa55 || entry.get(4).is_none_or(|kind| *kind == 0) || first == 0 {
        return Err(RomError::NoPartition);
    }
    let boot = block(media, first).ok_or(RomError::NoFileSystem)?;
    let reserved = u64::from(u16_at(&boot, 14));
    let fats = u64::from(boot.get(16).copied().unwrap_or(0));
    let root_entries = u64::from(u16_at(&boot, 17));
    let fat_blocks = either(u16_at(&boot, 22).into(), u32_at(&boot, 36));
    let blocks = either(u16_at(&boot, 19).into(), u32_at(&boot, 32));
    let blocks_per_cluster = u64::from(boot.get(13).copied().unwrap_or(0));
    let is_sound = u16_at(&boot, 510) == 0xaa55
        && usize::from(u16_at(&boot, 11)) == BLOCK_SIZE
        && blocks_per_cluster.is_power_of_two()
        && reserved > 0
        && fats > 0
        && fat_blocks > 0;
    let root = first + reserved + fats * fat_blocks;
    let root_blocks = (root_entries * ENTRY as u64).div_ceil(BLOCK_SIZE as u64);
    let data = root + root_blocks;
    let Some(clusters) = (first + blocks).checked_sub(data).filter(|_| is_sound).map(|left| left / blocks_per_cluster)
    else {
        return Err(RomError::NoFileSystem);
    };
    // The number of clusters decides which kind it is; FAT12 is none that the ROM reads.
    let is_fat32 = clusters >= 65_525;
    if clusters < 4_085 || is_fat32 != (u16_at(&boot, 22) == 0) {
        return Err(RomError::NoFileSystem);
    }
    let volume = Volume { is_fat32, blocks_per_cluster, fat: first + reserved, data, clusters };
    let directory: Vec<u64> = if is_fat32 {
        let chain = volume.chain(media, u64::from(u32_at(&boot, 44)))?;
        chain.into_iter().flat_map(|first| first..first + blocks_per_cluster).collect()
    } else {
        (root..root + root_blocks).collect()
    };
    for place in directory {
        let entries = block(media, place).ok_or(RomError::NoFileSystem)?;
        for entry in entries.chunks_exact(ENTRY) {
            match entry.first() {
                Some(0) => return Err(RomError::NoImage),
                Some(_) if entry.starts_with(NAME) && entry.get(11).is_some_and(|kind| kind & NO_FILE == 0) => {
                    let cluster = u64::from(u16_at(entry, 26)) | u64::from(u16_at(entry, 20)) << 16;
                    let length = u64::from(u32_at(entry, 28));
                    let clusters = if length == 0 { Vec::new() } else { volume.chain(media, cluster)? };
                    return Ok(File { media, clusters, blocks_per_cluster, length });
                }
                _ => {}
            }
        }
    }
    Err(RomError::NoImage)
}

impl Volume {
    /// The first blocks of the clusters of a chain.
    fn chain(&self, media: &mut dyn Media, first: u64) -> Result<Vec<u64>, RomError> {
        let mut chain = Vec::new();
        let mut cluster = first;
        // A chain that is longer than there are clusters leads back.
        while (2..self.clusters + 2).contains(&cluster) && chain.len() as u64 <= self.clusters {
            chain.push(self.data + (cluster - 2) * self.blocks_per_cluster);
            let width = if self.is_fat32 { 4 } else { 2 };
            let byte = cluster * width;
            let links = block(media, self.fat + byte / BLOCK_SIZE as u64).ok_or(RomError::NoFileSystem)?;
            let offset = (byte % BLOCK_SIZE as u64) as usize;
            let link = if self.is_fat32 { u32_at(&links, offset) & 0x0fff_ffff } else { u16_at(&links, offset).into() };
            let end = if self.is_fat32 { 0x0fff_fff8 } else { 0xfff8 };
            if link >= end {
                return Ok(chain);
            }
            cluster = link.into();
        }
        Err(RomError::NoFileSystem)
    }
}

fn block(media: &mut dyn Media, block: u64) -> Option<[u8; BLOCK_SIZE]> {
    (block < media.blocks()).then(|| media.read(block))
}

fn either(small: u32, large: u32) -> u64 {
    u64::from(if small == 0 { large } else { small })
}

fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    bytes.get(offset..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u16::from_le_bytes(*bytes))
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    bytes.get(offset..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}
