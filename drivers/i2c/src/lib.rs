//! The I2C controller of the Zynq-7000, a Cadence core of revision r1p10 (UG585 chapter 20).
//!
//! # Theory of operation
//!
//! - [`driver`] is the state machine: transactions of any length, an interrupt at a time. It never waits;
//! - [`speed`] finds divisors for the clock line;
//! - [`recovery`] frees a bus that a device holds, with clock pulses through pins;
//! - [`config`] is the policy: which client may talk to which devices.
//!
//! The component is the session server above it. The clients' side is an `embedded_hal::i2c::I2c`, see [`session::i2c`].

#![no_std]
#![forbid(unsafe_code)]

pub mod config;
pub mod driver;
pub mod recovery;
mod registers;
pub mod speed;

pub use config::{Config, ConfigError};
pub use driver::{Driver, Event, State, Transaction};
pub use speed::{Divisors, Speed};
