//! Which client may talk to which devices.
//!
//! A client is known by its label, which its parent gives it and which it cannot choose. The configuration lists policies; each has a selector, addresses and
//! a speed. The policy of a client is the one whose selector fits best, see [`session::label`]; policies do not add up. A client without a policy is denied.
//! Several clients may have the same address: they take turns, a transaction at a time.
//!
//! ```toml
//! device = "i2c0"        # an alias or a name in the devicetree
//! pins = { scl = 10, sda = 11 }
//!
//! [[policies]]
//! selector = { exact = "init -> thermometer" }
//! addresses = [{ first = 0x48 }]
//! speed = "fast"
//!
//! [[policies]]
//! selector = { prefix = "init -> lab" }
//! addresses = [{ first = 0x50, last = 0x57 }]
//! ten_bit = [{ first = 0x123 }]
//! ```

use heapless::{String, Vec};
use serde::Deserialize;
use session::i2c::Address;
use session::label::{self, Label, Selector};

use crate::speed::Speed;

/// The most policies.
pub const POLICIES: usize = 12;
/// The most ranges of addresses of a kind in a policy.
pub const RANGES: usize = 8;
/// Longest name of a device or a pin, in bytes.
pub const NAME: usize = 24;

/// The driver's configuration. [`Config::check`] it once before use.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The device in the devicetree; `i2c0` if absent.
    #[serde(default = "default_device")]
    pub device: String<NAME>,
    /// MIO pins of the two lines, clock first: they are switched to the controller at the start. Absent if the lines lead through EMIO.
    #[serde(default)]
    pub pins: Option<Pins>,
    /// The policies; their order does not matter.
    pub policies: Vec<Policy, POLICIES>,
}

fn default_device() -> String<NAME> {
    String::try_from("i2c0").unwrap_or_default()
}

/// The pins of the bus.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pins {
    /// MIO number of the clock.
    pub scl: u32,
    /// MIO number of the data.
    pub sda: u32,
}

/// What the clients that a selector fits may do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Whom the policy is for.
    pub selector: Selector,
    /// Addresses of 7 bits.
    #[serde(default)]
    pub addresses: Vec<Range, RANGES>,
    /// Addresses of 10 bits.
    #[serde(default)]
    pub ten_bit: Vec<Range, RANGES>,
    /// How fast the clock line may be; standard mode if absent.
    #[serde(default)]
    pub speed: Speed,
}

/// Addresses that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The first one.
    pub first: u16,
    /// The last one; the first one if absent.
    #[serde(default)]
    pub last: Option<u16>,
}

impl Range {
    fn last(self) -> u16 {
        self.last.unwrap_or(self.first)
    }

    fn contains(self, address: u16) -> bool {
        (self.first..=self.last()).contains(&address)
    }
}

/// Addresses of 7 bits that devices may have; the others are reserved (UM10204, 3.1.12).
const DEVICES: Range = Range { first: 0x08, last: Some(0x77) };

/// What is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Two policies with the same selector.
    #[error("two policies for {0:?}; put the addresses into one")]
    Duplicate(Selector),
    /// A range that is none.
    #[error("addresses {first:#x} to {last:#x}: the last one is below the first")]
    Backwards {
        /// First address.
        first: u16,
        /// Last address.
        last: u16,
    },
    /// No address of a device.
    #[error("{0:#x} is no address of 7 bits for a device: those are 0x08 to 0x77, without the direction bit")]
    Reserved(u16),
    /// Too large.
    #[error("{0:#x} is no address of 10 bits")]
    TooLarge(u16),
    /// One pin for both lines.
    #[error("pin {0} cannot be both lines of the bus")]
    SamePin(u32),
}

impl Config {
    /// Checks every policy.
    pub fn check(&self) -> Result<(), ConfigError> {
        if let Some(selector) = label::duplicate(&self.policies, |policy| &policy.selector) {
            return Err(ConfigError::Duplicate(selector.clone()));
        }
        if let Some(pins) = self.pins.as_ref().filter(|pins| pins.scl == pins.sda) {
            return Err(ConfigError::SamePin(pins.scl));
        }
        for policy in &self.policies {
            for range in policy.addresses.iter().chain(&policy.ten_bit) {
                if range.last() < range.first {
                    return Err(ConfigError::Backwards { first: range.first, last: range.last() });
                }
            }
            for address in policy.addresses.iter().flat_map(|range| [range.first, range.last()]) {
                if !DEVICES.contains(address) {
                    return Err(ConfigError::Reserved(address));
                }
            }
            for address in policy.ten_bit.iter().flat_map(|range| [range.first, range.last()]) {
                if address > 0x3ff {
                    return Err(ConfigError::TooLarge(address));
                }
            }
        }
        Ok(())
    }

    /// The policy for a client, or `None` if it is to be denied.
    pub fn policy(&self, label: &Label) -> Option<&Policy> {
        label::best_match(&self.policies, |policy| &policy.selector, label)
    }
}

impl Policy {
    /// Whether the client may talk to the device with this address.
    pub fn allows(&self, address: Address) -> bool {
        match address {
            Address::Seven(address) => self.addresses.iter().any(|range| range.contains(address.into())),
            Address::Ten(address) => self.ten_bit.iter().any(|range| range.contains(address)),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::{String, ToString};

    use super::*;

    fn parse(text: &str) -> Config {
        serde_json_core::from_str(text).unwrap().0
    }

    #[test]
    fn a_client_has_the_addresses_of_its_policy() {
        let config = parse(
            r#"{"device": "i2c1", "pins": {"scl": 12, "sda": 13}, "policies": [
                {"selector": {"exact": "init -> a"}, "addresses": [{"first": 72}, {"first": 80, "last": 87}], "speed": "fast"},
                {"selector": {"prefix": "init -> b"}, "ten_bit": [{"first": 291}]}
            ]}"#,
        );
        config.check().unwrap();
        let policy = |label: &str| config.policy(&Label::new(label).unwrap());
        let a = policy("init -> a").unwrap();
        assert_eq!(a.speed, Speed::Fast);
        let allowed: std::vec::Vec<u8> = (0..128).filter(|address| a.allows(Address::Seven(*address))).collect();
        assert_eq!(allowed, [72, 80, 81, 82, 83, 84, 85, 86, 87]);
        assert!(!a.allows(Address::Ten(72)));
        let b = policy("init -> b -> c").unwrap();
        assert_eq!(b.speed, Speed::Standard);
        assert!(b.allows(Address::Ten(291)) && !b.allows(Address::Ten(290)) && !b.allows(Address::Seven(35)));
        assert!(policy("init -> c").is_none());
    }

    #[test]
    fn mistakes_are_named() {
        let error = |policies: &str, more: &str| -> String {
            parse(&std::format!(r#"{{{more}"policies": [{policies}]}}"#)).check().unwrap_err().to_string()
        };
        let policy = |rest: &str| error(&std::format!(r#"{{"selector": "default", {rest}}}"#), "");
        assert!(policy(r#""addresses": [{"first": 160}]"#).contains("0xa0 is no address"));
        assert!(policy(r#""addresses": [{"first": 80, "last": 72}]"#).contains("below the first"));
        assert!(policy(r#""ten_bit": [{"first": 1024}]"#).contains("10 bits"));
        assert!(error(r#"{"selector": "default"}, {"selector": "default"}"#, "").contains("two policies"));
        assert!(error("", r#""pins": {"scl": 3, "sda": 3}, "#).contains("both lines"));
    }
}
