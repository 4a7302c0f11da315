//! Kernel objects for accounts: slabs of small ones, blocks for large ones.
//!
//! # Theory of operation
//!
//! The kernel takes memory back by revoking an untyped, not object by object. So a small object does not lie in its slab
//! directly: the slab is cut into untypeds of the objects' sizes, and each object is made from one of them. Revoking that
//! destroys the object for good: threads that wait at an endpoint go on and see that it is gone, signals that nobody fetched are
//! forgotten, and no capability that a thread held stays behind. The part is then kept, by its size, for the next object.

use crate::buddy::PAGE_BITS;
use crate::kernel::{Kernel, Object as KernelObject, Slot};
use crate::objects::{Links, Object, Origin, Piece, PieceKind, SMALLEST_BITS, Slab};
use crate::store::Key;
use crate::system::{PAGE, Result, System};
use session::Error;

impl PieceKind {
    fn object(self) -> KernelObject {
        match self {
            Self::Tcb => KernelObject::Tcb,
            Self::Endpoint => KernelObject::Endpoint,
            Self::Notification => KernelObject::Notification,
            Self::PageTable => KernelObject::PageTable,
            Self::PageDirectory => KernelObject::PageDirectory,
            Self::CNode(bits) => KernelObject::CNode(bits),
        }
    }
}

/// Index of a size among the spare parts.
fn size_index(bits: u8) -> usize {
    bits.saturating_sub(SMALLEST_BITS).into()
}

impl<K: Kernel> System<'_, K> {
    /// Makes a kernel object.
    pub(crate) fn make_piece(&mut self, account: Key, kind: PieceKind) -> Result<Key> {
        let bits = self.kernel.size_bits(kind.object());
        if bits >= PAGE_BITS {
            let slot = self.take_run(account, 1)?;
            return self.make_block_piece(account, kind, bits, slot).inspect_err(|_| self.give_run(slot, 1));
        }
        let key = match self.take_spare(account, bits)? {
            Some(key) => key,
            None => self.make_part(account, kind, bits.max(SMALLEST_BITS))?,
        };
        let piece = self.piece_mut(key)?;
        (piece.kind, piece.live) = (kind, true);
        let Origin::Slab { untyped, .. } = piece.origin else { return Err(Error::Kernel) };
        let slot = piece.slot;
        if let Err(refused) = self.kernel.retype(untyped, kind.object(), slot, 1) {
            self.drop_piece(key)?;
            return Err(refused.into());
        }
        Ok(key)
    }

    fn make_block_piece(&mut self, account: Key, kind: PieceKind, bits: u8, slot: Slot) -> Result<Key> {
        let block = self.take_block(account, bits, true)?;
        let made = match self.kernel.retype(self.memory.untyped(block), kind.object(), slot, 1) {
            Ok(()) => self.insert(account, piece(kind, slot, Origin::Block(block), None)),
            Err(refused) => Err(refused.into()),
        };
        if made.is_err() {
            // Revokes what was made.
            self.give_block(account, block, true);
        }
        made
    }

    /// A spare part of that size, in use again.
    fn take_spare(&mut self, account: Key, bits: u8) -> Result<Option<Key>> {
        let Some(key) = self.account(account)?.spare.get(size_index(bits)).copied().flatten() else { return Ok(None) };
        self.unlink_spare(account, key)?;
        if let Origin::Slab { slab, .. } = self.piece(key)?.origin {
            self.slab_mut(slab)?.live += 1;
        }
        Ok(Some(key))
    }

    fn unlink_spare(&mut self, account: Key, key: Key) -> Result<()> {
        let piece = self.piece_mut(key)?;
        let (links, origin) = (core::mem::take(&mut piece.links), piece.origin);
        if let Some(next) = links.next {
            self.piece_mut(next)?.links.previous = links.previous;
        }
        match (links.previous, origin) {
            (Some(previous), _) => self.piece_mut(previous)?.links.next = links.next,
            (None, Origin::Slab { bits, .. }) => {
                if let Some(head) = self.account_mut(account)?.spare.get_mut(size_index(bits)) {
                    *head = links.next;
                }
            }
            (None, Origin::Block(_)) => {}
        }
        Ok(())
    }

    /// Cuts a new part from a slab. It is in use, without an object in it.
    fn make_part(&mut self, account: Key, kind: PieceKind, bits: u8) -> Result<Key> {
        let size = 1u32 << bits;
        let current = self.account(account)?.slab;
        let slab = match current {
            Some(slab) if self.slab(slab)?.filled.next_multiple_of(size) + size <= PAGE => slab,
            _ => self.make_slab(account)?,
        };
        let made = self.make_part_in(account, slab, kind, bits);
        if made.is_err() && self.slab(slab)?.live == 0 {
            self.drop_slab(account, slab)?;
        }
        made
    }

    fn make_part_in(&mut self, account: Key, slab: Key, kind: PieceKind, bits: u8) -> Result<Key> {
        let (block, filled, first) = {
            let slab = self.slab(slab)?;
            let size = 1u32 << bits;
            (slab.block, slab.filled.next_multiple_of(size) + size, slab.pieces)
        };
        let untyped = self.take_run(account, 2)?;
        let part = piece(kind, untyped.plus(1), Origin::Slab { slab, untyped, bits }, first);
        let key = self.insert(account, part).inspect_err(|_| self.give_run(untyped, 2))?;
        if let Err(refused) = self.kernel.retype(self.memory.untyped(block), KernelObject::Untyped(bits), untyped, 1) {
            self.remove(key)?;
            self.give_run(untyped, 2);
            return Err(refused.into());
        }
        let slab = self.slab_mut(slab)?;
        slab.filled = filled;
        slab.live += 1;
        slab.pieces = Some(key);
        Ok(key)
    }

    fn make_slab(&mut self, account: Key) -> Result<Key> {
        let block = self.take_block(account, PAGE_BITS, true)?;
        match self.insert(account, Object::Slab(Slab { block, filled: 0, live: 0, pieces: None })) {
            Ok(key) => {
                self.account_mut(account)?.slab = Some(key);
                Ok(key)
            }
            Err(error) => {
                self.give_block(account, block, true);
                Err(error)
            }
        }
    }

    /// Destroys an object: all capabilities to it vanish, and its memory becomes free for its account.
    pub(crate) fn drop_piece(&mut self, key: Key) -> Result<()> {
        let account = self.owner(key)?;
        let (slot, origin, live) = {
            let piece = self.piece(key)?;
            (piece.slot, piece.origin, piece.live)
        };
        if !live {
            return Err(Error::Invalid);
        }
        match origin {
            Origin::Block(block) => {
                self.give_block(account, block, true);
                self.give_run(slot, 1);
                self.remove(key)?;
            }
            Origin::Slab { slab, untyped, bits } => {
                let revoked = self.kernel.revoke(untyped);
                self.note(revoked);
                self.keep_spare(account, key, bits)?;
                let slab_object = self.slab_mut(slab)?;
                slab_object.live = slab_object.live.saturating_sub(1);
                if slab_object.live == 0 {
                    self.drop_slab(account, slab)?;
                }
            }
        }
        Ok(())
    }

    fn keep_spare(&mut self, account: Key, key: Key, bits: u8) -> Result<()> {
        let head = self.account_mut(account)?.spare.get_mut(size_index(bits)).and_then(|head| head.replace(key));
        if let Some(head) = head {
            self.piece_mut(head)?.links.previous = Some(key);
        }
        let piece = self.piece_mut(key)?;
        piece.live = false;
        piece.links = Links { previous: None, next: head };
        Ok(())
    }

    /// Gives a slab back whose parts are all spare.
    fn drop_slab(&mut self, account: Key, key: Key) -> Result<()> {
        let (block, mut at) = {
            let slab = self.slab(key)?;
            (slab.block, slab.pieces)
        };
        self.give_block(account, block, true);
        while let Some(part) = at {
            self.unlink_spare(account, part)?;
            let (origin, next) = {
                let piece = self.piece(part)?;
                (piece.origin, piece.next_in_slab)
            };
            // The revoke of the slab's memory has emptied the slots.
            if let Origin::Slab { untyped, .. } = origin {
                self.give_run(untyped, 2);
            }
            self.remove(part)?;
            at = next;
        }
        self.remove(key)?;
        let account = self.account_mut(account)?;
        if account.slab == Some(key) {
            account.slab = None;
        }
        Ok(())
    }
}

fn piece(kind: PieceKind, slot: Slot, origin: Origin, next_in_slab: Option<Key>) -> Object {
    let links = Links::default();
    Object::Piece(Piece { kind, slot, origin, next_in_slab, links, live: true, charged: false, megabyte: 0 })
}
