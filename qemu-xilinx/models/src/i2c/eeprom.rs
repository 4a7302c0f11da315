//! Serial EEPROMs 24C02 and 24C256.
//!
//! # How the hardware works
//!
//! A write sends the word address (one byte for the 24C02, two for the 24C256), then data that goes into a page buffer; only the
//! lower bits of the address count up, so that data beyond the page's end wraps to its start. At the STOP the chip programs
//! the page and does not answer its address until that is done: software polls for the acknowledgement. A read starts at the
//! word address and goes on over the end of the memory to its start. With the write-protect pin high, data is not
//! acknowledged and nothing is programmed. (AT24C02 data sheet, "Write Operations", "Read Operations"; AT24C256C 7 and 8.)
//!
//! # What it does not do
//!
//! Wear, and a write that is cut short by power.

use super::{Address, Direction, PropertyError, Reply, Sent, Slave, Value, unfit, unknown};

/// The time to program a page, in ns: the data sheets' maximum of 5 ms.
const WRITE_TIME: u64 = 5_000_000;

const PROPERTIES: &str = "contents (bytes from address 0), write-protect (flag), write-time-us (integer)";

/// Which EEPROM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// 256 bytes in pages of 8, one byte of word address.
    C02,
    /// 32 KiB in pages of 64, two bytes of word address.
    C256,
}

impl Size {
    const fn bytes(self) -> usize {
        match self {
            Self::C02 => 256,
            Self::C256 => 32 * 1024,
        }
    }

    const fn page(self) -> usize {
        match self {
            Self::C02 => 8,
            Self::C256 => 64,
        }
    }

    const fn address_bytes(self) -> u8 {
        match self {
            Self::C02 => 1,
            Self::C256 => 2,
        }
    }
}

/// A serial EEPROM. Properties: `contents`, `write-protect`, `write-time-us`.
#[derive(Debug)]
pub struct Eeprom {
    size: Size,
    memory: Vec<u8>,
    write_protect: bool,
    write_time: u64,
    /// The next word.
    pointer: usize,
    /// Bytes of the word address that are still to come.
    address_left: u8,
    /// Data of this write with its places, a page at most.
    buffer: Vec<(usize, u8)>,
    /// It programs until then.
    busy: Option<u64>,
    programmed: u64,
}

impl Eeprom {
    /// An erased one.
    pub fn new(size: Size) -> Self {
        Self {
            size,
            memory: vec![0xFF; size.bytes()],
            write_protect: false,
            write_time: WRITE_TIME,
            pointer: 0,
            address_left: 0,
            buffer: Vec::new(),
            busy: None,
            programmed: 0,
        }
    }

    /// The memory.
    pub fn memory(&self) -> &[u8] {
        &self.memory
    }

    /// Page programmings so far.
    pub fn programmed(&self) -> u64 {
        self.programmed
    }

    /// The write-protect pin.
    pub fn set_write_protect(&mut self, protected: bool) {
        self.write_protect = protected;
    }

    fn advance_pointer(&mut self, within: usize) {
        let base = self.pointer / within * within;
        self.pointer = base + (self.pointer + 1 - base) % within;
    }
}

impl Slave for Eeprom {
    fn name(&self) -> &'static str {
        match self.size {
            Size::C02 => "24c02",
            Size::C256 => "24c256",
        }
    }

    fn start(&mut self, _address: Address, direction: Direction, now: u64) -> Reply {
        if self.busy.is_some_and(|until| until > now) {
            return Reply::NACK;
        }
        self.busy = None;
        // A write that a repeated START follows is not programmed: only a STOP starts that.
        self.buffer.clear();
        self.address_left = if direction == Direction::Write { self.size.address_bytes() } else { 0 };
        Reply::ACK
    }

    fn write(&mut self, byte: u8, _now: u64) -> Reply {
        if self.address_left > 0 {
            self.address_left -= 1;
            self.pointer = (self.pointer << 8 | usize::from(byte)) & (self.size.bytes() - 1);
            return Reply::ACK;
        }
        if self.write_protect {
            return Reply::NACK;
        }
        match self.buffer.iter_mut().find(|(place, _)| *place == self.pointer) {
            Some((_, older)) => *older = byte,
            None => self.buffer.push((self.pointer, byte)),
        }
        self.advance_pointer(self.size.page());
        Reply::ACK
    }

    fn read(&mut self, _now: u64) -> Sent {
        let byte = self.memory.get(self.pointer).copied().unwrap_or(0xFF);
        self.advance_pointer(self.size.bytes());
        byte.into()
    }

    fn stop(&mut self, now: u64) {
        if self.buffer.is_empty() {
            return;
        }
        for (place, byte) in self.buffer.drain(..) {
            if let Some(cell) = self.memory.get_mut(place) {
                *cell = byte;
            }
        }
        self.programmed += 1;
        self.busy = Some(now.saturating_add(self.write_time));
    }

    fn dump(&self) -> Vec<u8> {
        self.memory.clone()
    }

    fn set(&mut self, property: &str, value: &Value, _now: u64) -> Result<(), PropertyError> {
        let name = self.name();
        match property {
            "contents" => {
                let wanted = "bytes that fit the memory";
                let bytes = value.bytes().ok_or_else(|| unfit(name, property, wanted))?;
                let place = self.memory.get_mut(..bytes.len()).ok_or_else(|| unfit(name, property, wanted))?;
                place.copy_from_slice(bytes);
            }
            "write-protect" => {
                self.write_protect = value.flag().ok_or_else(|| unfit(name, property, "a flag"))?;
            }
            "write-time-us" => {
                let time = value.integer().and_then(|time| u64::try_from(time).ok());
                let time = time.ok_or_else(|| unfit(name, property, "a time in microseconds, at least 0"))?;
                self.write_time = time.saturating_mul(1000);
            }
            _ => return Err(unknown(name, property, PROPERTIES)),
        }
        Ok(())
    }
}
