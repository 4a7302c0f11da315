//! File contents, from the cluster chain straight into the hash.
//!
//! A file's chain is turned into requests: runs of consecutive clusters become one, and so do runs that are only a few
//! blocks apart, where reading what lies between costs less than another round trip. [`IN_FLIGHT`] requests are
//! announced to the source before the first is waited for.

use heapless::{Deque, Vec};
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::fat::{Chain, Fat};
use crate::source::{self, BLOCK, IN_FLIGHT, MAX_REQUEST, Source};

/// Blocks that are read and thrown away rather than starting another request: 8 KiB.
const MAX_GAP: u32 = 16;

/// The most runs in one request: as many as there can be with something between them.
const MAX_RUNS: usize = MAX_REQUEST as usize / 2;

/// Consecutive blocks.
#[derive(Clone, Copy)]
struct Run {
    first: u32,
    blocks: u32,
}

/// Blocks read at once, and which of them belong to the file.
struct Request {
    first: u32,
    blocks: u32,
    runs: Vec<Run, MAX_RUNS>,
}

impl Request {
    fn new(first: u32) -> Self {
        Self { first, blocks: 0, runs: Vec::new() }
    }

    /// Takes as much of the start of `run` as fits, and answers the rest.
    fn take(&mut self, run: Run) -> Option<Run> {
        let end = self.first + self.blocks;
        let Some(gap) = run.first.checked_sub(end).filter(|&gap| gap <= MAX_GAP) else {
            return Some(run);
        };
        let blocks = MAX_REQUEST.saturating_sub(self.blocks + gap).min(run.blocks);
        if blocks == 0 {
            return Some(run);
        }
        match self.runs.last_mut() {
            Some(last) if gap == 0 => last.blocks += blocks,
            _ => {
                if self.runs.push(Run { first: run.first, blocks }).is_err() {
                    return Some(run);
                }
            }
        }
        self.blocks += gap + blocks;
        (blocks < run.blocks).then_some(Run { first: run.first + blocks, blocks: run.blocks - blocks })
    }
}

/// Turns a chain into requests.
struct Planner {
    chain: Chain,
    /// Blocks of the file that are in no request yet, those of `rest` included.
    left: u32,
    /// The part of a cluster for which the last request had no room.
    rest: Option<Run>,
    /// Clusters that the file's size calls for.
    needed: u32,
}

impl Planner {
    fn request<S: Source>(&mut self, fat: &mut Fat<'_>, source: &mut S) -> Result<Option<Request>, Error<S::Error>> {
        let mut request: Option<Request> = None;
        while self.left > 0 {
            let run = if let Some(rest) = self.rest.take() {
                rest
            } else if let Some(cluster) = self.chain.next(fat, source)? {
                let blocks = fat.layout.blocks_per_cluster.min(self.left);
                Run { first: fat.layout.block_of(cluster), blocks }
            } else {
                return Err(Error::ChainTruncated { needed: self.needed, found: self.chain.length() });
            };
            self.rest = request.get_or_insert_with(|| Request::new(run.first)).take(run);
            self.left -= run.blocks - self.rest.map_or(0, |rest| rest.blocks);
            if self.rest.is_some() {
                break;
            }
        }
        Ok(request)
    }
}

/// The SHA-256 of the file of `size` bytes whose chain starts with cluster `first`, and the chain's length in clusters.
///
/// The chain is followed to its end even if it is longer than the file, which is how space is allocated in advance.
pub(crate) fn digest<S: Source>(
    fat: &mut Fat<'_>,
    source: &mut S,
    first: u32,
    size: u32,
) -> Result<([u8; 32], u32), Error<S::Error>> {
    let mut hash = Sha256::new();
    if size == 0 {
        return Ok((hash.finalize().into(), 0));
    }
    let left = size.div_ceil(BLOCK as u32);
    let needed = left.div_ceil(fat.layout.blocks_per_cluster);
    if first == 0 {
        return Err(Error::ChainTruncated { needed, found: 0 });
    }
    let mut planner = Planner { chain: Chain::new(first), left, rest: None, needed };
    let mut requests: Deque<Request, IN_FLIGHT> = Deque::new();
    let mut bytes_left = size as usize;
    loop {
        while !requests.is_full() {
            let Some(request) = planner.request(fat, source)? else {
                break;
            };
            let Request { first, blocks: count, .. } = request;
            source.prefetch(first, count).map_err(|source| Error::Device { first, count, source })?;
            if requests.push_back(request).is_err() {
                return Err(Error::Inconsistent);
            }
        }
        let Some(request) = requests.pop_front() else {
            break;
        };
        let bytes = source::read(source, request.first, request.blocks)?;
        for run in &request.runs {
            let start = (run.first - request.first) as usize * BLOCK;
            let length = (run.blocks as usize * BLOCK).min(bytes_left);
            hash.update(bytes.get(start..start + length).ok_or(Error::Inconsistent)?);
            bytes_left -= length;
        }
    }
    let clusters = planner.chain.finish(fat, source)?;
    Ok((hash.finalize().into(), clusters))
}
