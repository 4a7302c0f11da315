//! Buddy allocation over untyped memory.
//!
//! # Theory of operation
//!
//! seL4 gives user land all memory as *untyped* capabilities; a kernel object is made by
//! retyping one. The kernel frees nothing by itself: revoking an untyped destroys everything made from it,
//! and the next retype starts over, after the kernel has cleared what was used.
//!
//! Physical memory is cut into *chunks* of 1 MiB (the largest frame that a component gets), and each opened
//! chunk is a binary tree of blocks down to 4 KiB. The tree has one byte a node, in heap order (root 1,
//! children `2n` and `2n + 1`): the order of the largest free block below it, and whether the kernel holds the node
//! as two halves. The untyped of a block lies in a capability slot with the node's number, so neither lists
//! nor searches are needed: allocation walks down, release walks up, both in at most 8 steps.
//!
//! Merging happens in the books as soon as two halves are free. In the kernel it happens when a block is
//! wanted whole: one revoke takes all its parts back. Merging earlier would make the kernel clear the whole
//! parent again at the next split, which costs one instruction a byte.
//!
//! Above the chunks there is a second tree over the whole RAM. It exists in the books only: a
//! block of several chunks is simply that many neighbouring chunk untypeds. The kernel's own large untypeds
//! (*arenas*) are cut into chunks in one retype when the first of their chunks is needed, the smallest first,
//! because the first retype of an arena clears all of it.
//!
//! What this does not do: account for anything (see [`ledger`]) or move blocks.

/// Log2 of the smallest block.
pub const PAGE_BITS: u8 = 12;
/// Log2 of a chunk, the largest block the kernel holds as one untyped.
pub const CHUNK_BITS: u8 = 20;
/// Log2 of the memory the trees can describe: 512 MiB, the most that the kernel can map of it.
pub const RAM_BITS: u8 = 29;
/// Number of chunks in the described memory.
pub const CHUNKS: usize = 1 << (RAM_BITS - CHUNK_BITS);
/// Nodes of a chunk's tree, and slots of its CNode.
pub const CHUNK_NODES: usize = 1 << (CHUNK_BITS - PAGE_BITS + 1);

/// A block of memory: physical address and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Physical address of its first byte, a multiple of its size.
    pub address: u32,
    /// Log2 of its size in bytes, [`PAGE_BITS`]`..=`[`RAM_BITS`].
    pub bits: u8,
}

impl Block {
    /// Size in bytes.
    pub fn size(self) -> u32 {
        1 << self.bits
    }

    /// The chunk that the block is in, or its first one.
    pub fn chunk(self) -> usize {
        (self.address >> CHUNK_BITS) as usize
    }

    /// The node of the chunk's tree for a block within one chunk.
    pub fn node(self) -> usize {
        let within = self.address & ((1 << CHUNK_BITS) - 1);
        (1 << (CHUNK_BITS - self.bits)) | (within >> self.bits) as usize
    }
}

/// What the allocator asks of the kernel.
pub trait Untypeds {
    /// The kernel's refusal.
    type Error;
    /// Makes the untypeds of the chunks of the arena that holds `chunk`, and tells which arena that was.
    fn cut_arena(&mut self, chunk: usize) -> Result<Block, Self::Error>;
    /// Prepares capability slots for the blocks of `chunk`.
    fn open_chunk(&mut self, chunk: usize) -> Result<(), Self::Error>;
    /// Makes two halves of node `node` of `chunk`.
    fn split(&mut self, chunk: usize, node: usize) -> Result<(), Self::Error>;
    /// Takes back everything made from node `node` of `chunk`.
    fn revoke(&mut self, chunk: usize, node: usize) -> Result<(), Self::Error>;
}

/// Why a block could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure<E> {
    /// No free block is large enough.
    Exhausted,
    /// The kernel refused; the allocator is as before.
    Kernel(E),
}

/// Free order of a node: 0 when nothing below it is free, else log2 of the largest free block.
const FREE: u8 = 0x3f;
/// The kernel holds the node as two halves.
const SPLIT: u8 = 0x80;
/// The kernel never held the node as one untyped: its parts stay apart.
const APART: u8 = 0x40;

const CHUNK_ABSENT: u8 = 0;
const CHUNK_IN_ARENA: u8 = 1;
const CHUNK_WHOLE: u8 = 2;
const CHUNK_OPEN: u8 = 3;

/// The allocator's books.
pub struct Buddy {
    /// The tree over all chunks, in the books only.
    top: [u8; 2 * CHUNKS],
    state: [u8; CHUNKS],
    chunks: [[u8; CHUNK_NODES]; CHUNKS],
    free: u32,
}

impl Buddy {
    /// Books without any memory. Const, so that they can start as zero-filled memory.
    #[allow(clippy::large_stack_arrays, reason = "a constant, placed in zero-filled memory")]
    pub const fn new() -> Self {
        Self { top: [0; 2 * CHUNKS], state: [0; CHUNKS], chunks: [[0; CHUNK_NODES]; CHUNKS], free: 0 }
    }

    /// Free bytes.
    pub fn free_bytes(&self) -> u32 {
        self.free
    }

    /// Enters an untyped of whole chunks that is to be cut when it is needed.
    ///
    /// # Errors
    /// `false` if it is smaller than a chunk, unaligned, or outside the described memory; nothing is entered then.
    #[must_use]
    pub fn add_arena(&mut self, block: Block) -> bool {
        if block.bits < CHUNK_BITS || block.bits > RAM_BITS || !block.address.is_multiple_of(block.size()) {
            return false;
        }
        let first = block.chunk();
        let count = 1 << (block.bits - CHUNK_BITS);
        let Some(states) = self.state.get_mut(first..first + count) else { return false };
        states.fill(CHUNK_IN_ARENA);
        for chunk in first..first + count {
            self.set_chunk_free(chunk, CHUNK_BITS);
        }
        self.free += block.size();
        true
    }

    /// Enters an untyped within one chunk, whose capability is already in the slot of its node.
    ///
    /// # Errors
    /// `false` if it does not fit the tree; nothing is entered then.
    #[must_use]
    pub fn add_block(&mut self, block: Block) -> bool {
        if block.bits < PAGE_BITS || block.bits >= CHUNK_BITS || !block.address.is_multiple_of(block.size()) {
            return false;
        }
        let chunk = block.chunk();
        let Some(state) = self.state.get_mut(chunk) else { return false };
        if *state != CHUNK_ABSENT && *state != CHUNK_OPEN {
            return false;
        }
        *state = CHUNK_OPEN;
        let mut above = block.node() >> 1;
        while above > 0 {
            self.set(chunk, above, self.get(chunk, above) | SPLIT | APART);
            above >>= 1;
        }
        self.free_node(chunk, block.node(), block.bits);
        self.free += block.size();
        true
    }

    /// Whether the chunk of `address` has capability slots.
    pub fn is_open(&self, chunk: usize) -> bool {
        self.state.get(chunk) == Some(&CHUNK_OPEN)
    }

    /// Whether all of an open chunk is free.
    pub fn is_unused(&self, chunk: usize) -> bool {
        self.is_open(chunk) && self.get(chunk, 1) & FREE == CHUNK_BITS
    }

    /// Notes that an open chunk that is [unused](Self::is_unused) is one whole untyped again.
    pub fn close(&mut self, chunk: usize) {
        self.put_state(chunk, CHUNK_WHOLE);
        self.set(chunk, 1, CHUNK_BITS);
    }

    /// Takes a block of `1 << bits` bytes.
    ///
    /// A block of more than a chunk consists of neighbouring chunk untypeds.
    pub fn allocate<U: Untypeds>(&mut self, bits: u8, kernel: &mut U) -> Result<Block, Failure<U::Error>> {
        let bits = bits.max(PAGE_BITS);
        let mut node = 1;
        let mut level = RAM_BITS;
        if bits > RAM_BITS || self.top_free(node) < bits {
            return Err(Failure::Exhausted);
        }
        while level > bits.max(CHUNK_BITS) {
            node = fitting(node, bits, |n| self.top_free(n));
            level -= 1;
        }
        let first = (node << (level - CHUNK_BITS)) - CHUNKS;
        if bits >= CHUNK_BITS {
            let count = 1 << (bits - CHUNK_BITS);
            for chunk in first..first + count {
                self.make_whole(chunk, kernel)?;
            }
            for chunk in first..first + count {
                self.set_chunk_free(chunk, 0);
                self.set(chunk, 1, 0);
            }
            self.free -= 1 << bits;
            return Ok(Block { address: (first as u32) << CHUNK_BITS, bits });
        }
        self.allocate_in(first, bits, kernel)
    }

    fn allocate_in<U: Untypeds>(&mut self, chunk: usize, bits: u8, kernel: &mut U) -> Result<Block, Failure<U::Error>> {
        self.cut(chunk, kernel)?;
        if self.state.get(chunk) == Some(&CHUNK_WHOLE) {
            kernel.open_chunk(chunk).map_err(Failure::Kernel)?;
            self.put_state(chunk, CHUNK_OPEN);
            self.set(chunk, 1, CHUNK_BITS);
        }
        let mut node = 1;
        let mut level = CHUNK_BITS;
        while level > bits {
            if self.get(chunk, node) & SPLIT == 0 {
                kernel.split(chunk, node).map_err(Failure::Kernel)?;
                self.set(chunk, node, self.get(chunk, node) | SPLIT);
                self.set(chunk, 2 * node, level - 1);
                self.set(chunk, 2 * node + 1, level - 1);
            }
            node = fitting(node, bits, |n| self.get(chunk, n) & FREE);
            level -= 1;
        }
        self.merge(chunk, node, kernel)?;
        self.set(chunk, node, 0);
        self.update_up(chunk, node, level);
        self.free -= 1 << bits;
        let within = (node - (1 << (CHUNK_BITS - bits))) as u32;
        Ok(Block { address: ((chunk as u32) << CHUNK_BITS) | within << bits, bits })
    }

    /// Gives a block back. Its untypeds must have been revoked.
    pub fn release(&mut self, block: Block) {
        if block.bits >= CHUNK_BITS {
            for chunk in block.chunk()..block.chunk() + (1 << (block.bits - CHUNK_BITS)) {
                self.set_chunk_free(chunk, CHUNK_BITS);
                self.set(chunk, 1, CHUNK_BITS);
            }
        } else {
            self.free_node(block.chunk(), block.node(), block.bits);
        }
        self.free += block.size();
    }

    fn cut<U: Untypeds>(&mut self, chunk: usize, kernel: &mut U) -> Result<(), Failure<U::Error>> {
        if self.state.get(chunk) == Some(&CHUNK_IN_ARENA) {
            let arena = kernel.cut_arena(chunk).map_err(Failure::Kernel)?;
            let first = arena.chunk();
            for chunk in first..first + (1usize << arena.bits.saturating_sub(CHUNK_BITS)) {
                self.put_state(chunk, CHUNK_WHOLE);
            }
        }
        Ok(())
    }

    fn make_whole<U: Untypeds>(&mut self, chunk: usize, kernel: &mut U) -> Result<(), Failure<U::Error>> {
        self.cut(chunk, kernel)?;
        if self.is_open(chunk) {
            self.merge(chunk, 1, kernel)?;
        }
        Ok(())
    }

    fn merge<U: Untypeds>(&mut self, chunk: usize, node: usize, kernel: &mut U) -> Result<(), Failure<U::Error>> {
        let value = self.get(chunk, node);
        if value & SPLIT != 0 {
            kernel.revoke(chunk, node).map_err(Failure::Kernel)?;
            self.set(chunk, node, value & !SPLIT);
        }
        Ok(())
    }

    fn free_node(&mut self, chunk: usize, node: usize, bits: u8) {
        self.set(chunk, node, bits);
        self.update_up(chunk, node, bits);
    }

    fn update_up(&mut self, chunk: usize, mut node: usize, mut bits: u8) {
        while node > 1 {
            let (one, other) = (self.get(chunk, node) & FREE, self.get(chunk, node ^ 1) & FREE);
            node >>= 1;
            let flags = self.get(chunk, node) & !FREE;
            let free = if flags & APART == 0 { joined(one, other, bits) } else { one.max(other) };
            bits += 1;
            self.set(chunk, node, flags | free);
        }
        self.set_chunk_free(chunk, self.get(chunk, 1) & FREE);
    }

    fn set_chunk_free(&mut self, chunk: usize, free: u8) {
        let mut node = CHUNKS + chunk;
        let mut bits = CHUNK_BITS;
        self.put_top(node, free);
        while node > 1 {
            let free = joined(self.top_free(node), self.top_free(node ^ 1), bits);
            node >>= 1;
            bits += 1;
            self.put_top(node, free);
        }
    }

    fn top_free(&self, node: usize) -> u8 {
        self.top.get(node).copied().unwrap_or(0)
    }

    fn put_top(&mut self, node: usize, free: u8) {
        if let Some(value) = self.top.get_mut(node) {
            *value = free;
        }
    }

    fn put_state(&mut self, chunk: usize, state: u8) {
        if let Some(value) = self.state.get_mut(chunk) {
            *value = state;
        }
    }

    fn get(&self, chunk: usize, node: usize) -> u8 {
        self.chunks.get(chunk).and_then(|nodes| nodes.get(node)).copied().unwrap_or(0)
    }

    fn set(&mut self, chunk: usize, node: usize, value: u8) {
        if let Some(slot) = self.chunks.get_mut(chunk).and_then(|nodes| nodes.get_mut(node)) {
            *slot = value;
        }
    }
}

impl Default for Buddy {
    fn default() -> Self {
        Self::new()
    }
}

/// The child of `node` whose largest free block is the smallest that fits.
fn fitting(node: usize, bits: u8, free: impl Fn(usize) -> u8) -> usize {
    let (left, right) = (free(2 * node), free(2 * node + 1));
    if right >= bits && (left < bits || right < left) { 2 * node + 1 } else { 2 * node }
}

/// Largest free block of two buddies of `bits` each.
fn joined(one: u8, other: u8, bits: u8) -> u8 {
    if one == bits && other == bits { bits + 1 } else { one.max(other) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::boxed::Box;
    use std::collections::HashSet;
    use std::vec::Vec;

    /// A kernel that knows which untypeds exist and refuses what a real one would.
    #[derive(Default)]
    struct Simulated {
        untypeds: HashSet<(usize, usize)>,
        arenas: Vec<Block>,
        calls_left: Option<u32>,
    }

    impl Simulated {
        fn call(&mut self) -> Result<(), ()> {
            match &mut self.calls_left {
                Some(0) => Err(()),
                Some(left) => {
                    *left -= 1;
                    Ok(())
                }
                None => Ok(()),
            }
        }

        fn has_descendants(&self, chunk: usize, node: usize) -> bool {
            self.untypeds.contains(&(chunk, 2 * node)) || self.untypeds.contains(&(chunk, 2 * node + 1))
        }
    }

    impl Untypeds for Simulated {
        type Error = ();
        fn cut_arena(&mut self, chunk: usize) -> Result<Block, ()> {
            self.call()?;
            let at = self
                .arenas
                .iter()
                .position(|a| (a.chunk()..a.chunk() + (1 << (a.bits - CHUNK_BITS))).contains(&chunk))
                .expect("chunk of an arena");
            let arena = self.arenas.swap_remove(at);
            for chunk in arena.chunk()..arena.chunk() + (1 << (arena.bits - CHUNK_BITS)) {
                assert!(self.untypeds.insert((chunk, 1)));
            }
            Ok(arena)
        }
        fn open_chunk(&mut self, chunk: usize) -> Result<(), ()> {
            self.call()?;
            assert!(self.untypeds.contains(&(chunk, 1)));
            Ok(())
        }
        fn split(&mut self, chunk: usize, node: usize) -> Result<(), ()> {
            self.call()?;
            assert!(self.untypeds.contains(&(chunk, node)), "split of what is not there");
            assert!(!self.has_descendants(chunk, node), "split of what is in use");
            self.untypeds.insert((chunk, 2 * node));
            self.untypeds.insert((chunk, 2 * node + 1));
            Ok(())
        }
        fn revoke(&mut self, chunk: usize, node: usize) -> Result<(), ()> {
            self.call()?;
            assert!(self.untypeds.contains(&(chunk, node)));
            self.untypeds.retain(|&(c, n)| {
                c != chunk || n == node || {
                    let mut above = n;
                    while above > node {
                        above >>= 1;
                    }
                    above != node
                }
            });
            Ok(())
        }
    }

    fn filled() -> (Box<Buddy>, Simulated) {
        let mut buddy = Box::new(Buddy::new());
        let mut kernel = Simulated::default();
        for (address, bits) in [(0x0034_4000, 14), (0x0034_8000, 14), (0x0034_c000, 14), (0x0038_0000, 19)] {
            let block = Block { address, bits };
            assert!(buddy.add_block(block));
            kernel.untypeds.insert((block.chunk(), block.node()));
        }
        for (address, bits) in [(0x0040_0000, 22), (0x0080_0000, 23), (0x0100_0000, 24)] {
            let block = Block { address, bits };
            assert!(buddy.add_arena(block));
            kernel.arenas.push(block);
        }
        (buddy, kernel)
    }

    #[test]
    fn small_pieces_go_first_and_arenas_stay_whole() {
        let (mut buddy, mut kernel) = filled();
        let block = buddy.allocate(12, &mut kernel).unwrap();
        assert_eq!(block, Block { address: 0x0034_4000, bits: 12 });
        assert_eq!(kernel.arenas.len(), 3);
        let chunk = buddy.allocate(20, &mut kernel).unwrap();
        assert_eq!(chunk.address, 0x0040_0000);
        assert_eq!(kernel.arenas.len(), 2);
    }

    #[test]
    fn blocks_of_many_chunks_are_contiguous_and_aligned() {
        let (mut buddy, mut kernel) = filled();
        assert_eq!(buddy.allocate(23, &mut kernel), Ok(Block { address: 0x0080_0000, bits: 23 }));
        assert_eq!(buddy.allocate(25, &mut kernel), Err(Failure::Exhausted));
    }

    #[test]
    fn pieces_that_lack_their_buddy_are_never_merged_in_the_kernel() {
        let (mut buddy, mut kernel) = filled();
        let mut all = Vec::new();
        while let Ok(block) = buddy.allocate(12, &mut kernel) {
            all.push(block);
        }
        assert_eq!(buddy.free_bytes(), 0);
        for block in all {
            buddy.release(block);
        }
        assert!(buddy.allocate(19, &mut kernel).is_ok());
        assert_eq!(buddy.allocate(24, &mut kernel), Ok(Block { address: 0x0100_0000, bits: 24 }));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn blocks_never_overlap_and_everything_comes_back(
            steps in proptest::collection::vec((12u8..=23, any::<u16>(), any::<bool>(), proptest::option::weighted(0.1, 0u32..4)), 1..200)
        ) {
            let (mut buddy, mut kernel) = filled();
            let total = buddy.free_bytes();
            let mut held: Vec<Block> = Vec::new();
            for (bits, pick, release, fail_after) in steps {
                if release && !held.is_empty() {
                    let block = held.swap_remove(pick as usize % held.len());
                    buddy.release(block);
                } else {
                    kernel.calls_left = fail_after;
                    let before = buddy.free_bytes();
                    match buddy.allocate(bits, &mut kernel) {
                        Ok(block) => {
                            prop_assert_eq!(block.bits, bits);
                            prop_assert_eq!(block.address % block.size(), 0);
                            for other in &held {
                                prop_assert!(block.address + block.size() <= other.address || other.address + other.size() <= block.address);
                            }
                            if bits < CHUNK_BITS {
                                prop_assert!(kernel.untypeds.contains(&(block.chunk(), block.node())));
                                prop_assert!(!kernel.has_descendants(block.chunk(), block.node()));
                            }
                            held.push(block);
                        }
                        Err(_) => prop_assert_eq!(buddy.free_bytes(), before),
                    }
                    kernel.calls_left = None;
                }
                prop_assert_eq!(buddy.free_bytes() + held.iter().map(|b| b.size()).sum::<u32>(), total);
            }
            for block in held {
                buddy.release(block);
            }
            prop_assert_eq!(buddy.free_bytes(), total);
            prop_assert!(buddy.allocate(24, &mut kernel).is_ok());
        }
    }
}
