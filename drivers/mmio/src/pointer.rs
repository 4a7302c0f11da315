//! Device memory behind a pointer. The only unsafe code of the register layer.

use core::ptr::NonNull;

use crate::Registers;

/// A block of device registers that is mapped into this address space.
///
/// Accesses are volatile and 32 bits wide. Mapped as device memory, they reach the device in
/// program order.
#[derive(Debug)]
pub struct Mmio {
    base: NonNull<u32>,
    size: usize,
}

impl Mmio {
    /// The block of `size` bytes at `base`.
    ///
    /// # Safety
    /// For as long as the value lives, `size` bytes at `base` are mapped readable and writable,
    /// `base` is a multiple of four, nothing else in this address space accesses them in a way that
    /// races with this, and no access to a register of the block can break memory safety. The last
    /// is a matter of the device: whoever programs a DMA engine through this is responsible for the
    /// addresses it hands to the device.
    pub const unsafe fn new(base: NonNull<u8>, size: usize) -> Self {
        Self { base: base.cast(), size }
    }

    fn register(&self, offset: usize) -> *mut u32 {
        assert!(
            offset.is_multiple_of(4) && offset < self.size && self.size - offset >= 4,
            "register offset outside of its block"
        );
        // SAFETY: `offset` plus four is at most `size`, and `new` was promised that so many bytes
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
}
