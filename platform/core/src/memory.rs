//! Untyped memory and the capability slots that go with it.
//!
//! # Theory of operation
//!
//! [`Buddy`] keeps the books; this module keeps the untyped capabilities of its blocks where they can be found
//! without a search. A whole chunk of 1 MiB has a slot of the first level. When it is opened, a CNode of 512 slots
//! takes its place and holds the untyped of every block in it, at the number of the block's node. That CNode is
//! kernel memory which belongs to no component: it comes out of core's reserve, 8 KiB for each MiB that is in use in small
//! pieces. One CNode is always kept ready, because making one may itself open a chunk.

use heapless::Vec;

use crate::buddy::{Block, Buddy, CHUNK_BITS, CHUNKS, Failure, Untypeds};
use crate::kernel::{Kernel, Object, Refused, SECOND_BITS, Slot, TOP_BITS};
use crate::store::Key;

/// Most untypeds of a MiB and more that the kernel may hand over.
const ARENAS: usize = 64;
/// Most objects that one retype makes.
const FAN_OUT: u32 = 256;
/// Log2 of a chunk's CNode in bytes, for core's reserve.
pub const CHUNK_NODE_BITS: u8 = SECOND_BITS + 4;

#[derive(Clone, Copy)]
struct Arena {
    block: Block,
    slot: u32,
}

/// All untyped memory.
pub struct Memory {
    buddy: Buddy,
    slots: Slots,
}

struct Slots {
    top_used: [u32; 1 << (TOP_BITS - 5)],
    /// First-level slot of each chunk: of its CNode if it is open, else of its untyped.
    chunk: [u16; CHUNKS],
    arenas: Vec<Arena, ARENAS>,
    /// The account's CNode in each first-level slot that holds one.
    cap_pages: [Option<Key>; 1 << TOP_BITS],
    /// Block and successor of the CNodes that are about to be destroyed.
    doomed: [Option<(Block, Option<u16>)>; 1 << TOP_BITS],
    /// Block of each open chunk's CNode; the first ones come from elsewhere.
    node_blocks: [Option<Block>; CHUNKS],
    /// The CNode for the next chunk.
    ready: Option<(u32, Option<Block>)>,
    /// A small boot untyped that the first CNodes are made from.
    first_untyped: Option<(Slot, u32)>,
}

impl Memory {
    /// No memory. Const, so that it can start as zero-filled memory.
    #[allow(clippy::large_stack_arrays, reason = "a constant, placed in zero-filled memory")]
    pub const fn new() -> Self {
        Self {
            buddy: Buddy::new(),
            slots: Slots {
                top_used: [0; 1 << (TOP_BITS - 5)],
                chunk: [0; CHUNKS],
                arenas: Vec::new(),
                cap_pages: [None; 1 << TOP_BITS],
                doomed: [None; 1 << TOP_BITS],
                node_blocks: [None; CHUNKS],
                ready: None,
                first_untyped: None,
            },
        }
    }

    /// Marks first-level slots as taken, from `first` up to `end`.
    pub fn reserve_top(&mut self, first: u32, end: u32) {
        for index in first..end {
            self.slots.mark(index, true);
        }
    }

    /// Takes a free first-level slot.
    pub fn take_top(&mut self) -> Option<u32> {
        self.slots.take_top(1)
    }

    /// Gives a first-level slot back; it must be empty.
    pub fn give_top(&mut self, index: u32) {
        self.slots.mark(index, false);
    }

    /// Number of first-level slots that hold nothing but what memory itself needs: free ones, and one for each chunk that a boot untyped was cut
    /// into. How many of the latter there are depends on which memory was used first, and not on who uses it now.
    pub fn free_top(&self) -> u32 {
        let free: u32 = self.slots.top_used.iter().map(|word| word.count_zeros()).sum();
        free + self.slots.chunk.iter().filter(|slot| **slot != 0).count() as u32
    }

    /// Whether a first-level slot is taken.
    #[cfg(test)]
    pub(crate) fn is_top_used(&self, index: u32) -> bool {
        self.slots.top_used[index as usize / 32] & 1 << (index % 32) != 0
    }

    /// The account's CNode in a first-level slot.
    pub fn cap_page(&self, node: u32) -> Option<Key> {
        self.slots.cap_pages.get(node as usize).copied().flatten()
    }

    /// Notes which CNode is in a first-level slot.
    pub fn set_cap_page(&mut self, node: u32, page: Option<Key>) {
        if let Some(entry) = self.slots.cap_pages.get_mut(node as usize) {
            *entry = page;
        }
    }

    /// Notes that the CNode in a first-level slot is to be destroyed, before `next`.
    pub fn doom(&mut self, node: u32, block: Block, next: Option<u32>) {
        if let Some(entry) = self.slots.doomed.get_mut(node as usize) {
            *entry = Some((block, next.map(|next| next as u16)));
        }
        self.set_cap_page(node, None);
    }

    /// Block of a doomed CNode, and the next one.
    pub fn doomed(&mut self, node: u32) -> Option<(Block, Option<u32>)> {
        let (block, next) = self.slots.doomed.get_mut(node as usize)?.take()?;
        Some((block, next.map(u32::from)))
    }

    /// The untyped that the first CNodes are made from: `bytes` of it are free. It stays core's own.
    pub fn set_first_untyped(&mut self, slot: Slot, bytes: u32) {
        self.slots.first_untyped = Some((slot, bytes));
    }

    /// Enters a boot untyped that lies in first-level slot `slot`.
    ///
    /// # Errors
    /// The memory stays unused if the kernel refuses, or if it lies outside of what the books describe.
    pub fn add<K: Kernel>(&mut self, kernel: &mut K, slot: u32, block: Block) -> Result<(), Refused> {
        if block.bits >= CHUNK_BITS {
            if self.slots.arenas.is_full() || !self.buddy.add_arena(block) {
                return Err(Refused);
            }
            return self.slots.arenas.push(Arena { block, slot }).map_err(|_| Refused);
        }
        if !self.buddy.is_open(block.chunk()) {
            let node = self.slots.make_node(kernel)?;
            self.slots.set_chunk(block.chunk(), node);
        }
        let to = Slot::within(self.slots.chunk(block.chunk()), block.node() as u32);
        kernel.move_to(Slot::top(slot), to)?;
        self.slots.mark(slot, false);
        if self.buddy.add_block(block) { Ok(()) } else { Err(Refused) }
    }

    /// Free bytes.
    pub fn free_bytes(&self) -> u32 {
        self.buddy.free_bytes()
    }

    /// Takes a block of `1 << bits` bytes.
    pub fn allocate<K: Kernel>(&mut self, kernel: &mut K, bits: u8) -> Result<Block, Failure<Refused>> {
        self.buddy.allocate(bits, &mut Untyped { slots: &mut self.slots, kernel })
    }

    /// Whether a CNode must be [made ready](Self::make_ready) for the next chunk.
    pub fn wants_node(&self) -> bool {
        self.slots.ready.is_none()
    }

    /// Makes the CNode for the next chunk: from a block of [`CHUNK_NODE_BITS`] that now belongs to it, or,
    /// without one, from the first untyped.
    pub fn make_ready<K: Kernel>(&mut self, kernel: &mut K, block: Option<Block>) -> Result<(), Refused> {
        let node = match block {
            None => self.slots.make_node(kernel)?,
            Some(block) => {
                let node = self.slots.take_top(1).ok_or(Refused)?;
                if kernel.retype(self.untyped(block), Object::CNode(SECOND_BITS), Slot::top(node), 1).is_err() {
                    self.slots.mark(node, false);
                    return Err(Refused);
                }
                node
            }
        };
        self.slots.ready = Some((node, block));
        Ok(())
    }

    /// Closes one chunk that is no longer used in small pieces, and returns the block of a CNode that is no longer needed:
    /// the caller gives it back. `None` if there is no such chunk.
    ///
    /// # Errors
    /// The kernel refused. The CNode in waiting may be [gone](Self::wants_node) then, and its block free.
    pub fn close_chunk<K: Kernel>(&mut self, kernel: &mut K) -> Result<Option<Block>, Refused> {
        for chunk in 0..CHUNKS {
            if !self.buddy.is_open(chunk) {
                continue;
            }
            let own = self.slots.node_blocks.get(chunk).copied().flatten();
            if self.buddy.is_unused(chunk) {
                if own.is_some() {
                    let node = self.make_whole(kernel, chunk)?;
                    self.slots.mark(node, false);
                    return Ok(own);
                }
                // A CNode that cost no block takes the place of one that does.
                if let Some((ready, Some(block))) = self.slots.ready {
                    let node = self.make_whole(kernel, chunk)?;
                    self.slots.mark(ready, false);
                    self.slots.ready = Some((node, None));
                    return Ok(Some(block));
                }
                continue;
            }
            let Some((ready, Some(block))) = self.slots.ready else { continue };
            if chunk == block.chunk() {
                // The CNode in waiting may be all that is left in this chunk: then the chunk's own takes its place.
                kernel.revoke(self.untyped(block))?;
                self.buddy.release(block);
                self.slots.mark(ready, false);
                self.slots.ready = None;
                if self.buddy.is_unused(chunk) {
                    let node = self.make_whole(kernel, chunk)?;
                    self.slots.ready = Some((node, own));
                    // Given back already; the caller's account is settled by a block of the same size that it never sees.
                    return Ok(None);
                }
                let again = self.allocate(kernel, CHUNK_NODE_BITS).map_err(|_| Refused)?;
                if self.make_ready(kernel, Some(again)).is_err() {
                    // Nothing was made from it.
                    self.buddy.release(again);
                    return Err(Refused);
                }
            }
        }
        Ok(None)
    }

    /// Turns an unused open chunk into one untyped in a first-level slot, and returns the slot of its CNode.
    fn make_whole<K: Kernel>(&mut self, kernel: &mut K, chunk: usize) -> Result<u32, Refused> {
        let node = self.slots.chunk(chunk);
        let whole = self.slots.take_top(1).ok_or(Refused)?;
        let moved =
            kernel.revoke(Slot::within(node, 1)).and_then(|()| kernel.move_to(Slot::within(node, 1), Slot::top(whole)));
        if moved.is_err() {
            self.slots.mark(whole, false);
            return Err(Refused);
        }
        self.slots.set_chunk(chunk, whole);
        if let Some(place) = self.slots.node_blocks.get_mut(chunk) {
            *place = None;
        }
        self.buddy.close(chunk);
        Ok(node)
    }

    /// The untyped of a block of at most a chunk.
    pub fn untyped(&self, block: Block) -> Slot {
        let at = self.slots.chunk(block.chunk());
        if self.buddy.is_open(block.chunk()) { Slot::within(at, block.node() as u32) } else { Slot::top(at) }
    }

    /// Destroys everything in a block and gives it back.
    pub fn release<K: Kernel>(&mut self, kernel: &mut K, block: Block) -> Result<(), Refused> {
        for part in parts(block) {
            kernel.revoke(self.untyped(part))?;
        }
        self.buddy.release(block);
        Ok(())
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

/// The untypeds that a block consists of.
pub fn parts(block: Block) -> impl Iterator<Item = Block> {
    let bits = block.bits.min(CHUNK_BITS);
    (0..1u32 << (block.bits - bits)).map(move |part| Block { address: block.address + (part << bits), bits })
}

impl Slots {
    fn mark(&mut self, index: u32, used: bool) {
        if let Some(word) = self.top_used.get_mut(index as usize / 32) {
            let bit = 1 << (index % 32);
            *word = if used { *word | bit } else { *word & !bit };
        }
    }

    /// Takes `count` neighbouring slots.
    fn take_top(&mut self, count: u32) -> Option<u32> {
        let mut run = 0;
        for index in 0..1 << TOP_BITS {
            let word = self.top_used.get(index as usize / 32)?;
            if *word == u32::MAX && index % 32 == 0 && count == 1 {
                continue;
            }
            run = if word & 1 << (index % 32) == 0 { run + 1 } else { 0 };
            if run == count {
                let first = index + 1 - count;
                (first..=index).for_each(|index| self.mark(index, true));
                return Some(first);
            }
        }
        None
    }

    fn chunk(&self, chunk: usize) -> u32 {
        self.chunk.get(chunk).copied().unwrap_or(0).into()
    }

    fn set_chunk(&mut self, chunk: usize, slot: u32) {
        if let Some(entry) = self.chunk.get_mut(chunk) {
            *entry = slot as u16;
        }
    }

    fn make_node<K: Kernel>(&mut self, kernel: &mut K) -> Result<u32, Refused> {
        let (untyped, bytes) = self.first_untyped.ok_or(Refused)?;
        let left = bytes.checked_sub(1 << CHUNK_NODE_BITS).ok_or(Refused)?;
        let node = self.take_top(1).ok_or(Refused)?;
        if kernel.retype(untyped, Object::CNode(SECOND_BITS), Slot::top(node), 1).is_err() {
            self.mark(node, false);
            return Err(Refused);
        }
        self.first_untyped = Some((untyped, left));
        Ok(node)
    }
}

struct Untyped<'a, K> {
    slots: &'a mut Slots,
    kernel: &'a mut K,
}

impl<K: Kernel> Untypeds for Untyped<'_, K> {
    type Error = Refused;

    fn cut_arena(&mut self, chunk: usize) -> Result<Block, Refused> {
        let covers = |arena: &Arena| chunk.wrapping_sub(arena.block.chunk()) < 1 << (arena.block.bits - CHUNK_BITS);
        let at = self.slots.arenas.iter().position(covers).ok_or(Refused)?;
        let Arena { block, slot } = *self.slots.arenas.get(at).ok_or(Refused)?;
        let count = 1 << (block.bits - CHUNK_BITS);
        let first = if count == 1 { slot } else { self.slots.take_top(count).ok_or(Refused)? };
        if count > 1 {
            for done in (0..count).step_by(FAN_OUT as usize) {
                let now = FAN_OUT.min(count - done);
                if self
                    .kernel
                    .retype(Slot::top(slot), Object::Untyped(CHUNK_BITS), Slot::top(first + done), now)
                    .is_err()
                {
                    self.kernel.revoke(Slot::top(slot))?;
                    (first..first + count).for_each(|index| self.slots.mark(index, false));
                    return Err(Refused);
                }
            }
        }
        self.slots.arenas.swap_remove(at);
        for index in 0..count {
            self.slots.set_chunk(block.chunk() + index as usize, first + index);
        }
        Ok(block)
    }

    fn open_chunk(&mut self, chunk: usize) -> Result<(), Refused> {
        let (node, block) = self.slots.ready.ok_or(Refused)?;
        let whole = self.slots.chunk(chunk);
        self.kernel.move_to(Slot::top(whole), Slot::within(node, 1))?;
        self.slots.mark(whole, false);
        self.slots.set_chunk(chunk, node);
        if let Some(place) = self.slots.node_blocks.get_mut(chunk) {
            *place = block;
        }
        self.slots.ready = None;
        Ok(())
    }

    fn split(&mut self, chunk: usize, node: usize) -> Result<(), Refused> {
        let at = self.slots.chunk(chunk);
        let bits = CHUNK_BITS - node.ilog2() as u8 - 1;
        let halves = Slot::within(at, 2 * node as u32);
        self.kernel.retype(Slot::within(at, node as u32), Object::Untyped(bits), halves, 2)
    }

    fn revoke(&mut self, chunk: usize, node: usize) -> Result<(), Refused> {
        self.kernel.revoke(Slot::within(self.slots.chunk(chunk), node as u32))
    }
}
