//! Facts about the Zynq-7000: where its parts are and how its clocks are made.
//!
//! Everything here is data or a pure function of register values; nothing touches hardware. The
//! source is the technical reference manual, UG585; items name its chapters.
//!
//! - [`memory`]: addresses and interrupts of the peripherals, and the address map around them;
//! - [`slcr`]: the registers for clocks and resets;
//! - [`mio`]: the pins, and what they can be connected to;
//! - [`clocks`]: the rates that follow from them, and the identifiers that devicetrees use for
//!   clocks and resets;
//! - [`board`]: what start-up code has to know about a board, as data;
//! - [`setup`]: the register values that follow from such data: loops, clocks, pins, memory controller.

#![no_std]
#![forbid(unsafe_code)]

pub mod board;
pub mod clocks;
pub mod memory;
pub mod mio;
pub mod setup;
pub mod slcr;
