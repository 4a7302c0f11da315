//! Session interfaces and the core protocol.
//!
//! Each file holds one interface: its wire format, its client and its server's dispatch. Nothing here knows a kernel: a
//! [`Message`] is data, and whoever carries it implements the transport.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod block;
pub mod capture;
pub mod core;
pub mod devices;
pub mod echo;
mod error;
pub mod framebuffer;
pub mod gpio;
pub mod i2c;
pub mod label;
pub mod log;
pub mod memory;
pub mod message;
pub mod parent;
pub mod ring;
pub mod service;
pub mod timer;
mod transport;

pub use error::Error;
pub use label::{Label, Selector};
pub use message::{Message, Text};
pub use service::Service;
pub use transport::Transport;
