//! Page faults that core or a pager answers.
//!
//! # Theory of operation
//!
//! A region that was attached *lazily* begins without any page. When a thread touches one, core finds the frame in the dataspace, maps it and answers the
//! fault: the thread goes on where it was. The mapping is paid for at that moment; if the account cannot, the thread takes
//! an ordinary fault.
//!
//! A *managed* dataspace has no memory of its own. Its maker is its pager: it is signalled when a thread touches a page that is not there, asks which, and puts in
//! a page of another dataspace, which core maps before it lets the thread go on. Meanwhile that thread, and nobody else, waits: core only
//! notes it. A page may be put in for reading; then the first write asks the pager again. The pager's own memory may be managed by another pager,
//! and so on: every fault is answered by itself.
//!
//! The memory behind a page stays its owner's. When that one frees it, the kernel destroys every mapping of the frame, wherever it is; the slot that held the
//! copy is empty then, which core notices when it tries to use it, and asks the pager again.
//!
//! The kernel lets a capability to a frame map it once. The first lazy region of a dataspace uses the frames' own capabilities; all other mappings are made
//! through copies.
//!
//! *Sealing* ends writing to a dataspace for everybody: what is mapped writeable is mapped again read-only, and no one can attach it writeable
//! any more. It is refused where that would not be the whole truth: when a device may know where the memory lies, when the kernel
//! writes messages there, or when pages have gone into a managed dataspace as writeable.

use session::Error;
use session::core::{LAZY, WRITE, fault};

use crate::dataspaces::access;
use crate::faults::Fault;
use crate::kernel::{Kernel, Slot};
use crate::objects::{Links, Managed, Memory, Wait};
use crate::pages::Page;
use crate::store::Key;
use crate::system::{PAGE, Result, System};

/// Badge bit of a dataspace capability that only allows reading.
pub const READ_ONLY_BADGE: u32 = 1 << 24;
/// Most pages that one request moves: core answers everybody soon.
const MOST_PAGES: u32 = 256;

/// What becomes of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// The page is there now.
    Mapped,
    /// The thread waits for its pager.
    Waiting,
    /// It was wrong.
    Fault,
}

impl<K: Kernel> System<'_, K> {
    /// Answers a fault if a page is all that is missing.
    ///
    /// # Errors
    /// The mapping cannot be paid for, or the kernel refuses it.
    pub fn page_fault(&mut self, domain: Key, thread: Key, fault: &Fault) -> Result<Resolution> {
        let (address, write) = (fault.address, fault.write);
        if !matches!(fault.kind, fault::DATA | fault::FETCH | fault::READ_ONLY) {
            return Ok(Resolution::Fault);
        }
        self.stop_waiting(thread)?;
        self.resolve(domain, thread, address, write)
    }

    fn resolve(&mut self, domain: Key, thread: Key, address: u32, write: bool) -> Result<Resolution> {
        let mut at = self.domain(domain)?.regions;
        let key = loop {
            let Some(key) = at else { return Ok(Resolution::Fault) };
            let region = self.region(key)?;
            if address.wrapping_sub(region.address) < region.bytes {
                break key;
            }
            at = region.in_domain.next;
        };
        let (dataspace, flags, index, offset) = {
            let region = self.region(key)?;
            if region.pages.is_none() || (write && region.flags & WRITE == 0) {
                return Ok(Resolution::Fault);
            }
            let within = (address - region.address) & !(PAGE - 1);
            (region.dataspace, region.flags, within / PAGE, region.offset + within)
        };
        let managed = self.dataspace(dataspace)?.managed;
        let page = match managed {
            None => {
                let frame = self.frame_of(dataspace, offset / PAGE)?;
                if self.dataspace(dataspace)?.mapper == Some(key) {
                    return self.map_direct(key, index, address & !(PAGE - 1), frame).map(|()| Resolution::Mapped);
                }
                Some(Page { slot: frame, writeable: flags & WRITE != 0 })
            }
            Some(Managed { pages, .. }) => {
                let page = self.page(pages, offset / PAGE)?;
                page.map(|page| Page { writeable: page.writeable && flags & WRITE != 0, ..page })
            }
        };
        if let Some(page) = page.filter(|page| page.writeable || !write) {
            match self.map_page(key, index, address & !(PAGE - 1), page) {
                // The frame has been destroyed.
                Err(Error::NotFound) => {}
                result => return result.map(|()| Resolution::Mapped),
            }
        }
        let Some(Managed { pages, pager, waiting, .. }) = managed else { return Ok(Resolution::Fault) };
        if !write {
            self.take_page(pages, offset / PAGE)?;
        }
        let links = Links { previous: None, next: waiting };
        self.thread_mut(thread)?.wait = Some(Wait { dataspace, offset, address, write, told: false, links });
        if let Some(next) = waiting
            && let Some(wait) = &mut self.thread_mut(next)?.wait
        {
            wait.links.previous = Some(thread);
        }
        if let Some(managed) = &mut self.dataspace_mut(dataspace)?.managed {
            managed.waiting = Some(thread);
        }
        self.kernel.signal(pager);
        Ok(Resolution::Waiting)
    }

    /// Maps a frame itself.
    fn map_direct(&mut self, region: Key, index: u32, address: u32, frame: Slot) -> Result<()> {
        let (domain, pages, flags) = {
            let region = self.region(region)?;
            (region.domain, region.pages.ok_or(Error::Kernel)?, region.flags)
        };
        let payer = self.owner(region)?;
        let directory = self.piece(self.domain(domain)?.directory)?.slot;
        self.table_for(region, domain, payer, directory, address)?;
        // Another thread may have been faster.
        if self.mark_page(payer, pages, index)?
            && self.kernel.map(frame, directory, address, access(flags, false)).is_err()
        {
            self.take_page(pages, index)?;
            return Err(Error::Kernel);
        }
        Ok(())
    }

    /// Takes all mappings of frames themselves away that a region has.
    pub(crate) fn unmap_direct(&mut self, key: Key) -> Result<()> {
        let (dataspace, offset, pages, bytes) = {
            let region = self.region(key)?;
            (region.dataspace, region.offset, region.pages, region.bytes)
        };
        let Some(pages) = pages.filter(|pages| !pages.slots) else { return Ok(()) };
        let mut index = 0;
        while let Some(page) = self.next_page(pages, index, bytes / PAGE)? {
            let frame = self.frame_of(dataspace, offset / PAGE + page)?;
            let unmapped = self.kernel.unmap(frame);
            self.note(unmapped);
            self.take_page(pages, page)?;
            index = page + 1;
        }
        Ok(())
    }

    fn map_page(&mut self, region: Key, index: u32, address: u32, page: Page) -> Result<()> {
        let (domain, pages, flags) = {
            let region = self.region(region)?;
            (region.domain, region.pages.ok_or(Error::Kernel)?, region.flags)
        };
        let payer = self.owner(region)?;
        let directory = self.piece(self.domain(domain)?.directory)?.slot;
        self.table_for(region, domain, payer, directory, address)?;
        let slot = self.put_page(payer, pages, index, page)?;
        let flags = if page.writeable { flags } else { flags & !WRITE };
        if self.kernel.map(slot, directory, address, access(flags, false)).is_err() {
            self.take_page(pages, index)?;
            return Err(Error::Kernel);
        }
        Ok(())
    }

    /// Takes a thread out of the list of those who wait for a page.
    pub(crate) fn stop_waiting(&mut self, thread: Key) -> Result<Option<Wait>> {
        let Some(wait) = self.thread_mut(thread)?.wait.take() else { return Ok(None) };
        match wait.links.previous {
            Some(previous) => {
                if let Some(before) = &mut self.thread_mut(previous)?.wait {
                    before.links.next = wait.links.next;
                }
            }
            None => {
                if let Some(managed) = &mut self.dataspace_mut(wait.dataspace)?.managed {
                    managed.waiting = wait.links.next;
                }
            }
        }
        if let Some(next) = wait.links.next
            && let Some(behind) = &mut self.thread_mut(next)?.wait
        {
            behind.links.previous = wait.links.previous;
        }
        Ok(Some(wait))
    }

    /// Lets a thread take the fault that it has waited to be spared.
    fn fail_waiting(&mut self, thread: Key) -> Result<()> {
        let Some(wait) = self.stop_waiting(thread)? else { return Ok(()) };
        let instruction = self.registers_of(thread).map_or(0, |[.., counter, _]| counter);
        let fault = Fault { kind: fault::DATA, instruction, address: wait.address, write: wait.write };
        let domain = self.thread(thread)?.domain;
        self.fault(domain, Some(thread), fault).map(drop)
    }

    /// Makes a managed dataspace whose pager is told by that notification.
    pub fn create_managed(&mut self, account: Key, bytes: u32, notification: Slot) -> Result<Key> {
        let bytes = bytes.checked_next_multiple_of(PAGE).filter(|bytes| *bytes > 0).ok_or(Error::Invalid)?;
        let key = self.new_dataspace(account, bytes, Memory::Managed)?;
        match self.equip_managed(account, key, bytes, notification) {
            Ok(()) => Ok(key),
            Err(error) => {
                self.drop_dataspace(key)?;
                Err(error)
            }
        }
    }

    fn equip_managed(&mut self, account: Key, key: Key, bytes: u32, notification: Slot) -> Result<()> {
        let pager = self.take_run(account, 1)?;
        if self.kernel.copy(notification, pager).is_err() {
            self.give_run(pager, 1);
            return Err(Error::Invalid);
        }
        let pages = self.new_page_map(account, bytes / PAGE, true).inspect_err(|_| self.empty_run(pager, 1))?;
        self.dataspace_mut(key)?.managed = Some(Managed { pages, pager, master: None, waiting: None });
        let master = self.make_master(account, key.badge() | crate::domains::PARENT_BADGE)?;
        if let Some(managed) = &mut self.dataspace_mut(key)?.managed {
            managed.master = Some(master);
        }
        Ok(())
    }

    /// Gives back what a managed dataspace has beyond others; its regions are gone already.
    pub(crate) fn drop_managed(&mut self, key: Key) -> Result<()> {
        while let Some(Managed { waiting: Some(thread), .. }) = self.dataspace(key)?.managed {
            self.fail_waiting(thread)?;
        }
        if let Some(Managed { pages, pager, master, .. }) = self.dataspace_mut(key)?.managed.take() {
            self.drop_page_map(pages)?;
            self.empty_run(pager, 1);
            self.drop_master(master);
        }
        Ok(())
    }

    fn managed(&self, key: Key) -> Result<Managed> {
        self.dataspace(key)?.managed.ok_or(Error::Invalid)
    }

    /// The next access that waits for a page and has not been told: offset, and whether it is a write.
    pub fn next_fault(&mut self, key: Key) -> Result<Option<(u32, bool)>> {
        let mut at = self.managed(key)?.waiting;
        while let Some(thread) = at {
            let Some(wait) = &mut self.thread_mut(thread)?.wait else { return Err(Error::Kernel) };
            if !wait.told {
                wait.told = true;
                return Ok(Some((wait.offset, wait.write)));
            }
            at = wait.links.next;
        }
        Ok(None)
    }

    fn check_pages(&self, key: Key, offset: u32, bytes: u32) -> Result<()> {
        let end = offset.checked_add(bytes).ok_or(Error::Invalid)?;
        let aligned = offset.is_multiple_of(PAGE) && bytes.is_multiple_of(PAGE);
        let fits = bytes > 0 && bytes <= MOST_PAGES * PAGE && end <= self.dataspace(key)?.bytes;
        if aligned && fits { Ok(()) } else { Err(Error::Invalid) }
    }

    /// Puts pages of a dataspace into a managed one; `writeable` as far as the other one may be written to.
    ///
    /// # Errors
    /// [`Error::NotFound`]: a page of the other one, which is managed too, is not there. Those before it are in place.
    pub fn populate(&mut self, key: Key, other: Key, [offset, source, bytes]: [u32; 3], writeable: bool) -> Result<()> {
        let managed = self.managed(key)?;
        self.check_pages(key, offset, bytes)?;
        self.check_pages(other, source, bytes)?;
        let account = self.owner(key)?;
        let (kind, sealed) = {
            let other = self.dataspace(other)?;
            (other.kind, other.sealed)
        };
        if matches!(kind, Memory::Device(_)) || (writeable && (sealed || kind == Memory::Rom)) {
            return Err(Error::Denied);
        }
        for page in 0..bytes / PAGE {
            let from = match self.dataspace(other)?.managed {
                Some(Managed { pages, .. }) => {
                    let page = self.page(pages, source / PAGE + page)?.ok_or(Error::NotFound)?;
                    if writeable && !page.writeable {
                        return Err(Error::Denied);
                    }
                    page.slot
                }
                None => self.frame_of(other, source / PAGE + page)?,
            };
            if writeable {
                self.dataspace_mut(other)?.lent_writeable = true;
            }
            let index = offset / PAGE + page;
            self.forget_mappings(key, index * PAGE)?;
            self.put_page(account, managed.pages, index, Page { slot: from, writeable })?;
        }
        let mut at = self.managed(key)?.waiting;
        while let Some(thread) = at {
            let wait = self.thread(thread)?.wait.ok_or(Error::Kernel)?;
            at = wait.links.next;
            if wait.offset.wrapping_sub(offset) < bytes {
                self.serve_waiting(thread)?;
            }
        }
        Ok(())
    }

    /// Lets a thread go on whose page has come.
    fn serve_waiting(&mut self, thread: Key) -> Result<()> {
        let Some(wait) = self.stop_waiting(thread)? else { return Ok(()) };
        let (domain, stopped) = {
            let thread = self.thread(thread)?;
            (thread.domain, thread.stopped)
        };
        match self.resolve(domain, thread, wait.address, wait.write) {
            Ok(Resolution::Waiting) => Ok(()),
            // A thread that is stopped touches the page again when it goes on.
            Ok(Resolution::Mapped) if stopped => Ok(()),
            Ok(Resolution::Mapped) => {
                let tcb = self.tcb(thread)?;
                Ok(self.kernel.resume(tcb)?)
            }
            result => {
                self.thread_mut(thread)?.wait = None;
                let kind = if result == Err(Error::OutOfRam) { fault::UNPAID } else { fault::DATA };
                let instruction = self.registers_of(thread).map_or(0, |[.., counter, _]| counter);
                let fault = Fault { kind, instruction, address: wait.address, write: wait.write };
                self.fault(domain, Some(thread), fault).map(drop)
            }
        }
    }

    /// Takes the mappings of one page away, wherever the dataspace is attached.
    fn forget_mappings(&mut self, key: Key, offset: u32) -> Result<()> {
        let mut at = self.dataspace(key)?.regions;
        while let Some(region) = at {
            let region = self.region(region)?;
            at = region.in_dataspace.next;
            let within = offset.wrapping_sub(region.offset);
            if let Some(pages) = region.pages.filter(|_| within < region.bytes) {
                self.take_page(pages, within / PAGE)?;
            }
        }
        Ok(())
    }

    /// Takes pages out of a managed dataspace.
    pub fn evict(&mut self, key: Key, offset: u32, bytes: u32) -> Result<()> {
        let managed = self.managed(key)?;
        self.check_pages(key, offset, bytes)?;
        for index in offset / PAGE..(offset + bytes) / PAGE {
            self.forget_mappings(key, index * PAGE)?;
            self.take_page(managed.pages, index)?;
        }
        Ok(())
    }

    /// Lets those who wait for a page take a fault.
    pub fn refuse_page(&mut self, key: Key, offset: u32) -> Result<()> {
        let mut at = self.managed(key)?.waiting;
        while let Some(thread) = at {
            let wait = self.thread(thread)?.wait.ok_or(Error::Kernel)?;
            at = wait.links.next;
            if wait.offset == offset {
                self.fail_waiting(thread)?;
            }
        }
        Ok(())
    }

    /// The capability of a dataspace for reading alone.
    pub fn read_only_master(&mut self, key: Key) -> Result<Slot> {
        let object = self.dataspace(key)?;
        if object.kind == Memory::Rom {
            // Nobody can write to a boot module anyway.
            return object.master.ok_or(Error::Kernel);
        }
        if let Some(master) = object.read_only {
            return Ok(master);
        }
        let account = self.owner(key)?;
        if account == self.root()? {
            return Err(Error::Denied);
        }
        let master = self.make_master(account, key.badge() | READ_ONLY_BADGE)?;
        self.dataspace_mut(key)?.read_only = Some(master);
        Ok(master)
    }

    /// Gives up writing to a dataspace of that account for good.
    ///
    /// # Errors
    /// [`Error::Invalid`]: it is not plain RAM. [`Error::Busy`]: a thread has had its message buffer there, or pages of it have been put into a managed dataspace
    /// as writeable.
    pub fn seal(&mut self, account: Key, key: Key) -> Result<()> {
        let (kind, written, first) = {
            let dataspace = self.dataspace(key)?;
            (dataspace.kind, dataspace.lent_writeable || dataspace.has_buffers, dataspace.regions)
        };
        if self.owner(key)? != account {
            return Err(Error::Denied);
        }
        if kind != Memory::Ram {
            return Err(Error::Invalid);
        }
        if written {
            return Err(Error::Busy);
        }
        self.dataspace_mut(key)?.sealed = true;
        let mut at = first;
        while let Some(region) = at {
            at = self.region(region)?.in_dataspace.next;
            if self.region(region)?.flags & WRITE != 0 {
                self.stop_writing(region)?;
            }
        }
        Ok(())
    }

    /// Maps what a region maps writeable again, read-only.
    fn stop_writing(&mut self, key: Key) -> Result<()> {
        let (domain, address, bytes, flags, pages, runs) = {
            let region = self.region_mut(key)?;
            region.flags &= !WRITE;
            (region.domain, region.address, region.bytes, region.flags, region.pages, region.runs)
        };
        if let Some(pages) = pages {
            // They are mapped again when they are touched.
            self.unmap_direct(key)?;
            let mut index = 0;
            while let Some(page) = self.next_page(pages, index, bytes / PAGE)? {
                self.take_page(pages, page)?;
                index = page + 1;
            }
            return Ok(());
        }
        let directory = self.piece(self.domain(domain)?.directory)?.slot;
        let mut at = address;
        let frames = runs.into_iter().flat_map(|run| (0..run.count).map(move |index| run.first.plus(index)));
        let mut extents = FrameSizes::new(self, key)?;
        for frame in frames {
            let size = extents.next(self)?;
            let unmapped = self.kernel.unmap(frame);
            self.note(unmapped);
            // Its page table is there: it was mapped a moment ago.
            let mapped = self.kernel.map(frame, directory, at, access(flags & !LAZY, false));
            self.note(mapped);
            at += size;
        }
        Ok(())
    }
}

/// Sizes of the frames of a region, in the order of their addresses.
struct FrameSizes {
    extent: Option<Key>,
    /// Frames of the extent that are before the next one.
    done: u32,
}

impl FrameSizes {
    fn new<K: Kernel>(system: &System<'_, K>, region: Key) -> Result<Self> {
        let region = system.region(region)?;
        let mut extent = system.dataspace(region.dataspace)?.extents;
        let mut skip = region.offset;
        while let Some(key) = extent {
            let object = system.extent(key)?;
            if skip < object.count << object.frame_bits {
                return Ok(Self { extent, done: skip >> object.frame_bits });
            }
            skip -= object.count << object.frame_bits;
            extent = object.next;
        }
        Err(Error::Kernel)
    }

    fn next<K: Kernel>(&mut self, system: &System<'_, K>) -> Result<u32> {
        let extent = system.extent(self.extent.ok_or(Error::Kernel)?)?;
        self.done += 1;
        if self.done == extent.count {
            *self = Self { extent: extent.next, done: 0 };
        }
        Ok(1 << extent.frame_bits)
    }
}
