//! Core's operations on accounts, dataspaces, domains, threads and devices.
//!
//! # Theory of operation
//!
//! Every operation first charges the account, then takes memory, then asks the kernel; whatever fails, the steps before it
//! are undone and the caller gets a typed error.
//!
//! An account buys memory in three ways. *Blocks* hold frames, page directories and CNodes of their own. *Slabs* of 4 KiB hold small kernel
//! objects, front to back; an object that is no longer used is kept for the next one of its kind, and a slab without
//! any object in use is given back whole. *Pages* and *CNodes* hold core's own bookkeeping; they stay with
//! the account until it is closed.
//!
//! Closing an account destroys what was made from it, then revokes all its untypeds, so the kernel vouches that nothing survives.
//!
//! What this does not do: choose who may ask for what. A capability to an object is the right to use it.

use ledger::{OutOf, Quota};
use session::{Error, Label};

use crate::buddy::{Block, CHUNK_BITS, Failure, PAGE_BITS};
use crate::kernel::{Access, CAP_PAGE_BITS, Kernel, Object as KernelObject, Refused, Slot};
use crate::memory::{CHUNK_NODE_BITS, Memory};
use crate::objects::{
    Account, CapPage, Dataspace, Device, Domain, Extent, Header, Links, Object, Piece, Region, Slab, Thread, Window,
};
use crate::store::{Key, Store};

/// Bytes in a page.
pub const PAGE: u32 = 1 << PAGE_BITS;
/// Bytes that one page table translates.
pub(crate) const MEGABYTE: u32 = 1 << CHUNK_BITS;

impl From<Refused> for Error {
    fn from(_: Refused) -> Self {
        Self::Kernel
    }
}

pub(crate) fn poverty(out_of: OutOf) -> Error {
    match out_of {
        OutOf::Ram { .. } => Error::OutOfRam,
        OutOf::Caps { .. } => Error::OutOfCaps,
    }
}

/// A result with one of core's errors.
pub type Result<T> = core::result::Result<T, Error>;

macro_rules! accessors {
    ($($name:ident, $name_mut:ident, $variant:ident, $type:ty;)*) => {
        $(
            #[allow(dead_code, reason = "the set is complete on purpose")]
            pub(crate) fn $name(&self, key: Key) -> Result<&$type> {
                match self.store.get(key) {
                    Some(Object::$variant(object)) => Ok(object),
                    _ => Err(Error::Invalid),
                }
            }

            #[allow(dead_code, reason = "the set is complete on purpose")]
            pub(crate) fn $name_mut(&mut self, key: Key) -> Result<&mut $type> {
                match self.store.get_mut(key) {
                    Some(Object::$variant(object)) => Ok(object),
                    _ => Err(Error::Invalid),
                }
            }
        )*
    };
}

/// The state of core.
pub struct System<'a, K> {
    /// The kernel.
    pub kernel: K,
    pub(crate) memory: &'a mut Memory,
    pub(crate) store: Store,
    root: Option<Key>,
    endpoint: Slot,
    scratch: Slot,
    /// Which page tables of the store's window exist, four to a bit.
    tables: [u32; 2],
    /// First of the device untypeds.
    pub(crate) devices: Option<Key>,
    /// Operations of the kernel that failed although they cannot: each is a defect.
    pub defects: u32,
}

impl<'a, K: Kernel> System<'a, K> {
    /// A system over the memory that was [added](Memory::add), with the first account holding all of it.
    ///
    /// `endpoint` is core's own endpoint, `scratch` an empty first-level slot, `caps` the number of capabilities
    /// that the whole tree may have.
    pub fn new(kernel: K, memory: &'a mut Memory, store: Store, endpoint: Slot, scratch: Slot, caps: u32) -> Result<Self> {
        let ledger = ledger::Account::root(Quota::new(memory.free_bytes(), caps));
        let mut system = Self {
            kernel,
            memory,
            store,
            root: None,
            endpoint,
            scratch,
            tables: [0; 2],
            devices: None,
            defects: 0,
        };
        system.memory.make_ready(&mut system.kernel, None)?;
        system.found_root(ledger)?;
        Ok(system)
    }

    accessors! {
        account, account_mut, Account, Account;
        cap_page, cap_page_mut, CapPage, CapPage;
        slab, slab_mut, Slab, Slab;
        piece, piece_mut, Piece, Piece;
        dataspace, dataspace_mut, Dataspace, Dataspace;
        extent, extent_mut, Extent, Extent;
        region, region_mut, Region, Region;
        domain, domain_mut, Domain, Domain;
        window, window_mut, Window, Window;
        thread, thread_mut, Thread, Thread;
        device, device_mut, Device, Device;
        header, header_mut, Header, Header;
    }

    /// Core's own endpoint.
    pub(crate) fn endpoint(&self) -> Slot {
        self.endpoint
    }

    /// The first account.
    pub fn root(&self) -> Result<Key> {
        self.root.ok_or(Error::Kernel)
    }

    /// Free untyped memory in bytes.
    pub fn free_bytes(&self) -> u32 {
        self.memory.free_bytes()
    }

    /// The object of that name, if there is one.
    pub fn object(&self, key: Key) -> Option<&Object> {
        self.store.get(key)
    }

    /// The numbers of an account.
    pub fn ledger(&self, account: Key) -> Result<&ledger::Account> {
        Ok(&self.account(account)?.ledger)
    }

    /// The account that an object belongs to.
    pub fn owner(&self, key: Key) -> Result<Key> {
        self.header(key.header())?.account.ok_or(Error::Invalid)
    }

    /// A domain's label.
    pub fn label(&self, domain: Key) -> Result<&Label> {
        match self.store.get(self.domain(domain)?.label) {
            Some(Object::Label(label)) => Ok(label),
            _ => Err(Error::Invalid),
        }
    }

    pub(crate) fn note(&mut self, result: core::result::Result<(), Refused>) {
        self.defects += u32::from(result.is_err());
    }

    // Memory and bookkeeping.

    pub(crate) fn charge(&mut self, account: Key, ram: u32, caps: u32, kernel: u32) -> Result<()> {
        self.account_mut(account)?.ledger.charge(Quota::new(ram, caps), kernel).map_err(poverty)
    }

    pub(crate) fn refund(&mut self, account: Key, ram: u32, caps: u32, kernel: u32) {
        let refunded = self.account_mut(account).map(|account| account.ledger.release(Quota::new(ram, caps), kernel));
        self.defects += u32::from(!matches!(refunded, Ok(Ok(()))));
    }

    /// Takes a block that `account` pays for; `kernel`: it holds kernel objects or bookkeeping.
    pub(crate) fn take_block(&mut self, account: Key, bits: u8, kernel: bool) -> Result<Block> {
        let bytes = 1u32.checked_shl(bits.into()).ok_or(Error::Invalid)?;
        let for_kernel = if kernel { bytes } else { 0 };
        self.charge(account, bytes, 0, for_kernel)?;
        match self.memory.allocate(&mut self.kernel, bits) {
            Ok(block) => {
                self.prepare_next_chunk();
                Ok(block)
            }
            Err(failure) => {
                self.refund(account, bytes, 0, for_kernel);
                Err(match failure {
                    Failure::Exhausted => Error::OutOfRam,
                    Failure::Kernel(_) => Error::Kernel,
                })
            }
        }
    }

    pub(crate) fn give_block(&mut self, account: Key, block: Block, kernel: bool) {
        let released = self.memory.release(&mut self.kernel, block);
        self.note(released);
        self.refund(account, block.size(), 0, if kernel { block.size() } else { 0 });
    }

    fn prepare_next_chunk(&mut self) {
        let Some(root) = self.root else { return };
        if !self.memory.wants_node() || self.charge(root, 1 << CHUNK_NODE_BITS, 0, 1 << CHUNK_NODE_BITS).is_err() {
            return;
        }
        // Without a node the next chunk cannot be opened, and that request is refused: nothing to undo here.
        let made = match self.memory.allocate(&mut self.kernel, CHUNK_NODE_BITS) {
            Ok(block) => self.memory.make_ready(&mut self.kernel, Some(block)),
            Err(_) => Err(Refused),
        };
        if made.is_err() {
            self.refund(root, 1 << CHUNK_NODE_BITS, 0, 1 << CHUNK_NODE_BITS);
        }
    }

    /// Makes sure that page `address` of the store's window can be mapped.
    fn window_table(&mut self, address: usize) -> Result<()> {
        // One block holds four tables, for 4 MiB of the window.
        let group = (address >> (CHUNK_BITS + 2)) % 64;
        let (word, bit) = (group / 32, 1u32 << (group % 32));
        let present = self.tables.get_mut(word).ok_or(Error::Kernel)?;
        if *present & bit != 0 {
            return Ok(());
        }
        let block = match self.root {
            Some(root) => self.take_block(root, PAGE_BITS, true)?,
            None => self.memory.allocate(&mut self.kernel, PAGE_BITS).map_err(|_| Error::Kernel)?,
        };
        let directory = self.kernel.own_directory();
        let base = (address as u32) & !(4 * MEGABYTE - 1);
        for part in 0..1u32 << (PAGE_BITS - self.kernel.size_bits(KernelObject::PageTable).min(PAGE_BITS)) {
            let slot = Slot::top(self.memory.take_top().ok_or(Error::Kernel)?);
            self.kernel.retype(self.memory.untyped(block), KernelObject::PageTable, slot, 1)?;
            if part < 4 {
                self.kernel.map_table(slot, directory, base + part * MEGABYTE)?;
            }
        }
        if let Some(present) = self.tables.get_mut(word) {
            *present |= bit;
        }
        Ok(())
    }

    /// Makes the root account out of nothing: its first page, its first CNode, and its entry in that page.
    fn found_root(&mut self, ledger: ledger::Account) -> Result<()> {
        let before = self.memory.free_bytes();
        let (header, cap_page) = self.grow(None)?;
        let entry = Store::entries(header).nth(1).ok_or(Error::Kernel)?;
        let Some(Object::Free(free_entry)) = self.store.get(entry) else { return Err(Error::Kernel) };
        let account = Account {
            ledger,
            lender: None,
            first_child: None,
            siblings: Links::default(),
            pages: Some(header),
            free_entry: *free_entry,
            cap_pages: Some(cap_page),
            slab: None,
            spare: [None; 4],
            master: None,
        };
        *self.store.get_mut(entry).ok_or(Error::Kernel)? = Object::Account(account);
        self.header_mut(header)?.account = Some(entry);
        self.root = Some(entry);
        let spent = before - self.memory.free_bytes();
        self.charge(entry, spent, 0, spent)?;
        self.prepare_next_chunk();
        Ok(())
    }

    /// A block for bookkeeping, charged unless there is no account yet.
    fn book_block(&mut self, account: Option<Key>) -> Result<Block> {
        match account {
            Some(account) => self.take_block(account, PAGE_BITS, true),
            None => self.memory.allocate(&mut self.kernel, PAGE_BITS).map_err(|_| Error::Kernel),
        }
    }

    /// Gives an account one page and one CNode at once; each needs room in the other.
    fn grow(&mut self, account: Option<Key>) -> Result<(Key, Key)> {
        let cnode = self.book_block(account)?;
        let grown = self.grow_with(account, cnode);
        if grown.is_err()
            && let Some(account) = account
        {
            self.give_block(account, cnode, true);
        }
        grown
    }

    fn grow_with(&mut self, account: Option<Key>, cnode: Block) -> Result<(Key, Key)> {
        let node = self.make_cap_page(cnode)?;
        let header = match self.add_page(account, Slot::within(node, 0)) {
            Ok(header) => header,
            Err(error) => {
                self.memory.give_top(node);
                return Err(error);
            }
        };
        let entry = Store::first_entry(header).ok_or(Error::Kernel)?;
        let next_free = match self.store.get(entry) {
            Some(Object::Free(next)) => *next,
            _ => return Err(Error::Kernel),
        };
        let listed = match account {
            Some(account) => self.account(account)?.cap_pages,
            None => None,
        };
        let page = CapPage { node, block: cnode, used: [1, 0, 0, 0, 0, 0, 0, 0], next: listed, listed: true };
        *self.store.get_mut(entry).ok_or(Error::Kernel)? = Object::CapPage(page);
        self.memory.set_cap_page(node, Some(entry));
        if let Some(account) = account {
            let account = self.account_mut(account)?;
            account.cap_pages = Some(entry);
            account.free_entry = next_free;
        }
        Ok((header, entry))
    }

    /// Makes a CNode in a first-level slot.
    fn make_cap_page(&mut self, block: Block) -> Result<u32> {
        let node = self.memory.take_top().ok_or(Error::OutOfRam)?;
        let made = self
            .kernel
            .retype(self.memory.untyped(block), KernelObject::CNode(CAP_PAGE_BITS), self.scratch, 1)
            .and_then(|()| self.kernel.move_cap_page(self.scratch, Slot::top(node)));
        if made.is_err() {
            self.memory.give_top(node);
            return Err(Error::Kernel);
        }
        Ok(node)
    }

    /// Adds a page to the store with its frame in `frame`, and chains its entries to the account.
    fn add_page(&mut self, account: Option<Key>, frame: Slot) -> Result<Key> {
        let block = self.book_block(account)?;
        let added = self.add_page_with(account, frame, block);
        if added.is_err()
            && let Some(account) = account
        {
            self.give_block(account, block, true);
        }
        added
    }

    fn add_page_with(&mut self, account: Option<Key>, frame: Slot, block: Block) -> Result<Key> {
        let (page, address) = self.store.free_page().ok_or(Error::OutOfRam)?;
        self.window_table(address)?;
        self.kernel.retype(self.memory.untyped(block), KernelObject::Frame(PAGE_BITS), frame, 1)?;
        let access = Access { write: true, execute: false, cached: true };
        self.kernel.map(frame, self.kernel.own_directory(), address as u32, access)?;
        let next = match account {
            Some(account) => self.account(account)?.pages,
            None => None,
        };
        let header = self.store.add_page(page, Header { account, next, block, frame }).ok_or(Error::Kernel)?;
        if let Some(account) = account {
            let first = Store::first_entry(header);
            let account = self.account_mut(account)?;
            account.pages = Some(header);
            account.free_entry = first;
        }
        Ok(header)
    }

    /// Puts an object into a free entry of the account.
    pub(crate) fn insert(&mut self, account: Key, object: Object) -> Result<Key> {
        if self.account(account)?.free_entry.is_none() {
            if self.account(account)?.cap_pages.is_some() {
                let frame = self.take_run(account, 1)?;
                // Taking the slot may itself have added a page.
                if self.account(account)?.free_entry.is_some() {
                    self.give_run(frame, 1);
                } else if let Err(error) = self.add_page(Some(account), frame) {
                    self.give_run(frame, 1);
                    return Err(error);
                }
            } else {
                self.grow(Some(account))?;
            }
        }
        let entry = self.account(account)?.free_entry.ok_or(Error::Kernel)?;
        let place = self.store.get_mut(entry).ok_or(Error::Kernel)?;
        let Object::Free(next) = *place else { return Err(Error::Kernel) };
        *place = object;
        self.account_mut(account)?.free_entry = next;
        Ok(entry)
    }

    /// Frees an entry and returns what was in it.
    pub(crate) fn remove(&mut self, key: Key) -> Result<Object> {
        let account = self.owner(key)?;
        let next = self.account(account)?.free_entry;
        let place = self.store.get_mut(key).ok_or(Error::Invalid)?;
        let object = core::mem::replace(place, Object::Free(next));
        self.account_mut(account)?.free_entry = Some(key);
        Ok(object)
    }

    /// Takes up to 256 neighbouring capability slots of the account.
    pub(crate) fn take_run(&mut self, account: Key, count: u32) -> Result<Slot> {
        let mut at = self.account(account)?.cap_pages;
        // Looking at a few CNodes bounds the time; the price is an occasional CNode more.
        for _ in 0..4 {
            let Some(key) = at else { break };
            let page = self.cap_page_mut(key)?;
            if let Some(first) = free_run(&page.used, count) {
                set_run(&mut page.used, first, count, true);
                let slot = Slot::within(page.node, first);
                at = page.next;
                if page.used == [u32::MAX; 8] && self.account(account)?.cap_pages == Some(key) {
                    self.account_mut(account)?.cap_pages = at;
                    self.cap_page_mut(key)?.listed = false;
                }
                return Ok(slot);
            }
            at = page.next;
        }
        let key = if self.account(account)?.free_entry.is_some() {
            let block = self.take_block(account, PAGE_BITS, true)?;
            let node = match self.make_cap_page(block) {
                Ok(node) => node,
                Err(error) => {
                    self.give_block(account, block, true);
                    return Err(error);
                }
            };
            let next = self.account(account)?.cap_pages;
            let key = self.insert(account, Object::CapPage(CapPage { node, block, used: [0; 8], next, listed: true }))?;
            self.account_mut(account)?.cap_pages = Some(key);
            self.memory.set_cap_page(node, Some(key));
            key
        } else {
            self.grow(Some(account))?.1
        };
        let page = self.cap_page_mut(key)?;
        // A CNode that came with a page has its first slot in use, so a run of all 256 does not fit.
        let first = free_run(&page.used, count).ok_or(Error::OutOfCaps)?;
        set_run(&mut page.used, first, count, true);
        Ok(Slot::within(page.node, first))
    }

    /// Gives slots back; they must be empty.
    pub(crate) fn give_run(&mut self, first: Slot, count: u32) {
        let Some(key) = self.memory.cap_page(first.node()) else {
            self.defects += 1;
            return;
        };
        let Ok(account) = self.owner(key) else { return };
        let head = self.account(account).ok().and_then(|account| account.cap_pages);
        if let Ok(page) = self.cap_page_mut(key) {
            set_run(&mut page.used, first.index(), count, false);
            if !page.listed {
                page.listed = true;
                page.next = head;
                if let Ok(account) = self.account_mut(account) {
                    account.cap_pages = Some(key);
                }
            }
        }
    }

    pub(crate) fn empty_run(&mut self, first: Slot, count: u32) {
        for index in 0..count {
            let deleted = self.kernel.delete(first.plus(index));
            self.note(deleted);
        }
        self.give_run(first, count);
    }

    /// Makes the capability by which components name an object.
    pub(crate) fn make_master(&mut self, account: Key, badge: u32) -> Result<Slot> {
        let slot = self.take_run(account, 1)?;
        if self.kernel.mint(self.endpoint, slot, badge).is_err() {
            self.give_run(slot, 1);
            return Err(Error::Kernel);
        }
        Ok(slot)
    }

    pub(crate) fn drop_master(&mut self, master: Option<Slot>) {
        if let Some(slot) = master {
            let revoked = self.kernel.revoke(slot);
            self.note(revoked);
            self.empty_run(slot, 1);
        }
    }
}

/// First of `count` neighbouring zero bits.
pub(crate) fn free_run(used: &[u32; 8], count: u32) -> Option<u32> {
    let mut run = 0;
    for index in 0..256 {
        let word = *used.get(index as usize / 32)?;
        if index % 32 == 0 && word == u32::MAX {
            run = 0;
            continue;
        }
        run = if word & 1 << (index % 32) == 0 { run + 1 } else { 0 };
        if run >= count {
            return Some(index + 1 - count);
        }
    }
    None
}

pub(crate) fn set_run(used: &mut [u32; 8], first: u32, count: u32, value: bool) {
    for index in first..(first + count).min(256) {
        if let Some(word) = used.get_mut(index as usize / 32) {
            let bit = 1 << (index % 32);
            *word = if value { *word | bit } else { *word & !bit };
        }
    }
}
