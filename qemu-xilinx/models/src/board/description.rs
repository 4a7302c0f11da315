//! What is soldered, plugged in and configured, and what happens when.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Serialize};

use super::command::{Command, CommandError};
use super::pattern::Pattern;
use super::time::Time;
use super::video::Video;
use crate::frames::Span;
use crate::i2c;

/// EMIO pins of the GPIO controller.
pub const EMIO_PINS: u8 = 64;
/// MIO pins.
pub const MIO_PINS: u8 = 54;
/// First interrupt from the PL, and how many follow each other (UG585 table 7-4: F2P\[7:0\] and F2P\[15:8\]).
pub(super) const FABRIC_INTERRUPTS: [std::ops::RangeInclusive<u32>; 2] = [61..=68, 84..=91];
/// Addresses that the general purpose ports lead to the PL (UG585 table 4-1).
pub(super) const FABRIC: std::ops::Range<u32> = 0x4000_0000..0xC000_0000;
/// Bytes of an AXI GPIO's address window.
const AXI_GPIO_WINDOW: u32 = 0x1_0000;

/// The emulated part of a board.
///
/// Its form in JSON and TOML is that of the types here. What is absent is empty, so that the empty description is a ZedBoard without bitstream
/// on whose pins nothing hangs but what is soldered to them: LD9 on MIO 7, PB1 and PB2 on MIO 50 and 51.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Description {
    /// Where the board starts.
    pub start: Start,
    /// The digest of a primary key in the chip's eFUSEs: the boot ROM starts only what is signed by that key. Each byte as a number.
    pub efuse: Option<[u8; 32]>,
    /// What the PL is configured with.
    pub bitstream: Bitstream,
    /// The I2C buses, by the controller that they belong to: `i2c0` and `i2c1`.
    pub i2c: BTreeMap<String, Bus>,
    /// What happens from outside, and when.
    pub event: Vec<Event>,
    /// What ran before has left in the SLCR: nothing if the board starts with its power-on, the start-up code's settings if it starts
    /// behind that.
    pub preset: Vec<Preset>,
    /// The parts of the run in which accesses to the memory of pictures are [counted](crate::frames); none if they are not watched. Whoever owns the
    /// board has to tell it the processor's accesses ([`Board::watch`](super::Board::watch)).
    pub frames: Vec<Span>,
    /// The console line at which the nets' histories begin, if what came before is of no interest: a boot loader at work, for instance.
    pub since: Option<Pattern>,
    /// The console line at which the [report](super::Report) is taken: the end of a run, if it is not to depend on when the emulator stops.
    pub until: Option<Pattern>,
}

/// Where the board starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// Behind the boot loader: a program is in memory, and [`Description::preset`] says what the boot loader has done.
    #[default]
    Program,
    /// With the boot ROM, which reads the card.
    Card,
}

/// Bits of an SLCR register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// The register's offset.
    pub offset: u32,
    /// The bits.
    pub mask: u32,
    /// Their values.
    pub value: u32,
}

/// What the PL is configured with: a well-known name (`"none"`, `"emio"`, `"axi"`) or one's own [`Fabric`].
///
/// `emio` leads the ZedBoard's LEDs, switches and buttons to EMIO pins: LD0 to LD7 are EMIO 0 to 7, SW0 to SW7 are 8 to 15,
/// BTNC, BTND, BTNL, BTNR, BTNU are 16 to 20. `axi` has three AXI GPIO controllers for them: LEDs at 0x41200000, switches at 0x41210000
/// (interrupt 61), buttons at 0x41220000 (interrupt 62).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Bitstream {
    /// A well-known one.
    Named(BitstreamName),
    /// One's own.
    Own(Fabric),
}

/// A well-known bitstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BitstreamName {
    /// The PL is not configured.
    #[default]
    None,
    /// LEDs, switches and buttons are EMIO pins of the PS GPIO controller.
    Emio,
    /// LEDs, switches and buttons hang on AXI GPIO controllers.
    Axi,
}

impl<'de> Deserialize<'de> for Bitstream {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrTable;
        impl<'de> Visitor<'de> for NameOrTable {
            type Value = Bitstream;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"none\", \"emio\", \"axi\", or a table with `emio` and `axi-gpio`")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Bitstream, E> {
                BitstreamName::deserialize(name.into_deserializer()).map(Bitstream::Named)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Bitstream, A::Error> {
                Fabric::deserialize(MapAccessDeserializer::new(map)).map(Bitstream::Own)
            }
        }
        deserializer.deserialize_any(NameOrTable)
    }
}

impl<'de> Deserialize<'de> for BusPins {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrPins;
        impl<'de> Visitor<'de> for WordOrPins {
            type Value = BusPins;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the MIO pins of SCL and SDA, for instance [10, 11], or \"emio\"")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<BusPins, E> {
                match word {
                    "emio" => Ok(BusPins::Emio(EmioWord::Emio)),
                    _ => Err(E::invalid_value(Unexpected::Str(word), &self)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<BusPins, A::Error> {
                <[u8; 2]>::deserialize(SeqAccessDeserializer::new(list)).map(BusPins::Mio)
            }
        }
        deserializer.deserialize_any(WordOrPins)
    }
}

impl Default for Bitstream {
    fn default() -> Self {
        Self::Named(BitstreamName::None)
    }
}

/// What is in the PL.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Fabric {
    /// EMIO pins that lead to a pad of the PL: the pad's name (`LD0`) and the pin, 0 to 63.
    pub emio: BTreeMap<String, u8>,
    /// AXI GPIO controllers.
    pub axi_gpio: Vec<AxiGpio>,
    /// A video DMA engine with a display and a camera.
    pub video: Option<Video>,
}

/// An AXI GPIO controller (PG144).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AxiGpio {
    /// Its address, a multiple of 64 KiB in the PL's windows (0x40000000 to 0xBFFFFFFF).
    pub base: u32,
    /// The GIC's number of its interrupt, 61 to 68 or 84 to 91; none if it is built without one.
    pub interrupt: Option<u32>,
    /// Names of the pads of channel 1, bit 0 first; 1 to 32.
    pub channel1: Vec<String>,
    /// Names of the pads of channel 2; none if it is built without one.
    #[serde(default)]
    pub channel2: Vec<String>,
}

/// An I2C bus.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Bus {
    /// Where it is; Pmod JE if absent: MIO 10 and 11 for `i2c0`, MIO 12 and 13 for `i2c1`.
    pub pins: Option<BusPins>,
    /// The slaves on it. The bus has pull-up resistors.
    pub slave: Vec<i2c::Description>,
}

/// Where an I2C bus is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum BusPins {
    /// On MIO pins: SCL and SDA.
    Mio([u8; 2]),
    /// Through the PL: the word `emio`. The controller reaches it as long as no MIO pin is set to the controller.
    Emio(EmioWord),
}

/// The word `emio`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EmioWord {
    /// The only value.
    Emio,
}

/// Something that happens from outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Event {
    /// When: from the board's start, or, with `after`, from the moment of that line. With `after` it may be absent: at once.
    #[serde(default)]
    pub at: Option<Time>,
    /// The console line that it waits for. Each event happens once.
    #[serde(default)]
    pub after: Option<Pattern>,
    /// What.
    #[serde(rename = "do")]
    pub command: Command,
}

/// What is wrong with a [`Description`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DescriptionError {
    /// There is no such I2C controller.
    #[error("there is no I2C controller `{0}`; there are i2c0 and i2c1")]
    Controller(String),
    /// A bus lies on pins that the controller cannot reach.
    #[error(
        "{bus}: MIO {scl} and {sda} are no SCL and SDA of this controller: for i2c0 these are 10 and 11, 14 and 15, up to 50 and 51, for i2c1 12 and 13, 16 and 17, up to 52 and 53"
    )]
    BusPins {
        /// The bus.
        bus: String,
        /// Its SCL.
        scl: u8,
        /// Its SDA.
        sda: u8,
    },
    /// A slave is wrong.
    #[error("{bus}: {error}")]
    Slave {
        /// The bus.
        bus: String,
        /// What is wrong.
        error: i2c::BuildError,
    },
    /// There is no such EMIO pin.
    #[error("{pad}: there is no EMIO pin {pin}; there are 0 to 63")]
    Emio {
        /// The pad.
        pad: String,
        /// The pin.
        pin: u8,
    },
    /// Two things have one name, or two pads one pin.
    #[error("{0} is there twice")]
    Pad(String),
    /// Something is at an address where nothing can be, or where something else is.
    #[error("at {0:#010x} in the PL: the address is no multiple of 64 KiB in 0x40000000 to 0xbfffffff, or taken")]
    Base(u32),
    /// An interrupt does not come from the PL.
    #[error("at {base:#010x} in the PL: interrupt {interrupt} does not come from the PL; 61 to 68 and 84 to 91 do")]
    Interrupt {
        /// The controller.
        base: u32,
        /// The interrupt.
        interrupt: u32,
    },
    /// A channel has no pads, or too many.
    #[error("AXI GPIO at {base:#010x}: channel {channel} has {pads} pads; it can have {least} to 32")]
    Pads {
        /// The controller.
        base: u32,
        /// The channel.
        channel: u8,
        /// Its pads.
        pads: usize,
        /// The fewest.
        least: u8,
    },
    /// There is no such video mode.
    #[error(
        "there is no mode of {width} x {height}; there are 640 x 480, 800 x 600, 1024 x 768, 1280 x 720, 1920 x 1080"
    )]
    Mode {
        /// Pixels of a line.
        width: u32,
        /// Lines.
        height: u32,
    },
    /// A video DMA engine has too few or too many frame stores.
    #[error("a video DMA engine has 1 to 32 frame stores, not {0}")]
    Stores(u8),
    /// The display's transmitter is none.
    #[error("the display's transmitter: {0}")]
    Transmitter(CommandError),
    /// An event has no time.
    #[error("event `{0}`: when? give `at`, `after`, or both")]
    When(String),
    /// An event's command names something that is not there.
    #[error("event `{command}`: {why}")]
    Event {
        /// The command.
        command: String,
        /// What is wrong.
        why: String,
    },
}

impl Bus {
    /// SCL and SDA on MIO pins; `None` if the bus goes through the PL. `controller` is 0 or 1.
    ///
    /// # Errors
    /// The pins are none of the controller's (UG585 table 2-4: they repeat with period 4).
    pub fn mio(&self, name: &str, controller: u8) -> Result<Option<(u8, u8)>, DescriptionError> {
        let first = 10 + 2 * controller;
        let Some(pins) = self.pins else { return Ok(Some((first, first + 1))) };
        let BusPins::Mio([scl, sda]) = pins else { return Ok(None) };
        let is =
            |pin: u8, first: u8| pin < MIO_PINS && pin.checked_sub(first).is_some_and(|rest| rest.is_multiple_of(4));
        if is(scl, first) && is(sda, first + 1) {
            Ok(Some((scl, sda)))
        } else {
            Err(DescriptionError::BusPins { bus: name.to_owned(), scl, sda })
        }
    }
}

impl Bitstream {
    /// What is in the PL.
    pub fn fabric(&self) -> Fabric {
        match self {
            Self::Own(fabric) => fabric.clone(),
            Self::Named(BitstreamName::None) => Fabric::default(),
            Self::Named(BitstreamName::Emio) => {
                let pads = leds().into_iter().chain(switches()).chain(buttons());
                Fabric { emio: pads.zip(0..).collect(), ..Fabric::default() }
            }
            Self::Named(BitstreamName::Axi) => {
                let axi_gpio = |base, interrupt, channel1| AxiGpio { base, interrupt, channel1, channel2: Vec::new() };
                Fabric {
                    axi_gpio: vec![
                        axi_gpio(0x4120_0000, None, leds()),
                        axi_gpio(0x4121_0000, Some(61), switches()),
                        axi_gpio(0x4122_0000, Some(62), buttons()),
                    ],
                    ..Fabric::default()
                }
            }
        }
    }
}

fn numbered(name: &str) -> Vec<String> {
    (0..8).map(|number| format!("{name}{number}")).collect()
}

fn leds() -> Vec<String> {
    numbered("LD")
}

fn switches() -> Vec<String> {
    numbered("SW")
}

fn buttons() -> Vec<String> {
    ["BTNC", "BTND", "BTNL", "BTNR", "BTNU"].map(str::to_owned).to_vec()
}

impl Fabric {
    /// Checks what the types allow and hardware does not.
    ///
    /// # Errors
    /// The first mistake.
    pub fn check(&self) -> Result<(), DescriptionError> {
        let mut pads = std::collections::BTreeSet::new();
        let mut pins = std::collections::BTreeSet::new();
        for (pad, &pin) in &self.emio {
            if pin >= EMIO_PINS {
                return Err(DescriptionError::Emio { pad: pad.clone(), pin });
            }
            if !pads.insert(pad) || !pins.insert(pin) {
                return Err(DescriptionError::Pad(pad.clone()));
            }
        }
        let mut bases = std::collections::BTreeSet::new();
        if let Some(video) = &self.video {
            video.check()?;
            bases.insert(video.base);
        }
        for gpio in &self.axi_gpio {
            let base = gpio.base;
            if !base.is_multiple_of(AXI_GPIO_WINDOW) || !FABRIC.contains(&base) || !bases.insert(base) {
                return Err(DescriptionError::Base(base));
            }
            if let Some(interrupt) = gpio.interrupt
                && !FABRIC_INTERRUPTS.iter().any(|range| range.contains(&interrupt))
            {
                return Err(DescriptionError::Interrupt { base, interrupt });
            }
            for (channel, names, least) in [(1, &gpio.channel1, 1), (2, &gpio.channel2, 0)] {
                if names.len() > 32 || names.len() < usize::from(least) {
                    return Err(DescriptionError::Pads { base, channel, pads: names.len(), least });
                }
                if let Some(pad) = names.iter().find(|pad| !pads.insert(pad)) {
                    return Err(DescriptionError::Pad(pad.clone()));
                }
            }
        }
        Ok(())
    }
}
