//! Device memory behind a pointer. The only unsafe code of the register layer.

use core::ptr::NonNull;

use crate::{PAGE, Registers};

/// A block of device registers of [`PAGE`] bytes that is mapped into this address space.
///
/// Accesses are volatile and 32 bits wide. Mapped as device memory, they reach the device in
/// program order.
#[derive(Debug)]
pub struct Mmio {
    base: NonNull<u32>,
}

// SAFETY: the pointer is to memory that is not bound to a thread, and `new` has its caller promise that nothing races with it.
unsafe impl Send for Mmio {}

impl Mmio {
    /// The page at `base`.
    ///
    /// # Safety
    /// For as long as the value lives, [`PAGE`] bytes at `base` are mapped readable and writable,
    /// `base` is a multiple of four, nothing else in this address space accesses them in a way that
    /// races with this, and no access to a register of the block can break memory safety. The last
    /// is a matter of the device: whoever programs a DMA engine through this is responsible for the
    /// addresses it hands to the device.
    pub const unsafe fn new(base: NonNull<u8>) -> Self {
        Self { base: base.cast() }
    }

    /// Offsets are constants of a register definition, so that nothing is left of the check.
    #[inline(always)]
    fn register(&self, offset: usize) -> *mut u32 {
        assert!(offset.is_multiple_of(4) && offset < PAGE, "register offset outside of its page");
        // SAFETY: `offset` plus four is at most [`PAGE`], and `new` was promised that so many bytes
        // are mapped.
        unsafe { self.base.as_ptr().byte_add(offset) }
    }
}

impl Registers for Mmio {
    #[inline]
    fn read(&self, offset: usize) -> u32 {
        let register = self.register(offset);
        // SAFETY: `register` checked that this is inside the block, which is mapped and aligned as
        // promised to `new`.
        unsafe { register.read_volatile() }
    }

    #[inline]
    fn write(&self, offset: usize, value: u32) {
        let register = self.register(offset);
        // SAFETY: as for `read`.
        unsafe { register.write_volatile(value) }
    }
    #[cfg(target_arch = "arm")]
    #[inline]
    fn synchronize(&self) {
        // A fence of the language orders only what processors see (`dmb ish`); a DMA engine is outside of that domain.
        // SAFETY: `dsb` has no effect but to wait, and without `nomem` the compiler keeps memory accesses on their side.
        unsafe { core::arch::asm!("dsb sy", options(nostack, preserves_flags)) }
    }
}
