//! The code through which every component enters the kernel.
//!
//! # Theory of operation
//!
//! Components know no kernel. What they call is this: a table ([`abi::Gate`]) and the functions it points to, mapped read-only at a
//! fixed address into each of them. It is built for one kernel; another kernel brings another one, and the components stay the same.
//!
//! Message functions pass registers through unchanged: they set the number of the system call, enter the kernel, and return. The others
//! work on the component's own capability space.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod gate;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("The vdso is part of the target: start a scenario with `cargo xtask run`.");
}
