//! Dies while its picture is being read.
//!
//! It shows a red picture and, in the middle of a frame, does what ends it. The display engine is reading its memory at that moment.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::{Env, Error};
use zelkova_vandal::in_mid_frame;

component::entry!(run);

/// Frames that it lives.
const FRAMES: u32 = 3;

fn run(_: Env) -> Result<(), Error> {
    let _screen = in_mid_frame(FRAMES)?;
    die();
    Err(Error::Invalid)
}

/// Executes an instruction that is permanently undefined.
#[cfg(target_os = "none")]
fn die() {
    // SAFETY: the fault ends the component (ARM ARM A8.8.247).
    unsafe { core::arch::asm!("udf #17", options(nostack)) };
}

#[cfg(not(target_os = "none"))]
fn die() {}
