//! The root task.
#![no_std]

#[cfg(test)]
extern crate std;

pub mod buddy;
