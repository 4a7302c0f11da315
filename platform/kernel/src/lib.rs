//! Builds the seL4 kernel and collects its interface description.
//!
//! # Theory of operation
//!
//! Everything of the user land that depends on the kernel (system call numbers, invocation labels, object sizes, the
//! layout of the boot information) is generated from files that belong to that kernel. This crate hands out
//! such a set of files as a *prefix*: a directory with the layout that `ninja install` of the official seL4
//! build makes, so that the kernel built here and a kernel the user brings along are the same thing to the rest.
//!
//! ```text
//! bin/kernel.elf
//! libsel4/include/interfaces/object-api.xml            invocations on every architecture
//! libsel4/include/interfaces/object-api-arch.xml       ... on ARM
//! libsel4/include/interfaces/object-api-sel4-arch.xml  ... on 32-bit ARM
//! libsel4/include/api/syscall.xml                      system calls
//! libsel4/include/kernel/gen_config.json               the kernel's configuration, names without CONFIG_
//! libsel4/include/autoconf.h                           the same for C
//! libsel4/include/sel4/...                             headers of libsel4, the generated ones too, and their .bf sources
//! support/platform_gen.json                            the RAM that the kernel hands out
//! ```
//!
//! [`build`] makes a prefix from seL4 5.0.0, whose complete source comes in the crates.io package `sel4-sys`
//! 0.0.28. Cargo fetches that package with whatever registry settings the machine has. The source is hashed against a
//! constant, copied, and changed in two places, both checked: the configuration header, and the end of RAM, which the
//! kernel takes to be that of a ZC706 with 1 GiB. Then the kernel's own Makefile and generators
//! run, in an environment that holds nothing but the path: the Makefile takes `DEBUG`, `ASSERT` and many more from it,
//! and Cargo sets `DEBUG` for build scripts.
//!
//! The name of a prefix directory holds a hash of everything that goes in, so a prefix that exists is the right one and
//! is only opened. A build happens in a directory of its own and is moved into place when complete;
//! processes that build the same prefix at the same time do not disturb each other.
//!
//! [`Prefix::open`] checks a prefix, whoever made it, as far as can be told without running it: the files are there, the kernel
//! is complete, for this processor, linked where the loader can put it, made for the board's RAM, and configured as the user land
//! expects.
//!
//! What this crate does not do: interpret the interface description (that is the `sel4` crate's), or install missing tools
//! (it names them). seL4 is licensed under GPL-2.0; it is a program of its own here, and no part of it is in this repository.

#![forbid(unsafe_code)]

mod builder;
mod config;
mod error;
mod prefix;
mod source;
mod tools;

pub use builder::{Options, Step, build};
pub use config::Config;
pub use error::{Error, Result};
pub use prefix::{Configuration, Prefix};
pub use tools::{TOOLS, Tool};
