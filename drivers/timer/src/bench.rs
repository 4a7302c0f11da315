//! The model of a triple timer counter as a register back end, for the tests.
//!
//! The model's input clock is 1 GHz, so that its nanoseconds are cycles. Time passes when a test says so and with each
//! register access.

extern crate std;

use core::cell::{Cell, RefCell};

use mmio::Registers;
use models::memory::Ram;
use models::{Device, Width};

use crate::registers::Counter;

/// `Counter_Control_1` and its reset bit.
const CONTROL_1: usize = 0x0c;
const RESET: u32 = 1 << 4;

#[derive(Debug)]
pub(crate) struct Ttc {
    model: RefCell<models::ttc::Ttc>,
    cycles: Cell<u64>,
    started: Cell<u64>,
    cost: u64,
    after_read: Cell<u64>,
}

impl Ttc {
    /// A counter block after reset, where each access takes `cost` cycles.
    pub(crate) fn new(cost: u64) -> Self {
        Self {
            model: RefCell::new(models::ttc::Ttc::new(1_000_000_000)),
            cycles: Cell::new(0),
            started: Cell::new(0),
            cost,
            after_read: Cell::new(0),
        }
    }

    pub(crate) fn cycles(&self) -> u64 {
        self.cycles.get()
    }

    /// When counter 1 was reset for the last time.
    pub(crate) fn cycles_at_start(&self) -> u64 {
        self.started.get()
    }

    pub(crate) fn interrupts(&self, counter: Counter) -> bool {
        self.model.borrow().interrupts() >> counter as u32 & 1 != 0
    }

    pub(crate) fn advance_after_next_read(&self, cycles: u64) {
        self.after_read.set(cycles);
    }

    pub(crate) fn advance(&self, cycles: u64) {
        self.cycles.set(self.cycles.get() + cycles);
        self.model.borrow_mut().advance(self.cycles.get(), &mut &Ram::new(0, 0));
    }

    /// Lets time pass until a line goes up.
    pub(crate) fn advance_to_event(&self) {
        let next = self.model.borrow().next_event();
        self.advance(next.expect("an interrupt is enabled") - self.cycles());
    }

    fn without_complaints(&self) {
        assert_eq!(self.model.borrow_mut().complaints(), std::vec::Vec::<std::string::String>::new());
    }
}

impl Registers for Ttc {
    fn read(&self, offset: usize) -> u32 {
        self.advance(self.cost);
        let value = self.model.borrow_mut().read(offset as u32, Width::Word, self.cycles.get());
        self.without_complaints();
        self.advance(self.after_read.take());
        value
    }

    fn write(&self, offset: usize, value: u32) {
        self.advance(self.cost);
        if offset == CONTROL_1 && value & RESET != 0 {
            self.started.set(self.cycles.get());
        }
        self.model.borrow_mut().write(offset as u32, Width::Word, value, self.cycles.get());
        self.without_complaints();
    }
}
