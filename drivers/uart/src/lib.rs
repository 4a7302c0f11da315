//! The UART of the Zynq-7000: text out, text in.
//!
//! # Theory of operation
//!
//! The controller (UG585 chapter 19, a Cadence design) has a 64-byte FIFO in each direction. This
//! driver never waits for either: [`Driver::write`] takes as many bytes as fit and says how many
//! that were, and if some are left the interrupt "transmit FIFO empty" is on until the next call.
//! So a component sleeps while the line is slow, and nothing is lost as long as it offers the rest
//! again.
//!
//! Interrupt status bits are *events*: set when the FIFO becomes empty, not while it is, and
//! cleared by writing ones. The driver therefore clears an event before it looks at the condition
//! behind it, never after: what happens in between raises the event again.
//!
//! Only 8 data bits, no parity and one stop bit are spoken, without flow control. The driver takes
//! over a running UART without breaking off what is being sent: if the line settings are already
//! right, it changes none, and otherwise refuses until the transmitter is idle.

#![no_std]
#![forbid(unsafe_code)]

pub mod baud;
pub mod driver;
mod registers;

pub use baud::{Divisors, NoSuchRate};
pub use driver::{Driver, Events, SetUpError};

#[cfg(test)]
mod model;
