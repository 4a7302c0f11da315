//! A heap, for components that want one.
//!
//! The heap is one RAM dataspace of a size that the component chooses at its start. Only the main thread may allocate: an allocation from
//! another thread is refused, because a lock that waits properly needs more than a heap should depend on.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::{NonNull, null_mut};

use linked_list_allocator::Heap;
use session::Error;
use session::core::WRITE;

use crate::platform::{Account, Attached};

/// The heap of a component; name one with `#[global_allocator]`.
pub struct MainThreadHeap(UnsafeCell<Heap>);

// SAFETY: every access goes through `heap`, which refuses all threads but the main thread, so there is never more than one.
unsafe impl Sync for MainThreadHeap {}

impl MainThreadHeap {
    /// An empty heap.
    pub const fn empty() -> Self {
        Self(UnsafeCell::new(Heap::empty()))
    }

    /// Gives the heap `bytes` of the component's RAM. Has an effect only once.
    pub fn init(&self, bytes: u32) -> Result<(), Error> {
        let dataspace = Account::own().create_dataspace(bytes, 0)?;
        let memory = Attached::new(&dataspace, WRITE, None)?;
        let heap = self.heap().ok_or(Error::Denied)?;
        if heap.size() != 0 {
            return Err(Error::Busy);
        }
        // SAFETY: the attachment is writeable, used by nothing else, and lasts as long as the component, because neither it nor
        // the dataspace is dropped.
        unsafe { heap.init(memory.pointer().cast(), memory.bytes()) };
        core::mem::forget((memory, dataspace));
        Ok(())
    }

    #[allow(clippy::mut_from_ref, reason = "exclusive by thread, see the contract of the Sync implementation")]
    fn heap(&self) -> Option<&mut Heap> {
        if crate::gate::buffer().addr() != abi::IPC_BASE {
            return None;
        }
        // SAFETY: only the main thread gets here, and none of the methods that hold the reference calls another one.
        Some(unsafe { &mut *self.0.get() })
    }
}

// SAFETY: `Heap` hands out disjoint blocks of the size and alignment asked for, and `heap` excludes concurrent use.
unsafe impl GlobalAlloc for MainThreadHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.heap().and_then(|heap| heap.allocate_first_fit(layout).ok()).map_or(null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if let (Some(heap), Some(pointer)) = (self.heap(), NonNull::new(pointer)) {
            // SAFETY: by the contract of `dealloc`, the block came from `alloc` with this layout.
            unsafe { heap.deallocate(pointer, layout) };
        }
    }
}
