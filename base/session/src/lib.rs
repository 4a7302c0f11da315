//! Session interfaces and the core protocol.
#![no_std]
#![forbid(unsafe_code)]

pub mod label;
pub mod service;

pub use label::{Label, Selector};
pub use service::Service;
