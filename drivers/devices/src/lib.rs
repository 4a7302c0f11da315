//! The device manager: which devices there are, who may have which, and their clocks and resets.
//!
//! # Theory of operation
//!
//! The devicetree says what devices the board has. A client asks for one by name, never for an
//! address, and gets it if the policy for the client's label lists it. Handing a device out means
//! opening its clocks and releasing its resets first; they are bits of the system level control
//! registers, a page that only the device manager ever sees, because it also holds the clocks and
//! resets of everything else.
//!
//! - [`blob`] checks the structure of a devicetree blob from end to end, since the parser trusts
//!   it;
//! - [`tree`] looks devices up and reads their registers, interrupts, clocks and resets;
//! - [`config`] is the list of policies;
//! - [`slcr`] switches clocks and resets and connects pins;
//! - [`quiesce`] stops devices that move data by themselves, before their memory is anybody else's.

#![no_std]
#![forbid(unsafe_code)]

pub mod blob;
pub mod config;
pub mod quiesce;
pub mod slcr;
pub mod tree;

pub use config::{Config, ConfigError, Policy};
pub use slcr::{PinSettings, Slcr, SlcrError};
pub use tree::{Device, DeviceError, DeviceTree};
