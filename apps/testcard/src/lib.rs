//! The picture of the test card, for any [`DrawTarget`].
//!
//! Everything is placed in proportion to the size of the screen: a border of one pixel shows whether the edges are there, eight colour bars of full
//! intensity whether the colours are right, ramps whether all shades are there, a circle whether pixels are square. A block moves a fixed way with
//! each frame, below it is the number of the frame. The first pixel of each line is that number as a [colour](counted): whoever records the screen can tell
//! from that column whether a frame is whole, and whether one is missing.
#![no_std]
#![forbid(unsafe_code)]

use core::fmt::Write;

use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::ascii::{FONT_9X18_BOLD, FONT_10X20};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::{Circle, PrimitiveStyle, PrimitiveStyleBuilder, Rectangle, StrokeAlignment};
use embedded_graphics::text::{Alignment, Text};
use heapless::String;

/// White, yellow, cyan, green, magenta, red, blue, black.
const BARS: [Rgb888; 8] = [
    Rgb888::new(255, 255, 255),
    Rgb888::new(255, 255, 0),
    Rgb888::new(0, 255, 255),
    Rgb888::new(0, 255, 0),
    Rgb888::new(255, 0, 255),
    Rgb888::new(255, 0, 0),
    Rgb888::new(0, 0, 255),
    Rgb888::new(0, 0, 0),
];
const BACKGROUND: Rgb888 = Rgb888::new(32, 32, 32);
/// Pixels that the block moves with each frame.
const STEP: u32 = 4;

/// Draws frame `number` of the card. `format` is written below the name.
///
/// # Errors
/// Those of the target.
pub fn draw<T: DrawTarget<Color = Rgb888> + OriginDimensions>(
    target: &mut T,
    number: u32,
    format: &str,
) -> Result<(), T::Error> {
    draw_still(target, format)?;
    draw_moving(target, number)
}

/// Draws what is the same in every frame.
///
/// # Errors
/// Those of the target.
pub fn draw_still<T: DrawTarget<Color = Rgb888> + OriginDimensions>(
    target: &mut T,
    format: &str,
) -> Result<(), T::Error> {
    let Size { width, height } = target.size();
    let (w, h) = (width as i32, height as i32);
    let bars = height / 2;
    fill(target, 0, 0, width, height, BACKGROUND)?;
    for (index, colour) in (0..).zip(BARS) {
        let (left, right) = (width * index / 8, width * (index + 1) / 8);
        fill(target, left, 0, right - left, bars, colour)?;
    }
    // Ramps of red, green, blue and grey: 64 shades each.
    let ramp = height / 32;
    for (row, channels) in (0..).zip([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]]) {
        for shade in 0..64 {
            let (left, right) = (width * shade / 64, width * (shade + 1) / 64);
            let light = (shade * 255 / 63) as u8;
            let [red, green, blue] = channels.map(|channel: u8| channel * light);
            fill(target, left, bars + row * ramp, right - left, ramp, Rgb888::new(red, green, blue))?;
        }
    }
    let ring = PrimitiveStyleBuilder::new().stroke_color(Rgb888::WHITE).stroke_width(3).build();
    let diameter = height * 2 / 5;
    let centre = Point::new(w / 2, h / 4);
    Circle::with_center(centre, diameter).into_styled(ring).draw(target)?;
    let bold = MonoTextStyle::new(&FONT_10X20, Rgb888::WHITE);
    let small = MonoTextStyle::new(&FONT_9X18_BOLD, Rgb888::CSS_LIGHT_GRAY);
    let mut line: String<48> = String::new();
    // It fits.
    let _ = write!(line, "{width} x {height}  {format}");
    let text = (line.len() as u32 + 2) * FONT_9X18_BOLD.character_size.width;
    Rectangle::with_center(centre, Size::new(text.max(width * 3 / 10), 60))
        .into_styled(PrimitiveStyle::with_fill(BACKGROUND))
        .draw(target)?;
    Text::with_alignment("ZELKOVA", centre - Point::new(0, 6), bold, Alignment::Center).draw(target)?;
    Text::with_alignment(&line, centre + Point::new(0, 18), small, Alignment::Center).draw(target)?;
    let border = PrimitiveStyleBuilder::new()
        .stroke_color(Rgb888::WHITE)
        .stroke_width(1)
        .stroke_alignment(StrokeAlignment::Inside)
        .build();
    Rectangle::new(Point::zero(), target.size()).into_styled(border).draw(target)
}

/// Draws what differs from frame to frame over a target on which the rest is: after any frame of the card, this makes it frame `number`.
///
/// # Errors
/// Those of the target.
pub fn draw_moving<T: DrawTarget<Color = Rgb888> + OriginDimensions>(
    target: &mut T,
    number: u32,
) -> Result<(), T::Error> {
    let Size { width, height } = target.size();
    let (inner, top) = (width.saturating_sub(2), height / 2 + height / 32 * 4);
    let room = height - top;
    let size = room / 4;
    let left = 1 + number.wrapping_mul(STEP) % inner.saturating_sub(size).max(1);
    fill(target, 1, top + room / 8, inner, size, BACKGROUND)?;
    fill(target, left, top + room / 8, size, size, Rgb888::CSS_ORANGE)?;
    let mut line: String<16> = String::new();
    // It fits.
    let _ = write!(line, "frame {number}");
    let bold = MonoTextStyle::new(&FONT_10X20, Rgb888::WHITE);
    let base = height - room / 4;
    fill(target, 1, base.saturating_sub(20), inner, 26, BACKGROUND)?;
    Text::with_alignment(&line, Point::new(width as i32 / 2, base as i32), bold, Alignment::Center).draw(target)?;
    fill(target, 0, 0, 1, height, counted(number))
}

/// A number modulo 2^15 as a colour: five bits in the upper bits of each channel, blue lowest, so that it survives every format.
pub const fn counted(number: u32) -> Rgb888 {
    Rgb888::new((number >> 7) as u8 & 0xF8, (number >> 2) as u8 & 0xF8, (number << 3) as u8 & 0xF8)
}

fn fill<T: DrawTarget<Color = Rgb888>>(
    target: &mut T,
    x: u32,
    y: u32,
    width: u32,
    height: u32,
    colour: Rgb888,
) -> Result<(), T::Error> {
    target.fill_solid(&Rectangle::new(Point::new(x as i32, y as i32), Size::new(width, height)), colour)
}
