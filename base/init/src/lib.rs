//! The init component and the system description.
#![no_std]
#![forbid(unsafe_code)]

pub mod description;
