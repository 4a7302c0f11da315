//! Driver of an interval timer: a beginning for a driver of your own.
//!
//! # Theory of operation
//!
//! A counter of a triple timer counter (UG585 chapter 8.5) counts from zero up to the value of its interval register, sets a bit in
//! its interrupt register and starts over. [`Driver`] starts and stops it and counts these events.
//!
//! There are three layers. `registers` names the device's registers and their fields. [`driver`] is the state machine over any register back
//! end: on the board that is the device, in a host test a model of it, see `tests/`. [`interface`] says what clients can ask for; the program
//! `skeleton` answers them, and `skeleton-check` is a client that checks the whole on the board.
//!
//! To make it the driver of another device: put that device's registers, fields and addresses in the place of these, write down here how it
//! works, and name the device in the scenario's policies as the devicetree (`bsp/zedboard/zedboard.dts`) does.

#![no_std]
#![forbid(unsafe_code)]

pub mod driver;
pub mod interface;
mod registers;

pub use driver::{Driver, PeriodError};
