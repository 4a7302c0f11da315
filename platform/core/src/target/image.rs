//! Core's own image: pages of it that are put to special use.

use core::cell::UnsafeCell;
use core::sync::atomic::AtomicU32;

use sel4::{BootInfo, Cap, Page};
use zelkova_core::kernel::{Access, Kernel, Refused, Slot};
use zelkova_core::log::RING_BYTES;
use zelkova_core::memory::Memory;

use super::kernel::Sel4;

const PAGE: usize = 4096;

unsafe extern "C" {
    static __image_start: u8;
    static __image_end: u8;
}

/// A page of the image that can be mapped to something else.
#[repr(C, align(4096))]
pub(super) struct SparePage(UnsafeCell<[u8; PAGE]>);
// SAFETY: nothing refers to the page's own content; what is mapped there instead is reached through raw pointers by the only thread.
unsafe impl Sync for SparePage {}

/// Where the console's registers are mapped.
pub(super) static CONSOLE_PAGE: SparePage = SparePage(UnsafeCell::new([0; PAGE]));
/// Where frames are mapped to be filled.
pub(super) static COPY_PAGE: SparePage = SparePage(UnsafeCell::new([0; PAGE]));

#[repr(C, align(4096))]
struct LogPages([AtomicU32; RING_BYTES as usize / 4]);
static LOG_PAGES: LogPages = LogPages([const { AtomicU32::new(0) }; RING_BYTES as usize / 4]);

struct MemoryCell(UnsafeCell<Memory>);
// SAFETY: `memory` hands out the only reference, once, to the only thread.
unsafe impl Sync for MemoryCell {}
static MEMORY: MemoryCell = MemoryCell(UnsafeCell::new(Memory::new()));

/// The books of memory, which are too large to be moved about.
///
/// # Safety
/// Called once.
pub(super) unsafe fn memory() -> &'static mut Memory {
    // SAFETY: by this function's contract there is no other reference.
    unsafe { &mut *MEMORY.0.get() }
}

impl SparePage {
    /// Its address.
    pub(super) fn address(&self) -> usize {
        self.0.get().expose_provenance()
    }
}

/// The ring of core's log, and the slot of its first frame.
pub(super) fn log_ring(boot_info: BootInfo) -> (&'static [AtomicU32], Slot) {
    (&LOG_PAGES.0, frame_of(boot_info, LOG_PAGES.0.as_ptr().addr()))
}

/// Slot of the frame that the kernel mapped at an address of the image.
pub(super) fn frame_of(boot_info: BootInfo, address: usize) -> Slot {
    let offset = address.wrapping_sub((&raw const __image_start).addr());
    Slot::top(boot_info.image_frames().0 + (offset / PAGE) as u32)
}

/// Everything behind core's own pages: the boot modules.
pub(super) fn modules(boot_info: BootInfo) -> &'static [u8] {
    let (first, end) = boot_info.image_frames();
    let start = (&raw const __image_end).addr();
    let bytes = (end - first) as usize * PAGE;
    let length = ((&raw const __image_start).addr() + bytes).saturating_sub(start);
    // SAFETY: the kernel has mapped all frames of the image from its start on, and nobody writes behind core's own pages.
    unsafe { core::slice::from_raw_parts(core::ptr::with_exposed_provenance(start), length) }
}

/// Takes the image's own frame out of a spare page.
pub(super) fn vacate(boot_info: BootInfo, page: &SparePage) -> Result<(), Refused> {
    let frame = Cap::<Page>::new(frame_of(boot_info, page.address()).pointer());
    frame.unmap().map_err(|_| Refused)
}

/// Maps a frame at a vacated spare page, for as long as core runs.
pub(super) fn map(kernel: &mut Sel4, page: &SparePage, frame: Slot, cached: bool) -> Result<(), Refused> {
    let access = Access { write: true, execute: false, cached };
    kernel.map(frame, kernel.own_directory(), page.address() as u32, access)
}

/// Writes into a frame that nobody uses yet, through the copy page.
pub(super) fn write(kernel: &mut Sel4, frame: Slot, offset: usize, bytes: &[u8]) -> Result<(), Refused> {
    if offset + bytes.len() > PAGE {
        return Err(Refused);
    }
    map(kernel, &COPY_PAGE, frame, true)?;
    let to = core::ptr::with_exposed_provenance_mut::<u8>(COPY_PAGE.address() + offset);
    // SAFETY: a writeable page is mapped there, the range was checked to lie within it, and no reference to it exists.
    unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    Cap::<Page>::new(frame.pointer()).unmap().map_err(|_| Refused)
}

/// Reads words of a frame that is not mapped through this capability, through the copy page.
pub(super) fn read(kernel: &mut Sel4, frame: Slot, offset: usize, words: &mut [u32]) -> Result<(), Refused> {
    if !offset.is_multiple_of(4) || offset + size_of_val(words) > PAGE {
        return Err(Refused);
    }
    let access = Access { write: false, execute: false, cached: true };
    kernel.map(frame, kernel.own_directory(), COPY_PAGE.address() as u32, access)?;
    let from = core::ptr::with_exposed_provenance::<u32>(COPY_PAGE.address() + offset);
    for (index, word) in words.iter_mut().enumerate() {
        // SAFETY: a readable page is mapped there, the range was checked to be aligned and to lie within it. A component may write to the page at the
        // same time: the read is volatile, and any word is as good as another.
        *word = unsafe { from.add(index).read_volatile() };
    }
    Cap::<Page>::new(frame.pointer()).unmap().map_err(|_| Refused)
}
