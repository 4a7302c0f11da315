//! A UART for the tests, written from UG585 chapter 19 and appendix B.33.
//!
//! Time is the number of bytes the line has sent. It passes when a test says so and, at the set
//! pace, with each register access.

use core::cell::RefCell;
use std::collections::VecDeque;
use std::vec::Vec;

use mmio::Registers;

extern crate std;

const FIFO: usize = 64;

#[derive(Debug, Default)]
struct State {
    control: u32,
    mode: u32,
    mask: u32,
    events: u32,
    clock_divisor: u32,
    sample_divisor: u32,
    trigger: u32,
    transmit: VecDeque<u8>,
    shifting: Option<u8>,
    receive: VecDeque<u8>,
    sent: Vec<u8>,
    lost: usize,
    resets: usize,
    clock: bool,
    pace: VecDeque<usize>,
    after_events_read: usize,
}

#[derive(Debug)]
pub(crate) struct Uart(RefCell<State>);

impl State {
    fn transmits(&self) -> bool {
        self.control & 0x30 == 0x10
    }

    /// One byte time: what is in the shift register has left, and the next byte moves there.
    fn shift(&mut self) {
        self.sent.extend(self.shifting.take());
        if self.transmits() {
            self.load();
        }
    }

    fn load(&mut self) {
        if self.shifting.is_none() {
            self.shifting = self.transmit.pop_front();
            if self.shifting.is_some() && self.transmit.is_empty() {
                self.events |= 1 << 3;
            }
        }
    }

    fn pass(&mut self) {
        if let Some(bytes) = self.pace.pop_front() {
            self.pace.push_back(bytes);
            (0..bytes).for_each(|_| self.shift());
        }
    }
}

impl Uart {
    /// A UART after reset.
    pub(crate) fn new() -> Self {
        Self(RefCell::new(State {
            control: 0x128,
            clock_divisor: 0x28b,
            sample_divisor: 0xf,
            trigger: 0x20,
            clock: true,
            ..State::default()
        }))
    }

    /// A UART whose reference clock is off.
    pub(crate) fn without_clock() -> Self {
        let uart = Self::new();
        uart.0.borrow_mut().clock = false;
        uart
    }

    /// How many bytes the line sends at each register access, over and over.
    pub(crate) fn set_pace(&self, pace: Vec<usize>) {
        self.0.borrow_mut().pace = pace.into();
    }

    pub(crate) fn shift_out_after_events_read(&self, bytes: usize) {
        self.0.borrow_mut().after_events_read = bytes;
    }

    pub(crate) fn shift_out(&self, bytes: usize) {
        let mut state = self.0.borrow_mut();
        (0..bytes).for_each(|_| state.shift());
    }

    pub(crate) fn receive(&self, bytes: &[u8]) {
        let mut state = self.0.borrow_mut();
        assert_eq!(state.control & 0xc, 0x4, "the receiver is not enabled");
        for &byte in bytes {
            if state.receive.len() == FIFO {
                state.events |= 1 << 5;
                continue;
            }
            state.receive.push_back(byte);
            if state.receive.len() == state.trigger as usize {
                state.events |= 1;
            }
        }
    }

    pub(crate) fn interrupts(&self) -> bool {
        let state = self.0.borrow();
        state.events & state.mask != 0
    }

    pub(crate) fn sent(&self) -> Vec<u8> {
        self.0.borrow().sent.clone()
    }

    pub(crate) fn lost(&self) -> usize {
        self.0.borrow().lost
    }

    pub(crate) fn resets(&self) -> usize {
        self.0.borrow().resets
    }

    pub(crate) fn baud(&self, clock: u32) -> u32 {
        let state = self.0.borrow();
        clock / (state.clock_divisor * (state.sample_divisor + 1))
    }
}

impl Registers for Uart {
    fn read(&self, offset: usize) -> u32 {
        let mut state = self.0.borrow_mut();
        state.pass();
        match offset {
            0x00 => state.control,
            0x04 => state.mode,
            0x10 => state.mask,
            0x14 => {
                let events = state.events;
                (0..core::mem::take(&mut state.after_events_read)).for_each(|_| state.shift());
                events
            }
            0x18 => state.clock_divisor,
            0x20 => state.trigger,
            0x2c => {
                u32::from(state.receive.is_empty()) << 1
                    | u32::from(state.transmit.is_empty()) << 3
                    | u32::from(state.transmit.len() == FIFO) << 4
                    | u32::from(state.shifting.is_some()) << 11
            }
            0x30 => u32::from(state.receive.pop_front().expect("read of an empty FIFO")),
            0x34 => state.sample_divisor,
            _ => panic!("read of {offset:#x} is not modelled"),
        }
    }

    fn write(&self, offset: usize, value: u32) {
        let mut state = self.0.borrow_mut();
        state.pass();
        match offset {
            0x00 => {
                if value & 2 != 0 {
                    state.lost += state.transmit.len() + usize::from(state.shifting.is_some());
                    state.transmit.clear();
                    state.shifting = None;
                    state.resets += 1;
                }
                if value & 1 != 0 {
                    state.receive.clear();
                }
                state.control = if state.clock { value & 0x1bc } else { value & 0x1bf };
                if state.transmits() {
                    state.load();
                }
            }
            0x04 => state.mode = value & 0x3ff,
            0x08 => state.mask |= value & 0x1fff,
            0x0c => state.mask &= !value,
            0x14 => state.events &= !value,
            0x18 | 0x34 => {
                assert_eq!(state.control & 0x28, 0x28, "divisors change while enabled");
                if offset == 0x18 {
                    state.clock_divisor = value & 0xffff;
                } else {
                    state.sample_divisor = value & 0xff;
                }
            }
            0x20 => state.trigger = value & 0x3f,
            0x30 => {
                if state.transmit.len() == FIFO {
                    state.lost += 1;
                } else {
                    state.transmit.push_back(value as u8);
                }
                if state.transmits() {
                    state.load();
                }
            }
            _ => panic!("write of {value:#x} to {offset:#x} is not modelled"),
        }
    }
}
