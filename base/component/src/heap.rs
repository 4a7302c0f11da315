//! A heap, for components that want one.
//!
//! The heap is RAM of a size that the component chooses at its start; it may [grow](ComponentHeap::init_growing) as long as the component's account
//! can pay. All threads may use it: they take turns at a [lock](crate::sync::Mutex).

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, null_mut};

use linked_list_allocator::Heap;
use session::Error;
use session::core::{SMALL_PAGES, WRITE};

use crate::platform::{Account, Attach, Domain};
use crate::sync::Mutex;

/// Where the heap begins: between programs and what is attached elsewhere.
const BASE: u32 = 0x0800_0000;

/// The heap of a component; name one with `#[global_allocator]`.
pub struct ComponentHeap(Mutex<State>);

struct State {
    heap: Heap,
    /// Bytes that it has so far.
    bytes: u32,
    /// Least bytes by which it grows; 0: it does not.
    step: u32,
}

impl ComponentHeap {
    /// An empty heap.
    pub const fn empty() -> Self {
        Self(Mutex::new(State { heap: Heap::empty(), bytes: 0, step: 0 }))
    }

    /// Gives the heap `bytes` of the component's RAM, and no more later. Has an effect only once.
    pub fn init(&self, bytes: u32) -> Result<(), Error> {
        self.init_growing(bytes, 0)
    }

    /// Gives the heap `bytes` of the component's RAM. When it is full it grows by `step` bytes or by what is needed, until the account
    /// cannot pay any more; then allocations fail. Has an effect only once.
    pub fn init_growing(&self, bytes: u32, step: u32) -> Result<(), Error> {
        let mut state = self.0.lock();
        if state.bytes != 0 {
            return Err(Error::Busy);
        }
        let bytes = add_memory(0, bytes)?;
        // SAFETY: the memory is attached there, writeable, used by nothing else, and stays as long as the component.
        unsafe { state.heap.init(core::ptr::with_exposed_provenance_mut(BASE as usize), bytes as usize) };
        (state.bytes, state.step) = (bytes, step);
        Ok(())
    }
}

impl State {
    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        if let Ok(memory) = self.heap.allocate_first_fit(layout) {
            return Some(memory);
        }
        if self.step == 0 {
            return None;
        }
        // Whatever the holes look like, this much is enough.
        let needed = u32::try_from(layout.size().checked_add(layout.align())?.checked_add(64)?).ok()?;
        let more = add_memory(self.bytes, self.step.max(needed)).ok()?;
        // SAFETY: the memory lies directly behind what the heap has, and is as in `init_growing`.
        unsafe { self.heap.extend(more as usize) };
        self.bytes += more;
        self.heap.allocate_first_fit(layout).ok()
    }
}

/// Attaches at least `bytes` of new memory behind the first `used` bytes of the heap, and returns how many.
fn add_memory(used: u32, bytes: u32) -> Result<u32, Error> {
    let account = Account::own();
    let memory = account.create_dataspace(bytes, SMALL_PAGES)?;
    let bytes = memory.bytes();
    let address = BASE.checked_add(used).ok_or(Error::OutOfRam)?;
    match Domain::own().attach_at(&memory, Attach { address, flags: WRITE, ..Attach::default() }, None) {
        Ok(_) => {
            // Neither is given back as long as the component lives. Its capability is not needed for that.
            drop(memory);
            Ok(bytes)
        }
        Err(error) => {
            account.free_dataspace(memory)?;
            Err(error)
        }
    }
}

// SAFETY: `Heap` hands out disjoint blocks of the size and alignment asked for, and the lock excludes concurrent use.
unsafe impl GlobalAlloc for ComponentHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0.lock().allocate(layout).map_or(null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if let Some(pointer) = NonNull::new(pointer) {
            // SAFETY: by the contract of `dealloc`, the block came from `alloc` with this layout.
            unsafe { self.0.lock().heap.deallocate(pointer, layout) };
        }
    }
}
