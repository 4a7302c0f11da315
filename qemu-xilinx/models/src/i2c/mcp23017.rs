//! The I/O expander MCP23017.
//!
//! # How the hardware works
//!
//! Two ports of eight pins, eleven registers each. With IOCON.BANK clear the registers of the ports alternate, with it set
//! they are apart. The first byte written is a register's number; with IOCON.SEQOP clear it counts up with every byte, with
//! it set it stays, or toggles between the pair if BANK is clear. A pin with its GPINTEN bit raises an interrupt when its
//! input changes, or while it differs from DEFVAL if its INTCON bit is set. INTF names the pin, INTCAP keeps the port as it
//! was, and both stay until GPIO or INTCAP is read. (MCP23017 data sheet, DS20001952, 3.2 to 3.6.)
//!
//! # What it does not do
//!
//! Slew rate and the hardware address pins: the address is what the bus says.

use super::{Address, Direction, PropertyError, Reply, Sent, Slave, Value, unfit, unknown};
use crate::Drive;

const PROPERTIES: &str =
    "gpa0 to gpa7, gpb0 to gpb7 (flag: the level from outside; text \"release\": nobody drives it)";

const IODIR: usize = 0;
const IPOL: usize = 1;
const GPINTEN: usize = 2;
const DEFVAL: usize = 3;
const INTCON: usize = 4;
const IOCON: usize = 5;
const GPPU: usize = 6;
const INTF: usize = 7;
const INTCAP: usize = 8;
const GPIO: usize = 9;
const OLAT: usize = 10;
/// Registers of a port.
const REGISTERS: usize = 11;

/// Bits of IOCON that exist.
const IOCON_BITS: u8 = 0xFE;
const BANK: u8 = 1 << 7;
const MIRROR: u8 = 1 << 6;
const SEQOP: u8 = 1 << 5;
const ODR: u8 = 1 << 2;
const INTPOL: u8 = 1 << 1;

const NAMES: [&str; 18] = [
    "gpa0", "gpa1", "gpa2", "gpa3", "gpa4", "gpa5", "gpa6", "gpa7", "gpb0", "gpb1", "gpb2", "gpb3", "gpb4", "gpb5",
    "gpb6", "gpb7", "inta", "intb",
];

#[derive(Clone, Copy, Debug)]
struct Port {
    registers: [u8; REGISTERS],
    /// Pins that somebody outside drives, and how.
    driven: u8,
    levels: u8,
    /// The pins as they were when last looked at.
    before: u8,
}

impl Port {
    fn new() -> Self {
        let mut registers = [0; REGISTERS];
        registers[IODIR] = 0xFF;
        Self { registers, driven: 0, levels: 0, before: 0 }
    }

    /// Levels at the pins. A pin that nobody drives is low unless it has its pull-up.
    fn pins(&self) -> u8 {
        let registers = &self.registers;
        let (direction, pull, latch) = (registers[IODIR], registers[GPPU], registers[OLAT]);
        let input = self.levels & self.driven | pull & !self.driven;
        input & direction | latch & !direction
    }

    /// What GPIO reads.
    fn gpio(&self) -> u8 {
        self.pins() ^ self.registers[IPOL] & self.registers[IODIR]
    }

    /// Looks at the pins.
    fn look(&mut self) {
        let pins = self.gpio();
        let (compare, default) = (self.registers[INTCON], self.registers[DEFVAL]);
        let differs = (pins ^ default) & compare | (pins ^ self.before) & !compare;
        self.before = pins;
        let raised = differs & self.registers[GPINTEN];
        if raised != 0 && self.registers[INTF] == 0 {
            self.registers[INTF] = raised;
            self.registers[INTCAP] = pins;
        }
    }

    /// GPIO or INTCAP was read.
    fn clear(&mut self) {
        self.registers[INTF] = 0;
        self.look();
    }
}

/// An I/O expander. Properties: its pins. Outputs: the same, `inta` and `intb`.
#[derive(Debug)]
pub struct Mcp23017 {
    ports: [Port; 2],
    pointer: u8,
    first: bool,
}

impl Default for Mcp23017 {
    fn default() -> Self {
        Self::new()
    }
}

impl Mcp23017 {
    /// One after power-up: all pins are inputs.
    pub fn new() -> Self {
        Self { ports: [Port::new(); 2], pointer: 0, first: false }
    }

    /// Levels at the pins, GPA7..0 in the lower byte.
    pub fn pins(&self) -> u16 {
        u16::from_le_bytes(self.ports.map(|port| port.pins()))
    }

    /// Somebody outside drives a pin, 0 to 7 for GPA, 8 to 15 for GPB; `None` lets it go.
    pub fn drive(&mut self, pin: u8, level: Option<bool>) {
        let bit = 1 << (pin % 8);
        if let Some(port) = self.ports.get_mut(usize::from(pin / 8)) {
            port.driven = if level.is_some() { port.driven | bit } else { port.driven & !bit };
            port.levels = if level == Some(true) { port.levels | bit } else { port.levels & !bit };
            port.look();
        }
    }

    fn iocon(&self) -> u8 {
        self.ports[0].registers[IOCON]
    }

    /// Port and register of the number that the pointer has.
    fn place(&self) -> Option<(usize, usize)> {
        let pointer = usize::from(self.pointer);
        let (port, register) =
            if self.iocon() & BANK == 0 { (pointer % 2, pointer / 2) } else { (pointer >> 4, pointer & 0xF) };
        (port < 2 && register < REGISTERS).then_some((port, register))
    }

    fn count(&mut self) {
        let apart = self.iocon() & BANK != 0;
        let last = if apart { 0x1A } else { 0x15 };
        self.pointer = match (self.iocon() & SEQOP != 0, apart) {
            (true, true) => self.pointer,
            (true, false) => self.pointer ^ 1,
            (false, _) if self.pointer >= last => 0,
            (false, _) => self.pointer + 1,
        };
    }

    #[allow(clippy::indexing_slicing, reason = "place() has checked both")]
    fn store(&mut self, byte: u8) {
        let Some((port, register)) = self.place() else { return };
        match register {
            IOCON => self.ports.iter_mut().for_each(|port| port.registers[IOCON] = byte & IOCON_BITS),
            INTF | INTCAP => {}
            GPIO => self.ports[port].registers[OLAT] = byte,
            _ => self.ports[port].registers[register] = byte,
        }
        self.ports[port].look();
    }

    #[allow(clippy::indexing_slicing, reason = "place() has checked both")]
    fn load(&mut self) -> u8 {
        let Some((port, register)) = self.place() else { return 0 };
        let port = &mut self.ports[port];
        let value = if register == GPIO { port.gpio() } else { port.registers[register] };
        if matches!(register, GPIO | INTCAP) {
            port.clear();
        }
        value
    }

    fn interrupt(&self, port: usize) -> bool {
        let flags = self.ports.map(|port| port.registers[INTF] != 0);
        if self.iocon() & MIRROR != 0 { flags[0] || flags[1] } else { flags.get(port).copied().unwrap_or(false) }
    }
}

impl Slave for Mcp23017 {
    fn name(&self) -> &'static str {
        "mcp23017"
    }

    fn start(&mut self, _address: Address, direction: Direction, _now: u64) -> Reply {
        self.first = direction == Direction::Write;
        Reply::ACK
    }

    fn write(&mut self, byte: u8, _now: u64) -> Reply {
        if std::mem::take(&mut self.first) {
            self.pointer = byte;
        } else {
            self.store(byte);
            self.count();
        }
        Reply::ACK
    }

    fn read(&mut self, _now: u64) -> Sent {
        let byte = self.load();
        self.count();
        byte.into()
    }

    fn dump(&self) -> Vec<u8> {
        let [a, b] = &self.ports;
        let pairs = a.registers.iter().zip(&b.registers).enumerate();
        pairs.flat_map(|(index, (x, y))| if index == GPIO { [a.gpio(), b.gpio()] } else { [*x, *y] }).collect()
    }

    fn set(&mut self, property: &str, value: &Value, _now: u64) -> Result<(), PropertyError> {
        let pin = NAMES.iter().take(16).position(|name| *name == property);
        let pin = pin.ok_or_else(|| unknown(self.name(), property, PROPERTIES))?;
        let level = match value {
            Value::Flag(level) => Some(*level),
            Value::Text(text) if text == "release" => None,
            _ => return Err(unfit(self.name(), property, "a flag or \"release\"")),
        };
        self.drive(pin as u8, level);
        Ok(())
    }

    fn outputs(&self) -> &'static [&'static str] {
        &NAMES
    }

    fn output(&self, pin: &str) -> Drive {
        let Some(index) = NAMES.iter().position(|name| *name == pin) else { return Drive::Floating };
        if index < 16 {
            let bit = 1 << (index % 8);
            let Some(port) = self.ports.get(index / 8) else { return Drive::Floating };
            if port.registers[IODIR] & bit != 0 {
                return Drive::Floating;
            }
            return if port.registers[OLAT] & bit != 0 { Drive::High } else { Drive::Low };
        }
        let active = self.interrupt(index - 16);
        if self.iocon() & ODR != 0 {
            return if active { Drive::Low } else { Drive::Floating };
        }
        if active == (self.iocon() & INTPOL != 0) { Drive::High } else { Drive::Low }
    }
}
