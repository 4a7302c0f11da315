//! What can be done to the board from outside, one line of text each.
//!
//! | command | effect |
//! |---|---|
//! | `pin 50 = high` (`low`, `release`) | drives a net, or lets it go |
//! | `pin 50 bounce high 5ms` | like a mechanical contact: several edges within that time, then the level |
//! | `level pin 7` | reads a net |
//! | `history pin 7` | reads a net's edges |
//! | `temperature i2c0/0x48 = 42.5` | what a sensor measures, in degrees Celsius |
//! | `set i2c0/0x20 gpa0 = true` | any property of a slave: `true` or `false`, a number, a text |
//! | `dump i2c0/0x50` | reads a slave's memory |
//! | `history i2c0` | reads what went over a bus, from START to STOP |
//! | `i2c0/0x50 nack byte 3` | the slave does not acknowledge its byte 3; 0 is the address |
//! | `i2c0/0x50 stretch byte 3 2ms` | the slave holds SCL low for that time at byte 3 |
//! | `i2c0/0x50 hang byte 3` | the slave holds SCL low from byte 3 on, for ever |
//! | `i2c0/0x50 hold byte 3` | the slave holds SDA low from byte 3 on until it has seen nine clocks (a wedged bus) |
//! | `i2c0/0x50 flip byte 3 0x80` | these bits of byte 3 change on their way |
//! | `i2c0 lose byte 3` | another master wins the arbitration in byte 3 |
//! | `i2c0 wedge` | a slave in the middle of a byte holds SDA low, until it has seen nine clocks |
//! | `i2c0 free` | ends every fault of the bus and its slaves |
//! | `card remove` (`insert`) | pulls the SD card out, or puts it back |
//! | `ddr break write-leveling` (`read-gate`, `data-eye`) | this training of the memory finds no answer from now on |
//! | `pcap fail read` (`stall`, `init`) | the next bitstream fails: bus error, a transfer that never ends, INIT that stays low |
//! | `off` | switches the board off |
//! | `mm2s slave-error` (`decode-error`, `internal-error`) | the next lines that the video DMA's read channel moves fail; `s2mm`: its write channel |
//! | `mm2s stuck-reset` | that channel's next reset does not end |
//! | `mm2s free` | ends every fault of that channel, and a reset that is stuck |
//! | `display early-sync` | the vertical sync comes in the middle of the next frame |
//! | `camera short-frame` (`long-frame`, `short-line`, `long-line`) | the camera's next frame is wrong |
//! | `report` | all that is known |
//!
//! Faults of a byte happen once; `always` behind them means every time from now on, `nth 3` only the third time that this byte is
//! reached. Nets are MIO pins (`pin 0` to `pin 53`), EMIO pins (`emio 0` to `emio 63`, in the numbering of GPIO drivers also `pin 54` to `pin 117`),
//! and pads by name (`pin LD0`, `pin PB1`). Slaves are `BUS/ADDRESS`, behind a multiplexer `BUS/ADDRESS/CHANNEL/ADDRESS`, or `BUS/LABEL`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::description::{EMIO_PINS, MIO_PINS};
use super::report::{History, Report};
use super::time::{Time, TimeError};
use crate::Drive;
use crate::ddrc::Training;
use crate::devcfg::Failure;
use crate::i2c::{FaultError, Kind, Occurrence, PropertyError, Value};
use crate::vdma::{self, Which};
use crate::video::StreamFault;

/// Clocks that free a slave that is in the middle of a byte, at most.
pub(super) const CLOCKS: u32 = 9;

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

/// Names a slave: `i2c0/0x50`, `i2c0/0x70/3/0x50`, `i2c0/label`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlavePath {
    /// The bus: `i2c0`.
    pub bus: String,
    /// Its address, with the multiplexers on the way and their channels before it, or its label.
    pub slave: String,
}

impl SlavePath {
    /// The numbers that it consists of, if it is no label.
    pub fn numbers(&self) -> Option<Vec<u16>> {
        self.slave.split('/').map(|part| number(part, "a number").ok()).collect()
    }
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
    /// Sets a property of a slave.
    Set {
        /// The slave.
        slave: SlavePath,
        /// The property.
        property: String,
        /// Its value.
        value: Value,
    },
    /// Reads a slave's memory.
    Dump(SlavePath),
    /// Lets something go wrong with a slave.
    Fault {
        /// The slave.
        slave: SlavePath,
        /// The byte of the message; 0 is the address.
        byte: u32,
        /// What.
        kind: Kind,
        /// How often.
        occurs: Occurrence,
    },
    /// Another master wins the arbitration.
    Lose {
        /// The bus.
        bus: String,
        /// In which byte of the message; 0 is the address.
        byte: u32,
        /// How often.
        occurs: Occurrence,
    },
    /// Reads what went over a bus.
    Transactions(String),
    /// A slave holds SDA low.
    Wedge(String),
    /// Ends every fault of a bus.
    Free(String),
    /// The SD card.
    Card {
        /// It is put into the slot; else taken out.
        inserted: bool,
    },
    /// A training of the memory finds no answer.
    BreakTraining(Training),
    /// The next bitstream fails.
    FailConfiguration(Failure),
    /// Switches the board off.
    Off,
    /// A channel of the video DMA engine fails.
    Engine {
        /// Which.
        channel: Which,
        /// How.
        fault: vdma::Fault,
    },
    /// Ends every fault of a channel of the video DMA engine.
    FreeEngine(Which),
    /// The display's vertical sync comes too early.
    EarlySync,
    /// The camera's next frame is wrong.
    Camera(StreamFault),
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
    /// What went over a bus, oldest first: `S` is START, `Sr` a repeated one, `P` STOP, `+` and `-` behind a byte its acknowledgement.
    Transactions(Vec<String>),
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
    /// Only a board that starts from its card has that.
    #[error("this board has no {0}; one that starts from its card has")]
    Start(&'static str),
    /// The board has no such part of a video design.
    #[error("this board has no {0}")]
    NoVideo(&'static str),
    /// The slave has no such property, or it cannot be that.
    #[error(transparent)]
    Property(#[from] PropertyError),
    /// There is no such fault.
    #[error(transparent)]
    Fault(#[from] FaultError),
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
        match text.split_once('/') {
            Some((bus, slave)) if !bus.is_empty() && !slave.is_empty() => {
                Ok(Self { bus: bus.to_owned(), slave: slave.to_owned() })
            }
            _ => expected(text, "a slave, for instance i2c0/0x50 or i2c0/0x70/3/0x50"),
        }
    }
}

impl fmt::Display for SlavePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.bus, self.slave)
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

impl FromStr for Net {
    type Err = CommandError;

    fn from_str(text: &str) -> Result<Self, CommandError> {
        match text.split_ascii_whitespace().collect::<Vec<_>>().as_slice() {
            [kind, name] => Self::parse(kind, name),
            _ => expected(text, "a net, for instance `pin 7`, `emio 3` or `pin LD0`"),
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

/// Trainings of the memory by name.
const TRAININGS: [(&str, Training); 3] =
    [("write-leveling", Training::WriteLeveling), ("read-gate", Training::ReadGate), ("data-eye", Training::DataEye)];
/// Failures of the configuration interface by name.
const FAILURES: [(&str, Failure); 3] = [("read", Failure::Read), ("stall", Failure::Stall), ("init", Failure::Init)];
/// Faults of the video DMA engine by name.
const ENGINE: [(&str, vdma::Fault); 4] = [
    ("slave-error", vdma::Fault::Slave),
    ("decode-error", vdma::Fault::Decode),
    ("internal-error", vdma::Fault::Internal),
    ("stuck-reset", vdma::Fault::Reset),
];
/// Faults of the camera's stream by name.
const CAMERA: [(&str, StreamFault); 4] = [
    ("short-frame", StreamFault::ShortFrame),
    ("long-frame", StreamFault::LongFrame),
    ("short-line", StreamFault::ShortLine),
    ("long-line", StreamFault::LongLine),
];

/// A channel by its name in PG020.
const fn channel_name(channel: Which) -> &'static str {
    match channel {
        Which::Read => "mm2s",
        Which::Write => "s2mm",
    }
}

fn named<T: Copy>(names: &[(&str, T)], word: &str) -> Result<T, CommandError> {
    let found = names.iter().find(|(name, _)| *name == word);
    match found {
        Some((_, value)) => Ok(*value),
        None => {
            expected(word, "a name as in the list of commands, for instance `ddr break data-eye`, `pcap fail read`")
        }
    }
}

fn name<T: PartialEq>(names: &[(&'static str, T)], value: &T) -> &'static str {
    names.iter().find(|(_, other)| other == value).map_or("", |(name, _)| name)
}

fn occurrence(words: &[&str]) -> Result<Occurrence, CommandError> {
    match words {
        [] | ["once"] => Ok(Occurrence::Once),
        ["always"] => Ok(Occurrence::Always),
        ["nth", n] => match number(n, "a count from 1 on")? {
            0 => expected(n, "a count from 1 on"),
            n => Ok(Occurrence::Nth(n)),
        },
        other => expected(&other.join(" "), "`once`, `always` or `nth N`"),
    }
}

fn occurs(occurrence: Occurrence) -> String {
    match occurrence {
        Occurrence::Once => String::new(),
        Occurrence::Always => " always".to_owned(),
        Occurrence::Nth(n) => format!(" nth {n}"),
    }
}

fn value(words: &[&str]) -> Value {
    let text = words.join(" ");
    if let Ok(flag) = text.parse::<bool>() {
        Value::Flag(flag)
    } else if let Ok(integer) = text.parse::<i64>() {
        Value::Integer(integer)
    } else if let Some(number) = text.parse::<f64>().ok().filter(|number| number.is_finite()) {
        Value::Number(number)
    } else {
        Value::Text(text)
    }
}

/// As [`value`] reads it; bytes, which the text form lacks, as numbers.
fn written(value: &Value) -> String {
    match value {
        Value::Flag(flag) => flag.to_string(),
        Value::Integer(integer) => integer.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Bytes(bytes) => format!("{bytes:?}"),
        Value::Text(text) => text.clone(),
    }
}

impl FromStr for Command {
    type Err = CommandError;

    fn from_str(text: &str) -> Result<Self, CommandError> {
        const BYTE: &str = "the number of a byte; 0 is the address";
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        Ok(match words.as_slice() {
            ["report"] => Self::Report,
            ["off"] => Self::Off,
            ["card", "insert"] => Self::Card { inserted: true },
            ["card", "remove"] => Self::Card { inserted: false },
            ["ddr", "break", training] => Self::BreakTraining(named(&TRAININGS, training)?),
            ["pcap", "fail", failure] => Self::FailConfiguration(named(&FAILURES, failure)?),
            [channel @ ("mm2s" | "s2mm"), what] => {
                let channel = if *channel == "mm2s" { Which::Read } else { Which::Write };
                match *what {
                    "free" => Self::FreeEngine(channel),
                    fault => Self::Engine { channel, fault: named(&ENGINE, fault)? },
                }
            }
            ["display", "early-sync"] => Self::EarlySync,
            ["camera", fault] => Self::Camera(named(&CAMERA, fault)?),
            ["level", kind, name] => Self::Level(Net::parse(kind, name)?),
            ["history", kind, name] => Self::History(Net::parse(kind, name)?),
            ["dump", slave] => Self::Dump(slave.parse()?),
            ["temperature", slave, "=", degrees] => Self::Set {
                slave: slave.parse()?,
                property: "temperature".to_owned(),
                value: match value(&[degrees]) {
                    value @ (Value::Integer(_) | Value::Number(_)) => value,
                    _ => return expected(degrees, "degrees Celsius, for instance 42.5"),
                },
            },
            ["set", slave, property, "=", words @ ..] if !words.is_empty() => {
                Self::Set { slave: slave.parse()?, property: (*property).to_owned(), value: value(words) }
            }
            ["history", bus] => Self::Transactions((*bus).to_owned()),
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
            [slave, what @ ("nack" | "hold" | "hang" | "stretch" | "flip"), "byte", byte, rest @ ..] => {
                let (kind, rest) = match (*what, rest) {
                    ("nack", rest) => (Kind::Nack, rest),
                    ("hold", rest) => (Kind::Wedge { clocks: CLOCKS }, rest),
                    ("hang", rest) => (Kind::Hang, rest),
                    ("stretch", [span, rest @ ..]) => (Kind::Stretch { ns: span.parse::<Time>()?.0 }, rest),
                    ("flip", [mask, rest @ ..]) => {
                        (Kind::Flip { mask: number(mask, "bits, for instance 0x80")? }, rest)
                    }
                    _ => return Err(CommandError::Syntax(text.to_owned())),
                };
                let (slave, byte) = (slave.parse()?, number(byte, BYTE)?);
                Self::Fault { slave, byte, kind, occurs: occurrence(rest)? }
            }
            [bus, "lose", "byte", byte, rest @ ..] => {
                Self::Lose { bus: (*bus).to_owned(), byte: number(byte, BYTE)?, occurs: occurrence(rest)? }
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
            Self::Set { slave, property, value } => write!(f, "set {slave} {property} = {}", written(value)),
            Self::Dump(slave) => write!(f, "dump {slave}"),
            Self::Fault { slave, byte, kind, occurs: often } => {
                match kind {
                    Kind::Nack => write!(f, "{slave} nack byte {byte}"),
                    Kind::Wedge { .. } => write!(f, "{slave} hold byte {byte}"),
                    Kind::Hang => write!(f, "{slave} hang byte {byte}"),
                    Kind::Stretch { ns } => write!(f, "{slave} stretch byte {byte} {}", Time(*ns)),
                    Kind::Flip { mask } => write!(f, "{slave} flip byte {byte} {mask:#04x}"),
                    Kind::LoseArbitration => write!(f, "{} lose byte {byte}", slave.bus),
                }?;
                f.write_str(&occurs(*often))
            }
            Self::Lose { bus, byte, occurs: often } => write!(f, "{bus} lose byte {byte}{}", occurs(*often)),
            Self::Transactions(bus) => write!(f, "history {bus}"),
            Self::Wedge(bus) => write!(f, "{bus} wedge"),
            Self::Free(bus) => write!(f, "{bus} free"),
            Self::Card { inserted: true } => f.write_str("card insert"),
            Self::Card { inserted: false } => f.write_str("card remove"),
            Self::BreakTraining(training) => write!(f, "ddr break {}", name(&TRAININGS, training)),
            Self::FailConfiguration(failure) => write!(f, "pcap fail {}", name(&FAILURES, failure)),
            Self::Off => f.write_str("off"),
            Self::Engine { channel, fault } => write!(f, "{} {}", channel_name(*channel), name(&ENGINE, fault)),
            Self::FreeEngine(channel) => write!(f, "{} free", channel_name(*channel)),
            Self::EarlySync => f.write_str("display early-sync"),
            Self::Camera(fault) => write!(f, "camera {}", name(&CAMERA, fault)),
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
            "set i2c0/0x48 temperature = -0.125",
            "set i2c0/0x20 gpa0 = true",
            "set i2c0/clock time = 2026-01-02 03:04:05",
            "history i2c1",
            "i2c0/0x50 hang byte 0",
            "i2c0/0x50 flip byte 2 0x81 always",
            "dump i2c0/0x70/3/0x50",
            "i2c0/0x50 nack byte 3",
            "i2c1/0x50 nack byte 0 always",
            "i2c0/0x50 stretch byte 2 40ms nth 3",
            "i2c0/0x50 hold byte 1",
            "i2c0 lose byte 0",
            "i2c0 wedge",
            "i2c1 free",
            "card insert",
            "card remove",
            "ddr break write-leveling",
            "ddr break data-eye",
            "pcap fail stall",
            "off",
            "mm2s slave-error",
            "s2mm stuck-reset",
            "mm2s free",
            "display early-sync",
            "camera long-line",
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
            ("temperature i2c0/0x48 = true", "degrees"),
            ("dump i2c0", "a slave"),
            ("i2c0/0x50 flip byte 2", "is no command"),
            ("i2c0/0x50 nack byte x", "number of a byte"),
            ("i2c0/0x50 nack byte 1 nth 0", "a count"),
            ("i2c0/0x50 nack byte 1 twice", "once"),
            ("mm2s fire", "list of commands"),
            ("camera fire", "list of commands"),
        ] {
            let error = text.parse::<Command>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
