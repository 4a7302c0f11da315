//! GPIO: pins of the processing system and of AXI GPIO blocks in the programmable logic.
//!
//! # Theory of operation
//!
//! - [`controller`] is what both kinds of hardware can do, one trait; [`ps`] is the controller of the processing system (UG585 chapter 14) and [`axi`] the
//!   AXI GPIO of the programmable logic (PG144);
//! - [`pins`] is the state machine above it: who has which pin, triggers, counts of events, debouncing. It never waits and knows no session server;
//! - [`config`] is the policy: which client has which pins, under which names.
//!
//! The component feeds the state machine interrupts and time and is the session server.

#![no_std]
#![forbid(unsafe_code)]

pub mod axi;
pub mod config;
pub mod controller;
pub mod pins;
pub mod ps;
mod registers;

pub use axi::Axi;
pub use config::{Config, ConfigError};
pub use controller::{BANKS, Controller, Place};
pub use pins::{Group, Pins};
pub use ps::Ps;
