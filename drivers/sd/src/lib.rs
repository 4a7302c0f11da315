//! SD card driver and Block server.
//!
//! The library half of the driver: everything here builds for the host and is tested there against the controller
//! and card models of `qemu-xilinx/models`.
//!
//! - [`registers`]: the register block of a standard SD host controller, over a back end of [`mmio`] that can be swapped.
//! - [`driver`]: the state machine that brings a card up and moves blocks.
//! - [`error`]: what can go wrong.
//! - [`card`]: what a card says about itself: OCR, CID, CSD, SCR, switch status.
//! - [`adma`]: the descriptor table of the controller's DMA engine.
//! - [`config`]: which client may touch which blocks.
//!
//! # Sources
//!
//! - *SD Host Controller Simplified Specification* 2.00 and 3.00, cited as "SDHC".
//! - *SD Physical Layer Simplified Specification* 4.10, cited as "PHY".
//! - *Zynq-7000 Technical Reference Manual*, UG585, chapter 13 and appendix B.27.
#![no_std]
#![forbid(unsafe_code)]

pub mod adma;
pub mod card;
mod command;
pub mod config;
pub mod driver;
pub mod error;
pub mod registers;

pub use adma::{DescriptorTable, Segment};
pub use card::{Addressing, Card};
pub use config::{Config, Policy, Window};

pub use driver::{Direction, Driver, Event, State, Transfer};
pub use error::{Cause, Error, SubmitError};
