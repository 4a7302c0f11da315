//! Dataspaces, and attaching them to domains.
//!
//! # Addresses
//!
//! A component chooses addresses below [`WINDOW_BASE`] itself (its program is linked there). Above, core chooses, in whole megabytes: a region then
//! has its page tables to itself, so they are paid and given back together with the region, and freeing never
//! has to ask who else uses a table.

use abi::{WINDOW_BASE, WINDOW_END};
use session::Error;
use session::core::{CONTIGUOUS, EXECUTE, LAZY, SMALL_PAGES, UNCACHED, WRITE};

use crate::buddy::{CHUNK_BITS, PAGE_BITS};
use crate::kernel::{Access, Kernel, Object as KernelObject, Slot};
use crate::memory::parts;
use crate::objects::{
    Dataspace, Extent, Links, Memory as Kind, Object, PieceKind, REGION_RUNS, Region, Run, WINDOWS, Window,
};
use crate::store::Key;
use crate::system::{MEGABYTE, PAGE, Result, System};

/// Log2 of a large page.
const LARGE_BITS: u8 = 16;
/// Most capabilities in one run.
const RUN: u32 = 255;
/// Megabytes of a [`Window`].
const WINDOW_MEGABYTES: u32 = 256;
/// Lowest address that a component may use.
const LOWEST: u32 = 0x10000;

const _: () = assert!((WINDOW_END - WINDOW_BASE) as u32 / MEGABYTE == WINDOWS as u32 * WINDOW_MEGABYTES);

impl<K: Kernel> System<'_, K> {
    /// Makes a RAM dataspace.
    pub fn create_dataspace(&mut self, account: Key, bytes: u32, flags: u32) -> Result<Key> {
        let bytes = bytes.checked_next_multiple_of(PAGE).filter(|bytes| *bytes > 0).ok_or(Error::Invalid)?;
        if flags & !(CONTIGUOUS | SMALL_PAGES) != 0 {
            return Err(Error::Invalid);
        }
        let key = self.new_dataspace(account, bytes, Kind::Ram)?;
        let filled = if flags & CONTIGUOUS == 0 {
            self.fill_with_blocks(account, key, bytes, flags & SMALL_PAGES != 0)
        } else {
            self.fill_contiguous(account, key, bytes, flags & SMALL_PAGES != 0)
        };
        match filled {
            Ok(()) => Ok(key),
            Err(error) => {
                self.drop_dataspace(key)?;
                Err(error)
            }
        }
    }

    /// An empty dataspace with its capability.
    pub(crate) fn new_dataspace(&mut self, account: Key, bytes: u32, kind: Kind) -> Result<Key> {
        self.charge(account, 0, 1, 0)?;
        let empty = Dataspace {
            bytes,
            kind,
            extents: None,
            regions: None,
            master: None,
            read_only: None,
            managed: None,
            sealed: false,
            mapper: None,
            lent_writeable: false,
            has_buffers: false,
        };
        let key = match self.insert(account, Object::Dataspace(empty)) {
            Ok(key) => key,
            Err(error) => {
                self.refund(account, 0, 1, 0);
                return Err(error);
            }
        };
        match self.make_master(account, key.badge()) {
            Ok(master) => {
                self.dataspace_mut(key)?.master = Some(master);
                Ok(key)
            }
            Err(error) => {
                self.remove(key)?;
                self.refund(account, 0, 1, 0);
                Err(error)
            }
        }
    }

    fn fill_with_blocks(&mut self, account: Key, key: Key, bytes: u32, small: bool) -> Result<()> {
        let mut left = bytes;
        let mut last = None;
        while left > 0 {
            let bits = (left.ilog2() as u8).min(CHUNK_BITS);
            // A run of capabilities has room for the frames of at most 512 KiB in small pages.
            let bits = if small { bits.min(PAGE_BITS + 7) } else { bits };
            let extent = self.take_extent(account, bits, small)?;
            match last {
                None => self.dataspace_mut(key)?.extents = Some(extent),
                Some(last) => self.extent_mut(last)?.next = Some(extent),
            }
            last = Some(extent);
            left -= 1 << bits;
        }
        Ok(())
    }

    fn fill_contiguous(&mut self, account: Key, key: Key, bytes: u32, small: bool) -> Result<()> {
        let bits = bytes.checked_next_power_of_two().ok_or(Error::OutOfRam)?.ilog2() as u8;
        let extent = self.take_extent(account, bits, small)?;
        let address = self.extent(extent)?.block.ok_or(Error::Kernel)?.address;
        let dataspace = self.dataspace_mut(key)?;
        dataspace.extents = Some(extent);
        dataspace.kind = Kind::Contiguous(address);
        // Whoever pays for the whole block gets all of it.
        dataspace.bytes = 1 << bits;
        Ok(())
    }

    /// A block as frames, the largest that fit.
    fn take_extent(&mut self, account: Key, bits: u8, small: bool) -> Result<Key> {
        let frame_bits = match bits {
            _ if small => PAGE_BITS,
            CHUNK_BITS.. => CHUNK_BITS,
            LARGE_BITS.. => LARGE_BITS,
            _ => PAGE_BITS,
        };
        let count =
            1u32.checked_shl((bits - frame_bits).into()).filter(|count| *count <= RUN).ok_or(Error::OutOfRam)?;
        let block = self.take_block(account, bits, false)?;
        let first = match self.take_run(account, count) {
            Ok(first) => first,
            Err(error) => {
                self.give_block(account, block, false);
                return Err(error);
            }
        };
        let mut made = Ok(());
        let per_part = if bits > CHUNK_BITS { 1 } else { count };
        for (index, part) in parts(block).enumerate() {
            let slot = first.plus(index as u32);
            made = made.and_then(|()| {
                self.kernel.retype(self.memory.untyped(part), KernelObject::Frame(frame_bits), slot, per_part)
            });
        }
        let extent = Extent { block: Some(block), device: None, first, frame_bits, count, next: None };
        let inserted = match made {
            Ok(()) => self.insert(account, Object::Extent(extent)),
            Err(refused) => Err(refused.into()),
        };
        if inserted.is_err() {
            self.give_block(account, block, false);
            self.give_run(first, count);
        }
        inserted
    }

    /// A dataspace of frames of the boot image; the capabilities are neighbours from `first`.
    pub fn create_rom(&mut self, first: Slot, bytes: u32) -> Result<Key> {
        let account = self.root()?;
        let bytes = bytes.checked_next_multiple_of(PAGE).filter(|bytes| *bytes > 0).ok_or(Error::Invalid)?;
        let key = self.new_dataspace(account, bytes, Kind::Rom)?;
        let count = bytes / PAGE;
        let extent = Extent { block: None, device: None, first, frame_bits: PAGE_BITS, count, next: None };
        match self.insert(account, Object::Extent(extent)) {
            Ok(extent) => {
                self.dataspace_mut(key)?.extents = Some(extent);
                Ok(key)
            }
            Err(error) => {
                self.drop_dataspace(key)?;
                Err(error)
            }
        }
    }

    /// Frame number `index` of a dataspace of small pages.
    pub fn frame_of(&self, dataspace: Key, mut index: u32) -> Result<Slot> {
        let mut at = self.dataspace(dataspace)?.extents;
        while let Some(key) = at {
            let extent = self.extent(key)?;
            if extent.frame_bits != PAGE_BITS {
                return Err(Error::Invalid);
            }
            if index < extent.count {
                return Ok(extent.first.plus(index));
            }
            index -= extent.count;
            at = extent.next;
        }
        Err(Error::Invalid)
    }

    /// Frees a dataspace of that account.
    pub fn free_dataspace(&mut self, account: Key, key: Key) -> Result<()> {
        self.dataspace(key)?;
        if self.owner(key)? != account {
            return Err(Error::Denied);
        }
        self.drop_dataspace(key)
    }

    pub(crate) fn drop_dataspace(&mut self, key: Key) -> Result<()> {
        let account = self.owner(key)?;
        while let Some(region) = self.dataspace(key)?.regions {
            self.drop_region(region)?;
        }
        self.drop_managed(key)?;
        let (mut extent, master, read_only) = {
            let dataspace = self.dataspace_mut(key)?;
            (dataspace.extents.take(), dataspace.master.take(), dataspace.read_only.take())
        };
        while let Some(at) = extent {
            let Object::Extent(removed) = self.remove(at)? else { return Err(Error::Kernel) };
            if let Some(block) = removed.block {
                self.give_block(account, block, false);
                self.give_run(removed.first, removed.count);
            }
            if let Some(device) = removed.device {
                self.give_device(device)?;
                self.give_run(removed.first, removed.count);
            }
            extent = removed.next;
        }
        self.drop_master(master);
        self.drop_master(read_only);
        self.remove(key)?;
        self.refund(account, 0, 1, 0);
        Ok(())
    }

    /// Attaches `bytes` of a dataspace (0: all) from `offset` to a domain, and returns the region.
    pub fn attach(
        &mut self,
        domain: Key,
        dataspace: Key,
        payer: Key,
        [address, offset, bytes, flags]: [u32; 4],
    ) -> Result<Key> {
        let (size, kind, sealed) = {
            let dataspace = self.dataspace(dataspace)?;
            (dataspace.bytes, dataspace.kind, dataspace.sealed)
        };
        self.domain(domain)?;
        let bytes = if bytes == 0 { size.saturating_sub(offset) } else { bytes };
        let bytes = bytes.checked_next_multiple_of(PAGE).filter(|bytes| *bytes > 0).ok_or(Error::Invalid)?;
        let end = offset.checked_add(bytes).ok_or(Error::Invalid)?;
        let read_only = kind == Kind::Rom;
        let device = matches!(kind, Kind::Device(_));
        if end > size
            || offset % PAGE != 0
            || address % PAGE != 0
            || flags & !(WRITE | EXECUTE | UNCACHED | LAZY) != 0
            || (flags & WRITE != 0 && (read_only || flags & EXECUTE != 0))
            || (flags & EXECUTE != 0 && device)
        {
            return Err(Error::Invalid);
        }
        if sealed && flags & WRITE != 0 {
            return Err(Error::Denied);
        }
        let lazy = flags & LAZY != 0 || kind == Kind::Managed;
        if lazy && kind != Kind::Managed {
            self.check_lazy(dataspace, kind)?;
        }
        let access = access(flags, device);
        let address = if address == 0 {
            if bytes > WINDOW_MEGABYTES * MEGABYTE {
                return Err(Error::Invalid);
            }
            self.take_window(domain, bytes.div_ceil(MEGABYTE))?
        } else {
            self.check_address(domain, address, bytes)?;
            address
        };
        let region = Region {
            domain,
            dataspace,
            address,
            bytes,
            offset,
            flags,
            pages: None,
            runs: [Run::NONE; REGION_RUNS],
            tables: None,
            in_domain: Links::default(),
            in_dataspace: Links::default(),
        };
        let key = match self.insert(payer, Object::Region(region)) {
            Ok(key) => key,
            Err(error) => {
                self.give_window(domain, address, bytes);
                return Err(error);
            }
        };
        self.link_region(key)?;
        let mapped = if lazy { self.start_lazy(key, payer) } else { self.map_region(key, payer, offset, access) };
        match mapped {
            Ok(()) => Ok(key),
            Err(error) => {
                self.drop_region(key)?;
                Err(error)
            }
        }
    }

    /// Prepares a region for pages that come one by one. The first such region of a dataspace maps the frames themselves, which saves
    /// copying their capabilities.
    fn start_lazy(&mut self, key: Key, payer: Key) -> Result<()> {
        let (dataspace, bytes) = {
            let region = self.region(key)?;
            (region.dataspace, region.bytes)
        };
        let object = self.dataspace(dataspace)?;
        let direct = object.managed.is_none() && object.mapper.is_none();
        let pages = self.new_page_map(payer, bytes / PAGE, !direct)?;
        self.region_mut(key)?.pages = Some(pages);
        if direct {
            self.dataspace_mut(dataspace)?.mapper = Some(key);
        }
        Ok(())
    }

    /// Pages are mapped one by one only where all frames are of that size.
    fn check_lazy(&self, dataspace: Key, kind: Kind) -> Result<()> {
        let mut at = self.dataspace(dataspace)?.extents;
        while let Some(key) = at {
            let extent = self.extent(key)?;
            if extent.frame_bits != PAGE_BITS || matches!(kind, Kind::Device(_)) {
                return Err(Error::Invalid);
            }
            at = extent.next;
        }
        Ok(())
    }

    fn check_address(&self, domain: Key, address: u32, bytes: u32) -> Result<()> {
        let end = address.checked_add(bytes).filter(|end| *end <= WINDOW_BASE as u32).ok_or(Error::Invalid)?;
        if address < LOWEST {
            return Err(Error::Invalid);
        }
        let mut at = self.domain(domain)?.regions;
        while let Some(key) = at {
            let region = self.region(key)?;
            if address < region.address + region.bytes && region.address < end {
                return Err(Error::Busy);
            }
            at = region.in_domain.next;
        }
        Ok(())
    }

    fn take_window(&mut self, domain: Key, megabytes: u32) -> Result<u32> {
        for index in 0..WINDOWS {
            let window = match self.domain(domain)?.windows.get(index).copied().flatten() {
                Some(window) => window,
                None => {
                    // The window lives as long as the domain, so the domain's account pays.
                    let account = self.owner(domain)?;
                    let window = self.insert(account, Object::Window(Window { used: [0; 8] }))?;
                    if let Some(entry) = self.domain_mut(domain)?.windows.get_mut(index) {
                        *entry = Some(window);
                    }
                    window
                }
            };
            let window = self.window_mut(window)?;
            if let Some(first) = crate::system::free_run(&window.used, megabytes) {
                crate::system::set_run(&mut window.used, first, megabytes, true);
                return Ok(WINDOW_BASE as u32 + (index as u32 * WINDOW_MEGABYTES + first) * MEGABYTE);
            }
        }
        Err(Error::OutOfRam)
    }

    fn give_window(&mut self, domain: Key, address: u32, bytes: u32) {
        let Some(offset) = address.checked_sub(WINDOW_BASE as u32) else { return };
        let first = offset / MEGABYTE;
        let window = self
            .domain(domain)
            .ok()
            .and_then(|domain| domain.windows.get((first / WINDOW_MEGABYTES) as usize).copied().flatten());
        if let Some(window) = window
            && let Ok(window) = self.window_mut(window)
        {
            crate::system::set_run(&mut window.used, first % WINDOW_MEGABYTES, bytes.div_ceil(MEGABYTE), false);
        }
    }

    fn link_region(&mut self, key: Key) -> Result<()> {
        let (domain, dataspace) = {
            let region = self.region(key)?;
            (region.domain, region.dataspace)
        };
        let next = self.domain_mut(domain)?.regions.replace(key);
        self.region_mut(key)?.in_domain.next = next;
        if let Some(next) = next {
            self.region_mut(next)?.in_domain.previous = Some(key);
        }
        let next = self.dataspace_mut(dataspace)?.regions.replace(key);
        self.region_mut(key)?.in_dataspace.next = next;
        if let Some(next) = next {
            self.region_mut(next)?.in_dataspace.previous = Some(key);
        }
        Ok(())
    }

    fn map_region(&mut self, key: Key, payer: Key, offset: u32, access: Access) -> Result<()> {
        let mut run = RunWriter::default();
        let mapped = self.map_frames(key, payer, offset, access, &mut run);
        if run.left > 0 {
            self.give_run(run.next, run.left);
        }
        mapped
    }

    fn map_frames(&mut self, key: Key, payer: Key, offset: u32, access: Access, run: &mut RunWriter) -> Result<()> {
        let (domain, dataspace, address, bytes) = {
            let region = self.region(key)?;
            (region.domain, region.dataspace, region.address, region.bytes)
        };
        let directory = self.piece(self.domain(domain)?.directory)?.slot;
        let mut extent = self.dataspace(dataspace)?.extents;
        let mut skip = offset;
        let mut at = address;
        let end = address + bytes;
        while at < end {
            let (first, frame_bits, count, next) = {
                let extent = self.extent(extent.ok_or(Error::Invalid)?)?;
                (extent.first, extent.frame_bits, extent.count, extent.next)
            };
            let frame = 1u32 << frame_bits;
            // A region begins and ends between two frames. Where the component chooses the address, page tables stay behind, and a
            // section cannot take the place of one.
            if !skip.is_multiple_of(frame)
                || !at.is_multiple_of(frame)
                || (frame_bits == CHUNK_BITS && at < WINDOW_BASE as u32)
            {
                return Err(Error::Invalid);
            }
            for index in (skip >> frame_bits).min(count)..count {
                if at >= end {
                    break;
                }
                if end - at < frame {
                    return Err(Error::Invalid);
                }
                if frame_bits < CHUNK_BITS {
                    self.table_for(key, domain, payer, directory, at)?;
                }
                if run.left == 0 {
                    let frames = (end - at).div_ceil(frame).min(RUN);
                    self.start_run(key, payer, frames, run)?;
                }
                let slot = run.next;
                self.kernel.copy(first.plus(index), slot)?;
                run.next = slot.plus(1);
                run.left -= 1;
                let runs = &mut self.region_mut(key)?.runs;
                if let Some(written) = runs.get_mut(run.index - 1) {
                    written.count += 1;
                }
                self.kernel.map(slot, directory, at, access)?;
                at += frame;
            }
            skip = skip.saturating_sub(count << frame_bits);
            extent = next;
        }
        Ok(())
    }

    fn start_run(&mut self, key: Key, payer: Key, frames: u32, run: &mut RunWriter) -> Result<()> {
        if run.index >= REGION_RUNS {
            return Err(Error::Invalid);
        }
        let first = self.take_run(payer, frames)?;
        if let Some(place) = self.region_mut(key)?.runs.get_mut(run.index) {
            *place = Run { first, count: 0 };
        }
        *run = RunWriter { index: run.index + 1, next: first, left: frames };
        Ok(())
    }

    /// Makes sure that there is a page table for `address`.
    pub(crate) fn table_for(
        &mut self,
        region: Key,
        domain: Key,
        payer: Key,
        directory: Slot,
        address: u32,
    ) -> Result<()> {
        let megabyte = address / MEGABYTE;
        let own = address >= WINDOW_BASE as u32;
        let ordered = own && self.region(region)?.pages.is_none();
        let head = if own { self.region(region)?.tables } else { self.domain(domain)?.tables };
        let mut at = head;
        while let Some(key) = at {
            let piece = self.piece(key)?;
            if piece.megabyte == megabyte {
                return Ok(());
            }
            // Where all is mapped at once, tables are made in the order of their addresses: only the newest can match.
            at = if ordered { None } else { piece.links.next };
        }
        let account = if own { payer } else { self.owner(domain)? };
        let table = self.make_piece(account, PieceKind::PageTable)?;
        let slot = self.piece(table)?.slot;
        if self.kernel.map_table(slot, directory, megabyte * MEGABYTE).is_err() {
            self.drop_piece(table)?;
            return Err(Error::Kernel);
        }
        let piece = self.piece_mut(table)?;
        piece.megabyte = megabyte;
        piece.links.next = head;
        if own {
            self.region_mut(region)?.tables = Some(table);
        } else {
            self.domain_mut(domain)?.tables = Some(table);
        }
        Ok(())
    }

    pub(crate) fn drop_tables(&mut self, mut table: Option<Key>) -> Result<()> {
        while let Some(key) = table {
            table = core::mem::take(&mut self.piece_mut(key)?.links).next;
            self.drop_piece(key)?;
        }
        Ok(())
    }

    /// Detaches a region of that domain.
    pub fn detach(&mut self, domain: Key, key: Key) -> Result<()> {
        if self.region(key)?.domain != domain {
            return Err(Error::Invalid);
        }
        self.drop_region(key)
    }

    pub(crate) fn drop_region(&mut self, key: Key) -> Result<()> {
        self.unmap_direct(key)?;
        let Region { domain, dataspace, address, bytes, runs, pages, tables, in_domain, in_dataspace, .. } =
            match self.store.get_mut(key) {
                Some(Object::Region(region)) => Region {
                    tables: region.tables.take(),
                    pages: region.pages.take(),
                    runs: core::mem::replace(&mut region.runs, [Run::NONE; REGION_RUNS]),
                    ..*region
                },
                _ => return Err(Error::Invalid),
            };
        for run in runs {
            if run.count > 0 {
                self.empty_run(run.first, run.count);
            }
        }
        if let Some(pages) = pages {
            self.drop_page_map(pages)?;
        }
        self.drop_tables(tables)?;
        self.give_window(domain, address, bytes);
        match in_domain.previous {
            Some(previous) => self.region_mut(previous)?.in_domain.next = in_domain.next,
            None => self.domain_mut(domain)?.regions = in_domain.next,
        }
        if let Some(next) = in_domain.next {
            self.region_mut(next)?.in_domain.previous = in_domain.previous;
        }
        let mapper = &mut self.dataspace_mut(dataspace)?.mapper;
        *mapper = mapper.filter(|mapper| *mapper != key);
        match in_dataspace.previous {
            Some(previous) => self.region_mut(previous)?.in_dataspace.next = in_dataspace.next,
            None => self.dataspace_mut(dataspace)?.regions = in_dataspace.next,
        }
        if let Some(next) = in_dataspace.next {
            self.region_mut(next)?.in_dataspace.previous = in_dataspace.previous;
        }
        self.remove(key)?;
        Ok(())
    }

    /// The frame that is mapped at an address of a domain, for a thread's message buffer.
    pub(crate) fn buffer_at(&mut self, domain: Key, address: u32) -> Result<Slot> {
        let mut at = self.domain(domain)?.regions;
        while let Some(key) = at {
            let region = self.region(key)?;
            if address.wrapping_sub(region.address) < region.bytes {
                let (frame, dataspace) = (self.frame_in(region, address - region.address)?, region.dataspace);
                self.dataspace_mut(dataspace)?.has_buffers = true;
                return Ok(frame);
            }
            at = region.in_domain.next;
        }
        Err(Error::Invalid)
    }

    fn frame_in(&self, region: &Region, offset: u32) -> Result<Slot> {
        // Only regions of small pages are asked for: the IPC buffers of threads. The kernel writes to those whatever the rights of
        // their mapping, so what may only be read is out of the question, and it has no window to devices.
        let dataspace = self.dataspace(region.dataspace)?;
        let first = dataspace.extents.ok_or(Error::Invalid)?;
        if matches!(dataspace.kind, Kind::Rom | Kind::Device(_) | Kind::Managed)
            || region.flags & WRITE == 0
            || self.extent(first)?.frame_bits != PAGE_BITS
        {
            return Err(Error::Invalid);
        }
        let mut index = offset / PAGE;
        for run in region.runs {
            if index < run.count {
                return Ok(run.first.plus(index));
            }
            index -= run.count;
        }
        Err(Error::Invalid)
    }

    /// Maintains the data cache for a part of a region.
    pub fn maintain_cache(&mut self, domain: Key, region: Key, [offset, bytes, operation]: [u32; 3]) -> Result<()> {
        use session::core::{CACHE_CLEAN, CACHE_INVALIDATE};
        let (address, size, write) = {
            let region = self.region(region)?;
            if region.domain != domain {
                return Err(Error::Invalid);
            }
            (region.address, region.bytes, region.flags & WRITE != 0)
        };
        // Who drops what others have written, and what memory has not got yet, undoes it.
        if operation == CACHE_INVALIDATE && !write {
            return Err(Error::Denied);
        }
        if operation == 0 || operation & !(CACHE_CLEAN | CACHE_INVALIDATE) != 0 {
            return Err(Error::Invalid);
        }
        let end = offset.checked_add(bytes).filter(|end| *end <= size).ok_or(Error::Invalid)?;
        let directory = self.piece(self.domain(domain)?.directory)?.slot;
        let (clean, invalidate) = (operation & CACHE_CLEAN != 0, operation & CACHE_INVALIDATE != 0);
        let mut at = address + offset;
        while at < address + end {
            // The kernel takes one page at a time.
            let next = (at + 1).next_multiple_of(PAGE).min(address + end);
            self.kernel.cache(directory, at, next, clean, invalidate)?;
            at = next;
        }
        Ok(())
    }
}

/// Rights and attributes of a mapping with those flags.
pub(crate) fn access(flags: u32, device: bool) -> Access {
    Access { write: flags & WRITE != 0, execute: flags & EXECUTE != 0, cached: flags & UNCACHED == 0 && !device }
}

struct RunWriter {
    index: usize,
    next: Slot,
    left: u32,
}

impl Default for RunWriter {
    fn default() -> Self {
        Self { index: 0, next: Slot::top(0), left: 0 }
    }
}
