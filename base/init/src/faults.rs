//! What init says about the fault of a component.
//!
//! # Theory of operation
//!
//! The component's program has debug information, but not on the board. So init writes down what a backtrace needs, registers and the
//! innermost part of the stack, in lines that the host tool recognises; that one knows the program and prints the functions. Each line begins with
//! `fault of NAME: `, then comes one of
//!
//! - `program PROGRAM, thread N, KIND at ADDRESS, address ADDRESS`, which is the first;
//! - `registers` and r0 to r15 and CPSR;
//! - `stack`, an address, and the words from there on, in the order of their addresses;
//! - `end`.
//!
//! All numbers but the thread's are hexadecimal.

use session::core::{DomainStatus, fault, fault_name};

use crate::platform::{Domain, log};

/// Bytes of the stack that are written down.
const STACK: u32 = 2048;
/// Pages above a stack pointer that has left its stack in which the stack is looked for.
const GUARD: u32 = 16;
const PAGE: u32 = 4096;
/// Words on a line.
const LINE: usize = 15;
/// Register number of the stack pointer.
const SP: usize = 13;

/// Numbers, each with a space before it.
struct Numbers<'a>(&'a [u32]);

impl core::fmt::Display for Numbers<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|number| write!(f, " {number:x}"))
    }
}

/// Writes down the last fault of the component `name`, an instance of `program`.
pub(crate) fn print(name: &str, program: &str, domain: &Domain, status: &DomainStatus) {
    let DomainStatus { fault: kind, instruction, address, thread, registers, .. } = status;
    let what = fault_name(*kind);
    log!("fault of {name}: program {program}, thread {thread}, {what} at {instruction:08x}, address {address:08x}");
    log!("fault of {name}: registers{}", Numbers(registers));
    let mut start = registers.get(SP).copied().unwrap_or_default() & !3;
    if *kind == fault::STACK && domain.read(start).is_err() {
        // The stack pointer is below the stack.
        let mut pages = (1..=GUARD).map(|page| (start & !(PAGE - 1)).wrapping_add(page * PAGE));
        start = pages.find(|page| domain.read(*page).is_ok()).unwrap_or(start);
    }
    let mut done = 0;
    while done < STACK {
        // Where the stack ends, or if the component has bent its stack pointer, there is nothing to be read.
        let Ok(words) = domain.read(start.wrapping_add(done)) else { break };
        if words.words().is_empty() {
            break;
        }
        for words in words.words().chunks(LINE) {
            log!("fault of {name}: stack {:x}{}", start.wrapping_add(done), Numbers(words));
            done += words.len() as u32 * 4;
        }
    }
    log!("fault of {name}: end");
}
