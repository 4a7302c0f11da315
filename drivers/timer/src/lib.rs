//! Monotonic time and timeouts from a triple timer counter (TTC) of the Zynq-7000.
//!
//! # Theory of operation
//!
//! A TTC (UG585 chapter 8.5) is three 16-bit counters that share a register page and nothing else;
//! each has a prescaler and an interrupt line of its own. This driver uses two of them:
//!
//! - counter 1 runs freely and wraps around every 65,536 ticks; each wrap is an interrupt, and the
//!   driver counts them. Wraps and count together are a 64-bit clock that never goes back;
//! - counter 2 is started for one deadline at a time and interrupts when it gets there.
//!
//! [`Driver`] is that, over any register back end. The deadlines of all clients are in a
//! [queue](component::timeouts::Timeouts), pure and bounded. The component arms the driver with the earliest deadline of the
//! queue.
//!
//! The global timer would be the better clock, but its registers share a page with the interrupt
//! controller, which is the kernel's.

#![no_std]
#![forbid(unsafe_code)]

pub mod driver;
mod registers;

pub use driver::{Driver, Prescaler};

#[cfg(test)]
mod bench;
