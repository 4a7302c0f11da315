//! Who may have which device.
//!
//! The configuration is a JSON text:
//!
//! ```json
//! {
//!   "policies": [
//!     { "selector": { "exact": "init -> sd" }, "devices": ["mmc0"] },
//!     { "selector": { "prefix": "init -> lab" }, "devices": ["gpio0", "i2c@e0004000"], "pins": [7, 10, 11] }
//!   ],
//!   "rates": [ { "device": "timer0", "hz": 133000000 } ]
//! }
//! ```
//!
//! A client gets a device if the one policy that fits its label best (see [`session::label`]) lists
//! it; policies do not add up. Devices are named as in [`DeviceTree::device`]. The system level
//! control registers cannot be listed: they hold the clocks and resets of all other devices, so the
//! device manager keeps them.
//!
//! `pins` are the multiplexed pins (MIO) that a client may connect and set up. Several clients may have the same pin: whoever asked last has it.
//!
//! `rates` says what clock a device really has where the registers do not tell.

use core::fmt;
use core::num::NonZeroU32;

use heapless::{String, Vec};
use serde::de::{self, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use session::label::{self, Label, Selector};
use thiserror::Error;
use zynq7000::{memory, mio};

use crate::tree::{Device, DeviceError, DeviceTree};

/// Most policies.
pub const POLICIES: usize = 16;
/// Most devices in one policy.
pub const DEVICES: usize = 6;
/// Most devices whose clock rate is given.
pub const RATES: usize = 4;
/// Longest name of a device in bytes.
pub const NAME_LEN: usize = 32;

/// A device's node name or alias.
pub type DeviceName = String<NAME_LEN>;

/// What the device manager is told.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Who may have what.
    pub policies: Vec<Policy, POLICIES>,
    /// Clock rates that the registers do not tell.
    #[serde(default)]
    pub rates: Vec<Rate, RATES>,
}

/// The devices of the clients that a selector fits.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Whom the policy is for.
    pub selector: Selector,
    /// What they may have.
    pub devices: Vec<DeviceName, DEVICES>,
    /// The MIO pins that they may connect.
    #[serde(default)]
    pub pins: PinSet,
}

/// A set of MIO pins. In a configuration: a list of their numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PinSet(u64);

impl PinSet {
    /// Whether pin `number` is in the set.
    pub const fn contains(self, number: u32) -> bool {
        number < mio::PINS && self.0 >> number & 1 != 0
    }

    /// Adds pin `number`. `false`: there is no such pin.
    #[must_use]
    pub const fn insert(&mut self, number: u32) -> bool {
        if number < mio::PINS {
            self.0 |= 1 << number;
        }
        number < mio::PINS
    }

    /// The pins in the set.
    pub fn iter(self) -> impl Iterator<Item = u32> {
        (0..mio::PINS).filter(move |number| self.contains(*number))
    }
}

impl<'de> Deserialize<'de> for PinSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = PinSet;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of pins, MIO 0 to {}", mio::PINS - 1)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<PinSet, A::Error> {
                let mut pins = PinSet::default();
                while let Some(number) = list.next_element()? {
                    if !pins.insert(number) {
                        return Err(de::Error::invalid_value(Unexpected::Unsigned(number.into()), &self));
                    }
                }
                Ok(pins)
            }
        }
        deserializer.deserialize_seq(List)
    }
}

/// The rate of the first clock of a device.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// The device.
    pub device: DeviceName,
    /// Its first clock in hertz.
    pub hz: NonZeroU32,
}

/// What is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// It is not JSON, or not of the form above.
    #[error("configuration of the device manager: {0}")]
    Syntax(serde_json_core::de::Error),
    /// Two policies have the same selector.
    #[error("two policies for {0:?}; put the devices into one")]
    Duplicate(Selector),
    /// A device that is listed cannot be handed out.
    #[error("device `{name}`: {error}")]
    Device {
        /// As listed.
        name: DeviceName,
        /// Why not.
        error: DeviceError,
    },
    /// A device that is listed belongs to the device manager.
    #[error("device `{name}` has the clocks and resets of all others and stays with the device manager")]
    Kept {
        /// As listed.
        name: DeviceName,
    },
}

/// Why a client does not get a device or a pin. Deliberately one answer, whether the device exists or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no policy gives that to this client")]
pub struct Denied;

impl Config {
    /// Reads a configuration and checks it against the board.
    ///
    /// # Errors
    /// [`ConfigError`] for the first thing that is wrong.
    pub fn parse(text: &[u8], tree: &DeviceTree<'_>) -> Result<Self, ConfigError> {
        let (config, _) = serde_json_core::from_slice::<Self>(text).map_err(ConfigError::Syntax)?;
        if let Some(selector) = label::duplicate(&config.policies, |policy| &policy.selector) {
            return Err(ConfigError::Duplicate(selector.clone()));
        }
        let listed = config.policies.iter().flat_map(|policy| &policy.devices);
        for name in listed.chain(config.rates.iter().map(|rate| &rate.device)) {
            let device = tree.device(name).map_err(|error| ConfigError::Device { name: name.clone(), error })?;
            let kept = memory::SLCR.registers;
            if device.registers.iter().any(|region| region.overlaps(kept)) {
                return Err(ConfigError::Kept { name: name.clone() });
            }
        }
        Ok(config)
    }

    /// The policy for a client, if it has one.
    pub fn policy(&self, label: &Label) -> Option<&Policy> {
        label::best_match(&self.policies, |policy| &policy.selector, label)
    }

    /// The device that `name` names, if the client may have it.
    ///
    /// # Errors
    /// [`Denied`]
    pub fn device<'a>(&self, label: &Label, name: &str, tree: &DeviceTree<'a>) -> Result<Device<'a>, Denied> {
        let policy = self.policy(label).ok_or(Denied)?;
        let device = tree.device(name).map_err(|_| Denied)?;
        let listed = |listed: &DeviceName| listed == name || names(listed, &device, tree);
        if policy.devices.iter().any(listed) { Ok(device) } else { Err(Denied) }
    }

    /// Whether the client may have pin `number`.
    ///
    /// # Errors
    /// [`Denied`]
    pub fn pin(&self, label: &Label, number: u32) -> Result<(), Denied> {
        self.policy(label).filter(|policy| policy.pins.contains(number)).map(drop).ok_or(Denied)
    }

    /// The rate that is given for the first clock of `device`.
    pub fn rate(&self, device: &Device<'_>, tree: &DeviceTree<'_>) -> Option<NonZeroU32> {
        self.rates.iter().find(|rate| names(&rate.device, device, tree)).map(|rate| rate.hz)
    }
}

/// Whether `name` names `device`, be it by its node name or by an alias.
fn names(name: &str, device: &Device<'_>, tree: &DeviceTree<'_>) -> bool {
    tree.device(name).is_ok_and(|named| named == *device)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::format;

    use proptest::prelude::*;

    use super::*;
    use crate::tree::tests::BOARD;

    fn tree() -> DeviceTree<'static> {
        DeviceTree::new(&BOARD).unwrap()
    }

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text.as_bytes(), &tree())
    }

    const CONFIG: &str = r#"{
        "policies": [
            { "selector": { "exact": "init -> sd" }, "devices": ["mmc0"] },
            { "selector": { "prefix": "init -> lab" }, "devices": ["gpio0", "i2c@e0004000"] },
            { "selector": { "suffix": "console" }, "devices": ["serial@e0001000"] },
            { "selector": "default", "devices": [] }
        ],
        "rates": [ { "device": "timer0", "hz": 133000000 } ]
    }"#;

    #[test]
    fn clients_connect_the_pins_of_their_policy() {
        let config = |pins: &str| {
            parse(&format!(r#"{{"policies": [{{"selector": "default", "devices": [], "pins": {pins}}}]}}"#))
        };
        let label = Label::new("init -> i2c").unwrap();
        let right = config("[7, 53, 7]").unwrap();
        assert_eq!(right.policies[0].pins.iter().collect::<std::vec::Vec<_>>(), [7, 53]);
        assert_eq!(right.pin(&label, 53), Ok(()));
        assert_eq!(right.pin(&label, 8), Err(Denied));
        assert_eq!(right.pin(&label, 64 + 7), Err(Denied));
        assert_eq!(parse(CONFIG).unwrap().pin(&Label::new("init -> sd").unwrap(), 7), Err(Denied));
        assert!(config("[54]").is_err());
    }

    #[test]
    fn clients_get_what_their_policy_lists() {
        let config = parse(CONFIG).unwrap();
        let name_of = |label: &str, name: &str| {
            config.device(&Label::new(label).unwrap(), name, &tree()).map(|device| device.name)
        };
        assert_eq!(name_of("init -> sd", "mmc0"), Ok("mmc@e0100000"));
        assert_eq!(name_of("init -> sd", "mmc@e0100000"), Ok("mmc@e0100000"));
        assert_eq!(name_of("init -> sd", "serial0"), Err(Denied));
        assert_eq!(name_of("init -> sd", "no such device"), Err(Denied));
        assert_eq!(name_of("init -> lab -> probe", "i2c@e0004000"), Ok("i2c@e0004000"));
        assert_eq!(name_of("init -> lab -> probe", "i2c@e0005000"), Err(Denied));
        assert_eq!(name_of("init -> laboratory", "gpio0"), Err(Denied));
        assert_eq!(name_of("init -> lab -> console", "serial0"), Err(Denied));
        assert_eq!(name_of("init -> console", "serial0"), Ok("serial@e0001000"));
        assert_eq!(name_of("init -> other", "gpio0"), Err(Denied));
    }

    #[test]
    fn no_policy_means_no_device() {
        let config = parse(r#"{ "policies": [] }"#).unwrap();
        let label = Label::new("init").unwrap();
        assert_eq!(config.policy(&label), None);
        assert_eq!(config.device(&label, "gpio0", &tree()), Err(Denied));
    }

    #[test]
    fn rates_are_found_by_any_name() {
        let config = parse(CONFIG).unwrap();
        let rate = |name| config.rate(&tree().device(name).unwrap(), &tree());
        assert_eq!(rate("timer@f8001000"), NonZeroU32::new(133_000_000));
        assert_eq!(rate("timer1"), None);
    }

    #[test]
    fn damaged_configurations_are_refused() {
        let syntax = |text: &str| matches!(parse(text), Err(ConfigError::Syntax(_)));
        assert!(syntax(""));
        assert!(syntax("{}"));
        assert!(syntax(&CONFIG[..CONFIG.len() - 2]));
        assert!(syntax(&format!("{CONFIG} true")));
        assert!(syntax(r#"{ "policies": [], "policy": [] }"#));
        assert!(syntax(r#"{ "policies": [{ "devices": ["mmc0"] }] }"#));
        assert!(syntax(r#"{ "policies": [{ "selector": "default" }] }"#));
        assert!(syntax(r#"{ "policies": [{ "selector": "all", "devices": [] }] }"#));
        assert!(syntax(r#"{ "policies": [], "rates": [{ "device": "timer0", "hz": 0 }] }"#));
        let long = "x".repeat(NAME_LEN + 1);
        assert!(syntax(&format!(r#"{{ "policies": [{{ "selector": "default", "devices": ["{long}"] }}] }}"#)));
    }

    proptest! {
        /// Neither the parser nor the checks panic, whatever is in the text.
        #[test]
        fn no_changed_text_leads_to_a_panic(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            length in any::<prop::sample::Index>(),
        ) {
            let mut text = CONFIG.as_bytes().to_vec();
            for (index, byte) in changes {
                text[index.index(CONFIG.len())] = byte;
            }
            let _ = Config::parse(&text, &tree());
            let _ = Config::parse(&text[..length.index(CONFIG.len())], &tree());
        }
    }

    fn with_device(name: &str) -> ConfigError {
        let policy = format!(r#"{{ "selector": "default", "devices": ["{name}"] }}"#);
        parse(&format!(r#"{{ "policies": [{policy}] }}"#)).unwrap_err()
    }

    #[test]
    fn devices_that_cannot_be_handed_out_are_found_at_once() {
        let name = |text: &str| DeviceName::try_from(text).unwrap();
        let error = |text, error| ConfigError::Device { name: name(text), error };
        assert_eq!(with_device("mmc9"), error("mmc9", DeviceError::NoSuchDevice));
        assert_eq!(with_device("mmc@e0101000"), error("mmc@e0101000", DeviceError::Disabled));
        assert_eq!(with_device("slcr@f8000000"), ConfigError::Kept { name: name("slcr@f8000000") });
    }

    #[test]
    fn two_policies_for_the_same_clients_are_an_error() {
        let policy = r#"{ "selector": { "suffix": "sd" }, "devices": [] }"#;
        let selector = Selector::Suffix(Label::new("sd").unwrap());
        assert_eq!(parse(&format!(r#"{{ "policies": [{policy}, {policy}] }}"#)), Err(ConfigError::Duplicate(selector)));
    }
}
