//! Memory-mapped registers with a back end that can be swapped.
//!
//! # Theory of operation
//!
//! A driver never touches an address. It is generic over a [`Registers`] back end, a block of
//! 32-bit registers reached by byte offset: on the board that is [`Mmio`], a pointer with volatile
//! access; in a test it is a model of the device, which sees each access as the hardware would,
//! reads with side effects included.
//!
//! The typed handles [`ReadOnly`], [`WriteOnly`] and [`ReadWrite`] name one register of a block and
//! give it the bit fields of a `tock_registers::register_bitfields!` layout. They implement the
//! traits of `tock_registers::interfaces`, so `read`, `write`, `is_set` and so on work as on any
//! tock register. A write-one-to-clear or clear-on-read register should not be declared
//! `ReadWrite`: `modify` on it would clear what nobody has handled. [`Status`] is the handle for
//! the former; it has no `modify`.
//!
//! There is deliberately no reference to device memory anywhere, as the compiler may read a
//! reference at any time, and no access of another width: the peripherals of the Zynq-7000 that
//! this is for are on the APB bus, which has 32-bit registers only.

#![no_std]

use core::marker::PhantomData;
use core::sync::atomic::{Ordering, fence};

use tock_registers::RegisterLongName;
use tock_registers::fields::Field;
use tock_registers::interfaces::{Readable, Writeable};

mod pointer;

pub use pointer::Mmio;

/// Bytes of a page.
pub const PAGE: usize = 4096;

/// A block of 32-bit registers, addressed by their byte offset from the start of the block.
///
/// Offsets are multiples of four that lie inside the block; a back end may panic at others, as only
/// a wrong register definition can lead to one.
pub trait Registers {
    /// Reads the register at `offset`, with all side effects that has.
    fn read(&self, offset: usize) -> u32;

    /// Writes `value` to the register at `offset`.
    fn write(&self, offset: usize, value: u32);

    /// Orders accesses to memory before this call against register accesses and DMA after it, and the other way round.
    #[inline]
    fn synchronize(&self) {
        fence(Ordering::SeqCst);
    }
}

impl<B: Registers + ?Sized> Registers for &B {
    #[inline]
    fn read(&self, offset: usize) -> u32 {
        (**self).read(offset)
    }

    #[inline]
    fn write(&self, offset: usize, value: u32) {
        (**self).write(offset, value);
    }

    #[inline]
    fn synchronize(&self) {
        (**self).synchronize();
    }
}

macro_rules! handle {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name<'b, B, R = ()> {
            block: &'b B,
            offset: usize,
            layout: PhantomData<R>,
        }

        impl<'b, B: Registers, R: RegisterLongName> $name<'b, B, R> {
            /// The register at `offset` of `block`.
            #[inline]
            pub const fn new(block: &'b B, offset: usize) -> Self {
                Self { block, offset, layout: PhantomData }
            }
        }
    };
}

handle! {
    /// A register that is only read.
    ReadOnly
}
handle! {
    /// A register that is only written.
    WriteOnly
}
handle! {
    /// A register that reads back what was written.
    ReadWrite
}
handle! {
    /// A status register whose bits are cleared by writing ones to them.
    Status
}

impl<B: Registers, R: RegisterLongName> Readable for ReadOnly<'_, B, R> {
    type T = u32;
    type R = R;

    #[inline]
    fn get(&self) -> u32 {
        self.block.read(self.offset)
    }
}

impl<B: Registers, R: RegisterLongName> Writeable for WriteOnly<'_, B, R> {
    type T = u32;
    type R = R;

    #[inline]
    fn set(&self, value: u32) {
        self.block.write(self.offset, value);
    }
}

impl<B: Registers, R: RegisterLongName> Readable for ReadWrite<'_, B, R> {
    type T = u32;
    type R = R;

    #[inline]
    fn get(&self) -> u32 {
        self.block.read(self.offset)
    }
}

impl<B: Registers, R: RegisterLongName> Writeable for ReadWrite<'_, B, R> {
    type T = u32;
    type R = R;

    #[inline]
    fn set(&self, value: u32) {
        self.block.write(self.offset, value);
    }
}

impl<B: Registers, R: RegisterLongName> Status<'_, B, R> {
    /// All bits.
    #[inline]
    pub fn get(&self) -> u32 {
        self.block.read(self.offset)
    }

    /// Whether any bit of `field` is set.
    #[inline]
    pub fn is_set(&self, field: Field<u32, R>) -> bool {
        field.is_set(self.get())
    }

    /// Clears the bits that are set in `bits` and no others: what [`get`](Self::get) returned, or
    /// the `value` of a field value.
    #[inline]
    pub fn clear(&self, bits: u32) {
        self.block.write(self.offset, bits);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::cell::RefCell;
    use std::vec::Vec;

    use tock_registers::interfaces::ReadWriteable;
    use tock_registers::register_bitfields;

    use super::*;

    register_bitfields![u32, LAYOUT [LOW OFFSET(0) NUMBITS(4) [], HIGH OFFSET(31) NUMBITS(1) []]];

    #[derive(Default)]
    struct Recorder(RefCell<Vec<(usize, Option<u32>)>>);

    impl Registers for Recorder {
        fn read(&self, offset: usize) -> u32 {
            self.0.borrow_mut().push((offset, None));
            0x8000_0005
        }

        fn write(&self, offset: usize, value: u32) {
            self.0.borrow_mut().push((offset, Some(value)));
        }
    }

    #[test]
    fn every_handle_does_the_accesses_it_says() {
        let block = Recorder::default();
        let register: ReadWrite<'_, _, LAYOUT::Register> = ReadWrite::new(&block, 8);
        register.modify(LAYOUT::LOW.val(2));
        let status: Status<'_, _, LAYOUT::Register> = Status::new(&block, 12);
        assert!(status.is_set(LAYOUT::HIGH));
        status.clear(LAYOUT::HIGH::SET.value);
        let expected = [(8, None), (8, Some(0x8000_0002)), (12, None), (12, Some(0x8000_0000))];
        assert_eq!(*block.0.borrow(), expected);
    }

    #[test]
    fn a_pointer_reads_and_writes_memory() {
        let mut memory = [0_u32; PAGE / 4];
        memory[2] = 3;
        let base = core::ptr::NonNull::from(&mut memory).cast();
        // SAFETY: `memory` is a page long, aligned, and not used while `block` is.
        let block = unsafe { Mmio::new(base) };
        assert_eq!(block.read(8), 3);
        block.write(PAGE - 4, 7);
        assert_eq!(block.read(PAGE - 4), 7);
        assert!(std::panic::catch_unwind(move || block.read(PAGE)).is_err());
        assert_eq!(memory[PAGE / 4 - 1], 7);
    }
}
