//! Starts the emulated board, drives it, and judges what it prints.
//!
//! # Theory of operation
//!
//! A run is one process of an unmodified `qemu-system-arm` with the machine `xilinx-zynq-a9`. The
//! harness owns that process from start to end:
//!
//! 1. [`card`] makes the SD card: a copy of the user's image, or one built from a [`recipe`].
//!    The user's file is not written unless that was asked for. [`boot_card`] makes one that a board starts from.
//! 2. [`board`] starts the emulator with the console (UART1) on a pipe and a QMP socket, and reads
//!    the console line by line in a thread of its own.
//! 3. [`judge`] compares every line with the rules of the run: one line means success, others mean
//!    failure, some must have been seen by the end.
//! 4. The run ends with the first verdict or at the deadline. The emulator is asked to quit through
//!    QMP, so that its plugin can write its report; a process that does not follow within a
//!    few seconds is killed with SIGKILL, because a wedged main loop ignores SIGTERM.
//! 5. [`emulator_log`] compares what the emulator logged about missing devices and guest errors with
//!    the allow-list; a line that nobody has explained spoils a success.
//! 6. [`backtrace`] turns what the board prints about a fault into function names, files and lines.
//! 7. [`measure`] reads the instruction counts that the plugin wrote.
//!
//! The harness never asserts on wall-clock time; the deadline only bounds a run that hangs. It does
//! not know what the programs on the board are: rules, card and program file come from outside.

#![forbid(unsafe_code)]

pub mod backtrace;
pub mod board;
pub mod boot_card;
pub mod card;
pub mod emulator_log;
pub mod expect;
mod fat;
pub mod frames;
pub mod judge;
pub mod measure;
mod qmp;
pub mod recipe;
pub mod screen;
pub mod size;
pub mod sums;
