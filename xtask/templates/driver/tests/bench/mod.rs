//! A device on a bench: time passes when a test says so, and a little with each access to a register.
//!
//! [`Bench`] makes a register back end of any [`Device`]. [`Stub`] is the least that is a device: to begin with a device that has no model
//! yet, write one like it from its manual, and let it grow into one of `qemu-xilinx/models`, which the emulated board can have.

#![allow(unreachable_pub, reason = "a test binary is no library")]

use std::cell::{Cell, RefCell};

use mmio::Registers;
use models::memory::Ram;
use models::{Device, Width};

/// Nanoseconds that an access takes.
const ACCESS: u64 = 50;

/// A device and its time.
pub struct Bench<D> {
    device: RefCell<D>,
    now: Cell<u64>,
}

impl<D: Device> Bench<D> {
    /// A device at time 0.
    pub fn new(device: D) -> Self {
        Self { device: RefCell::new(device), now: Cell::new(0) }
    }

    /// Nanoseconds since the start.
    pub fn now(&self) -> u64 {
        self.now.get()
    }

    /// Whether the device's first interrupt line is high.
    pub fn interrupt(&self) -> bool {
        self.device.borrow().interrupts() & 1 != 0
    }

    /// Lets time pass until the line goes high, or `end`; says whether it is high.
    pub fn advance_to_interrupt(&self, end: u64) -> bool {
        while !self.interrupt() && self.now() < end {
            let next = self.device.borrow().next_event().unwrap_or(end);
            self.advance(next.clamp(self.now() + 1, end) - self.now());
        }
        self.interrupt()
    }

    fn advance(&self, nanoseconds: u64) {
        self.now.set(self.now() + nanoseconds);
        self.device.borrow_mut().advance(self.now(), &mut &Ram::new(0, 0));
    }

    fn without_complaints(&self) {
        assert_eq!(self.device.borrow_mut().complaints(), Vec::<String>::new());
    }
}

impl<D: Device> Registers for Bench<D> {
    fn read(&self, offset: usize) -> u32 {
        self.advance(ACCESS);
        let value = self.device.borrow_mut().read(offset as u32, Width::Word, self.now());
        self.without_complaints();
        value
    }

    fn write(&self, offset: usize, value: u32) {
        self.advance(ACCESS);
        self.device.borrow_mut().write(offset as u32, Width::Word, value, self.now());
        self.without_complaints();
    }
}

/// As much of a counter as the driver uses.
pub struct Stub {
    /// Its clock in hertz.
    clock: u32,
    clock_control: u32,
    control: u32,
    interval: u32,
    status: u32,
    enable: u32,
    /// When it was last at zero.
    zero: u64,
    /// What the driver did wrong.
    complaints: Vec<String>,
}

impl Stub {
    /// A counter after reset: it does not count.
    pub fn new(clock: u32) -> Self {
        Self { clock, clock_control: 0, control: 0x21, interval: 0, status: 0, enable: 0, zero: 0, complaints: Vec::new() }
    }

    /// Nanoseconds from zero to zero, if it counts to the interval.
    fn period(&self) -> Option<u64> {
        let exponent = if self.clock_control & 1 == 0 { 0 } else { (self.clock_control >> 1 & 0xf) + 1 };
        let ticks = (u64::from(self.interval) + 1) << exponent;
        (self.control & 3 == 2).then(|| ticks * 1_000_000_000 / u64::from(self.clock))
    }
}

impl Device for Stub {
    fn length(&self) -> u32 {
        0x84
    }

    fn read(&mut self, offset: u32, _: Width, _: u64) -> u32 {
        match offset {
            0x00 => self.clock_control,
            0x0c => self.control,
            0x24 => self.interval,
            0x54 => std::mem::take(&mut self.status),
            0x60 => self.enable,
            _ => {
                self.complaints.push(format!("there is no register to read at {offset:#x}"));
                0
            }
        }
    }

    fn write(&mut self, offset: u32, _: Width, value: u32, now: u64) {
        match offset {
            0x00 => self.clock_control = value,
            0x0c => {
                if value & 0x10 != 0 {
                    self.zero = now;
                }
                self.control = value & !0x10;
            }
            0x24 => self.interval = value,
            0x60 => self.enable = value,
            _ => self.complaints.push(format!("there is no register to write at {offset:#x}")),
        }
    }

    fn interrupts(&self) -> u32 {
        u32::from(self.status & self.enable != 0)
    }

    fn next_event(&self) -> Option<u64> {
        self.period().map(|period| self.zero + period)
    }

    fn advance(&mut self, now: u64, _: &mut dyn models::Memory) {
        while let Some(period) = self.period().filter(|period| self.zero + period <= now) {
            self.zero += period;
            self.status |= 1;
        }
    }

    fn complaints(&mut self) -> Vec<String> {
        std::mem::take(&mut self.complaints)
    }
}
