//! Draws a picture on a display of 128 x 64 pixels.
//!
//! The driver is the crate `ssd1306`, the drawing is `embedded-graphics`, both as they are.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::i2c::Bus;
use component::{Env, Error, log};
use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::ascii::FONT_10X20;
use embedded_graphics::pixelcolor::BinaryColor;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::PrimitiveStyle;
use embedded_graphics::text::{Alignment, Text};
use ssd1306::prelude::*;
use ssd1306::{I2CDisplayInterface, Ssd1306};

component::entry!(run);

/// A whole picture in one transaction, with the byte before it that says that these are data.
const BUFFER: u32 = 128 * 64 / 8 + 1;

fn run(_: Env) -> Result<(), Error> {
    let mut bus = Bus::open(BUFFER)?;
    let interface = I2CDisplayInterface::new(&mut *bus);
    let mut display =
        Ssd1306::new(interface, DisplaySize128x64, DisplayRotation::Rotate0).into_buffered_graphics_mode();
    let failed = |error: _| log::failed("the display does not answer", &error);
    display.init().map_err(failed)?;
    let border = PrimitiveStyle::with_stroke(BinaryColor::On, 1);
    let text = MonoTextStyle::new(&FONT_10X20, BinaryColor::On);
    let Ok(()) = display.bounding_box().into_styled(border).draw(&mut display) else { return Err(Error::Invalid) };
    let Ok(_) =
        Text::with_alignment("Zelkova", display.bounding_box().center(), text, Alignment::Center).draw(&mut display)
    else {
        return Err(Error::Invalid);
    };
    display.flush().map_err(failed)?;
    log!("drawn");
    bus.close()
}
