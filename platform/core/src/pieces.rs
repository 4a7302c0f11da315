//! Kernel objects for accounts: slabs of small ones, blocks for large ones.

use crate::buddy::PAGE_BITS;
use crate::kernel::{Kernel, Object as KernelObject, Slot};
use crate::objects::{Links, Object, Origin, Piece, PieceKind, Slab};
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

    /// Index among the kinds that are kept for reuse.
    fn spare(self) -> Option<usize> {
        match self {
            Self::Tcb => Some(0),
            Self::Endpoint => Some(1),
            Self::Notification => Some(2),
            Self::PageTable => Some(3),
            Self::PageDirectory | Self::CNode(_) => None,
        }
    }
}

impl<K: Kernel> System<'_, K> {
    /// Makes a kernel object, or takes one that was kept.
    pub(crate) fn make_piece(&mut self, account: Key, kind: PieceKind) -> Result<Key> {
        if let Some(key) = self.take_spare(account, kind)? {
            return Ok(key);
        }
        let bits = self.kernel.size_bits(kind.object());
        let slot = self.take_run(account, 1)?;
        let made = if bits >= PAGE_BITS {
            self.make_block_piece(account, kind, bits, slot)
        } else {
            self.make_slab_piece(account, kind, bits, slot)
        };
        if made.is_err() {
            self.give_run(slot, 1);
        }
        made
    }

    fn take_spare(&mut self, account: Key, kind: PieceKind) -> Result<Option<Key>> {
        let Some(index) = kind.spare() else { return Ok(None) };
        let Some(key) = self.account(account)?.spare.get(index).copied().flatten() else { return Ok(None) };
        self.unlink_spare(account, key)?;
        let piece = self.piece_mut(key)?;
        piece.live = true;
        if let Origin::Slab(slab) = piece.origin {
            self.slab_mut(slab)?.live += 1;
        }
        Ok(Some(key))
    }

    fn unlink_spare(&mut self, account: Key, key: Key) -> Result<()> {
        let piece = self.piece_mut(key)?;
        let (links, kind) = (core::mem::take(&mut piece.links), piece.kind);
        if let Some(next) = links.next {
            self.piece_mut(next)?.links.previous = links.previous;
        }
        match (links.previous, kind.spare()) {
            (Some(previous), _) => self.piece_mut(previous)?.links.next = links.next,
            (None, Some(index)) => {
                if let Some(head) = self.account_mut(account)?.spare.get_mut(index) {
                    *head = links.next;
                }
            }
            (None, None) => {}
        }
        Ok(())
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

    fn make_slab_piece(&mut self, account: Key, kind: PieceKind, bits: u8, slot: Slot) -> Result<Key> {
        let size = 1u32 << bits;
        let current = self.account(account)?.slab;
        let slab = match current {
            Some(slab) if self.slab(slab)?.filled.next_multiple_of(size) + size <= PAGE => slab,
            _ => self.make_slab(account)?,
        };
        let (block, filled, first) = {
            let slab = self.slab(slab)?;
            (slab.block, slab.filled.next_multiple_of(size) + size, slab.pieces)
        };
        let key = self.insert(account, piece(kind, slot, Origin::Slab(slab), first))?;
        if let Err(refused) = self.kernel.retype(self.memory.untyped(block), kind.object(), slot, 1) {
            self.remove(key)?;
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

    /// Takes an object out of use: all capabilities made from it vanish, and its memory becomes free for its account.
    pub(crate) fn drop_piece(&mut self, key: Key) -> Result<()> {
        let account = self.owner(key)?;
        let (kind, slot, origin, live) = {
            let piece = self.piece(key)?;
            (piece.kind, piece.slot, piece.origin, piece.live)
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
            Origin::Slab(slab) => {
                let clean = match kind {
                    PieceKind::Tcb => self.kernel.stop_thread(slot),
                    PieceKind::PageTable => self.kernel.unmap_table(slot),
                    _ => Ok(()),
                };
                self.note(clean);
                let revoked = self.kernel.revoke(slot);
                self.note(revoked);
                if kind.spare().is_some() {
                    self.keep_spare(account, key, kind)?;
                } else {
                    // A CNode is not fit for reuse: it goes, and its part of the slab rests until the slab is empty.
                    self.empty_run(slot, 1);
                    self.piece_mut(key)?.live = false;
                }
                let slab_object = self.slab_mut(slab)?;
                slab_object.live = slab_object.live.saturating_sub(1);
                if slab_object.live == 0 {
                    self.drop_slab(account, slab)?;
                }
            }
        }
        Ok(())
    }

    fn keep_spare(&mut self, account: Key, key: Key, kind: PieceKind) -> Result<()> {
        let Some(index) = kind.spare() else { return Err(Error::Kernel) };
        let head = self.account_mut(account)?.spare.get_mut(index).and_then(|head| head.replace(key));
        if let Some(head) = head {
            self.piece_mut(head)?.links.previous = Some(key);
        }
        let piece = self.piece_mut(key)?;
        piece.live = false;
        piece.links = Links { previous: None, next: head };
        Ok(())
    }

    fn drop_slab(&mut self, account: Key, key: Key) -> Result<()> {
        let (block, mut at) = {
            let slab = self.slab(key)?;
            (slab.block, slab.pieces)
        };
        self.give_block(account, block, true);
        while let Some(piece) = at {
            let (kind, slot, next) = {
                let piece = self.piece(piece)?;
                (piece.kind, piece.slot, piece.next_in_slab)
            };
            if kind.spare().is_some() {
                self.unlink_spare(account, piece)?;
                // The revoke of the slab's memory has emptied the slot.
                self.give_run(slot, 1);
            }
            self.remove(piece)?;
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
    Object::Piece(Piece {
        kind,
        slot,
        origin,
        next_in_slab,
        links: Links::default(),
        live: true,
        charged: false,
        megabyte: 0,
    })
}
