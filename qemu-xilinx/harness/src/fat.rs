//! Edits of a FAT file system that the usual tools do not offer: scattering and damaging chains.
//!
//! A file's data lies in clusters, numbered from 2. The file allocation table has one entry per
//! cluster that names the next one of the same file; a value from 0xFFF8 (FAT16) or 0x0FFFFFF8
//! (FAT32) ends the chain, 0 is a free cluster. All copies of the table are kept equal. Source:
//! Microsoft, "FAT: General Overview of On-Disk Format", version 1.03.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde::Deserialize;

/// What is wrong with a chain of clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Damage {
    /// It ends in the middle, before the file's length.
    EndsEarly,
    /// Its last cluster points back to its first.
    Loops,
    /// In the middle it points behind the last cluster of the card.
    LeavesTheCard,
    /// In the middle it points to a cluster that is marked free.
    ReachesFree,
}

/// Why an edit is not possible.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The image cannot be read or written.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// There is no FAT16 or FAT32 file system.
    #[error("no FAT16 or FAT32 file system there")]
    NotFat,
    /// The file has too few clusters for this edit.
    #[error("it has {0} clusters, too few for this")]
    TooShort(usize),
    /// `mshowfat` printed something unexpected.
    #[error("cannot read the chain of clusters from `{0}`")]
    Chain(String),
}

/// Reads a chain as `mshowfat` prints it: `::/PATH <first-last> <first-last> <single>`.
pub(crate) fn clusters(printed: &str) -> Result<Vec<u32>, Error> {
    let wrong = || Error::Chain(printed.trim().to_owned());
    let mut chain = Vec::new();
    for range in printed.split('<').skip(1) {
        let (range, _) = range.split_once('>').ok_or_else(wrong)?;
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let first: u32 = first.trim().parse().map_err(|_| wrong())?;
        let last: u32 = last.trim().parse().map_err(|_| wrong())?;
        chain.extend(first..=last);
    }
    if chain.is_empty() { Err(wrong()) } else { Ok(chain) }
}

/// An open file system.
pub(crate) struct Volume {
    disk: File,
    /// Bytes of a table entry: 2 or 4.
    entry: u64,
    cluster_bytes: u64,
    clusters: u32,
    tables: Vec<u64>,
    data: u64,
}

impl Volume {
    /// Opens the file system that starts at byte `base` of `image`.
    pub(crate) fn open(image: &Path, base: u64) -> Result<Self, Error> {
        let disk = File::options().read(true).write(true).open(image)?;
        let mut boot = [0; 512];
        disk.read_exact_at(&mut boot, base)?;
        let field = |at: usize, length: usize| {
            let bytes = boot.get(at..at + length).unwrap_or_default();
            bytes.iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte))
        };
        let sector = field(11, 2);
        let cluster_bytes = field(13, 1) * sector;
        let reserved = field(14, 2);
        let copies = field(16, 1);
        let root = field(17, 2) * 32;
        let total = if field(19, 2) == 0 { field(32, 4) } else { field(19, 2) };
        let table = if field(22, 2) == 0 { field(36, 4) } else { field(22, 2) };
        if sector == 0 || cluster_bytes == 0 || copies == 0 || field(510, 2) != 0xAA55 {
            return Err(Error::NotFat);
        }
        let data = (reserved + copies * table) * sector + root.next_multiple_of(sector);
        let clusters = (total * sector).saturating_sub(data) / cluster_bytes;
        // The number of clusters, and nothing else, decides the type.
        let entry = match clusters {
            ..4085 => return Err(Error::NotFat),
            4085..65525 => 2,
            _ => 4,
        };
        Ok(Self {
            disk,
            entry,
            cluster_bytes,
            clusters: clusters as u32,
            tables: (0..copies).map(|copy| base + (reserved + copy * table) * sector).collect(),
            data: base + data,
        })
    }

    /// Bits of a table entry: 16 or 32.
    pub(crate) fn entry_bits(&self) -> u32 {
        if self.entry == 2 { 16 } else { 32 }
    }

    /// Moves the data of a file among its own clusters so that none follows its predecessor. The
    /// first one stays, so that the directory entry needs no change.
    pub(crate) fn scatter(&mut self, chain: &[u32]) -> Result<(), Error> {
        let (Some(first), true) = (chain.first(), chain.len() >= 5) else {
            return Err(Error::TooShort(chain.len()));
        };
        // Every other cluster from the end, then the ones left out from the end as well.
        let rest = chain.get(1..).unwrap_or_default();
        let even = rest.iter().rev().step_by(2);
        let odd = rest.iter().rev().skip(1).step_by(2);
        let order: Vec<u32> = std::iter::once(first).chain(even).chain(odd).copied().collect();
        let mut data = Vec::with_capacity(chain.len());
        for &cluster in chain {
            let mut bytes = vec![0; self.cluster_bytes as usize];
            self.disk.read_exact_at(&mut bytes, self.place(cluster))?;
            data.push(bytes);
        }
        for (&cluster, bytes) in order.iter().zip(&data) {
            self.disk.write_all_at(bytes, self.place(cluster))?;
        }
        for (&cluster, &next) in order.iter().zip(order.iter().skip(1)) {
            self.set(cluster, next)?;
        }
        if let Some(&last) = order.last() {
            self.set(last, u32::MAX)?;
        }
        Ok(())
    }

    /// Damages the chain of a file.
    pub(crate) fn damage(&mut self, chain: &[u32], damage: Damage) -> Result<(), Error> {
        let middle = chain.get(chain.len() / 2).filter(|_| chain.len() >= 2);
        let too_short = || Error::TooShort(chain.len());
        match damage {
            Damage::Loops => {
                let (first, last) = chain.first().zip(chain.last()).ok_or_else(too_short)?;
                self.set(*last, *first)
            }
            Damage::EndsEarly => self.set(*middle.ok_or_else(too_short)?, u32::MAX),
            Damage::LeavesTheCard => self.set(*middle.ok_or_else(too_short)?, self.clusters.saturating_add(1000)),
            // The last cluster of these cards is never in use.
            Damage::ReachesFree => self.set(*middle.ok_or_else(too_short)?, self.clusters.saturating_add(1)),
        }
    }

    fn place(&self, cluster: u32) -> u64 {
        self.data + (u64::from(cluster) - 2) * self.cluster_bytes
    }

    /// Makes `next` the successor of `cluster` in every copy of the table.
    fn set(&mut self, cluster: u32, next: u32) -> Result<(), Error> {
        for &table in &self.tables {
            let at = table + u64::from(cluster) * self.entry;
            if self.entry == 2 {
                self.disk.write_all_at(&(next as u16).to_le_bytes(), at)?;
            } else {
                // The upper four bits are not part of the entry.
                self.disk.write_all_at(&(next & 0x0FFF_FFFF).to_le_bytes(), at)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_read_as_printed() {
        assert_eq!(clusters("::/A B <5-7> <9> <12-13>\n").unwrap(), [5, 6, 7, 9, 12, 13]);
        assert!(clusters("::/EMPTY \n").is_err());
        assert!(clusters("::/X <a-b>\n").is_err());
    }
}
