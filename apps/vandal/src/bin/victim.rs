//! Dies while its picture is being read.
//!
//! It shows a red picture and, in the middle of a frame, does what ends it. The display engine is reading its memory at that moment.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::screen::Screen;
use component::{Env, Error};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use session::framebuffer::Area;

component::entry!(run);

const RAM: u32 = 5 << 20;
/// Frames that it lives.
const FRAMES: u32 = 3;
/// Times that it draws the hidden picture while the beam goes down the shown one.
const DRAWINGS: u32 = 6;

fn run(_: Env) -> Result<(), Error> {
    let mut screen = Screen::open(2, RAM)?;
    for _ in 0..screen.info().buffers {
        // Drawing into memory does not fail.
        let Ok(()) = screen.frame().clear(Rgb888::RED);
        screen.present(Area::default())?;
    }
    for _ in 0..FRAMES {
        screen.server().sync()?;
    }
    for _ in 0..DRAWINGS {
        let Ok(()) = screen.frame().clear(Rgb888::RED);
    }
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
