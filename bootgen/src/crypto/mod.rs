//! RSA and AES as the Zynq-7000 has them.
//!
//! The algorithms are the standard ones; how their operands lie in an image is not. Numbers of RSA are stored with
//! the least significant byte first, and AES sees each byte with its bits in reversed order. These modules are
//! the only ones that know this.

pub mod aes;
pub mod rsa;
