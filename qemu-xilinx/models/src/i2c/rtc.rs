//! The real-time clocks DS1307 and DS3231.
//!
//! # How the hardware works
//!
//! Seven registers hold seconds, minutes, hours, weekday, day, month and year in BCD; hours in 24 or 12 hour mode. At every START
//! they are copied, so that a read of several bytes is consistent while time goes on; writing the seconds begins a second
//! anew. The DS1307 stands still until the CH bit of its seconds is cleared and has 56 bytes of RAM (DS1307 data sheet, tables 2
//! and 3). The DS3231 runs, has two alarms that pull INT low, a status with the oscillator-stop flag, an ageing
//! register and a temperature (DS3231 data sheet, figure 1). Time is the simulation's.
//!
//! # What it does not do
//!
//! Square waves, the ageing offset, backup supply. Years are 2000 to 2099; the DS3231's century bit is set when they roll over.

use super::{Address, Direction, PropertyError, Reply, Sent, Slave, Value, unfit, unknown};
use crate::Drive;

const PROPERTIES: &str = "time (text \"YYYY-MM-DD hh:mm:ss\"), temperature (degrees Celsius, DS3231)";

/// A second in ns.
const SECOND: u64 = 1_000_000_000;

/// DS1307: clock halt, in the seconds.
const CLOCK_HALT: u8 = 1 << 7;
/// Hours: 12 hour mode, and PM in it.
const TWELVE: u8 = 1 << 6;
const PM: u8 = 1 << 5;
/// DS3231, control: alarm 1 and 2 enabled, interrupts instead of square waves.
const ALARM1: u8 = 1 << 0;
const ALARM2: u8 = 1 << 1;
const INTCN: u8 = 1 << 2;
/// DS3231, status: the oscillator has been stopped.
const OSCILLATOR_STOPPED: u8 = 1 << 7;

const CONTROL: usize = 0x0E;
const STATUS: usize = 0x0F;
const DS1307_BYTES: usize = 0x40;
const DS3231_BYTES: usize = 0x13;

/// Which clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chip {
    /// DS1307.
    Ds1307,
    /// DS3231.
    Ds3231,
}

/// A date and a time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Time {
    second: u8,
    minute: u8,
    hour: u8,
    /// From 1 on; it only counts.
    weekday: u8,
    day: u8,
    month: u8,
    /// From 2000 on.
    year: u8,
}

impl Time {
    const BEGIN: Self = Self { second: 0, minute: 0, hour: 0, weekday: 1, day: 1, month: 1, year: 0 };

    fn days(month: u8, year: u8) -> u8 {
        match month {
            2 if year.is_multiple_of(4) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    /// Goes on by a second; `true` at the end of the century.
    fn tick(&mut self) -> bool {
        fn wraps(value: &mut u8, last: u8, first: u8) -> bool {
            let over = *value >= last;
            *value = if over { first } else { *value + 1 };
            over
        }
        let days = Self::days(self.month, self.year);
        wraps(&mut self.second, 59, 0) && wraps(&mut self.minute, 59, 0) && wraps(&mut self.hour, 23, 0) && {
            wraps(&mut self.weekday, 7, 1);
            wraps(&mut self.day, days, 1) && wraps(&mut self.month, 12, 1) && wraps(&mut self.year, 99, 0)
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.split_once([' ', 'T'])?;
        let numbers = |text: &str, separator: char| -> Option<[u16; 3]> {
            let parts: Vec<u16> = text.split(separator).map(|part| part.parse().ok()).collect::<Option<_>>()?;
            parts.try_into().ok()
        };
        let [year, month, day] = numbers(date, '-')?;
        let [hour, minute, second] = numbers(time, ':')?;
        let year = u8::try_from(year.checked_sub(2000)?).ok().filter(|year| *year < 100)?;
        let month = u8::try_from(month).ok().filter(|month| (1..=12).contains(month))?;
        let day = u8::try_from(day).ok().filter(|day| (1..=Self::days(month, year)).contains(day))?;
        let [hour, minute, second] = match (hour, minute, second) {
            (0..24, 0..60, 0..60) => [hour, minute, second].map(|value| value as u8),
            _ => return None,
        };
        let mut days = u32::from(day) - 1;
        days += (1..month).map(|month| u32::from(Self::days(month, year))).sum::<u32>();
        days += (0..year).map(|year| if year.is_multiple_of(4) { 366 } else { 365 }).sum::<u32>();
        // The first of January 2000 was a Saturday; Sunday is 1.
        let weekday = ((days + 6) % 7) as u8 + 1;
        Some(Self { second, minute, hour, weekday, day, month, year })
    }
}

fn to_bcd(value: u8) -> u8 {
    ((value / 10) << 4) | (value % 10)
}

fn from_bcd(value: u8) -> u8 {
    (value >> 4) * 10 + (value & 0xF)
}

/// An hour of the day from an hour register.
fn hour(register: u8) -> u8 {
    if register & TWELVE == 0 {
        return from_bcd(register & 0x3F);
    }
    from_bcd(register & 0x1F) % 12 + if register & PM == 0 { 0 } else { 12 }
}

/// A clock. Properties: `time`, `temperature`. Output: `int` (DS3231).
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "bits of registers")]
pub struct Rtc {
    chip: Chip,
    time: Time,
    twelve: bool,
    century: bool,
    halted: bool,
    /// When the current second began.
    begun: u64,
    /// Everything behind the seven registers, at its own number.
    memory: [u8; DS1307_BYTES],
    /// The time as it was at START.
    copy: [u8; 7],
    pointer: usize,
    first: bool,
}

impl Rtc {
    /// A clock that has just got power, at `now`.
    pub fn new(chip: Chip, now: u64) -> Self {
        let mut memory = [0; DS1307_BYTES];
        if chip == Chip::Ds3231 {
            memory[CONTROL] = 0x1C;
            memory[STATUS] = 0x88;
            memory[0x11] = 25;
        } else {
            memory[7] = 0x03;
        }
        let halted = chip == Chip::Ds1307;
        Self {
            chip,
            time: Time::BEGIN,
            twelve: false,
            century: false,
            halted,
            begun: now,
            memory,
            copy: [0; 7],
            pointer: 0,
            first: false,
        }
    }

    fn bytes(&self) -> usize {
        if self.chip == Chip::Ds1307 { DS1307_BYTES } else { DS3231_BYTES }
    }

    fn registers(&self) -> [u8; 7] {
        let time = self.time;
        let hour = if self.twelve {
            let twelve = if time.hour.is_multiple_of(12) { 12 } else { time.hour % 12 };
            TWELVE | to_bcd(twelve) | if time.hour >= 12 { PM } else { 0 }
        } else {
            to_bcd(time.hour)
        };
        [
            to_bcd(time.second) | if self.halted { CLOCK_HALT } else { 0 },
            to_bcd(time.minute),
            hour,
            time.weekday,
            to_bcd(time.day),
            to_bcd(time.month) | if self.century { 1 << 7 } else { 0 },
            to_bcd(time.year),
        ]
    }

    /// Lets time go on until `now`.
    fn run(&mut self, now: u64) {
        if self.halted {
            self.begun = self.begun.max(now);
            return;
        }
        while let Some(next) = self.begun.checked_add(SECOND).filter(|next| *next <= now) {
            self.begun = next;
            self.century ^= self.time.tick() && self.chip == Chip::Ds3231;
            if self.chip == Chip::Ds3231 {
                self.alarms();
            }
        }
    }

    /// Raises the alarms that match (DS3231 data sheet, table 2).
    fn alarms(&mut self) {
        let time = self.time;
        let matches = |fields: &[u8], now: &[u8]| {
            let day = fields.last().is_some_and(|field| field & TWELVE != 0);
            fields.iter().zip(now).enumerate().all(|(index, (field, now))| {
                let value = match (fields.len() - index, day) {
                    (1, true) => return field & 0x80 != 0 || field & 0xF == time.weekday,
                    (1, false) => from_bcd(field & 0x3F),
                    (2, _) => hour(field & 0x7F),
                    _ => from_bcd(field & 0x7F),
                };
                field & 0x80 != 0 || value == *now
            })
        };
        let now = [time.second, time.minute, time.hour, time.day];
        let [first, second] = [
            matches(self.memory.get(7..11).unwrap_or_default(), &now),
            time.second == 0
                && matches(self.memory.get(11..14).unwrap_or_default(), &[time.minute, time.hour, time.day]),
        ];
        let raised = if first { ALARM1 } else { 0 } | if second { ALARM2 } else { 0 };
        self.memory[STATUS] |= raised;
    }

    fn store(&mut self, place: usize, byte: u8, now: u64) {
        match place {
            0 => {
                self.time.second = from_bcd(byte & 0x7F) % 60;
                self.halted = self.chip == Chip::Ds1307 && byte & CLOCK_HALT != 0;
                self.begun = now;
            }
            1 => self.time.minute = from_bcd(byte & 0x7F) % 60,
            2 => {
                self.twelve = byte & TWELVE != 0;
                self.time.hour = hour(byte & 0x7F) % 24;
            }
            3 => self.time.weekday = byte & 7,
            4 => self.time.day = from_bcd(byte & 0x3F),
            5 => {
                self.time.month = from_bcd(byte & 0x1F);
                self.century = self.chip == Chip::Ds3231 && byte & 0x80 != 0;
            }
            6 => self.time.year = from_bcd(byte) % 100,
            STATUS if self.chip == Chip::Ds3231 => {
                // The flags can only be cleared.
                let flags = OSCILLATOR_STOPPED | ALARM1 | ALARM2;
                let status = self.memory[STATUS];
                self.memory[STATUS] = status & (byte | !flags) & !8 | byte & 8;
            }
            0x11 | 0x12 if self.chip == Chip::Ds3231 => {}
            _ => {
                if let Some(cell) = self.memory.get_mut(place) {
                    *cell = byte;
                }
            }
        }
    }
}

impl Slave for Rtc {
    fn name(&self) -> &'static str {
        if self.chip == Chip::Ds1307 { "ds1307" } else { "ds3231" }
    }

    fn start(&mut self, _address: Address, direction: Direction, now: u64) -> Reply {
        self.run(now);
        self.copy = self.registers();
        self.first = direction == Direction::Write;
        Reply::ACK
    }

    fn write(&mut self, byte: u8, now: u64) -> Reply {
        self.run(now);
        if std::mem::take(&mut self.first) {
            self.pointer = usize::from(byte) % self.bytes();
        } else {
            self.store(self.pointer, byte, now);
            self.pointer = (self.pointer + 1) % self.bytes();
        }
        Reply::ACK
    }

    fn read(&mut self, now: u64) -> Sent {
        self.run(now);
        let byte = self.copy.get(self.pointer).or_else(|| self.memory.get(self.pointer)).copied().unwrap_or(0);
        self.pointer = (self.pointer + 1) % self.bytes();
        if self.pointer == 0 {
            self.copy = self.registers();
        }
        byte.into()
    }

    fn next_event(&self) -> Option<u64> {
        let control = self.memory[CONTROL];
        let waits = self.chip == Chip::Ds3231
            && control & INTCN != 0
            && control & (ALARM1 | ALARM2) & !self.memory[STATUS] != 0;
        waits.then(|| self.begun.saturating_add(SECOND))
    }

    fn advance(&mut self, now: u64) {
        self.run(now);
    }

    fn dump(&self) -> Vec<u8> {
        let registers = self.registers();
        registers.into_iter().chain(self.memory.iter().copied().skip(7)).take(self.bytes()).collect()
    }

    fn set(&mut self, property: &str, value: &Value, now: u64) -> Result<(), PropertyError> {
        match (property, self.chip) {
            ("time", _) => {
                let text = if let Value::Text(text) = value { Time::parse(text) } else { None };
                let wanted = "text like \"2026-02-28 23:59:59\", from 2000 to 2099";
                self.time = text.ok_or_else(|| unfit(self.name(), property, wanted))?;
                (self.halted, self.begun) = (false, now);
                self.memory[STATUS] &= if self.chip == Chip::Ds3231 { !OSCILLATOR_STOPPED } else { 0xFF };
            }
            ("temperature", Chip::Ds3231) => {
                let celsius = value.number().filter(|celsius| (-128.0..128.0).contains(celsius));
                let celsius = celsius.ok_or_else(|| unfit(self.name(), property, "degrees Celsius, -128 to 127"))?;
                let quarters = (celsius * 4.0).floor() as i16;
                let [high, low] = (quarters << 6).to_be_bytes();
                (self.memory[0x11], self.memory[0x12]) = (high, low);
            }
            _ => return Err(unknown(self.name(), property, PROPERTIES)),
        }
        Ok(())
    }

    fn outputs(&self) -> &'static [&'static str] {
        if self.chip == Chip::Ds3231 { &["int"] } else { &[] }
    }

    fn output(&self, _pin: &str) -> Drive {
        let control = self.memory[CONTROL];
        let active = control & INTCN != 0 && control & self.memory[STATUS] & (ALARM1 | ALARM2) != 0;
        if active { Drive::Low } else { Drive::Floating }
    }
}
