//! The HDMI transmitter ADV7511: its register file.
//!
//! # How the hardware works
//!
//! 256 registers at the main address; the first byte written is the register's number, which counts up with every byte. The
//! hot-plug pin says whether a monitor is there: it shows in register 0x42, and a change raises an interrupt in 0x96
//! (cleared by writing ones, enabled in 0x94), which pulls the INT pin low. Registers from 0x00 to 0xAE keep their reset
//! values while hot-plug is low, and the power-down bit of 0x41 is set when it falls. With a monitor and power the chip reads the
//! monitor's EDID by itself, segment by segment (0xC4), into a memory at an address of its own, and raises another
//! interrupt. (ADV7511 programming guide, rev. G: 4.2.1 to 4.2.3, 4.6, 4.8, section 5.)
//!
//! # What it does not do
//!
//! Video, audio, CEC, HDCP, and the packet memory; the EDID memory stays where it is after reset (0x43). Registers without
//! a function here are plain storage.

use super::{Address, Direction, PropertyError, Reply, Sent, Slave, Value, unfit, unknown};
use crate::Drive;
use crate::complaints::Complaints;

const PROPERTIES: &str = "hot-plug (flag), edid (bytes, at most 512)";

/// How long the chip takes to read an EDID, in ns.
const EDID_TIME: u64 = 4_000_000;

const POWER: u8 = 0x41;
const STATE: u8 = 0x42;
const EDID_PLACE: u8 = 0x43;
const ENABLE: u8 = 0x94;
const STATUS: u8 = 0x96;
const SEGMENT: u8 = 0xC4;
const EDID_CONTROL: u8 = 0xC9;

/// Register 0x41: power-down.
const POWER_DOWN: u8 = 1 << 6;
/// Register 0x42: hot-plug is high, a receiver is sensed.
const HOT_PLUG_STATE: u8 = 1 << 6;
const SENSE_STATE: u8 = 1 << 5;
/// Registers 0x94 and 0x96.
const HOT_PLUG: u8 = 1 << 7;
const SENSE: u8 = 1 << 6;
const EDID_READY: u8 = 1 << 2;
/// Register 0xC9: reads the EDID once more, at its rising edge.
const EDID_AGAIN: u8 = 1 << 4;

/// Registers below this keep their reset values while hot-plug is low.
const KEPT: u8 = 0xAF;

/// Bytes of an EDID segment.
const SEGMENT_BYTES: usize = 256;

/// Registers that are not 0 after reset (programming guide, section 5).
const RESET: [(u8, u8); 49] = [
    (0x00, 0x12),
    (0x0A, 0x01),
    (0x0B, 0x0E),
    (0x0C, 0xBC),
    (0x0D, 0x18),
    (0x0E, 0x01),
    (0x0F, 0x13),
    (0x10, 0x25),
    (0x11, 0x37),
    (0x18, 0x46),
    (0x19, 0x62),
    (0x1A, 0x04),
    (0x1B, 0xA8),
    (0x1E, 0x1C),
    (0x1F, 0x84),
    (0x20, 0x1C),
    (0x21, 0xBF),
    (0x22, 0x04),
    (0x23, 0xA8),
    (0x24, 0x1E),
    (0x25, 0x70),
    (0x26, 0x02),
    (0x27, 0x1E),
    (0x2A, 0x04),
    (0x2B, 0xA8),
    (0x2C, 0x08),
    (0x2D, 0x12),
    (0x2E, 0x1B),
    (0x2F, 0xAC),
    (0x3B, 0x80),
    (0x3F, 0xB0),
    (POWER, 0x50),
    (STATE, 0x90),
    (EDID_PLACE, 0x7E),
    (0x44, 0x79),
    (0x45, 0x70),
    (0x49, 0xA8),
    (0x4A, 0x80),
    (0x52, 0x02),
    (0x53, 0x0D),
    (0x70, 0x01),
    (0x71, 0x0A),
    (ENABLE, 0xC0),
    (0x98, 0x0B),
    (0x99, 0x02),
    (EDID_CONTROL, 0x03),
    (0xE1, 0x78),
    (0xF5, 0x75),
    (0xF6, 0x11),
];

/// An HDMI transmitter. Properties: `hot-plug`, `edid`. Output: `int`.
///
/// It answers to its own address and to [`Adv7511::EDID_ADDRESS`].
#[derive(Debug)]
pub struct Adv7511 {
    registers: [u8; 256],
    hot_plug: bool,
    /// What the monitor has.
    edid: Vec<u8>,
    /// What has been read of it.
    memory: [u8; SEGMENT_BYTES],
    /// When the reading ends.
    reading: Option<u64>,
    pointer: u8,
    edid_pointer: u8,
    /// The address of this message is that of the EDID memory.
    in_edid: bool,
    first: bool,
    complaints: Complaints,
}

impl Default for Adv7511 {
    fn default() -> Self {
        Self::new()
    }
}

impl Adv7511 {
    /// The 7-bit address of the EDID memory.
    pub const EDID_ADDRESS: u8 = 0x3F;

    /// A chip after reset, without a monitor.
    pub fn new() -> Self {
        let mut chip = Self {
            registers: [0; 256],
            hot_plug: false,
            edid: Vec::new(),
            memory: [0; SEGMENT_BYTES],
            reading: None,
            pointer: 0,
            edid_pointer: 0,
            in_edid: false,
            first: false,
            complaints: Complaints::new(),
        };
        chip.reset(0xFF);
        chip
    }

    /// A register, as software would read it.
    pub fn register(&self, number: u8) -> u8 {
        self.registers.get(usize::from(number)).copied().unwrap_or(0)
    }

    /// A monitor with this EDID is plugged in, or unplugged.
    pub fn set_hot_plug(&mut self, plugged: bool, now: u64) {
        if plugged == self.hot_plug {
            return;
        }
        self.hot_plug = plugged;
        if !plugged {
            self.reset(KEPT - 1);
            self.reading = None;
        }
        self.change(STATE, HOT_PLUG_STATE | SENSE_STATE, plugged);
        self.change(STATUS, HOT_PLUG | SENSE, true);
        if plugged {
            self.read_edid(now);
        }
    }

    /// Makes the registers up to `last` what they are after reset.
    fn reset(&mut self, last: u8) {
        for (number, register) in (0..=last).zip(&mut self.registers) {
            *register = RESET.iter().find(|(other, _)| *other == number).map_or(0, |(_, value)| *value);
        }
    }

    fn change(&mut self, number: u8, bits: u8, set: bool) {
        if let Some(register) = self.registers.get_mut(usize::from(number)) {
            *register = if set { *register | bits } else { *register & !bits };
        }
    }

    fn read_edid(&mut self, now: u64) {
        if self.hot_plug && self.register(POWER) & POWER_DOWN == 0 && !self.edid.is_empty() {
            self.reading = Some(now.saturating_add(EDID_TIME));
        }
    }

    fn store(&mut self, number: u8, byte: u8, now: u64) {
        let before = self.register(number);
        let value = match number {
            0x00 | STATE | 0xF5 | 0xF6 => {
                self.complaints.add(|| format!("register {number:#04x} is read-only: {byte:#04x} written"));
                before
            }
            STATUS | 0x97 => before & !byte,
            EDID_PLACE if byte != before => {
                self.complaints.add(|| format!("register 0x43: {byte:#04x} moves the EDID memory: not modelled"));
                byte
            }
            0..KEPT if !self.hot_plug && number != ENABLE => {
                self.complaints.add(|| {
                    format!("register {number:#04x}: {byte:#04x} written without a monitor; it keeps its reset value")
                });
                before
            }
            _ => byte,
        };
        if let Some(register) = self.registers.get_mut(usize::from(number)) {
            *register = value;
        }
        let powered = number == POWER && before & !value & POWER_DOWN != 0;
        let again = number == EDID_CONTROL && value & !before & EDID_AGAIN != 0;
        if powered || again || (number == SEGMENT && value != before) {
            self.read_edid(now);
        }
    }
}

impl Slave for Adv7511 {
    fn name(&self) -> &'static str {
        "adv7511"
    }

    fn start(&mut self, address: Address, direction: Direction, now: u64) -> Reply {
        self.advance(now);
        self.in_edid = address == Address::Seven(Self::EDID_ADDRESS);
        self.first = direction == Direction::Write;
        Reply::ACK
    }

    fn write(&mut self, byte: u8, now: u64) -> Reply {
        if self.in_edid {
            if std::mem::take(&mut self.first) {
                self.edid_pointer = byte;
            } else {
                self.complaints.add(|| format!("the EDID memory is read-only: {byte:#04x} written"));
            }
        } else if std::mem::take(&mut self.first) {
            self.pointer = byte;
        } else {
            let number = self.pointer;
            self.pointer = number.wrapping_add(1);
            self.store(number, byte, now);
        }
        Reply::ACK
    }

    fn read(&mut self, now: u64) -> Sent {
        self.advance(now);
        if self.in_edid {
            let byte = self.memory.get(usize::from(self.edid_pointer)).copied().unwrap_or(0);
            self.edid_pointer = self.edid_pointer.wrapping_add(1);
            return byte.into();
        }
        let byte = self.register(self.pointer);
        self.pointer = self.pointer.wrapping_add(1);
        byte.into()
    }

    fn next_event(&self) -> Option<u64> {
        self.reading
    }

    fn advance(&mut self, now: u64) {
        if self.reading.is_some_and(|ends| ends <= now) {
            self.reading = None;
            let begin = usize::from(self.register(SEGMENT)) * SEGMENT_BYTES;
            let bytes = self.edid.iter().copied().skip(begin).chain(std::iter::repeat(0));
            for (cell, byte) in self.memory.iter_mut().zip(bytes) {
                *cell = byte;
            }
            self.change(STATUS, EDID_READY, true);
        }
    }

    fn dump(&self) -> Vec<u8> {
        self.registers.to_vec()
    }

    fn set(&mut self, property: &str, value: &Value, now: u64) -> Result<(), PropertyError> {
        match property {
            "hot-plug" => {
                let plugged = value.flag().ok_or_else(|| unfit(self.name(), property, "a flag"))?;
                self.set_hot_plug(plugged, now);
            }
            "edid" => {
                let edid = value.bytes().filter(|edid| edid.len() <= 2 * SEGMENT_BYTES);
                let edid = edid.ok_or_else(|| unfit(self.name(), property, "at most 512 bytes"))?;
                self.edid = edid.to_vec();
                self.read_edid(now);
            }
            _ => return Err(unknown(self.name(), property, PROPERTIES)),
        }
        Ok(())
    }

    fn outputs(&self) -> &'static [&'static str] {
        &["int"]
    }

    fn output(&self, _pin: &str) -> Drive {
        if self.register(STATUS) & self.register(ENABLE) == 0 { Drive::Floating } else { Drive::Low }
    }

    fn complaints(&mut self) -> Vec<String> {
        self.complaints.take()
    }
}
