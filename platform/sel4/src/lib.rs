//! seL4 system calls and invocations, generated from the kernel's own files.
//!
//! # Theory of operation
//!
//! A program enters seL4 by `swi 0` with a (negative) system call number in r7, a capability pointer in r0, a description of the
//! message in r1 and the first four message words in r2 to r5. Further words and capabilities go through the thread's IPC buffer. An
//! *invocation* is a call whose receiver is a kernel object; its label names the method.
//!
//! Numbers, labels, object types and sizes, the layout of the boot information and of fault messages differ between
//! kernels. All of them are generated when this crate is built, from the directory that a kernel installs (see
//! `build.rs`); none is typed in here. On the host there is no kernel, and the crate is empty.
#![no_std]

#[cfg(target_os = "none")]
mod boot_info;
#[cfg(target_os = "none")]
mod caps;
#[cfg(target_os = "none")]
pub mod constants;
#[cfg(target_os = "none")]
mod error;
#[cfg(target_os = "none")]
mod fault;
#[cfg(target_os = "none")]
pub mod syscalls;

#[cfg(target_os = "none")]
pub use boot_info::{BootInfo, UntypedInfo};
#[cfg(target_os = "none")]
pub use caps::*;
#[cfg(target_os = "none")]
pub use error::Error;
#[cfg(target_os = "none")]
pub use fault::Fault;
