//! The loader itself: see the library for what it is part of.
//!
//! It is entered at its first byte as boot loaders enter a kernel: in a privileged mode, with MMU, data cache and level 2
//! cache off, everything in place, on the first CPU, with UART1's pins and reference clock set up. It then
//!
//! 1. goes to SVC mode with interrupts masked, and parks any CPU but the first (its own megabyte is never given out by the
//!    kernel, so a parked CPU is safe there);
//! 2. sets up UART1, for its own messages and for those of all that follows;
//! 3. checks that state, the parameters and the module table;
//! 4. turns the MMU and the caches on with a table that is a constant;
//! 5. enters the kernel at its virtual address.
//!
//! From step 4 on there is nothing to report and nowhere to report it: the kernel's window lies over the UARTs.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod boot;
#[cfg(target_os = "none")]
mod mmu;
#[cfg(target_os = "none")]
mod uart;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("The loader runs on the bare machine only: build it for armv7a-none-eabi.");
}
