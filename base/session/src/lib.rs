//! Session interfaces and the core protocol.
#![no_std]
#![forbid(unsafe_code)]

pub mod service;

pub use service::Service;
