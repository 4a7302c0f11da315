//! The display controller SSD1306 with a panel of 128 by 64 pixels.
//!
//! # How the hardware works
//!
//! A message begins with a control byte: bit 6 says whether data or commands follow, bit 7 whether only one byte follows, before
//! the next control byte. Data goes to the display memory, eight pages of 128 bytes, a byte is eight pixels of a column with
//! the least significant on top; where it goes and how the place counts up depends on the addressing mode. Start line,
//! offset, segment and scan direction and inversion decide how the memory shows on the panel. (SSD1306 data sheet, 8.1.5, 8.7,
//! 9, 10.1.)
//!
//! # What it does not do
//!
//! Scrolling (its commands are understood and have no effect), contrast, and the multiplex ratio other than 64.

use super::{Address, Direction, PropertyError, Reply, Sent, Slave, Value, unknown};
use crate::complaints::Complaints;

/// Columns of the panel.
const COLUMNS: usize = 128;
/// Pages of the memory.
const PAGES: usize = 8;

/// How the place in the memory counts up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Horizontal,
    Vertical,
    Page,
}

/// What the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Control,
    /// `once`: one byte, then a control byte.
    Command {
        once: bool,
    },
    Data {
        once: bool,
    },
}

/// Counts within a range of `end` places at most; whether the range has come to its end.
fn count(value: &mut usize, (first, last): (usize, usize), end: usize) -> bool {
    let over = *value == last;
    *value = if over { first } else { (*value + 1) % end };
    over
}

/// A display.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "switches of the chip")]
pub struct Ssd1306 {
    memory: [u8; COLUMNS * PAGES],
    expect: Expect,
    /// A command whose parameters are still to come, with those that have.
    command: Vec<u8>,
    mode: Mode,
    column: usize,
    page: usize,
    columns: (usize, usize),
    pages: (usize, usize),
    start_line: usize,
    offset: usize,
    on: bool,
    all_on: bool,
    inverted: bool,
    mirrored: bool,
    flipped: bool,
    charge_pump: bool,
    contrast: u8,
    complaints: Complaints,
}

impl Default for Ssd1306 {
    fn default() -> Self {
        Self::new()
    }
}

impl Ssd1306 {
    /// Width of the panel in pixels.
    pub const WIDTH: usize = COLUMNS;
    /// Height of the panel in pixels.
    pub const HEIGHT: usize = PAGES * 8;

    /// A display after reset: off.
    pub fn new() -> Self {
        Self {
            memory: [0; COLUMNS * PAGES],
            expect: Expect::Control,
            command: Vec::new(),
            mode: Mode::Page,
            column: 0,
            page: 0,
            columns: (0, COLUMNS - 1),
            pages: (0, PAGES - 1),
            start_line: 0,
            offset: 0,
            on: false,
            all_on: false,
            inverted: false,
            mirrored: false,
            flipped: false,
            charge_pump: false,
            contrast: 0x7F,
            complaints: Complaints::new(),
        }
    }

    /// The display memory: 8 pages of 128 bytes.
    pub fn memory(&self) -> &[u8] {
        &self.memory
    }

    /// The display is on and has a supply: something is to be seen.
    pub fn is_on(&self) -> bool {
        self.on && self.charge_pump
    }

    /// The contrast.
    pub fn contrast(&self) -> u8 {
        self.contrast
    }

    /// A pixel of the panel, from the upper left corner on, seen with the ribbon cable at the bottom as modules have it (segment
    /// remap and scan direction as software for such modules sets them: 0xA1, 0xC8). Dark outside and while it is off.
    pub fn pixel(&self, x: usize, y: usize) -> bool {
        if x >= Self::WIDTH || y >= Self::HEIGHT || !self.is_on() {
            return false;
        }
        if self.all_on {
            return true;
        }
        let column = if self.mirrored { x } else { COLUMNS - 1 - x };
        let row = if self.flipped { y } else { Self::HEIGHT - 1 - y };
        let line = (row + self.start_line + self.offset) % Self::HEIGHT;
        let byte = self.memory.get(line / 8 * COLUMNS + column).copied().unwrap_or(0);
        (byte >> (line % 8) & 1 != 0) != self.inverted
    }

    /// The panel, row by row.
    pub fn picture(&self) -> Vec<Vec<bool>> {
        (0..Self::HEIGHT).map(|y| (0..Self::WIDTH).map(|x| self.pixel(x, y)).collect()).collect()
    }

    fn data(&mut self, byte: u8) {
        if let Some(cell) = self.memory.get_mut(self.page * COLUMNS + self.column) {
            *cell = byte;
        }
        match self.mode {
            Mode::Page => {
                count(&mut self.column, (0, COLUMNS - 1), COLUMNS);
            }
            Mode::Horizontal => {
                if count(&mut self.column, self.columns, COLUMNS) {
                    count(&mut self.page, self.pages, PAGES);
                }
            }
            Mode::Vertical => {
                if count(&mut self.page, self.pages, PAGES) {
                    count(&mut self.column, self.columns, COLUMNS);
                }
            }
        }
    }

    /// Parameters that a command has; `None` if there is no such command.
    fn parameters(command: u8) -> Option<usize> {
        Some(match command {
            0x00..=0x1F | 0x2E | 0x2F | 0x40..=0x7F | 0xA0 | 0xA1 | 0xA4..=0xA7 | 0xAE..=0xB7 | 0xC0..=0xCF | 0xE3 => 0,
            0x20 | 0x81 | 0x8D | 0xA8 | 0xD3 | 0xD5 | 0xD9 | 0xDA | 0xDB => 1,
            0x21 | 0x22 | 0xA3 => 2,
            0x29 | 0x2A => 5,
            0x26 | 0x27 => 6,
            _ => return None,
        })
    }

    fn command(&mut self, byte: u8) {
        self.command.push(byte);
        let Some((&command, parameters)) = self.command.split_first() else { return };
        match Self::parameters(command) {
            None => {
                self.complaints.add(|| format!("there is no command {command:#04x}"));
                self.command.clear();
            }
            Some(count) if parameters.len() == count => {
                let [a, b] = [0, 1].map(|index| parameters.get(index).copied().unwrap_or(0));
                self.command.clear();
                self.execute(command, a, b);
            }
            Some(_) => {}
        }
    }

    fn execute(&mut self, command: u8, a: u8, b: u8) {
        let [low, first, second] = [command, a, b].map(usize::from);
        match command {
            0x00..=0x0F => self.column = self.column & 0x70 | low,
            0x10..=0x1F => self.column = self.column & 0x0F | (low & 7) << 4,
            0x20 => {
                self.mode = match a & 3 {
                    0 => Mode::Horizontal,
                    1 => Mode::Vertical,
                    2 => Mode::Page,
                    _ => {
                        self.complaints.add(|| format!("command 0x20: there is no addressing mode {a:#04x}"));
                        return;
                    }
                }
            }
            0x21 | 0x22 => {
                let end = if command == 0x21 { COLUMNS } else { PAGES };
                if first > second || second >= end {
                    self.complaints.add(|| format!("command {command:#04x}: there is no range {a} to {b}"));
                } else if command == 0x21 {
                    (self.columns, self.column) = ((first, second), first);
                } else {
                    (self.pages, self.page) = ((first, second), first);
                }
            }
            0x40..=0x7F => self.start_line = low & 0x3F,
            0x81 => self.contrast = a,
            0x8D => self.charge_pump = a & 4 != 0,
            0xA0 | 0xA1 => self.mirrored = command & 1 != 0,
            0xA4 | 0xA5 => self.all_on = command & 1 != 0,
            0xA6 | 0xA7 => self.inverted = command & 1 != 0,
            0xA8 if a & 0x3F != 0x3F => {
                self.complaints.add(|| format!("command 0xa8: multiplex ratio {} is not modelled", (a & 0x3F) + 1));
            }
            0xAE | 0xAF => self.on = command & 1 != 0,
            0xB0..=0xB7 => self.page = low & 7,
            0xC0..=0xCF => self.flipped = command & 8 != 0,
            0xD3 => self.offset = first & 0x3F,
            _ => {}
        }
    }
}

impl Slave for Ssd1306 {
    fn name(&self) -> &'static str {
        "ssd1306"
    }

    fn start(&mut self, _address: Address, _direction: Direction, _now: u64) -> Reply {
        self.expect = Expect::Control;
        Reply::ACK
    }

    fn write(&mut self, byte: u8, _now: u64) -> Reply {
        match self.expect {
            Expect::Control => {
                let once = byte & 0x80 != 0;
                if byte & 0x3F != 0 {
                    self.complaints.add(|| format!("{byte:#04x} is no control byte"));
                }
                self.expect = if byte & 0x40 == 0 { Expect::Command { once } } else { Expect::Data { once } };
            }
            Expect::Command { once } => {
                self.command(byte);
                self.expect = if once { Expect::Control } else { self.expect };
            }
            Expect::Data { once } => {
                self.data(byte);
                self.expect = if once { Expect::Control } else { self.expect };
            }
        }
        Reply::ACK
    }

    fn read(&mut self, _now: u64) -> Sent {
        (u8::from(!self.on) << 6).into()
    }

    fn dump(&self) -> Vec<u8> {
        self.memory.to_vec()
    }

    fn set(&mut self, property: &str, _value: &Value, _now: u64) -> Result<(), PropertyError> {
        Err(unknown(self.name(), property, "none"))
    }

    fn complaints(&mut self) -> Vec<String> {
        self.complaints.take()
    }
}
