//! An I2C bus: its lines, the Cadence controller, and slaves.
//!
//! # How it works
//!
//! Two lines, SCL and SDA, are pulled up by resistors; whoever is on the bus can only pull them low. SDA changes while SCL
//! is low. Two exceptions frame a transaction: SDA falling under a high SCL is a START, SDA rising under a high SCL is a STOP
//! (UM10204 3.1.4). After a START the master sends an address and a direction, then bytes go one way, each answered by a
//! ninth bit: low is an acknowledgement. A slave that needs time holds SCL low; a master that sends a one and sees a zero has
//! lost the bus to another (UM10204 3.1.8, 3.1.9).
//!
//! # What is here
//!
//! - [`Bus`] works bit by bit: it knows who pulls which line, and a small state machine per slave turns the edges into calls of
//!   the byte-level trait [`Slave`]. So a master may be the [`Controller`], or anything that moves the lines from outside,
//!   such as software that clocks a wedged slave free through GPIO pins.
//! - [`Controller`] is the controller of the Zynq-7000, a [`crate::Device`] that owns the bus on its pins.
//! - [`Fault`] names what may go wrong, where and how often; it can be put on any slave at any time.
//! - [`Description`] builds slaves from a configuration file.
//! - The slaves: [`Eeprom`], [`Tmp105`], [`Pca9548`], [`Adv7511`], [`Mcp23017`], [`Pcf8574`], [`Rtc`], [`Ssd1306`],
//!   [`Scripted`].
//!
//! # What it does not do
//!
//! Rise times, set-up and hold times, glitches, high-speed mode and ultra-fast mode. The controller moves a whole byte in one
//! event at the byte's end: the lines as seen from outside show what lasts (SCL low from START to STOP, a line that is held),
//! not each of the controller's own clocks.

mod adv7511;
mod bus;
mod controller;
mod description;
mod eeprom;
mod fault;
mod mcp23017;
mod pca9548;
mod pcf8574;
mod rtc;
mod scripted;
mod ssd1306;
mod tmp105;

use std::any::Any;
use std::fmt;

pub use adv7511::Adv7511;
pub use bus::{Bus, Byte, Lines, Message, Segment, Transaction};
pub use controller::{Controller, FIFO_DEPTH, SCL, SDA};
pub use description::{Behind, BuildError, Description, Model};
pub use eeprom::{Eeprom, Size};
pub use fault::{Fault, FaultError, Kind, Occurrence};
pub use mcp23017::Mcp23017;
pub use pca9548::Pca9548;
pub use pcf8574::Pcf8574;
pub use rtc::{Chip, Rtc};
pub use scripted::Scripted;
pub use ssd1306::Ssd1306;
pub use tmp105::Tmp105;

use crate::Drive;

/// The address of a slave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// 7 bits.
    Seven(u8),
    /// 10 bits.
    Ten(u16),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seven(address) => write!(f, "{address:#04x}"),
            Self::Ten(address) => write!(f, "{address:#05x}"),
        }
    }
}

/// Which way the bytes of a message go, as the master sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the slave.
    Write,
    /// From the slave.
    Read,
}

/// A slave's answer to an address or to a byte that it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Acknowledged.
    pub ack: bool,
    /// How long the slave holds SCL low before the answer, in ns.
    pub stretch: u64,
}

impl Reply {
    /// Acknowledged, at once.
    pub const ACK: Self = Self { ack: true, stretch: 0 };
    /// Not acknowledged, at once.
    pub const NACK: Self = Self { ack: false, stretch: 0 };

    /// Acknowledged or not, at once.
    pub const fn new(ack: bool) -> Self {
        Self { ack, stretch: 0 }
    }
}

/// A byte that a slave sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The byte.
    pub byte: u8,
    /// How long the slave holds SCL low before its first bit, in ns.
    pub stretch: u64,
}

impl From<u8> for Sent {
    fn from(byte: u8) -> Self {
        Self { byte, stretch: 0 }
    }
}

/// What the outside sets in a slave.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(untagged)]
pub enum Value {
    /// A switch or the level of a pin.
    Flag(bool),
    /// A whole number.
    Integer(i64),
    /// Any number.
    Number(f64),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Text.
    Text(String),
}

impl Value {
    /// The value as a switch.
    pub fn flag(&self) -> Option<bool> {
        match self {
            Self::Flag(flag) => Some(*flag),
            _ => None,
        }
    }

    /// The value as a whole number.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(integer) => Some(*integer),
            _ => None,
        }
    }

    /// The value as a number.
    #[allow(clippy::cast_precision_loss, reason = "a configured number is small")]
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Integer(integer) => Some(*integer as f64),
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The value as bytes; text stands for its UTF-8.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Text(text) => Some(text.as_bytes()),
            _ => None,
        }
    }
}

/// A property that cannot be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PropertyError {
    /// There is no such slave.
    #[error("no slave `{slave}` on the bus; there are: {known}")]
    NoSlave {
        /// The name asked for.
        slave: String,
        /// The names that exist.
        known: String,
    },
    /// The slave has no such property.
    #[error("`{model}` has no property `{property}`; it has: {known}")]
    Unknown {
        /// The slave's model.
        model: &'static str,
        /// The property asked for.
        property: String,
        /// The properties that exist.
        known: &'static str,
    },
    /// The value does not fit.
    #[error("`{property}` of `{model}` wants {wanted}")]
    Unfit {
        /// The slave's model.
        model: &'static str,
        /// The property.
        property: String,
        /// What it wants.
        wanted: &'static str,
    },
}

/// A chip on the bus, byte by byte.
///
/// Times are in nanoseconds since any fixed moment.
pub trait Slave: Any + Send + fmt::Debug {
    /// The name of the model, such as `24c02`.
    fn name(&self) -> &'static str;

    /// A START or repeated START with one of the slave's addresses.
    fn start(&mut self, address: Address, direction: Direction, now: u64) -> Reply;

    /// The master sends a byte.
    fn write(&mut self, byte: u8, now: u64) -> Reply;

    /// The master wants a byte.
    fn read(&mut self, now: u64) -> Sent;

    /// The master has acknowledged the byte it read, or not.
    fn answered(&mut self, ack: bool, now: u64) {
        let _ = (ack, now);
    }

    /// The STOP of a transaction in which the slave was addressed. A slave that is addressed once more by a repeated START
    /// gets [`Slave::start`] again; one that is left by a repeated START for somebody else gets this too.
    fn stop(&mut self, now: u64) {
        let _ = now;
    }

    /// When [`Slave::advance`] has something to do.
    fn next_event(&self) -> Option<u64> {
        None
    }

    /// Does what is due at `now`.
    fn advance(&mut self, now: u64) {
        let _ = now;
    }

    /// Memory or state for a report, in the slave's own order of addresses.
    fn dump(&self) -> Vec<u8>;

    /// Sets what the outside can change: a temperature, a pin, a switch.
    fn set(&mut self, property: &str, value: &Value, now: u64) -> Result<(), PropertyError>;

    /// Names of the pins that the slave drives.
    fn outputs(&self) -> &'static [&'static str] {
        &[]
    }

    /// What the slave does with one of its [`Slave::outputs`].
    fn output(&self, pin: &str) -> Drive {
        let _ = pin;
        Drive::Floating
    }

    /// Buses behind the slave.
    fn segments(&self) -> &[Segment] {
        &[]
    }

    /// Buses behind the slave.
    fn segments_mut(&mut self) -> &mut [Segment] {
        &mut []
    }

    /// Takes what software did wrong since the last call, oldest first.
    fn complaints(&mut self) -> Vec<String> {
        Vec::new()
    }
}

/// The error for a property that a model does not have.
fn unknown(model: &'static str, property: &str, known: &'static str) -> PropertyError {
    PropertyError::Unknown { model, property: property.into(), known }
}

/// The error for a value that a property cannot take.
fn unfit(model: &'static str, property: &str, wanted: &'static str) -> PropertyError {
    PropertyError::Unfit { model, property: property.into(), wanted }
}
