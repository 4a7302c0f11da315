//! A triple timer counter for the tests, written from UG585 chapter 8.5 and appendix B.32.
//!
//! Time is the number of cycles of the input clock. It passes when a test says so and with each
//! register access. The strict reading of the manual is modelled where it leaves a choice: an event
//! that is not enabled leaves no trace in the interrupt register, and the prescaler runs on when a
//! counter is reset.

use core::cell::{Cell, RefCell};

use mmio::Registers;

use crate::registers::Counter;

#[derive(Clone, Copy, Debug)]
struct State {
    clock_control: u32,
    control: u32,
    count: u64,
    interval: u32,
    status: u32,
    enable: u32,
}

#[derive(Debug)]
pub(crate) struct Ttc {
    counters: RefCell<[State; 3]>,
    cycles: Cell<u64>,
    started: Cell<u64>,
    cost: u64,
    after_read: Cell<u64>,
}

impl Ttc {
    /// A counter block after reset, where each access takes `cost` cycles.
    pub(crate) fn new(cost: u64) -> Self {
        let reset = State { clock_control: 0, control: 0x21, count: 0, interval: 0, status: 0, enable: 0 };
        Self {
            counters: RefCell::new([reset; 3]),
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
        let state = self.counters.borrow()[counter as usize];
        state.status & state.enable != 0
    }

    pub(crate) fn advance_after_next_read(&self, cycles: u64) {
        self.after_read.set(cycles);
    }

    pub(crate) fn advance(&self, cycles: u64) {
        let from = self.cycles.get();
        let to = from + cycles;
        self.cycles.set(to);
        for state in self.counters.borrow_mut().iter_mut() {
            if state.control & 1 != 0 {
                continue;
            }
            assert_eq!(state.control & 0b1100, 0, "counting down and matches are not modelled");
            let shift = match state.clock_control & 0x3f {
                clock if clock & 1 == 0 => 0,
                clock => (clock >> 1 & 0xf) + 1,
            };
            let interval_mode = state.control & 2 != 0;
            let period = 1 + if interval_mode { u64::from(state.interval) } else { 0xffff };
            let count = state.count + (to >> shift) - (from >> shift);
            if count >= period {
                let event = if interval_mode { 1 } else { 1 << 4 };
                state.status |= event & state.enable;
            }
            state.count = count % period;
        }
    }
}

impl Registers for Ttc {
    fn read(&self, offset: usize) -> u32 {
        self.advance(self.cost);
        let value = {
            let mut counters = self.counters.borrow_mut();
            let state = &mut counters[offset % 12 / 4];
            match offset / 12 * 12 {
                0x00 => state.clock_control,
                0x0c => state.control,
                0x18 => state.count as u32,
                0x24 => state.interval,
                0x54 => core::mem::take(&mut state.status),
                0x60 => state.enable,
                _ => panic!("read of {offset:#x} is not modelled"),
            }
        };
        self.advance(self.after_read.take());
        value
    }

    fn write(&self, offset: usize, value: u32) {
        self.advance(self.cost);
        let mut counters = self.counters.borrow_mut();
        let state = &mut counters[offset % 12 / 4];
        match offset / 12 * 12 {
            0x00 => state.clock_control = value & 0x7f,
            0x0c => {
                if value & 1 << 4 != 0 {
                    state.count = 0;
                    if offset == 0x0c {
                        self.started.set(self.cycles.get());
                    }
                }
                state.control = value & 0x6f;
            }
            0x24 => state.interval = value & 0xffff,
            0x60 => state.enable = value & 0x3f,
            _ => panic!("write of {value:#x} to {offset:#x} is not modelled"),
        }
    }
}
