//! What can be done to the board from outside, one line of text each.
//!
//! | command | effect |
//! |---|---|
//! | `pin 50 = high` (`low`, `release`) | drives a net, or lets it go |
//! | `pin 50 bounce high 5ms` | like a mechanical contact: several edges within that time, then the level |
//! | `level pin 7` | reads a net |
//! | `history pin 7` | reads a net's edges |
//! | `temperature i2c0/0x48 = 42.5` | what a sensor measures, in degrees Celsius |
//! | `dump i2c0/0x50` | reads a slave's memory |
//! | `i2c0/0x50 nack byte 3` | the slave does not acknowledge its byte 3; 0 is the address |
//! | `i2c0/0x50 stretch byte 3 2ms` | the slave holds SCL low for that time after byte 3 |
//! | `i2c0/0x50 hold byte 3` | the slave holds SDA low from byte 3 on until it has seen nine clocks (a wedged bus) |
//! | `i2c0 lose byte 3` | another master wins the arbitration in byte 3 |
//! | `i2c0 wedge` | a slave in the middle of a byte holds SDA low, until it has seen nine clocks |
//! | `i2c0 free` | ends every fault of the bus and its slaves |
//! | `report` | all that is known |
//!
//! Faults of a byte happen once; `always` behind them means every time from now on, `nth 3` only the third time that this byte is
//! reached. Nets are MIO pins (`pin 0` to `pin 53`), EMIO pins (`emio 0` to `emio 63`, in the numbering of GPIO drivers also `pin 54` to `pin 117`),
//! and pads by name (`pin LD0`, `pin PB1`). Slaves are `BUS/ADDRESS`, behind a multiplexer `BUS/ADDRESS/CHANNEL/ADDRESS`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::description::{EMIO_PINS, MIO_PINS};
use super::report::{History, Report};
use super::time::{Time, TimeError};
use crate::Drive;

/// A net of the board.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Net {
    /// An MIO pin, 0 to 53.
    Mio(u8),
    /// An EMIO pin of the GPIO controller, 0 to 63.
    Emio(u8),
    /// A pad by its name.
    Pad(String),
}

/// Names a slave: its bus, the multiplexers on the way with their channels, its address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlavePath {
    /// The bus: `i2c0`.
    pub bus: String,
    /// Multiplexers on the way, from the controller's side: address and channel.
    pub through: Vec<(u16, u8)>,
    /// Its address.
    pub address: u16,
}

/// How often a fault happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Times {
    /// The next time.
    #[default]
    Once,
    /// Every time.
    Always,
    /// The n-th time only, counted from 1.
    Nth(u32),
}

/// What can be done to the board.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Command {
    /// Drives a net.
    Drive {
        /// The net.
        net: Net,
        /// To which level; floating lets it go.
        drive: Drive,
    },
    /// Drives a net like a mechanical contact.
    Bounce {
        /// The net.
        net: Net,
        /// The level that remains.
        level: bool,
        /// How long it bounces.
        span: Time,
    },
    /// Reads a net.
    Level(Net),
    /// Reads a net's edges.
    History(Net),
    /// Changes what a sensor measures.
    Temperature {
        /// The sensor.
        slave: SlavePath,
        /// In thousandths of a degree Celsius.
        millidegrees: i32,
    },
    /// Reads a slave's memory.
    Dump(SlavePath),
    /// The slave does not acknowledge a byte.
    Nack {
        /// The slave.
        slave: SlavePath,
        /// The byte of the message; 0 is the address.
        byte: u32,
        /// How often.
        times: Times,
    },
    /// The slave stretches the clock after a byte.
    Stretch {
        /// The slave.
        slave: SlavePath,
        /// The byte of the message; 0 is the address.
        byte: u32,
        /// How long.
        span: Time,
        /// How often.
        times: Times,
    },
    /// The slave holds SDA low from a byte on.
    Hold {
        /// The slave.
        slave: SlavePath,
        /// The byte of the message; 0 is the address.
        byte: u32,
        /// How often.
        times: Times,
    },
    /// Another master wins the arbitration.
    Lose {
        /// The bus.
        bus: String,
        /// In which byte of the message; 0 is the address.
        byte: u32,
        /// How often.
        times: Times,
    },
    /// A slave holds SDA low.
    Wedge(String),
    /// Ends every fault of a bus.
    Free(String),
    /// Reads all that is known.
    Report,
}

/// The answer to a [`Command`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// Done.
    Done,
    /// A level.
    Level(bool),
    /// A net's edges.
    History(History),
    /// A memory, as hexadecimal digits.
    Bytes(String),
    /// All that is known.
    Report(Box<Report>),
}

/// Why a command is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// It is none of the commands.
    #[error(
        "`{0}` is no command; there are for instance `pin 50 = high`, `pin 50 bounce low 5ms`, `history pin 7`, `dump i2c0/0x50`, `i2c0/0x50 nack byte 3`"
    )]
    Syntax(String),
    /// Something else is expected in a place.
    #[error("`{found}`: expected {expected}")]
    Expected {
        /// What is there.
        found: String,
        /// What could be there.
        expected: &'static str,
    },
    /// A time is wrong.
    #[error(transparent)]
    Time(#[from] TimeError),
    /// The board has no such net.
    #[error("this board has no net `{0}`")]
    NoNet(Net),
    /// The board has no such bus.
    #[error("this board has no I2C bus `{0}`")]
    NoBus(String),
    /// The board has no such slave.
    #[error("this board has no I2C slave `{0}`")]
    NoSlave(SlavePath),
    /// The slave cannot do that.
    #[error("`{slave}` {why}")]
    Unable {
        /// The slave.
        slave: SlavePath,
        /// Why not.
        why: &'static str,
    },
}

fn expected<T>(found: &str, expected: &'static str) -> Result<T, CommandError> {
    Err(CommandError::Expected { found: found.to_owned(), expected })
}

/// A number in decimal or, with `0x`, hexadecimal digits.
fn number<T: TryFrom<u64>>(text: &str, what: &'static str) -> Result<T, CommandError> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.ok().and_then(|value| T::try_from(value).ok()).map_or_else(|| expected(text, what), Ok)
}

impl FromStr for SlavePath {
    type Err = CommandError;

    fn from_str(text: &str) -> Result<Self, CommandError> {
        let mut parts = text.split('/');
        let bus = parts.next().unwrap_or_default().to_owned();
        let parts: Vec<&str> = parts.collect();
        let Some((address, way)) = parts.split_last().filter(|(_, way)| way.len() % 2 == 0) else {
            return expected(text, "a slave, for instance i2c0/0x50 or i2c0/0x70/3/0x50");
        };
        let mut through = Vec::new();
        for hop in way.chunks(2) {
            if let [address, channel] = hop {
                through.push((number(address, "a multiplexer's address")?, number(channel, "a channel, 0 to 7")?));
            }
        }
        Ok(Self { bus, through, address: number(address, "an address, for instance 0x50")? })
    }
}

impl fmt::Display for SlavePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.bus)?;
        for (address, channel) in &self.through {
            write!(f, "/{address:#04x}/{channel}")?;
        }
        write!(f, "/{:#04x}", self.address)
    }
}

impl Net {
    fn parse(kind: &str, name: &str) -> Result<Self, CommandError> {
        const EXPECTED: &str = "`pin 0` to `pin 117`, `emio 0` to `emio 63`, or `pin` and a pad's name";
        let emio = |pin: u8| if pin < EMIO_PINS { Ok(Self::Emio(pin)) } else { expected(name, EXPECTED) };
        let is_number = name.starts_with(|first: char| first.is_ascii_digit());
        match kind {
            "emio" => emio(number(name, EXPECTED)?),
            "pin" if is_number => {
                let pin: u8 = number(name, EXPECTED)?;
                if pin < MIO_PINS { Ok(Self::Mio(pin)) } else { emio(pin - MIO_PINS) }
            }
            "pin" if !name.is_empty() => Ok(Self::Pad(name.to_owned())),
            _ => expected(&format!("{kind} {name}"), EXPECTED),
        }
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mio(pin) => write!(f, "pin {pin}"),
            Self::Emio(pin) => write!(f, "emio {pin}"),
            Self::Pad(name) => write!(f, "pin {name}"),
        }
    }
}

impl Times {
    fn parse(words: &[&str]) -> Result<Self, CommandError> {
        match words {
            [] | ["once"] => Ok(Self::Once),
            ["always"] => Ok(Self::Always),
            ["nth", n] => match number(n, "a count from 1 on")? {
                0 => expected(n, "a count from 1 on"),
                n => Ok(Self::Nth(n)),
            },
            other => expected(&other.join(" "), "`once`, `always` or `nth N`"),
        }
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Once => Ok(()),
            Self::Always => f.write_str(" always"),
            Self::Nth(n) => write!(f, " nth {n}"),
        }
    }
}

/// Thousandths of a degree, from degrees with a decimal point.
fn millidegrees(text: &str) -> Result<i32, CommandError> {
    const EXPECTED: &str = "degrees Celsius, for instance 42.5";
    let value: f64 = text.parse().or_else(|_| expected(text, EXPECTED))?;
    let value = (value * 1000.0).round();
    // The range is far inside that of the integer.
    #[allow(clippy::cast_possible_truncation)]
    if (-273_150.0..=1_000_000.0).contains(&value) { Ok(value as i32) } else { expected(text, EXPECTED) }
}

impl FromStr for Command {
    type Err = CommandError;

    fn from_str(text: &str) -> Result<Self, CommandError> {
        const BYTE: &str = "the number of a byte; 0 is the address";
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        Ok(match words.as_slice() {
            ["report"] => Self::Report,
            ["level", kind, name] => Self::Level(Net::parse(kind, name)?),
            ["history", kind, name] => Self::History(Net::parse(kind, name)?),
            ["dump", slave] => Self::Dump(slave.parse()?),
            ["temperature", slave, "=", degrees] => {
                Self::Temperature { slave: slave.parse()?, millidegrees: millidegrees(degrees)? }
            }
            [kind @ ("pin" | "emio"), name, "=", level] => Self::Drive {
                net: Net::parse(kind, name)?,
                drive: match *level {
                    "high" => Drive::High,
                    "low" => Drive::Low,
                    "release" => Drive::Floating,
                    other => return expected(other, "`high`, `low` or `release`"),
                },
            },
            [kind @ ("pin" | "emio"), name, "bounce", level, span] => Self::Bounce {
                net: Net::parse(kind, name)?,
                level: match *level {
                    "high" => true,
                    "low" => false,
                    other => return expected(other, "`high` or `low`"),
                },
                span: span.parse()?,
            },
            [slave, "nack", "byte", byte, times @ ..] => {
                Self::Nack { slave: slave.parse()?, byte: number(byte, BYTE)?, times: Times::parse(times)? }
            }
            [slave, "hold", "byte", byte, times @ ..] => {
                Self::Hold { slave: slave.parse()?, byte: number(byte, BYTE)?, times: Times::parse(times)? }
            }
            [slave, "stretch", "byte", byte, span, times @ ..] => Self::Stretch {
                slave: slave.parse()?,
                byte: number(byte, BYTE)?,
                span: span.parse()?,
                times: Times::parse(times)?,
            },
            [bus, "lose", "byte", byte, times @ ..] => {
                Self::Lose { bus: (*bus).to_owned(), byte: number(byte, BYTE)?, times: Times::parse(times)? }
            }
            [bus, "wedge"] => Self::Wedge((*bus).to_owned()),
            [bus, "free"] => Self::Free((*bus).to_owned()),
            _ => return Err(CommandError::Syntax(text.to_owned())),
        })
    }
}

impl TryFrom<String> for Command {
    type Error = CommandError;

    fn try_from(text: String) -> Result<Self, CommandError> {
        text.parse()
    }
}

impl From<Command> for String {
    fn from(command: Command) -> Self {
        command.to_string()
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |level: bool| if level { "high" } else { "low" };
        match self {
            Self::Drive { net, drive } => {
                let level = match drive {
                    Drive::Floating => "release",
                    Drive::Low => "low",
                    Drive::High => "high",
                };
                write!(f, "{net} = {level}")
            }
            Self::Bounce { net, level, span } => write!(f, "{net} bounce {} {span}", word(*level)),
            Self::Level(net) => write!(f, "level {net}"),
            Self::History(net) => write!(f, "history {net}"),
            Self::Temperature { slave, millidegrees } => {
                write!(f, "temperature {slave} = {}", f64::from(*millidegrees) / 1000.0)
            }
            Self::Dump(slave) => write!(f, "dump {slave}"),
            Self::Nack { slave, byte, times } => write!(f, "{slave} nack byte {byte}{times}"),
            Self::Stretch { slave, byte, span, times } => write!(f, "{slave} stretch byte {byte} {span}{times}"),
            Self::Hold { slave, byte, times } => write!(f, "{slave} hold byte {byte}{times}"),
            Self::Lose { bus, byte, times } => write!(f, "{bus} lose byte {byte}{times}"),
            Self::Wedge(bus) => write!(f, "{bus} wedge"),
            Self::Free(bus) => write!(f, "{bus} free"),
            Self::Report => f.write_str("report"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_and_written() {
        for text in [
            "pin 50 = high",
            "pin 50 = low",
            "pin LD0 = release",
            "emio 63 = high",
            "pin 51 bounce high 5ms",
            "level pin 7",
            "history emio 0",
            "temperature i2c0/0x48 = 42.5",
            "temperature i2c0/0x48 = -0.125",
            "dump i2c0/0x70/3/0x50",
            "i2c0/0x50 nack byte 3",
            "i2c1/0x50 nack byte 0 always",
            "i2c0/0x50 stretch byte 2 40ms nth 3",
            "i2c0/0x50 hold byte 1",
            "i2c0 lose byte 0",
            "i2c0 wedge",
            "i2c1 free",
            "report",
        ] {
            let command: Command = text.parse().unwrap();
            assert_eq!(command.to_string(), text);
        }
        assert_eq!("pin 57 = high".parse::<Command>().unwrap().to_string(), "emio 3 = high");
        assert_eq!("i2c0/0x50 nack byte 3 once".parse::<Command>().unwrap().to_string(), "i2c0/0x50 nack byte 3");
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("", "is no command"),
            ("pin 50", "is no command"),
            ("pin 118 = high", "emio 63"),
            ("emio 64 = high", "emio 63"),
            ("pin 300 = high", "emio 63"),
            ("pin 50 = up", "`high`, `low` or `release`"),
            ("pin 50 bounce high 5", "is no time"),
            ("temperature i2c0/0x48 = hot", "degrees"),
            ("temperature i2c0/0x48 = NaN", "degrees"),
            ("dump i2c0", "a slave"),
            ("dump i2c0/0x70/3", "a slave"),
            ("dump i2c0/fifty", "an address"),
            ("i2c0/0x50 nack byte x", "number of a byte"),
            ("i2c0/0x50 nack byte 1 nth 0", "a count"),
            ("i2c0/0x50 nack byte 1 twice", "once"),
        ] {
            let error = text.parse::<Command>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
