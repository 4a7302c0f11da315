//! The back end for a controller in memory.
#![allow(unsafe_code)]

use core::ptr::NonNull;

use crate::registers::{LENGTH, Registers, Word};

/// A controller mapped at an address.
///
/// Holds a raw pointer and never makes a reference to device memory: a reference would let the compiler read
/// registers whenever it likes.
#[derive(Debug)]
pub struct Mmio {
    base: NonNull<u32>,
}

const _: () = assert!(LENGTH.is_multiple_of(size_of::<u32>()));

impl Mmio {
    /// The controller whose registers are mapped at `base`.
    ///
    /// # Safety
    ///
    /// `base` must be aligned to 4 bytes, and [`LENGTH`] bytes from it must stay mapped as device memory, for loads and
    /// stores of 32 bits, for as long as the result lives. Nothing else may access these registers meanwhile.
    pub const unsafe fn new(base: NonNull<u8>) -> Self {
        Self { base: base.cast() }
    }
}

// SAFETY: the pointer is to memory that is not bound to a thread, and `new` has its caller promise that this value is
// its only user.
unsafe impl Send for Mmio {}

impl Registers for Mmio {
    #[inline]
    fn read(&self, word: Word) -> u32 {
        // SAFETY: every offset of `Word` is a multiple of 4 and below `LENGTH`, so the address is aligned and inside what
        // `new` was promised to be mapped.
        unsafe { self.base.byte_add(word.offset()).read_volatile() }
    }

    #[inline]
    fn write(&self, word: Word, value: u32) {
        // SAFETY: as in `read`. What a store makes the controller do to memory is bounded by the descriptor table, whose
        // addresses are the responsibility of whoever submits a transfer.
        unsafe { self.base.byte_add(word.offset()).write_volatile(value) }
    }

    #[cfg(target_arch = "arm")]
    #[inline]
    fn synchronize(&self) {
        // A fence of the language orders only what processors see (`dmb ish`); the DMA engine is outside of that domain.
        // SAFETY: `dsb` has no effect but to wait, and without `nomem` the compiler keeps memory accesses on their side.
        unsafe { core::arch::asm!("dsb sy", options(nostack, preserves_flags)) }
    }
}
