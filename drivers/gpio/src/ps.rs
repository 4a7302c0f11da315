//! The GPIO controller of the processing system (UG585 chapter 14).
//!
//! # How the hardware works
//!
//! Four banks: 0 is MIO 0 to 31, 1 is MIO 32 to 53, 2 and 3 are 64 signals from and to the programmable logic (EMIO). A pin drives if it is an
//! output *and* its driver is enabled. MIO 7 and 8 choose the voltage of the pin banks while the chip starts, and can only be outputs afterwards.
//!
//! Each pin interrupts at a rising or falling edge, both, or at a level. Its condition sets a bit in `INT_STAT` even while it is masked; all
//! bits that are set and not masked are one interrupt line together.
//!
//! # What this module does
//!
//! - Levels are set through `MASK_DATA`, which writes those of 16 pins that it names and no others: a group in one half of a bank changes at one moment, one
//!   in two halves in two writes, the lower half first. There is no read-modify-write of a data register anywhere.
//! - Direction, driver and the kind of interrupt have no masked write. They are changed here only, by the one owner of the registers.
//! - Of `INT_STAT`, only bits are cleared that were read as set and are handled. They are cleared before the levels are looked at: an edge that comes
//!   afterwards sets its bit again.
//! - A level sets its bit again for as long as it lasts, so the pin is masked until [`resume`](Controller::resume).
//!
//! At the start all pins are made inputs: those of a driver that has been killed do not stay as they were.

use mmio::Registers;
use session::gpio::Trigger;
use tock_registers::interfaces::{Readable, Writeable};

use crate::controller::{BANKS, Controller, Place, Sets};
use crate::registers::{MASK_DATA, PsBlock};

/// Pins of each bank.
const WIDTHS: [u32; BANKS] = [32, 22, 32, 32];
const ALL: Sets = [u32::MAX, (1 << 22) - 1, u32::MAX, u32::MAX];
/// MIO 7 and 8.
const ONLY_OUTPUTS: u32 = 0b11 << 7;
/// The first pin that is not an MIO but leads into the programmable logic.
pub const FIRST_EMIO: u32 = 54;

/// The controller behind a register block.
#[derive(Debug)]
pub struct Ps<B> {
    block: PsBlock<B>,
    /// Pins that interrupt.
    enabled: Sets,
    /// Pins with a level trigger.
    levels: Sets,
}

impl<B: Registers> Ps<B> {
    /// Takes the controller over: all pins are inputs, none interrupts.
    pub fn new(block: B) -> Self {
        let block = PsBlock::new(block);
        for (bank, all) in ALL.into_iter().enumerate() {
            block.interrupt_disable(bank).set(all);
            block.interrupt_status(bank).clear(all);
            block.output_enable(bank).set(0);
            block.direction(bank).set(0);
        }
        let mut controller = Self { block, enabled: [0; BANKS], levels: [0; BANKS] };
        for (bank, all) in ALL.into_iter().enumerate() {
            controller.write(bank, all, 0);
        }
        controller
    }

    fn enable(&mut self, bank: usize, mask: u32) {
        if let Some(enabled) = self.enabled.get_mut(bank) {
            *enabled |= mask;
            self.block.interrupt_enable(bank).set(mask);
        }
    }

    fn disable(&mut self, bank: usize, mask: u32) {
        if let Some(enabled) = self.enabled.get_mut(bank) {
            *enabled &= !mask;
            self.block.interrupt_disable(bank).set(mask);
        }
    }
}

/// `value` with the bits in `mask` set or clear.
const fn with(value: u32, mask: u32, set: bool) -> u32 {
    if set { value | mask } else { value & !mask }
}

impl<B: Registers> Controller for Ps<B> {
    fn place(&self, number: u32) -> Option<Place> {
        let mut bit = number;
        for (bank, width) in WIDTHS.into_iter().enumerate() {
            if bit < width {
                return Some(Place { bank, bit });
            }
            bit -= width;
        }
        None
    }

    fn inputs(&self) -> Sets {
        let [first, others @ ..] = ALL;
        let [second, third, fourth] = others;
        [first & !ONLY_OUTPUTS, second, third, fourth]
    }

    fn outputs(&self) -> Sets {
        ALL
    }

    fn levels(&self, bank: usize) -> u32 {
        self.block.levels(bank).get()
    }

    fn set(&self, bank: usize) -> u32 {
        self.block.data(bank).get()
    }

    fn directions(&self, bank: usize) -> u32 {
        self.block.direction(bank).get()
    }

    #[inline]
    fn write(&mut self, bank: usize, mask: u32, levels: u32) {
        for (half, shift) in [0, 16].into_iter().enumerate() {
            let (mask, levels) = (mask >> shift & 0xffff, levels >> shift & 0xffff);
            if mask != 0 {
                let value = MASK_DATA::MASK.val(!mask & 0xffff) + MASK_DATA::DATA.val(levels & mask);
                self.block.mask_data(bank, half).write(value);
            }
        }
    }

    fn direct(&mut self, bank: usize, mask: u32, outputs: u32) {
        let (direction, enable) = (self.block.direction(bank), self.block.output_enable(bank));
        // Whatever becomes an input stops driving first; what becomes an output drives last.
        let drives = with(enable.get(), mask, false);
        enable.set(drives);
        direction.set(with(direction.get(), mask, false) | mask & outputs);
        if mask & outputs != 0 {
            enable.set(drives | mask & outputs);
        }
    }

    fn arm(&mut self, bank: usize, mask: u32, trigger: Trigger) -> u32 {
        self.disable(bank, mask);
        let (edge, high, any) = match trigger {
            Trigger::Off => return 0,
            Trigger::Rising => (true, true, false),
            Trigger::Falling => (true, false, false),
            Trigger::Both => (true, true, true),
            Trigger::High => (false, true, false),
            Trigger::Low => (false, false, false),
        };
        let [kind, polarity, both] =
            [self.block.interrupt_type(bank), self.block.interrupt_polarity(bank), self.block.interrupt_any(bank)];
        kind.set(with(kind.get(), mask, edge));
        polarity.set(with(polarity.get(), mask, high));
        both.set(with(both.get(), mask, any));
        if let Some(levels) = self.levels.get_mut(bank) {
            *levels = with(*levels, mask, !edge);
        }
        // What another condition has left.
        self.block.interrupt_status(bank).clear(mask);
        self.enable(bank, mask);
        0
    }

    fn resume(&mut self, bank: usize, mask: u32, _: Trigger) -> u32 {
        // The level may have gone since it was noticed; if it has not, it sets its bit again.
        self.block.interrupt_status(bank).clear(mask);
        self.enable(bank, mask);
        0
    }

    fn take(&mut self) -> Sets {
        let mut noticed = [0; BANKS];
        let banks = self.enabled.into_iter().zip(self.levels).zip(&mut noticed).enumerate();
        for (bank, ((enabled, levels), noticed)) in banks {
            if enabled == 0 {
                continue;
            }
            *noticed = self.block.interrupt_status(bank).get() & enabled;
            if *noticed == 0 {
                continue;
            }
            if *noticed & levels != 0 {
                self.disable(bank, *noticed & levels);
            }
            self.block.interrupt_status(bank).clear(*noticed);
        }
        noticed
    }
}
