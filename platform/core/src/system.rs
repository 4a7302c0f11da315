//! Core's operations on accounts, dataspaces, domains, threads and devices.
//!
//! # Theory of operation
//!
//! Every operation first charges the account, then takes memory, then asks the kernel; whatever fails, the steps before it
//! are undone and the caller gets a typed error.
//!
//! An account buys memory in three ways. *Blocks* hold frames, page directories and CNodes of their own. *Slabs* of 4 KiB hold small kernel
//! objects, front to back, each in an untyped of its own size: so each can be destroyed by itself, with everybody who waits at
//! it, and its part of the slab is kept for the next object of that size. A slab without any object in use is given back whole. *Pages* and *CNodes* hold core's own bookkeeping; they stay with
//! the account until it is closed.
//!
//! Closing an account destroys what was made from it, then revokes all its untypeds, so the kernel vouches that nothing survives.
//!
//! What this does not do: choose who may ask for what. A capability to an object is the right to use it.

use ledger::{OutOf, Quota};
use session::core::DomainStatus;
use session::{Error, Label};

use crate::buddy::{Block, CHUNK_BITS, Failure, PAGE_BITS};
use crate::kernel::{Access, CAP_PAGE_BITS, Kernel, Object as KernelObject, Refused, Slot};
use crate::memory::{CHUNK_NODE_BITS, Memory};
use crate::objects::{
    Account, CapPage, Dataspace, Device, Domain, Extent, Header, Leaf, Links, Node, Object, Parcel, Piece, Region,
    SPARE_SIZES, Slab, Thread, Window,
};
use crate::store::{Key, PAGES, Store};

/// Bytes in a page.
pub const PAGE: u32 = 1 << PAGE_BITS;
/// Page tables that share a block.
const WINDOW_TABLES: usize = 4;
/// Pages of the store whose tables share a block.
const GROUP: usize = WINDOW_TABLES << (CHUNK_BITS - PAGE_BITS);
/// Groups of pages in the store's window.
const GROUPS: usize = PAGES / GROUP;
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

/// Page tables of the store's window that share a block.
#[derive(Clone, Copy, Debug)]
struct WindowTables {
    block: Block,
    /// Their first-level slots.
    slots: [u32; WINDOW_TABLES],
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
    /// Page tables of the store's window.
    tables: [Option<WindowTables>; GROUPS],
    /// The account that is being closed: its bookkeeping goes as a whole.
    pub(crate) closing: Option<Key>,
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
    pub fn new(
        kernel: K,
        memory: &'a mut Memory,
        store: Store,
        endpoint: Slot,
        scratch: Slot,
        caps: u32,
    ) -> Result<Self> {
        let ledger = ledger::Account::root(Quota::new(memory.free_bytes(), caps));
        let mut system = Self {
            kernel,
            memory,
            store,
            root: None,
            endpoint,
            scratch,
            tables: [None; GROUPS],
            closing: None,
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
        parcel, parcel_mut, Parcel, Parcel;
        header, header_mut, Header, Header;
        faults, faults_mut, Faults, DomainStatus;
        node, node_mut, Node, Node;
        leaf, leaf_mut, Leaf, Leaf;
    }

    /// The first account.
    pub fn root(&self) -> Result<Key> {
        self.root.ok_or(Error::Kernel)
    }

    /// Free untyped memory in bytes.
    pub fn free_bytes(&self) -> u32 {
        self.memory.free_bytes()
    }

    /// Free first-level slots, and those that hold memory.
    pub fn free_top_slots(&self) -> u32 {
        self.memory.free_top()
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
            Ok(block) => self.memory.make_ready(&mut self.kernel, Some(block)).inspect_err(|_| {
                let released = self.memory.release(&mut self.kernel, block);
                self.defects += u32::from(released.is_err());
            }),
            Err(_) => Err(Refused),
        };
        if made.is_err() {
            self.refund(root, 1 << CHUNK_NODE_BITS, 0, 1 << CHUNK_NODE_BITS);
        }
    }

    /// Merges what can be merged: chunks that are no longer used in small pieces give their CNodes back.
    pub fn compact(&mut self) -> Result<()> {
        let root = self.root()?;
        self.drop_window_tables(root);
        loop {
            let (before, was_ready) = (self.memory.free_bytes(), !self.memory.wants_node());
            match self.memory.close_chunk(&mut self.kernel) {
                Ok(Some(block)) => self.give_block(root, block, true),
                // A CNode that was replaced is free already, but not yet refunded.
                Ok(None) if self.memory.free_bytes() > before => {
                    self.refund(root, 1 << CHUNK_NODE_BITS, 0, 1 << CHUNK_NODE_BITS);
                }
                Ok(None) => return Ok(()),
                Err(refused) => {
                    if was_ready && self.memory.wants_node() {
                        self.refund(root, 1 << CHUNK_NODE_BITS, 0, 1 << CHUNK_NODE_BITS);
                    }
                    self.prepare_next_chunk();
                    return Err(refused.into());
                }
            }
        }
    }

    /// Makes sure that page number `page` of the store's window, at `address`, can be mapped.
    fn window_table(&mut self, page: usize, address: usize) -> Result<()> {
        if self.tables.get(page / GROUP).ok_or(Error::Kernel)?.is_some() {
            return Ok(());
        }
        let block = match self.root {
            Some(root) => self.take_block(root, PAGE_BITS, true)?,
            None => self.memory.allocate(&mut self.kernel, PAGE_BITS).map_err(|_| Error::Kernel)?,
        };
        let mut slots = heapless::Vec::new();
        let base = (address - page % GROUP * PAGE as usize) as u32;
        match self.make_window_tables(block, base, &mut slots) {
            Ok(()) => {
                let slots = slots.into_array().map_err(|_| Error::Kernel)?;
                if let Some(tables) = self.tables.get_mut(page / GROUP) {
                    *tables = Some(WindowTables { block, slots });
                }
                Ok(())
            }
            Err(error) => {
                match self.root {
                    Some(root) => self.give_block(root, block, true),
                    None => {
                        let released = self.memory.release(&mut self.kernel, block);
                        self.note(released);
                    }
                }
                slots.into_iter().for_each(|slot| self.memory.give_top(slot));
                Err(error)
            }
        }
    }

    fn make_window_tables(
        &mut self,
        block: Block,
        base: u32,
        slots: &mut heapless::Vec<u32, WINDOW_TABLES>,
    ) -> Result<()> {
        let directory = self.kernel.own_directory();
        for megabyte in 0..WINDOW_TABLES as u32 {
            let top = self.memory.take_top().ok_or(Error::Kernel)?;
            // There is room for exactly that many.
            let _ = slots.push(top);
            self.kernel.retype(self.memory.untyped(block), KernelObject::PageTable, Slot::top(top), 1)?;
            self.kernel.map_table(Slot::top(top), directory, base + megabyte * MEGABYTE)?;
        }
        Ok(())
    }

    /// Gives the page tables back that translate no page of the store any more.
    fn drop_window_tables(&mut self, root: Key) {
        for group in 0..GROUPS {
            if self.store.has_pages(group * GROUP, GROUP) {
                continue;
            }
            let Some(WindowTables { block, slots }) = self.tables.get_mut(group).and_then(Option::take) else {
                continue;
            };
            // Revoking their memory empties the slots.
            self.give_block(root, block, true);
            for slot in slots {
                self.memory.give_top(slot);
            }
        }
    }

    /// Makes the root account out of nothing: its first page, its first CNode, and its entry in that page.
    fn found_root(&mut self, ledger: ledger::Account) -> Result<()> {
        let before = self.memory.free_bytes();
        let (header, cap_page) = self.grow(None)?;
        let account = Account {
            ledger,
            lender: None,
            first_child: None,
            siblings: Links::default(),
            pages: Some(header),
            open_pages: Some(header),
            cap_pages: Some(cap_page),
            slab: None,
            spare: [None; SPARE_SIZES],
            master: None,
        };
        let root = self.take_entry(header, Object::Account(account))?;
        self.header_mut(header)?.account = Some(root);
        self.root = Some(root);
        let spent = before - self.memory.free_bytes();
        self.charge(root, spent, 0, spent)?;
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

    /// Gives an account one page and one CNode at once; each needs room in the other. They stay until the account is closed.
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

    fn grow_with(&mut self, account: Option<Key>, block: Block) -> Result<(Key, Key)> {
        let node = self.make_cap_page(block)?;
        let header = match self.add_page(account, Slot::within(node, 0)) {
            Ok(header) => header,
            Err(error) => {
                self.memory.give_top(node);
                return Err(error);
            }
        };
        let page = CapPage { node, block, used: [1, 0, 0, 0, 0, 0, 0, 0], links: Links::default(), listed: false };
        let key = self.take_entry(header, Object::CapPage(page))?;
        self.memory.set_cap_page(node, Some(key));
        if let Some(account) = account {
            self.list_cap_page(account, key)?;
        } else {
            self.cap_page_mut(key)?.listed = true;
        }
        Ok((header, key))
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

    /// Adds a page to the store with its frame in `frame`.
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
        self.window_table(page, address)?;
        self.kernel.retype(self.memory.untyped(block), KernelObject::Frame(PAGE_BITS), frame, 1)?;
        let access = Access { write: true, execute: false, cached: true };
        self.kernel.map(frame, self.kernel.own_directory(), address as u32, access)?;
        let links = Links::default();
        let header = Header { account, pages: links, open: links, free: None, used: 0, block, frame };
        let key = self.store.add_page(page, header).ok_or(Error::Kernel)?;
        if let Some(account) = account {
            let next = self.account_mut(account)?.pages.replace(key);
            self.header_mut(key)?.pages.next = next;
            if let Some(next) = next {
                self.header_mut(next)?.pages.previous = Some(key);
            }
            self.open_page(account, key)?;
        }
        Ok(key)
    }

    /// Puts a page into its account's list of those with free entries.
    fn open_page(&mut self, account: Key, page: Key) -> Result<()> {
        let next = self.account_mut(account)?.open_pages.replace(page);
        if let Some(next) = next {
            self.header_mut(next)?.open.previous = Some(page);
        }
        self.header_mut(page)?.open = Links { previous: None, next };
        Ok(())
    }

    fn unlink_open_page(&mut self, account: Key, page: Key) -> Result<()> {
        let links = core::mem::take(&mut self.header_mut(page)?.open);
        match links.previous {
            Some(previous) => self.header_mut(previous)?.open.next = links.next,
            None => self.account_mut(account)?.open_pages = links.next,
        }
        if let Some(next) = links.next {
            self.header_mut(next)?.open.previous = links.previous;
        }
        Ok(())
    }

    /// Puts an object into a free entry of a page.
    fn take_entry(&mut self, page: Key, object: Object) -> Result<Key> {
        let entry = self.header(page)?.free.ok_or(Error::Kernel)?;
        let place = self.store.get_mut(entry).ok_or(Error::Kernel)?;
        let Object::Free(next) = *place else { return Err(Error::Kernel) };
        *place = object;
        let header = self.header_mut(page)?;
        header.free = next;
        header.used += 1;
        if let (None, Some(account)) = (next, header.account) {
            self.unlink_open_page(account, page)?;
        }
        Ok(entry)
    }

    /// Makes sure that the account has a free entry, and returns the page that it is in.
    fn page_with_room(&mut self, account: Key) -> Result<Key> {
        if let Some(page) = self.account(account)?.open_pages {
            return Ok(page);
        }
        if self.account(account)?.cap_pages.is_none() {
            return Ok(self.grow(Some(account))?.0);
        }
        let frame = self.take_run(account, 1)?;
        self.add_page(Some(account), frame).inspect_err(|_| self.give_run(frame, 1))
    }

    /// Puts an object into a free entry of the account.
    pub(crate) fn insert(&mut self, account: Key, object: Object) -> Result<Key> {
        let page = self.page_with_room(account)?;
        self.take_entry(page, object)
    }

    /// Frees an entry and returns what was in it.
    pub(crate) fn remove(&mut self, key: Key) -> Result<Object> {
        let (object, unused) = self.free_entry(key)?;
        self.give_bookkeeping(unused)?;
        Ok(object)
    }

    /// Gives bookkeeping back that holds nothing any more. A page's frame is in a CNode and a CNode's entry in a page, so one may lead
    /// to the next, in chains whose length components determine: no recursion.
    fn give_bookkeeping(&mut self, mut unused: Option<Unused>) -> Result<()> {
        while let Some(now) = unused {
            unused = match now {
                Unused::Page(page) => {
                    let frame = self.drop_page(page)?;
                    let key = self.memory.cap_page(frame.node()).ok_or(Error::Kernel)?;
                    self.free_slots(key, frame.index(), 1)?
                }
                Unused::CapPage(key) => {
                    self.drop_cap_page(key)?;
                    self.free_entry(key)?.1
                }
                Unused::Both(page, key) => {
                    // First the page's frame, which is in the CNode, then the CNode.
                    let (account, node, block) = {
                        let cap_page = self.cap_page(key)?;
                        (self.owner(key)?, cap_page.node, cap_page.block)
                    };
                    self.unlist_cap_page(account, key)?;
                    self.memory.set_cap_page(node, None);
                    self.drop_page(page)?;
                    self.give_block(account, block, true);
                    self.memory.give_top(node);
                    None
                }
            };
        }
        Ok(())
    }

    fn drop_cap_page(&mut self, key: Key) -> Result<()> {
        let account = self.owner(key)?;
        let (node, block) = {
            let page = self.cap_page(key)?;
            (page.node, page.block)
        };
        self.unlist_cap_page(account, key)?;
        self.memory.set_cap_page(node, None);
        self.give_block(account, block, true);
        self.memory.give_top(node);
        Ok(())
    }

    /// The CNode of a page that holds nothing but that CNode's entry, if the CNode holds nothing but that page's frame. The
    /// account keeps the last such pair.
    fn lone_pair(&self, page: Key) -> Option<Unused> {
        let header = self.header(page).ok()?;
        let key = self.memory.cap_page(header.frame.node()).filter(|key| key.header() == page)?;
        let slots: u32 = self.cap_page(key).ok()?.used.iter().map(|word| word.count_ones()).sum();
        let last = header.pages == Links::default();
        (header.used == 1 && slots == 1 && !last).then_some(Unused::Both(page, key))
    }

    fn free_entry(&mut self, key: Key) -> Result<(Object, Option<Unused>)> {
        let page = key.header();
        let (account, next, used) = {
            let header = self.header(page)?;
            (header.account.ok_or(Error::Kernel)?, header.free, header.used)
        };
        let place = self.store.get_mut(key).ok_or(Error::Invalid)?;
        let object = core::mem::replace(place, Object::Free(next));
        let header = self.header_mut(page)?;
        header.free = Some(key);
        header.used = used.saturating_sub(1);
        if next.is_none() {
            self.open_page(account, page)?;
        }
        let unused = match used {
            _ if self.closing == Some(account) => None,
            1 => Some(Unused::Page(page)),
            2 => self.lone_pair(page),
            _ => None,
        };
        Ok((object, unused))
    }

    /// Gives a page back and returns the slot of its frame, which is empty then but still taken.
    fn drop_page(&mut self, page: Key) -> Result<Slot> {
        let account = self.owner(page)?;
        self.unlink_open_page(account, page)?;
        let (links, block, frame) = {
            let header = self.header(page)?;
            (header.pages, header.block, header.frame)
        };
        match links.previous {
            Some(previous) => self.header_mut(previous)?.pages.next = links.next,
            None => self.account_mut(account)?.pages = links.next,
        }
        if let Some(next) = links.next {
            self.header_mut(next)?.pages.previous = links.previous;
        }
        self.store.remove_page(page);
        // Revoking the page's memory empties the slot of its frame.
        self.give_block(account, block, true);
        Ok(frame)
    }

    /// Puts a CNode into its account's list of those with free slots.
    fn list_cap_page(&mut self, account: Key, key: Key) -> Result<()> {
        let next = self.account_mut(account)?.cap_pages.replace(key);
        if let Some(next) = next {
            self.cap_page_mut(next)?.links.previous = Some(key);
        }
        let page = self.cap_page_mut(key)?;
        page.links = Links { previous: None, next };
        page.listed = true;
        Ok(())
    }

    fn unlist_cap_page(&mut self, account: Key, key: Key) -> Result<()> {
        let page = self.cap_page_mut(key)?;
        page.listed = false;
        let links = core::mem::take(&mut page.links);
        match links.previous {
            Some(previous) => self.cap_page_mut(previous)?.links.next = links.next,
            None => self.account_mut(account)?.cap_pages = links.next,
        }
        if let Some(next) = links.next {
            self.cap_page_mut(next)?.links.previous = links.previous;
        }
        Ok(())
    }

    /// Takes up to 255 neighbouring capability slots of the account.
    pub(crate) fn take_run(&mut self, account: Key, count: u32) -> Result<Slot> {
        let mut at = self.account(account)?.cap_pages;
        // Looking at a few CNodes bounds the time; the price is an occasional CNode more.
        for _ in 0..4 {
            let Some(key) = at else { break };
            if let Some(slot) = self.take_run_of(account, key, count)? {
                return Ok(slot);
            }
            at = self.cap_page(key)?.links.next;
        }
        let key = if self.account(account)?.open_pages.is_some() {
            let block = self.take_block(account, PAGE_BITS, true)?;
            let node = self.make_cap_page(block).inspect_err(|_| self.give_block(account, block, true))?;
            let page = CapPage { node, block, used: [0; 8], links: Links::default(), listed: false };
            let key = self.insert(account, Object::CapPage(page))?;
            self.memory.set_cap_page(node, Some(key));
            self.list_cap_page(account, key)?;
            key
        } else {
            self.grow(Some(account))?.1
        };
        self.take_run_of(account, key, count)?.ok_or(Error::Invalid)
    }

    fn take_run_of(&mut self, account: Key, key: Key, count: u32) -> Result<Option<Slot>> {
        let page = self.cap_page_mut(key)?;
        let Some(first) = free_run(&page.used, count) else { return Ok(None) };
        set_run(&mut page.used, first, count, true);
        let slot = Slot::within(page.node, first);
        if page.used == [u32::MAX; 8] {
            self.unlist_cap_page(account, key)?;
        }
        Ok(Some(slot))
    }

    /// Gives slots back; they must be empty.
    pub(crate) fn give_run(&mut self, first: Slot, count: u32) {
        let given = match self.memory.cap_page(first.node()) {
            Some(key) => self.free_slots(key, first.index(), count).and_then(|unused| self.give_bookkeeping(unused)),
            // The CNodes of an account that is being closed are no longer looked after.
            None if self.closing.is_some() => Ok(()),
            None => Err(Error::Kernel),
        };
        self.defects += u32::from(given.is_err());
    }

    fn free_slots(&mut self, key: Key, first: u32, count: u32) -> Result<Option<Unused>> {
        let account = self.owner(key)?;
        let page = self.cap_page_mut(key)?;
        set_run(&mut page.used, first, count, false);
        let (listed, empty) = (page.listed, page.used == [0; 8]);
        if !listed {
            self.list_cap_page(account, key)?;
        }
        Ok(match empty {
            _ if self.closing == Some(account) => None,
            true => Some(Unused::CapPage(key)),
            false => self.lone_pair(key.header()),
        })
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

/// Bookkeeping that holds nothing any more.
enum Unused {
    Page(Key),
    CapPage(Key),
    /// A page and a CNode that hold only each other.
    Both(Key, Key),
}

/// First of `count` neighbouring zero bits.
pub(crate) fn free_run(used: &[u32; 8], count: u32) -> Option<u32> {
    if count == 1 {
        let (index, word) = used.iter().enumerate().find(|(_, word)| **word != u32::MAX)?;
        return Some(index as u32 * 32 + word.trailing_ones());
    }
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
