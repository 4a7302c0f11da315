//! Slaves from a configuration file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Address, Adv7511, Bus, Chip, Eeprom, Fault, FaultError, Mcp23017, Pca9548, Pcf8574, PropertyError, Rtc, Scripted,
    Size, Slave, Ssd1306, Tmp105, Value,
};

/// Lowest and highest 7-bit address that a slave may have; the others are reserved (UM10204 3.1.12).
const SEVEN: std::ops::RangeInclusive<u16> = 0x08..=0x77;

/// A slave: its model, where it is, how it is set.
///
/// In TOML: `{ model = "24c256", address = 0x50 }`, or with everything
/// `{ model = "tmp105", address = 0x48, label = "board", properties = { temperature = 31.5 }, faults = [{ kind = "nack" }] }`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Description {
    /// What it is.
    pub model: Model,
    /// Its address, without the direction bit.
    pub address: u16,
    /// The address has 10 bits.
    #[serde(default)]
    pub ten_bit: bool,
    /// Further addresses of the same kind.
    #[serde(default)]
    pub addresses: Vec<u16>,
    /// The name it is known by; by default its model and address, such as `24c256@0x50`.
    #[serde(default)]
    pub label: Option<String>,
    /// Properties set before power-up; see the models.
    #[serde(default)]
    pub properties: BTreeMap<String, Value>,
    /// What goes wrong with it.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// Slaves behind it, if it is a multiplexer.
    #[serde(default)]
    pub behind: Vec<Behind>,
}

/// Slaves behind one channel of a multiplexer.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Behind {
    /// The channel, from 0 on.
    pub channel: u8,
    /// The slaves.
    pub slaves: Vec<Description>,
}

/// The chips that can be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "part numbers")]
pub enum Model {
    #[serde(rename = "24c02")]
    Eeprom24c02,
    #[serde(rename = "24c256")]
    Eeprom24c256,
    Tmp105,
    Lm75,
    Pca9548,
    Adv7511,
    Mcp23017,
    Pcf8574,
    Ds1307,
    Ds3231,
    Ssd1306,
    Scripted,
}

impl Model {
    /// A chip of this kind, powered up at `now`.
    pub fn build(self, now: u64) -> Box<dyn Slave> {
        match self {
            Self::Eeprom24c02 => Box::new(Eeprom::new(Size::C02)),
            Self::Eeprom24c256 => Box::new(Eeprom::new(Size::C256)),
            Self::Tmp105 => Box::new(Tmp105::new(now)),
            Self::Lm75 => Box::new(Tmp105::lm75(now)),
            Self::Pca9548 => Box::new(Pca9548::new()),
            Self::Adv7511 => Box::new(Adv7511::new()),
            Self::Mcp23017 => Box::new(Mcp23017::new()),
            Self::Pcf8574 => Box::new(Pcf8574::new()),
            Self::Ds1307 => Box::new(Rtc::new(Chip::Ds1307, now)),
            Self::Ds3231 => Box::new(Rtc::new(Chip::Ds3231, now)),
            Self::Ssd1306 => Box::new(Ssd1306::new()),
            Self::Scripted => Box::new(Scripted::new()),
        }
    }

    /// Further addresses that the chip has besides its own.
    fn further(self, address: u16) -> Vec<u16> {
        match self {
            // The EDID memory of the ADV7511 is at its reset address until software moves it; the model does not move it.
            Self::Adv7511 if address != adv7511_edid() => vec![adv7511_edid()],
            _ => Vec::new(),
        }
    }
}

fn adv7511_edid() -> u16 {
    u16::from(Adv7511::EDID_ADDRESS)
}

/// A slave that cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// Two slaves have the same name.
    #[error("two slaves are called `{label}`; give one of them another `label`")]
    Label {
        /// The name.
        label: String,
    },
    /// The address is out of its range.
    #[error("`{label}`: address {address:#x} is {reason}")]
    Address {
        /// The slave.
        label: String,
        /// The address.
        address: u16,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Slaves behind something that is no multiplexer, or that has not so many channels.
    #[error("`{label}` has no channel {channel} that slaves could be behind")]
    Channel {
        /// The slave.
        label: String,
        /// The channel.
        channel: u8,
    },
    /// A property that cannot be set.
    #[error("`{label}`: {error}")]
    Property {
        /// The slave.
        label: String,
        /// What is wrong.
        error: PropertyError,
    },
    /// A fault that cannot be.
    #[error("`{label}`: {error}")]
    Fault {
        /// The slave.
        label: String,
        /// What is wrong.
        error: FaultError,
    },
}

impl Description {
    /// A chip at a 7-bit address with everything as it comes.
    pub fn new(model: Model, address: u16) -> Self {
        Self {
            model,
            address,
            ten_bit: false,
            addresses: Vec::new(),
            label: None,
            properties: BTreeMap::new(),
            faults: Vec::new(),
            behind: Vec::new(),
        }
    }

    fn addresses(&self, label: &str) -> Result<Vec<Address>, BuildError> {
        let wrong = |address, reason| Err(BuildError::Address { label: label.into(), address, reason });
        let further = self.model.further(self.address);
        let mut all = Vec::new();
        for address in [self.address].into_iter().chain(self.addresses.iter().copied()).chain(further) {
            all.push(match u8::try_from(address) {
                _ if self.ten_bit && address < 0x400 => Address::Ten(address),
                _ if self.ten_bit => return wrong(address, "more than 10 bits"),
                Ok(seven) if SEVEN.contains(&address) => Address::Seven(seven),
                _ => return wrong(address, "not from 0x08 to 0x77"),
            });
        }
        Ok(all)
    }
}

impl Bus {
    /// A bus with the described slaves, powered up at `now`.
    pub fn build(slaves: &[Description], now: u64) -> Result<Self, BuildError> {
        let mut bus = Self::new();
        let mut labels = Vec::new();
        bus.populate(slaves, &mut labels, now)?;
        Ok(bus)
    }

    fn populate(&mut self, slaves: &[Description], labels: &mut Vec<String>, now: u64) -> Result<(), BuildError> {
        for description in slaves {
            let mut slave = description.model.build(now);
            let label =
                description.label.clone().unwrap_or_else(|| format!("{}@{:#04x}", slave.name(), description.address));
            if labels.contains(&label) {
                return Err(BuildError::Label { label });
            }
            labels.push(label.clone());
            let addresses = description.addresses(&label)?;
            for (property, value) in &description.properties {
                let set = slave.set(property, value, now);
                set.map_err(|error| BuildError::Property { label: label.clone(), error })?;
            }
            for behind in &description.behind {
                let segment = slave.segments_mut().get_mut(usize::from(behind.channel));
                let segment = segment.ok_or(BuildError::Channel { label: label.clone(), channel: behind.channel })?;
                segment.bus.populate(&behind.slaves, labels, now)?;
            }
            self.attach(label.clone(), addresses, slave)?;
            for fault in &description.faults {
                let fault = fault.clone().on(&label);
                self.inject(fault).map_err(|error| BuildError::Fault { label: label.clone(), error })?;
            }
        }
        Ok(())
    }
}
