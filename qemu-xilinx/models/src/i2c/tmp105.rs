//! The temperature sensors TMP105 and LM75.
//!
//! # How the hardware works
//!
//! A pointer selects one of four registers: temperature (read-only), configuration, lower and upper limit. The sensor
//! converts all the time; the result appears when a conversion ends. In shutdown it does not once the running conversion has ended, until the configuration is
//! written with the one-shot bit. The ALERT pin goes active when so many conversions in a row as the fault queue says are at
//! or above the upper limit. In comparator mode it goes inactive when so many are below the lower limit; in interrupt mode
//! when any register is read, and then the other limit is next. (TMP105 data sheet, SBOS648, 7.3 to 7.5.)
//!
//! The LM75 has the same registers, 9 bits, no resolution and no one-shot.
//!
//! # What it does not do
//!
//! The SMBus alert response address, general call and high-speed mode.

use super::{Address, Direction, PropertyError, Reply, Sent, Slave, Value, unfit, unknown};
use crate::Drive;

const PROPERTIES: &str = "temperature (degrees Celsius)";

/// Configuration: shutdown.
const SHUTDOWN: u8 = 1 << 0;
/// Configuration: interrupt mode.
const INTERRUPT: u8 = 1 << 1;
/// Configuration: ALERT is active high.
const ACTIVE_HIGH: u8 = 1 << 2;
/// Configuration: one-shot.
const ONE_SHOT: u8 = 1 << 7;

/// Conversion time at 9 bits, in ns; each bit more doubles it.
const CONVERSION: u64 = 27_500_000;

/// Conversion time of the LM75, in ns.
const LM75_CONVERSION: u64 = 100_000_000;

/// Limits after power-up: 75 and 80 degrees.
const LIMITS: [u16; 2] = [0x4B00, 0x5000];

/// A temperature sensor. Property: `temperature`. Output: `alert`.
#[derive(Debug)]
pub struct Tmp105 {
    lm75: bool,
    /// What the world has, in degrees Celsius.
    celsius: f64,
    pointer: u8,
    /// Bytes of this message.
    bytes: u32,
    result: u16,
    configuration: u8,
    limits: [u16; 2],
    /// When the running conversion ends.
    ends: Option<u64>,
    /// Conversions in a row beyond the limit that is looked at.
    faults: u32,
    /// The limit that is looked at is the lower one.
    falling: bool,
    alert: bool,
}

impl Tmp105 {
    /// A TMP105 at 25 degrees, powered up at `now`.
    pub fn new(now: u64) -> Self {
        Self {
            lm75: false,
            celsius: 25.0,
            pointer: 0,
            bytes: 0,
            result: 0,
            configuration: 0,
            limits: LIMITS,
            ends: Some(now.saturating_add(CONVERSION)),
            faults: 0,
            falling: false,
            alert: false,
        }
    }

    /// An LM75 at 25 degrees, powered up at `now`.
    pub fn lm75(now: u64) -> Self {
        Self { lm75: true, ends: Some(now.saturating_add(LM75_CONVERSION)), ..Self::new(now) }
    }

    /// What the world has, in degrees Celsius.
    pub fn temperature(&self) -> f64 {
        self.celsius
    }

    /// The world changes. It shows when the running conversion ends.
    pub fn set_temperature(&mut self, celsius: f64, now: u64) {
        self.convert(now);
        self.celsius = celsius;
    }

    fn resolution(&self) -> u32 {
        if self.lm75 { 9 } else { 9 + u32::from(self.configuration >> 5 & 3) }
    }

    fn conversion(&self) -> u64 {
        if self.lm75 { LM75_CONVERSION } else { CONVERSION << (self.resolution() - 9) }
    }

    fn sample(&self) -> u16 {
        let steps = (self.celsius.clamp(-128.0, 127.9375) * 256.0).floor() as i16;
        steps as u16 & (0xFFFF << (16 - self.resolution()))
    }

    fn queue(&self) -> u32 {
        match self.configuration >> 3 & 3 {
            0 => 1,
            1 => 2,
            2 => 4,
            _ => 6,
        }
    }

    /// The result is beyond the limit that is looked at.
    fn beyond(&self, result: u16) -> bool {
        let [low, high] = self.limits.map(|limit| limit as i16);
        if self.falling { (result as i16) < low } else { result as i16 >= high }
    }

    /// Ends every conversion that is due at `now`.
    fn convert(&mut self, now: u64) {
        while let Some(ended) = self.ends.filter(|ends| *ends <= now) {
            self.result = self.sample();
            self.faults = if self.beyond(self.result) { self.faults + 1 } else { 0 };
            if self.faults >= self.queue() {
                self.faults = 0;
                self.alert = self.configuration & INTERRUPT != 0 || !self.falling;
                self.falling = !self.falling;
            }
            self.ends = None;
            if self.configuration & SHUTDOWN == 0 {
                // Conversions that change nothing need not be counted one by one.
                let period = self.conversion();
                let steady = if self.is_steady() { (now - ended) / period } else { 0 };
                self.ends = Some(ended.saturating_add((steady + 1) * period));
            }
        }
    }

    /// The next conversion will change nothing.
    fn is_steady(&self) -> bool {
        let sample = self.sample();
        sample == self.result && !self.beyond(sample)
    }

    fn configure(&mut self, byte: u8, now: u64) {
        let before = self.configuration;
        self.configuration = if self.lm75 { byte & 0x1F } else { byte & !ONE_SHOT };
        if (before ^ self.configuration) & INTERRUPT != 0 {
            (self.alert, self.falling, self.faults) = (false, false, 0);
        }
        // Shutdown lets a running conversion end.
        let wanted = byte & SHUTDOWN == 0 || (!self.lm75 && byte & ONE_SHOT != 0);
        if wanted && self.ends.is_none() {
            self.ends = Some(now.saturating_add(self.conversion()));
        }
    }
}

impl Slave for Tmp105 {
    fn name(&self) -> &'static str {
        if self.lm75 { "lm75" } else { "tmp105" }
    }

    fn start(&mut self, _address: Address, direction: Direction, now: u64) -> Reply {
        self.convert(now);
        self.bytes = 0;
        if direction == Direction::Read && self.configuration & INTERRUPT != 0 {
            self.alert = false;
        }
        Reply::ACK
    }

    fn write(&mut self, byte: u8, now: u64) -> Reply {
        self.convert(now);
        match (self.bytes, self.pointer) {
            (0, _) => self.pointer = byte & 3,
            (1, 1) => self.configure(byte, now),
            (1 | 2, 2 | 3) => {
                let mask = if self.lm75 { 0xFF80 } else { 0xFFF0 };
                if let Some(limit) = self.limits.get_mut(usize::from(self.pointer - 2)) {
                    let shift = 8 * (2 - self.bytes);
                    *limit = (*limit & !(0xFF << shift) | u16::from(byte) << shift) & mask;
                }
            }
            _ => {}
        }
        self.bytes += 1;
        Reply::ACK
    }

    fn read(&mut self, now: u64) -> Sent {
        self.convert(now);
        let register = match self.pointer {
            0 => self.result,
            1 => u16::from_be_bytes([self.configuration; 2]),
            2 => self.limits[0],
            _ => self.limits[1],
        };
        let [high, low] = register.to_be_bytes();
        let byte = if self.bytes.is_multiple_of(2) { high } else { low };
        self.bytes += 1;
        byte.into()
    }

    fn next_event(&self) -> Option<u64> {
        if self.is_steady() && self.configuration & SHUTDOWN == 0 { None } else { self.ends }
    }

    fn advance(&mut self, now: u64) {
        self.convert(now);
    }

    fn dump(&self) -> Vec<u8> {
        let words = [self.result, u16::from(self.configuration), self.limits[0], self.limits[1]];
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    fn set(&mut self, property: &str, value: &Value, now: u64) -> Result<(), PropertyError> {
        if property != "temperature" {
            return Err(unknown(self.name(), property, PROPERTIES));
        }
        let wanted = "degrees Celsius, from -128 to 127.9";
        let celsius = value.number().filter(|celsius| (-128.0..128.0).contains(celsius));
        self.set_temperature(celsius.ok_or_else(|| unfit(self.name(), property, wanted))?, now);
        Ok(())
    }

    fn outputs(&self) -> &'static [&'static str] {
        &["alert"]
    }

    fn output(&self, _pin: &str) -> Drive {
        let high = self.alert == (self.configuration & ACTIVE_HIGH != 0);
        // The pin is open drain.
        if high { Drive::Floating } else { Drive::Low }
    }
}
