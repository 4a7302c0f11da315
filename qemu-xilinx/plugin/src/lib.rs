//! Counts instructions inside the emulator, exactly, and between marks.
//!
//! # Theory of operation
//!
//! QEMU loads this library with `-plugin file=...,out=FILE` and calls it whenever it translates a
//! block of the guest's instructions. The plugin attaches to every instruction an addition that QEMU compiles into the
//! translated code, so that an instruction is counted when it is executed and never when it is only translated, even
//! if an exception ends the block early. Instructions at or above 0xE0000000, seL4's window, count as the kernel's, all
//! others as the user's.
//!
//! A program marks an interval with two instructions that do nothing, `PLD [pc, #-imm]`: the word
//! `0xf55ff100 | op` begins interval `op` (0 to 255) and `0xf55ff200 | op` ends it. The hint needs no privilege and
//! reads nothing, and no compiler emits it. Marks themselves are not counted. Whatever the processor does in
//! between belongs to the interval, in whatever address space: other threads, the kernel, interrupts. Intervals
//! with different numbers may overlap; a second begin restarts, and an end without a begin is nothing.
//!
//! When the emulator ends in an orderly way, the report goes to FILE as JSON (the harness's
//! `measure` module reads it).
//!
//! The plugin uses the documented plugin interface only, and adapts to the version of the emulator that loads it
//! (module `ffi`). It assumes one processor, and A32 code: in T32 code the mark's bytes are an ordinary
//! addition.

mod count;
mod ffi;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use count::{Count, Mark, Marks};
use ffi::Emulator;

/// First address of the kernel's window.
const KERNEL_WINDOW: u64 = 0xE000_0000;

/// What the callbacks work on.
struct State {
    emulator: Emulator,
    marks: Marks,
    out: PathBuf,
}

static STATE: Mutex<Option<State>> = Mutex::new(None);

/// Runs `f` on the state, if the plugin is installed.
fn with_state(f: impl FnOnce(&mut State)) {
    if let Some(state) = STATE.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        f(state);
    }
}

/// Starts counting; `arguments` are the plugin's arguments as `name=value`.
///
/// # Errors
///
/// A message for the user when an argument is wrong or missing.
fn install(emulator: Emulator, arguments: &[String]) -> Result<(), String> {
    let mut out = None;
    for argument in arguments {
        match argument.split_once('=') {
            Some(("out", path)) if !path.is_empty() => out = Some(PathBuf::from(path)),
            _ => return Err(format!("unknown argument `{argument}`; there is out=FILE")),
        }
    }
    let out = out.ok_or("the argument out=FILE is missing")?;
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    *state = Some(State { emulator, marks: Marks::default(), out });
    Ok(())
}

/// Decides what is attached to an instruction that is being translated.
fn translate(instruction: ffi::Instruction<'_>) {
    match instruction.word().and_then(Mark::from_word) {
        Some(mark) => instruction.call_at_mark(mark),
        None => instruction.count(instruction.address() >= KERNEL_WINDOW),
    }
}

/// The processor has come to a mark.
fn mark(mark: Mark) {
    with_state(|state| {
        let now = state.emulator.counted();
        state.marks.pass(mark, now);
    });
}

/// The emulator ends.
fn finish() {
    with_state(|state| {
        let total: Count = state.emulator.counted();
        if let Err(error) = std::fs::write(&state.out, state.marks.report(total)) {
            eprintln!("zelkova-plugin: {}: {error}", state.out.display());
        }
    });
}
