//! What can be wrong with a card.

use core::fmt;

use thiserror::Error;

/// Why the sums could not be made. `E` is the error of the [`Source`](crate::Source).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error<E: core::error::Error + 'static> {
    /// The device failed.
    #[error("cannot read {count} blocks from block {first}: {source}")]
    Device {
        /// The first block of the request.
        first: u32,
        /// The length of the request in blocks.
        count: u32,
        /// What the device said.
        source: E,
    },
    /// The device delivered another amount than it was asked for.
    #[error("the block device delivered {got} bytes from block {first} where {wanted} were asked for")]
    ShortRead {
        /// The first block of the request.
        first: u32,
        /// Bytes asked for.
        wanted: usize,
        /// Bytes delivered.
        got: usize,
    },
    /// Two reads of the same metadata disagree.
    #[error("the file system changes while it is read; let nothing else write to the card")]
    Inconsistent,
    /// There is nothing to recognise.
    #[error(
        "no FAT file system: block 0 is neither a FAT boot sector nor a partition table with a FAT16 or FAT32 \
         partition; format the card"
    )]
    NoFileSystem,
    /// There is something else.
    #[error("the card holds {0}; only FAT16 and FAT32 are read, in an MBR partition or on the whole card")]
    Unsupported(&'static str),
    /// The file system has sectors of another size than the device.
    #[error("the file system has sectors of {0} bytes; only 512 are supported")]
    SectorSize(u16),
    /// A field of the boot sector contradicts the FAT specification.
    #[error("damaged boot sector in block {block}: {problem}")]
    BootSector {
        /// Where the boot sector lies.
        block: u32,
        /// Which field is wrong.
        problem: &'static str,
    },
    /// The partition does not lie on the card.
    #[error(
        "the partition of {blocks} blocks from block {first} ends beyond the card, which has {card} blocks; \
         the card or image is truncated"
    )]
    PartitionBeyondCard {
        /// The partition's first block.
        first: u32,
        /// The partition's length in blocks.
        blocks: u32,
        /// The card's length in blocks.
        card: u32,
    },
    /// The file system is longer than what it lies in.
    #[error(
        "the file system has {blocks} blocks, but its card or partition only {available}; \
         the card or image is truncated"
    )]
    FileSystemBeyondEnd {
        /// The file system's length in blocks.
        blocks: u32,
        /// What there is.
        available: u32,
    },
    /// A cluster number that no cluster has.
    #[error("the first cluster is {cluster}, but the clusters are 2 to {last}; check the file system")]
    NoSuchCluster {
        /// The number in the directory entry or boot sector.
        cluster: u32,
        /// The last cluster of the file system.
        last: u32,
    },
    /// A link of the FAT leads to a cluster number that no cluster has.
    #[error("the FAT links cluster {cluster} to {link}, but the clusters are 2 to {last}; check the file system")]
    LinkOutOfRange {
        /// Whose link it is.
        cluster: u32,
        /// Where it leads.
        link: u32,
        /// The last cluster of the file system.
        last: u32,
    },
    /// A chain contains a cluster that the FAT holds for free.
    #[error("the cluster chain is cut: cluster {cluster} is marked free; check the file system")]
    FreeCluster {
        /// The free cluster.
        cluster: u32,
    },
    /// A chain contains a cluster marked bad.
    #[error("the cluster chain contains cluster {cluster}, which is marked bad; check the file system")]
    BadCluster {
        /// The bad cluster.
        cluster: u32,
    },
    /// A chain leads back into itself.
    #[error("the cluster chain loops: it comes to cluster {cluster} again; check the file system")]
    ChainLoop {
        /// A cluster of the loop.
        cluster: u32,
    },
    /// A chain is shorter than the file.
    #[error("the cluster chain is truncated: {needed} clusters needed, {found} found; check the file system")]
    ChainTruncated {
        /// Clusters that the file's size calls for.
        needed: u32,
        /// Clusters in the chain.
        found: u32,
    },
    /// More clusters are in use than there are.
    #[error("files or directories share clusters: together they have more than the {clusters} there are")]
    CrossLinked {
        /// The file system's number of clusters.
        clusters: u32,
    },
    /// A directory is its own ancestor.
    #[error("directory loop: cluster {cluster} is that of a directory above; check the file system")]
    DirectoryLoop {
        /// The first cluster of both.
        cluster: u32,
    },
    /// A directory is longer than the FAT specification allows.
    #[error("the directory has {blocks} blocks; at most 4096 (2 MiB) are allowed")]
    DirectoryTooLarge {
        /// Its length in blocks.
        blocks: u32,
    },
    /// What a directory entry calls a directory does not start like one.
    #[error("not a directory: its first entry is not '.'; check the file system")]
    NotADirectory,
    /// Two entries of a directory have the same short name.
    #[error("the directory holds two entries of this short name; check the file system")]
    DuplicateName,
    /// Directories are nested too deep.
    #[error("more than {max} directories inside each other")]
    TooDeep {
        /// The most that are supported.
        max: usize,
    },
    /// The path does not fit.
    #[error("a path is longer than {max} bytes")]
    PathTooLong {
        /// The most that is supported.
        max: usize,
    },
    /// embedded-sdmmc refused the file system.
    #[error("embedded-sdmmc refuses the file system: {0}")]
    Refused(&'static str),
}

/// An [`enum@Error`] and where it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure<'a, E: core::error::Error + 'static> {
    /// The file or directory, as an absolute path; empty if the file system as a whole is meant.
    pub path: &'a str,
    /// What happened.
    pub error: Error<E>,
}

impl<E: core::error::Error + 'static> fmt::Display for Failure<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { write!(f, "{}", self.error) } else { write!(f, "{}: {}", self.path, self.error) }
    }
}

impl<E: core::error::Error + 'static> core::error::Error for Failure<'_, E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.error.source()
    }
}
