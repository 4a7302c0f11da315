//! The I/O expander PCF8574.
//!
//! # How the hardware works
//!
//! Eight quasi-bidirectional pins: a written zero pulls a pin low, a written one leaves it to a weak pull-up, so that it may be an
//! input. Every byte written sets all pins, every byte read samples them. INT (open drain) goes low when a pin that is
//! not held low differs from what was last read or written, and high again when it no longer does, or at the next read or
//! write (PCF8574 data sheet, "Quasi-bidirectional I/Os", "Interrupt output").

use super::{Address, Direction, PropertyError, Reply, Sent, Slave, Value, unfit, unknown};
use crate::Drive;

const PROPERTIES: &str = "p0 to p7 (flag: whether somebody outside pulls it low is false)";

/// An I/O expander. Properties: `p0` to `p7`, `false` pulls the pin low from outside. Outputs: the same, and `int`.
#[derive(Debug)]
pub struct Pcf8574 {
    latch: u8,
    outside: u8,
    seen: u8,
}

impl Default for Pcf8574 {
    fn default() -> Self {
        Self::new()
    }
}

impl Pcf8574 {
    /// One after power-up: all pins are inputs.
    pub fn new() -> Self {
        Self { latch: 0xFF, outside: 0xFF, seen: 0xFF }
    }

    /// What was written.
    pub fn latch(&self) -> u8 {
        self.latch
    }

    /// Levels of the pins.
    pub fn pins(&self) -> u8 {
        self.latch & self.outside
    }

    /// Somebody outside pulls the pins low whose bits are 0.
    pub fn set_outside(&mut self, levels: u8) {
        self.outside = levels;
    }
}

impl Slave for Pcf8574 {
    fn name(&self) -> &'static str {
        "pcf8574"
    }

    fn start(&mut self, _address: Address, _direction: Direction, _now: u64) -> Reply {
        Reply::ACK
    }

    fn write(&mut self, byte: u8, _now: u64) -> Reply {
        self.latch = byte;
        self.seen = self.pins();
        Reply::ACK
    }

    fn read(&mut self, _now: u64) -> Sent {
        self.seen = self.pins();
        self.seen.into()
    }

    fn dump(&self) -> Vec<u8> {
        vec![self.latch, self.pins()]
    }

    fn set(&mut self, property: &str, value: &Value, _now: u64) -> Result<(), PropertyError> {
        let pin = self.outputs().iter().take(8).position(|name| *name == property);
        let pin = pin.ok_or_else(|| unknown(self.name(), property, PROPERTIES))?;
        let level = value.flag().ok_or_else(|| unfit(self.name(), property, "a flag"))?;
        self.outside = self.outside & !(1 << pin) | u8::from(level) << pin;
        Ok(())
    }

    fn outputs(&self) -> &'static [&'static str] {
        &["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "int"]
    }

    fn output(&self, pin: &str) -> Drive {
        let low = match self.outputs().iter().position(|name| *name == pin) {
            Some(8) => self.pins() != self.seen,
            Some(pin) => self.latch >> pin & 1 == 0,
            None => false,
        };
        if low { Drive::Low } else { Drive::Floating }
    }
}
