//! Device registers and interrupts.
//!
//! Device memory comes from the kernel as untypeds that may be much larger than a device. They are halved on demand
//! down to one page, and merged again when both halves are free: device untypeds cost the kernel nothing to split. The nodes
//! of these trees are core's own; what a client has of a device, the frame and the interrupt handler, its account pays.

use session::Error;

use crate::buddy::PAGE_BITS;
use crate::kernel::{Kernel, Object as KernelObject, Slot};
use crate::objects::{Device, Extent, Interrupt, Memory as Kind, Object};
use crate::store::Key;
use crate::system::{PAGE, Result, System};

/// Most pages of one device.
const PAGES: u32 = 128;

impl<K: Kernel> System<'_, K> {
    /// Enters a device untyped.
    pub fn add_device(&mut self, slot: Slot, base: u32, bits: u8) -> Result<()> {
        let root = self.root()?;
        let next = self.devices;
        self.devices = Some(self.insert(
            root,
            Object::Device(Device { slot, base, bits, halves: None, parent: None, taken: false, own: None, next }),
        )?);
        Ok(())
    }

    /// Makes a dataspace of a device's registers.
    pub fn io_memory(&mut self, account: Key, base: u32, bytes: u32) -> Result<Key> {
        let bytes = bytes.checked_next_multiple_of(PAGE).filter(|bytes| *bytes > 0 && *bytes <= PAGES * PAGE);
        let bytes = bytes.ok_or(Error::Invalid)?;
        if !base.is_multiple_of(PAGE) || base.checked_add(bytes - 1).is_none() {
            return Err(Error::Invalid);
        }
        let key = self.new_dataspace(account, bytes, Kind::Device(base))?;
        for page in (0..bytes / PAGE).rev() {
            if let Err(error) = self.add_device_page(account, key, base + page * PAGE) {
                self.drop_dataspace(key)?;
                return Err(error);
            }
        }
        Ok(key)
    }

    fn add_device_page(&mut self, account: Key, dataspace: Key, address: u32) -> Result<()> {
        let device = self.take_device(address)?;
        let made = self.take_run(account, 1).and_then(|first| {
            let next = self.dataspace(dataspace)?.extents;
            let (slot, own) = {
                let device = self.device(device)?;
                (device.slot, device.own)
            };
            let extent = Extent { block: None, device: Some(device), first, frame_bits: PAGE_BITS, count: 1, next };
            let frame = match own {
                Some(own) => self.kernel.copy(own, first),
                None => self.kernel.retype(slot, KernelObject::Frame(PAGE_BITS), first, 1),
            };
            let made = match frame {
                Ok(()) => self.insert(account, Object::Extent(extent)),
                Err(refused) => Err(refused.into()),
            };
            if made.is_err() {
                let revoked = self.kernel.revoke(own.unwrap_or(slot));
                self.note(revoked);
                self.give_run(first, 1);
            }
            made
        });
        match made {
            Ok(extent) => {
                self.dataspace_mut(dataspace)?.extents = Some(extent);
                Ok(())
            }
            Err(error) => {
                self.device_mut(device)?.taken = false;
                self.merge_devices(device)?;
                Err(error)
            }
        }
    }

    /// Finds the page of a device and marks it as taken.
    fn take_device(&mut self, address: u32) -> Result<Key> {
        let mut key = self.device_at(address)?;
        while self.device(key)?.bits > PAGE_BITS {
            let [low, high] = match self.halve(key) {
                Ok(halves) => halves,
                Err(error) => {
                    self.merge_devices(key)?;
                    return Err(error);
                }
            };
            key = if address >= self.device(high)?.base { high } else { low };
        }
        let device = self.device_mut(key)?;
        if device.taken {
            return Err(Error::Busy);
        }
        device.taken = true;
        Ok(key)
    }

    /// Whether somebody has the page of a device.
    pub fn device_taken(&self, address: u32) -> bool {
        self.device_at(address).and_then(|key| self.device(key)).is_ok_and(|device| device.taken)
    }

    /// The smallest node that covers an address.
    fn device_at(&self, address: u32) -> Result<Key> {
        let mut at = self.devices;
        loop {
            let key = at.ok_or(Error::NotFound)?;
            let device = self.device(key)?;
            at = match device.halves {
                _ if address.wrapping_sub(device.base) >> device.bits != 0 => device.next,
                Some([low, high]) => Some(if address >= self.device(high)?.base { high } else { low }),
                None => return Ok(key),
            };
        }
    }

    fn halve(&mut self, key: Key) -> Result<[Key; 2]> {
        let root = self.root()?;
        let (slot, base, bits) = {
            let device = self.device(key)?;
            (device.slot, device.base, device.bits - 1)
        };
        let first = self.take_run(root, 2)?;
        if self.kernel.retype(slot, KernelObject::Untyped(bits), first, 2).is_err() {
            self.give_run(first, 2);
            return Err(Error::Kernel);
        }
        let half = |index: u32| Device {
            slot: first.plus(index),
            base: base + (index << bits),
            bits,
            halves: None,
            parent: Some(key),
            taken: false,
            own: None,
            next: None,
        };
        let made = self.insert(root, Object::Device(half(0))).and_then(|low| {
            match self.insert(root, Object::Device(half(1))) {
                Ok(high) => Ok([low, high]),
                Err(error) => {
                    self.remove(low)?;
                    Err(error)
                }
            }
        });
        match made {
            Ok(halves) => {
                self.device_mut(key)?.halves = Some(halves);
                Ok(halves)
            }
            Err(error) => {
                let revoked = self.kernel.revoke(slot);
                self.note(revoked);
                self.give_run(first, 2);
                Err(error)
            }
        }
    }

    /// Merges a device untyped that nobody has with its other half, as long as nobody has that either.
    fn merge_devices(&mut self, mut key: Key) -> Result<()> {
        loop {
            let unused = |device: &Device| !device.taken && device.own.is_none() && device.halves.is_none();
            let Some(parent) = self.device(key)?.parent else { return Ok(()) };
            let (slot, halves) = {
                let parent = self.device(parent)?;
                (parent.slot, parent.halves.ok_or(Error::Kernel)?)
            };
            let [low, high] = halves;
            if !unused(self.device(low)?) || !unused(self.device(high)?) {
                return Ok(());
            }
            let first = self.device(low)?.slot;
            let revoked = self.kernel.revoke(slot);
            self.note(revoked);
            self.device_mut(parent)?.halves = None;
            self.remove(low)?;
            self.remove(high)?;
            self.give_run(first, 2);
            key = parent;
        }
    }

    /// Frees the page of a device.
    pub(crate) fn give_device(&mut self, key: Key) -> Result<()> {
        let device = self.device_mut(key)?;
        device.taken = false;
        let everything = device.own.unwrap_or(device.slot);
        let revoked = self.kernel.revoke(everything);
        self.note(revoked);
        self.merge_devices(key)
    }

    /// Makes core's own frame of a device's page in an empty slot. Others can still have the page.
    pub fn own_device(&mut self, address: u32, frame: Slot) -> Result<()> {
        let key = self.take_device(address)?;
        let made = self.kernel.retype(self.device(key)?.slot, KernelObject::Frame(PAGE_BITS), frame, 1);
        let device = self.device_mut(key)?;
        device.taken = false;
        if made.is_err() {
            self.merge_devices(key)?;
            return Err(Error::Kernel);
        }
        device.own = Some(frame);
        Ok(())
    }

    /// Makes the handler of an interrupt; the kernel gives each only once.
    pub fn interrupt(&mut self, account: Key, number: u32) -> Result<Slot> {
        self.charge(account, 0, 1, 0)?;
        let made = self.take_run(account, 1).and_then(|slot| {
            let made = match self.kernel.interrupt(number, slot) {
                Ok(()) => self.insert(account, Object::Interrupt(Interrupt { number, slot })).inspect_err(|_| {
                    let deleted = self.kernel.delete(slot);
                    self.note(deleted);
                }),
                Err(_) => Err(Error::Busy),
            };
            if made.is_err() {
                self.give_run(slot, 1);
            }
            made.map(|_| slot)
        });
        if made.is_err() {
            self.refund(account, 0, 1, 0);
        }
        made
    }

    pub(crate) fn drop_interrupt(&mut self, key: Key) -> Result<()> {
        let account = self.owner(key)?;
        let Object::Interrupt(interrupt) = self.remove(key)? else { return Err(Error::Kernel) };
        // Copies are the driver's; without the last of them the kernel masks the interrupt.
        let revoked = self.kernel.revoke(interrupt.slot);
        self.note(revoked);
        self.empty_run(interrupt.slot, 1);
        self.refund(account, 0, 1, 0);
        Ok(())
    }
}
