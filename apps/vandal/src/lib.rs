//! What clients that die while their picture is read, and those whose driver does, have in common.

#![no_std]
#![forbid(unsafe_code)]

use component::Error;
use component::screen::Screen;
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use session::framebuffer::Area;

/// What the session is offered.
const RAM: u32 = 5 << 20;
/// Times that the hidden picture is drawn while the beam goes down the shown one.
const DRAWINGS: u32 = 6;

/// Shows a red picture for so many frames, and returns in the middle of the next one: the engine is reading its memory then.
///
/// # Errors
/// Those of the session.
pub fn in_mid_frame(frames: u32) -> Result<Screen, Error> {
    let mut screen = Screen::open(2, RAM)?;
    for _ in 0..screen.info().buffers {
        // Drawing into memory does not fail.
        let Ok(()) = screen.frame().clear(Rgb888::RED);
        screen.present(Area::default())?;
    }
    for _ in 0..frames {
        screen.server().sync()?;
    }
    for _ in 0..DRAWINGS {
        let Ok(()) = screen.frame().clear(Rgb888::RED);
    }
    Ok(screen)
}
