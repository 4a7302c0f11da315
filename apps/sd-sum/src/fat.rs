//! Cluster chains.
//!
//! The FAT is an array with a link per cluster: to the next cluster of the same file or directory, or a mark that this
//! is the last. Nothing on the card keeps a chain from being cut, from leaving the array or from leading back into
//! itself, so [`Chain`] checks every link. It finds loops in constant memory by R. P. Brent's method: the
//! cluster passed after 1, 2, 4, 8, … further steps is remembered, and a chain that comes to it again loops.

use crate::boot::{Kind, Layout};
use crate::error::Error;
use crate::source::{BLOCK, ReadAhead, Source};

/// The FAT of a file system, read through a window of its own.
pub(crate) struct Fat<'a> {
    pub(crate) layout: Layout,
    pub(crate) window: &'a mut ReadAhead,
}

impl Fat<'_> {
    /// The cluster after `cluster`, or `None` if it is the last one.
    fn link<S: Source>(&mut self, source: &mut S, cluster: u32) -> Result<Option<u32>, Error<S::Error>> {
        let Layout { kind, fat, fat_blocks, .. } = self.layout;
        let last = self.layout.last_cluster();
        let links_per_block = match kind {
            Kind::Fat16 => BLOCK as u32 / 2,
            Kind::Fat32 => BLOCK as u32 / 4,
        };
        let block = self.window.block(source, fat + cluster / links_per_block, fat..fat + fat_blocks)?;
        let index = (cluster % links_per_block) as usize;
        // FAT16 marks are widened to those of FAT32, whose upper four bits are not part of a link.
        let link = match kind {
            Kind::Fat16 => block.as_chunks().0.get(index).map(|&link| match u16::from_le_bytes(link) {
                mark @ 0xFFF7.. => 0x0FFF_0000 | u32::from(mark),
                link => u32::from(link),
            }),
            Kind::Fat32 => block.as_chunks().0.get(index).map(|&link| u32::from_le_bytes(link) & 0x0FFF_FFFF),
        };
        match link.ok_or(Error::Inconsistent)? {
            0 => Err(Error::FreeCluster { cluster }),
            0x0FFF_FFF7 => Err(Error::BadCluster { cluster }),
            0x0FFF_FFF8.. => Ok(None),
            link if self.layout.contains(link) => Ok(Some(link)),
            link => Err(Error::LinkOutOfRange { cluster, link, last }),
        }
    }
}

/// A walk along a chain.
pub(crate) struct Chain {
    at: At,
    /// Clusters passed so far.
    length: u32,
    landmark: u32,
    steps: u32,
    next_landmark: u32,
}

enum At {
    Before(u32),
    On(u32),
    End,
}

impl Chain {
    /// The chain that starts with cluster `first`.
    pub(crate) fn new(first: u32) -> Self {
        Self { at: At::Before(first), length: 0, landmark: 0, steps: 0, next_landmark: 1 }
    }

    /// How many clusters have been passed.
    pub(crate) fn length(&self) -> u32 {
        self.length
    }

    /// The next cluster, which exists; `None` at the end.
    pub(crate) fn next<S: Source>(
        &mut self,
        fat: &mut Fat<'_>,
        source: &mut S,
    ) -> Result<Option<u32>, Error<S::Error>> {
        let next = match self.at {
            At::Before(first) if fat.layout.contains(first) => Some(first),
            At::Before(cluster) => {
                return Err(Error::NoSuchCluster { cluster, last: fat.layout.last_cluster() });
            }
            At::On(cluster) => fat.link(source, cluster)?,
            At::End => None,
        };
        let Some(cluster) = next else {
            self.at = At::End;
            return Ok(None);
        };
        if cluster == self.landmark {
            return Err(Error::ChainLoop { cluster });
        }
        self.at = At::On(cluster);
        self.length += 1;
        self.steps += 1;
        if self.steps == self.next_landmark {
            self.landmark = cluster;
            self.steps = 0;
            self.next_landmark = self.next_landmark.saturating_mul(2);
        }
        Ok(Some(cluster))
    }

    /// Goes to the end, and answers the length of the whole chain.
    pub(crate) fn finish<S: Source>(mut self, fat: &mut Fat<'_>, source: &mut S) -> Result<u32, Error<S::Error>> {
        while self.next(fat, source)?.is_some() {}
        Ok(self.length)
    }
}
