//! Which client has which pins.
//!
//! A client is known by its label, which its parent gives it and which it cannot choose. The configuration lists policies; each has a selector and the pins of
//! the clients that it fits. The policy of a client is the one whose selector fits best, see [`session::label`]; policies do not add up. A client
//! without a policy is denied. A pin that several clients have in their policies is in the session that is opened first.
//!
//! ```toml
//! device = "gpio0"        # an alias or a name in the devicetree
//!
//! [[policies]]
//! selector = { exact = "init -> blinky" }
//! pins = [{ name = "led", pin = 7, access = "output" }]
//!
//! [[policies]]
//! selector = { exact = "init -> buttons" }
//! pins = [
//!     { name = "left", pin = 50, access = "input" },
//!     { name = "right", pin = 51, access = "input" },
//! ]
//! ```
//!
//! Pins of the processing system are numbered from 0 as MIO, and on from 54 as EMIO. Those of an AXI GPIO are numbered from 0 in its first channel and from 32 in
//! its second.

use heapless::{String, Vec};
use serde::Deserialize;
use session::gpio::PINS;
use session::label::{self, Label, Selector};

use crate::controller::Controller;
use crate::pins::Group;

/// The most policies.
pub const POLICIES: usize = 8;
/// Longest name of a pin, in bytes.
pub const NAME: usize = 14;
/// Longest name of a device, in bytes.
pub const DEVICE_NAME: usize = 24;

/// The driver's configuration. [`Config::check`] it once before use.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The device in the devicetree; `gpio0` if absent.
    #[serde(default = "default_device")]
    pub device: String<DEVICE_NAME>,
    /// The policies; their order does not matter.
    pub policies: Vec<Policy, POLICIES>,
}

fn default_device() -> String<DEVICE_NAME> {
    String::try_from("gpio0").unwrap_or_default()
}

/// The pins of the clients that a selector fits.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Whom the policy is for.
    pub selector: Selector,
    /// The pins, numbered from 0 in this order.
    pub pins: Vec<PinPolicy, PINS>,
}

/// A pin in a policy.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinPolicy {
    /// What the client calls it.
    pub name: String<NAME>,
    /// Which pin of the device it is.
    pub pin: u8,
    /// What it may be; both if absent.
    #[serde(default)]
    pub access: Access,
}

/// What a pin may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// An input.
    Input,
    /// An output.
    Output,
    /// Either.
    #[default]
    Both,
}

impl Access {
    /// Whether it may be an input.
    pub const fn input(self) -> bool {
        matches!(self, Self::Input | Self::Both)
    }

    /// Whether it may be an output.
    pub const fn output(self) -> bool {
        matches!(self, Self::Output | Self::Both)
    }
}

/// What is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Two policies with the same selector.
    #[error("two policies for {0:?}; put the pins into one")]
    Duplicate(Selector),
    /// A policy with two pins of one name.
    #[error("two pins `{0}` in one policy; give each its own name")]
    SameName(String<NAME>),
    /// A policy with a pin twice.
    #[error("pin {pin} is `{name}` and something else in the same policy; remove one")]
    SamePin {
        /// Its second name.
        name: String<NAME>,
        /// Its number.
        pin: u8,
    },
    /// The device has no such pin.
    #[error("pin {pin}, `{name}`: the device has no such pin")]
    NoSuchPin {
        /// Its name.
        name: String<NAME>,
        /// Its number.
        pin: u8,
    },
    /// The hardware cannot do it.
    #[error("pin {pin}, `{name}`: the hardware can only make it an output; say access = \"output\"")]
    OnlyOutput {
        /// Its name.
        name: String<NAME>,
        /// Its number.
        pin: u8,
    },
}

impl Config {
    /// Checks what can be checked without the device.
    pub fn check(&self) -> Result<(), ConfigError> {
        if let Some(selector) = label::duplicate(&self.policies, |policy| &policy.selector) {
            return Err(ConfigError::Duplicate(selector.clone()));
        }
        for policy in &self.policies {
            for (pin, before) in policy.pins.iter().zip(0..).map(|(pin, count)| (pin, policy.pins.iter().take(count))) {
                let name = pin.name.clone();
                if before.clone().any(|other| other.name == name) {
                    return Err(ConfigError::SameName(name));
                }
                if before.clone().any(|other| other.pin == pin.pin) {
                    return Err(ConfigError::SamePin { name, pin: pin.pin });
                }
            }
        }
        Ok(())
    }

    /// Checks the configuration against the device.
    pub fn check_pins(&self, controller: &impl Controller) -> Result<(), ConfigError> {
        self.check()?;
        self.policies.iter().try_for_each(|policy| policy.group(controller).map(drop))
    }

    /// The policy for a client, or `None` if it is to be denied.
    pub fn policy(&self, label: &Label) -> Option<&Policy> {
        label::best_match(&self.policies, |policy| &policy.selector, label)
    }
}

impl Policy {
    /// The pins as the controller has them.
    pub fn group(&self, controller: &impl Controller) -> Result<Group, ConfigError> {
        let inputs = controller.inputs();
        let mut group = Group::new();
        for PinPolicy { name, pin, access } in &self.pins {
            let place = controller.place((*pin).into());
            let place = place.ok_or_else(|| ConfigError::NoSuchPin { name: name.clone(), pin: *pin })?;
            if access.input() && inputs.get(place.bank).is_none_or(|bank| bank & place.mask() == 0) {
                return Err(ConfigError::OnlyOutput { name: name.clone(), pin: *pin });
            }
            group
                .add(place, access.input(), access.output())
                .map_err(|_| ConfigError::SamePin { name: name.clone(), pin: *pin })?;
        }
        Ok(group)
    }

    /// Number of the pin called `name`.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.pins.iter().position(|pin| pin.name == name)
    }
}

#[cfg(test)]
mod tests;
