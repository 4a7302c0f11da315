//! Parcels: several capabilities to be passed on at once.
//!
//! # Theory of operation
//!
//! The kernel moves one capability in a message. A parcel holds more: whoever makes it puts copies of capabilities in, and passes on the capability to the parcel.
//! Whoever receives that lets core copy the contents into empty slots of its own capability space, all of them or none.
//!
//! Everybody pays for what he keeps. The parcel and the copies in it are capabilities of the account that the parcel was made from, until it is freed. The
//! slots that the contents are unpacked into are the receiver's: its capability space was charged to its account when its domain was made, at its full size, so
//! what is received can fill that up and nothing else. What a capability leads to stays with whoever has made it, and vanishes with it, wherever the copies are.

use session::Error;

use crate::kernel::{Kernel, Refused, Slot};
use crate::objects::{Object, Parcel};
use crate::store::Key;
use crate::system::{Result, System};

/// Most capabilities in a parcel.
pub const MOST: u32 = 32;

impl<K: Kernel> System<'_, K> {
    /// Makes a parcel with room for `room` capabilities, all of which the account pays at once.
    pub fn create_parcel(&mut self, account: Key, room: u32) -> Result<Key> {
        if room == 0 || room > MOST {
            return Err(Error::Invalid);
        }
        self.charge(account, 0, 1 + room, 0)?;
        let made = self.create_parcel_charged(account, room);
        if made.is_err() {
            self.refund(account, 0, 1 + room, 0);
        }
        made
    }

    fn create_parcel_charged(&mut self, account: Key, room: u32) -> Result<Key> {
        let first = self.take_run(account, room)?;
        let parcel = Parcel { first, room, filled: 0, master: None };
        let key = self.insert(account, Object::Parcel(parcel)).inspect_err(|_| self.give_run(first, room))?;
        match self.make_master(account, key.badge()) {
            Ok(master) => {
                self.parcel_mut(key)?.master = Some(master);
                Ok(key)
            }
            Err(error) => {
                self.remove(key)?;
                self.give_run(first, room);
                Err(error)
            }
        }
    }

    /// Puts a copy of a capability into a parcel.
    pub fn put(&mut self, key: Key, capability: Slot) -> Result<()> {
        let parcel = self.parcel(key)?;
        if parcel.filled >= parcel.room {
            return Err(Error::Busy);
        }
        let to = parcel.first.plus(parcel.filled);
        self.kernel.copy(capability, to).map_err(|Refused| Error::Invalid)?;
        self.parcel_mut(key)?.filled += 1;
        Ok(())
    }

    /// Copies everything in a parcel into empty slots of a domain; returns how much that was. Something that has been destroyed meanwhile is missing, and its
    /// slot stays empty.
    pub fn unpack(&mut self, domain: Key, key: Key, slots: &[u32]) -> Result<u32> {
        let (first, filled) = {
            let parcel = self.parcel(key)?;
            (parcel.first, parcel.filled)
        };
        let cnode = self.cnode_of(domain)?;
        let wanted = slots.get(..filled as usize).ok_or(Error::Invalid)?;
        if wanted.iter().any(|slot| *slot == 0 || *slot >= 1 << cnode.1) {
            return Err(Error::Invalid);
        }
        let [own, _, _] = self.domain(domain)?.masters;
        let own = own.ok_or(Error::Kernel)?;
        for (index, slot) in (0..).zip(wanted) {
            // The domain's own capability keeps the place, so that a slot that is taken is told from a capability that is gone.
            let copied = match self.kernel.grant(own, cnode, *slot) {
                Ok(()) => {
                    let emptied = self.kernel.take_back(cnode, *slot);
                    self.note(emptied);
                    // Refused if nothing is in there any more.
                    let _ = self.kernel.grant(first.plus(index), cnode, *slot);
                    Ok(())
                }
                Err(Refused) => Err(Error::Busy),
            };
            if copied.is_err() {
                for slot in wanted.iter().take(index as usize) {
                    let emptied = self.kernel.take_back(cnode, *slot);
                    self.note(emptied);
                }
                return copied.map(|()| 0);
            }
        }
        Ok(filled)
    }

    /// Frees a parcel of that account, with the copies in it.
    pub fn free_parcel(&mut self, account: Key, key: Key) -> Result<()> {
        self.parcel(key)?;
        if self.owner(key)? != account {
            return Err(Error::Denied);
        }
        self.drop_parcel(key)
    }

    pub(crate) fn drop_parcel(&mut self, key: Key) -> Result<()> {
        let account = self.owner(key)?;
        let Object::Parcel(parcel) = self.remove(key)? else { return Err(Error::Kernel) };
        self.drop_master(parcel.master);
        self.empty_run(parcel.first, parcel.room);
        self.refund(account, 0, 1 + parcel.room, 0);
        Ok(())
    }
}
