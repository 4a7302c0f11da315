//! Puts seL4, the root task and its boot modules in memory, and enters the kernel.
//!
//! # Theory of operation
//!
//! Three things have to be in physical memory before seL4 can start: the kernel at the address it is linked for, the root
//! task (*core*), and what core is to start. On a host, `pack` joins them with the loader into one ELF file whose
//! program headers name the final physical address of every byte, so that whatever reads that file, the emulator's
//! `-kernel` or a first-stage boot loader, has placed everything and nothing is copied afterwards:
//!
//! ```text
//! 0x0000_0000  kernel                     linked at virtual 0xE000_0000
//!              core                       from the kernel's end, rounded up to a page; linked at virtual 0x0040_0000
//!              module table               from core's end (its bss included), rounded up to a page
//!              modules                    each on a page boundary, in the order of the table
//! 0x1FF0_0000  loader                     the last MiB of RAM, which the kernel never hands out
//! 0x2000_0000  end of RAM
//! ```
//!
//! Core, the table and the modules together are the *user image*: the kernel maps it as a whole, contiguously from core's
//! first virtual page, and gives core a capability for each of its frames. Core finds the table on the first page boundary
//! at or after its own end, and the modules from there ([`modules`]). It must begin directly behind the kernel: seL4 5.0.0
//! has two slots for free memory, and a gap on either side of the image would make three.
//!
//! What the loader has to know is in a block of parameters ([`params`]) inside the loader's own image, filled in by
//! `pack`. The loader trusts none of it: it checks everything again that can be checked on the machine, and says on UART1
//! what is wrong before it stops.
//!
//! Deliberately not here: decompression, checksums (a boot loader that reads from a card checks its own input), devicetrees
//! (the kernel is told that there is none), and the second CPU, which is parked.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

pub mod modules;
#[cfg(not(target_os = "none"))]
pub mod pack;
pub mod params;

/// Size of a page, and the grain of everything in the packed image, in bytes.
pub const PAGE: u32 = 4096;

/// First physical address behind the RAM of the board: 512 MiB from address 0 (UG585, chapter 4, and the `ZedBoard`'s two
/// 256 MiB chips).
pub const RAM_END: u32 = 0x2000_0000;

/// Physical, and so also virtual, address of the loader; `loader.ld` links it there.
pub const LOADER_BASE: u32 = 0x1ff0_0000;

/// Virtual address of the kernel's window, at which physical address 0 appears.
pub const KERNEL_WINDOW: u32 = 0xe000_0000;

/// Virtual address of core's first byte: core must be linked there.
pub const CORE_BASE: u32 = 0x0040_0000;

/// Most bytes of the user image. The kernel puts a capability for each of its frames into core's first `CNode`, of 4096
/// slots as the kernels for this board are configured, and stops, silently without its console, where they do not fit. This
/// leaves a quarter of the slots: for the capabilities that every root task gets, for up to 166 untypeds, and to core.
pub const MAX_IMAGE: u32 = 12 << 20;
