//! The faults themselves.
//!
//! Everything here is undefined behaviour as far as Rust is concerned, and done in assembler therefore: the address space that it destroys is this
//! component's own.

use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering};

use component::Error;
use component::thread::{self, Options};

use crate::Kind;

/// An address that nothing is ever attached at.
const NOWHERE: u32 = 0x10;
/// An address of the kernel.
const KERNEL: u32 = 0xf000_0000;
/// What lies in r8 when the fault happens.
const WITNESS: u32 = 0x5eed_1e55;
const PAGE: u32 = 4096;
/// That of a component whose scenario names none.
const PRIORITY: u32 = 100;

static CONSTANT: u32 = 0x0bad_0bad;
static VARIABLE: AtomicU32 = AtomicU32::new(0xe12f_ff1e);

/// Reads a word at `address`.
#[inline(never)]
fn load(address: u32) {
    // SAFETY: a load has no effect on this program other than its result, which is dropped; the fault that it is for ends the thread.
    unsafe { asm!("ldr {0}, [{1}]", out(reg) _, in(reg) address, in("r8") WITNESS, options(nostack)) };
}

/// Writes a word at `address`.
#[inline(never)]
fn store(address: u32) {
    // SAFETY: nothing can be written there: the fault ends the thread.
    unsafe { asm!("str {0}, [{0}]", in(reg) address, in("r8") WITNESS, options(nostack)) };
}

/// Goes to `address`.
#[inline(never)]
fn jump(address: u32) {
    // SAFETY: there is nothing to be executed: the fault ends the thread.
    unsafe { asm!("blx {0}", in(reg) address, in("r8") WITNESS, out("lr") _, options(nostack)) };
}

/// Two words from an odd address.
#[inline(never)]
fn load_two(address: u32) {
    // SAFETY: as in `load`.
    unsafe {
        asm!("ldrd r2, r3, [{0}]", in(reg) address, in("r8") WITNESS, out("r2") _, out("r3") _, options(nostack));
    };
}

#[inline(never)]
fn undefined() {
    // SAFETY: the instruction is permanently undefined (ARM ARM A8.8.247): the fault ends the thread.
    unsafe { asm!("udf #17", in("r8") WITNESS, options(nostack)) };
}

/// Enters the kernel with a number that it does not know. Components have no instruction for that, but the gate has, and its code can be read.
#[inline(never)]
fn system_call() {
    const SUPERVISOR_CALL: u32 = 0xef00_0000;
    let gate = core::ptr::with_exposed_provenance::<abi::Gate>(abi::GATE_BASE);
    // SAFETY: the platform has mapped the gate there, and this is the address of one of its functions.
    let function = core::ptr::with_exposed_provenance::<u32>(unsafe { (*gate).call } as usize);
    // SAFETY: the function is in the gate's first page, and far from the end of that.
    let Some(call) = (0..8).map(|at| function.wrapping_add(at)).find(|at| unsafe { at.read() } == SUPERVISOR_CALL)
    else {
        return;
    };
    // SAFETY: the kernel knows no system call of that number: the fault ends the thread.
    unsafe {
        asm!("mov r7, #99", "blx {0}", in(reg) call, in("r8") WITNESS, out("r7") _, out("lr") _, options(nostack));
    }
}

/// Calls itself until its stack is used up.
#[inline(never)]
fn deeper(depth: u32) -> u32 {
    let mut frame = [depth; 16];
    core::hint::black_box(&mut frame);
    if depth == u32::MAX { 0 } else { deeper(depth + 1).wrapping_add(frame.iter().sum()) }
}

#[inline(never)]
fn second_faults(address: u32) {
    load(address);
    core::hint::black_box(());
}

/// Lets another thread do it.
fn thread(function: fn()) -> Result<(), Error> {
    thread::spawn(Options { stack: 2 * PAGE, priority: PRIORITY }, function)?.join()
}

/// Does what `kind` says. Returns only if there was no fault.
#[inline(never)]
pub(crate) fn fault(kind: Kind) -> Result<(), Error> {
    match kind {
        Kind::Read => load(NOWHERE),
        Kind::Write => store(NOWHERE),
        Kind::Fetch => jump(NOWHERE),
        Kind::Undefined => undefined(),
        Kind::Unaligned => load_two((&raw const CONSTANT).addr() as u32 + 1),
        Kind::Overflow => {
            core::hint::black_box(deeper(0));
        }
        Kind::ReadOnly => store((&raw const CONSTANT).addr() as u32),
        Kind::Execute => {
            VARIABLE.fetch_add(0, Ordering::Relaxed);
            jump(VARIABLE.as_ptr().addr() as u32);
        }
        Kind::Thread => thread(|| second_faults(NOWHERE))?,
        Kind::ThreadOverflow => thread(|| {
            core::hint::black_box(deeper(0));
        })?,
        Kind::SystemCall => system_call(),
        Kind::Kernel => load(KERNEL),
    }
    Ok(())
}
