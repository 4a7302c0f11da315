//! A driver of the HDMI transmitter ADV7511, for any `embedded_hal::i2c::I2c`.
//!
//! # How the hardware works
//!
//! The chip takes pixels from the PL and sends them to a monitor. It shows nothing after reset: it is powered down, expects another form of pixels, and a
//! handful of registers must be given values that the manufacturer names without saying what they do. Whether a monitor is there, it learns from the hot-plug pin. While that
//! is low, most registers keep their reset values and cannot be written, and whenever it falls they fall back to these. So everything has to be written
//! again each time that a monitor is plugged in.
//!
//! # What this does
//!
//! [`Adv7511::monitor`] tells whether a monitor is there and whether the transmitter has been set up since it came; [`Adv7511::switch_on`] sets it up for pixels as
//! the ZedBoard wires them, and reads back what it has written. On the ZedBoard that is YCbCr 4:2:2 on 16 pins with separate syncs, which the chip
//! converts to RGB.
//!
//! # What it does not do
//!
//! Sound, HDCP, CEC, reading the monitor's EDID, and the interrupt pin, which on the ZedBoard leads to the PL.
//!
//! # Sources
//!
//! *ADV7511 Programming Guide*, rev. G: the quick start guide, 4.2 (hot plug), 4.3.2 (input formats), 4.3.8 (colour space conversion), section 5 (register map).
#![no_std]
#![forbid(unsafe_code)]

use embedded_hal::i2c::I2c;

/// The chip's address on the ZedBoard, whose PD/AD pin is low.
pub const ADDRESS: u8 = 0x39;

const POWER: u8 = 0x41;
const POWER_DOWN: u8 = 1 << 6;
const STATUS: u8 = 0x42;
const HOT_PLUG: u8 = 1 << 6;
const SENSE: u8 = 1 << 5;

/// Values that the quick start guide demands.
const FIXED: [(u8, u8); 8] = [
    (0x98, 0x03),
    (0x9A, 0xE0),
    (0x9C, 0x30),
    // Bits 1:0; the others keep what they are after reset.
    (0x9D, 0x61),
    (0xA2, 0xA4),
    (0xA3, 0xA4),
    (0xE0, 0xD0),
    (0xF9, 0x00),
];

/// The form of the pixels.
const INPUT: [(u8, u8); 3] = [
    // YCbCr 4:2:2 of 16 bits with separate syncs.
    (0x15, 0x01),
    // Output 4:4:4, 8 bits a colour, input style 1.
    (0x16, 0x38),
    // DVI mode: RGB without information about it.
    (0xAF, 0x04),
];

/// Rows of the conversion from YCbCr (ITU-R BT.709, 16 to 235) to RGB (0 to 255), each behind the number of its first register. Bit 7 of register 0x18
/// switches the converter on, its bits 6 and 5 multiply by four.
const CONVERSION: [[u8; 9]; 3] = [
    [0x18, 0xE7, 0x34, 0x04, 0xAD, 0x00, 0x00, 0x1C, 0x1B],
    [0x20, 0x1D, 0xDC, 0x04, 0xAD, 0x1F, 0x24, 0x01, 0x35],
    [0x28, 0x00, 0x00, 0x04, 0xAD, 0x08, 0x7C, 0x1B, 0x77],
];

/// Why the transmitter cannot be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error<E> {
    /// The bus.
    #[error("the transmitter at 0x39 cannot be reached: {0:?}")]
    Bus(E),
    /// There is no monitor.
    #[error("no monitor is plugged in")]
    NoMonitor,
    /// A register does not keep what is written.
    #[error(
        "register {register:#04x} reads {found:#04x} after {written:#04x} was written: has the monitor been unplugged?"
    )]
    Lost {
        /// The register.
        register: u8,
        /// What was written.
        written: u8,
        /// What is there.
        found: u8,
    },
}

/// What is at the other end of the cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Monitor {
    /// Nothing.
    None,
    /// A monitor, and the transmitter is powered down: it has come since the transmitter was set up, or that never happened.
    New {
        /// It has terminated the lines, so it is switched on.
        listens: bool,
    },
    /// A monitor, and the transmitter sends.
    Served,
}

/// The transmitter at [`ADDRESS`].
#[derive(Debug)]
pub struct Adv7511<B> {
    bus: B,
}

impl<B: I2c> Adv7511<B> {
    /// On a bus.
    pub const fn new(bus: B) -> Self {
        Self { bus }
    }

    fn read(&mut self, register: u8) -> Result<u8, Error<B::Error>> {
        let mut value = [0];
        self.bus.write_read(ADDRESS, &[register], &mut value).map_err(Error::Bus)?;
        let [value] = value;
        Ok(value)
    }

    fn write(&mut self, register: u8, value: u8) -> Result<(), Error<B::Error>> {
        self.bus.write(ADDRESS, &[register, value]).map_err(Error::Bus)
    }

    /// The chip's revision; 0x12 or later.
    ///
    /// # Errors
    /// [`Error::Bus`]
    pub fn revision(&mut self) -> Result<u8, Error<B::Error>> {
        self.read(0x00)
    }

    /// What is at the other end of the cable.
    ///
    /// # Errors
    /// [`Error::Bus`]
    pub fn monitor(&mut self) -> Result<Monitor, Error<B::Error>> {
        let status = self.read(STATUS)?;
        if status & HOT_PLUG == 0 {
            return Ok(Monitor::None);
        }
        let is_down = self.read(POWER)? & POWER_DOWN != 0;
        Ok(if is_down { Monitor::New { listens: status & SENSE != 0 } } else { Monitor::Served })
    }

    /// Sets the transmitter up, power last, so that the monitor sees no picture in wrong colours.
    ///
    /// # Errors
    /// [`Error`]; then the transmitter is still powered down, unless the bus failed at the very end.
    pub fn switch_on(&mut self) -> Result<(), Error<B::Error>> {
        if self.read(STATUS)? & HOT_PLUG == 0 {
            return Err(Error::NoMonitor);
        }
        for (register, value) in FIXED.into_iter().chain(INPUT) {
            self.write(register, value)?;
            self.expect(register, value)?;
        }
        for row in CONVERSION {
            self.bus.write(ADDRESS, &row).map_err(Error::Bus)?;
            let [first, values @ ..] = row;
            for (register, value) in (first..).zip(values) {
                self.expect(register, value)?;
            }
        }
        let power = self.read(POWER)? & !POWER_DOWN;
        self.write(POWER, power)?;
        self.expect(POWER, power)
    }

    fn expect(&mut self, register: u8, written: u8) -> Result<(), Error<B::Error>> {
        let found = self.read(register)?;
        if found == written { Ok(()) } else { Err(Error::Lost { register, written, found }) }
    }
}
