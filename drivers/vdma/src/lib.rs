//! AXI VDMA driver, Framebuffer and Capture server.
//!
//! The library half: everything here builds for the host and is tested there against the engine, display and camera
//! models of `qemu-xilinx/models`.
//!
//! - [`registers`]: the register block, over a back end of [`mmio`] that can be swapped.
//! - [`channel`]: the state machine of one channel: setting up, flipping, recovering, stopping.
//! - [`config`]: what is connected to the engine, and who may use it.
//! - [`capture`]: which frame store the camera writes to next, so that nobody reads what is being written.
//!
//! # Sources
//!
//! - *AXI Video Direct Memory Access v6.3 Product Guide*, cited as PG020.
#![no_std]
#![forbid(unsafe_code)]

pub mod capture;
pub mod channel;
pub mod config;
pub mod registers;

pub use capture::Queue;
pub use channel::{
    Change, Channel, Counters, Failure, FlipError, Hardware, Mode, Outcome, Picture, STORES, SetupError, State,
};
pub use registers::Direction;
