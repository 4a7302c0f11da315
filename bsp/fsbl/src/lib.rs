//! First-stage boot loader.
//!
//! # Theory of operation
//!
//! The boot ROM of the chip copies this program from the SD card into the on-chip memory and jumps to it. Nothing works then but one
//! processor, that memory and the card: there are no clocks to speak of, no console, no main memory. In order, this program
//!
//! 1. sets up pins, loops and clocks ([`clocks`]), then the console;
//! 2. starts the memory, with training ([`memory`]), and tries it;
//! 3. brings the card up ([`card`]), finds `BOOT.BIN` in the first partition's root directory, and reads all of it into memory;
//! 4. verifies it ([`image`], [`signature`]). Where that fails, `BOOT.ALT` gets its chance;
//! 5. puts the image's partitions into their places, and configures the programmable logic ([`pcap`]);
//! 6. jumps to the entry point of the first partition for the processors, in the state that it was entered in itself: MMU and caches off.
//!
//! Whatever goes wrong before step 6 is a [`Failure`]: a sentence on the console, and a number that the LED flashes ([`led`]) for those who have no
//! console. Every wait has a deadline. What runs is either what was verified, or nothing.
//!
//! Which board it runs on is data ([`zynq7000::board`]).
//!
//! The library is all but the entry and the hand-over, and is tested on a host against models of the hardware.

#![no_std]
#![forbid(unsafe_code)]

pub mod boot;
pub mod card;
pub mod clocks;
mod failure;
pub mod image;
pub mod led;
pub mod memory;
pub mod pcap;
pub mod signature;
pub mod time;

pub use failure::Failure;
