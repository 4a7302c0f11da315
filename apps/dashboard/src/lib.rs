//! A system's state as a picture, for any [`DrawTarget`].
//!
//! Each component has a line, indented as deep as it hangs in the tree: what it is called and what it does, then how much of its RAM and of its
//! capabilities is in use. A bar is as long as what is assigned, on a scale that doubles from step to step, as a driver and a system of hundreds of components
//! must both be seen; its coloured part is what is in use, the blue one behind it what is lent to others, and a tick marks the most that was ever in use. The colour is green while less
//! than three quarters are in use or lent, amber up to nine tenths, then red.
#![no_std]
#![forbid(unsafe_code)]

use core::fmt::Write;

use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::ascii::{FONT_6X13, FONT_6X13_BOLD, FONT_10X20};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use embedded_graphics::text::{Alignment, Text};
use heapless::String;
use init::state::{Row, State};

const BACKGROUND: Rgb888 = Rgb888::new(0x12, 0x18, 0x20);
const STRIPE: Rgb888 = Rgb888::new(0x1A, 0x22, 0x2C);
const EMPTY: Rgb888 = Rgb888::new(0x3A, 0x46, 0x54);
const TEXT: Rgb888 = Rgb888::new(0xE6, 0xEA, 0xEE);
const FAINT: Rgb888 = Rgb888::new(0x8A, 0x98, 0xA8);
const TITLE: Rgb888 = Rgb888::new(0x7F, 0xD4, 0xA8);
const GREEN: Rgb888 = Rgb888::new(0x3F, 0xB9, 0x6B);
const LENT: Rgb888 = Rgb888::new(0x3A, 0x6E, 0xA8);
const AMBER: Rgb888 = Rgb888::new(0xE0, 0xA5, 0x2C);
const RED: Rgb888 = Rgb888::new(0xE0, 0x4F, 0x4F);

/// Height of the part above the lines.
const HEAD: u32 = 56;
/// Height of a line.
const LINE: u32 = 22;
/// Height of a bar.
const BAR: u32 = 10;
/// Pixels by which a component is indented for each that it hangs below.
const INDENT: u32 = 12;
/// Bytes of the shortest bar, and how often they can double: 4 KiB to 512 MiB.
const RAM_SCALE: [u32; 2] = [4096, 17];
/// Capabilities, likewise: 1 to 4096.
const CAPS_SCALE: [u32; 2] = [1, 12];

/// Draws the state. `seconds`: for how long the system has been looked at. Components that find no place are left out, and counted.
///
/// # Errors
/// Those of the target.
pub fn draw<T: DrawTarget<Color = Rgb888> + OriginDimensions, const N: usize>(
    target: &mut T,
    state: &State<'_, N>,
    seconds: u32,
) -> Result<(), T::Error> {
    let Size { width, height } = target.size();
    target.clear(BACKGROUND)?;
    let title = MonoTextStyle::new(&FONT_10X20, TITLE);
    let head = MonoTextStyle::new(&FONT_6X13, FAINT);
    Text::new("Zelkova", Point::new(12, 24), title).draw(target)?;
    let places = (height.saturating_sub(HEAD) / LINE) as usize;
    let mut text: String<64> = String::new();
    // What does not fit the text is left out.
    let _ = write!(text, "{} components, {seconds} s", state.components.len());
    if state.components.len() > places {
        let _ = write!(text, ", {} not shown", state.components.len() - places);
    }
    let right = Point::new(width as i32 - 12, 22);
    Text::with_alignment(&text, right, head, Alignment::Right).draw(target)?;
    let columns = Columns::of(width);
    for (x, name) in [(12, "component"), (columns.ram, "RAM"), (columns.caps, "capabilities")] {
        Text::new(name, Point::new(x as i32, HEAD as i32 - 10), head).draw(target)?;
    }
    for (line, row) in (0..).zip(state.components.iter().take(places)) {
        if line % 2 == 0 {
            fill(target, [0, HEAD + line * LINE, width, LINE], STRIPE)?;
        }
        draw_row(target, row, HEAD + line * LINE, &columns)?;
    }
    Ok(())
}

/// Left edges, and the length of the longest bar.
struct Columns {
    ram: u32,
    caps: u32,
    bar: u32,
}

impl Columns {
    fn of(width: u32) -> Self {
        let ram = width * 2 / 5;
        let caps = ram + (width - ram) / 2;
        // Behind the bar there is room for the figures.
        Self { ram, caps, bar: (caps - ram).saturating_sub(90) }
    }
}

fn draw_row<T: DrawTarget<Color = Rgb888>>(
    target: &mut T,
    row: &Row<'_>,
    top: u32,
    columns: &Columns,
) -> Result<(), T::Error> {
    let base = (top + LINE - 7) as i32;
    let strong = MonoTextStyle::new(&FONT_6X13_BOLD, TEXT);
    let faint = MonoTextStyle::new(&FONT_6X13, FAINT);
    let mut names = row.label.rsplit(session::label::SEPARATOR);
    let name = names.next().unwrap_or(row.label);
    // All hang below the first init.
    let depth = names.count().saturating_sub(1) as u32;
    let left = Point::new((12 + depth * INDENT) as i32, base);
    let next = Text::new(name, left, strong).draw(target)?;
    let mut text: String<32> = String::new();
    match (row.state, row.restarts) {
        ("running", 0) => {}
        ("running", restarts) => {
            let _ = write!(text, "restarted {restarts} x");
        }
        (state, _) => {
            let _ = text.push_str(state);
        }
    }
    Text::new(&text, next + Point::new(8, 0), faint).draw(target)?;
    let bar = |x| Bar { x, y: top + (LINE - BAR) / 2, length: columns.bar };
    let end = bar(columns.ram).draw(target, row.ram, RAM_SCALE)?;
    let [assigned, used, ..] = row.ram;
    text.clear();
    let _ = write!(text, "{} / {} K", used / 1024, assigned / 1024);
    Text::new(&text, Point::new(end as i32 + 6, base), faint).draw(target)?;
    let end = bar(columns.caps).draw(target, row.caps, CAPS_SCALE)?;
    let [assigned, used, ..] = row.caps;
    text.clear();
    let _ = write!(text, "{used} / {assigned}");
    Text::new(&text, Point::new(end as i32 + 6, base), faint).draw(target).map(drop)
}

struct Bar {
    x: u32,
    y: u32,
    /// Of the longest.
    length: u32,
}

impl Bar {
    /// Draws `[assigned, used, available, most used]`, and returns the right edge. What is neither used nor available is lent.
    fn draw<T: DrawTarget<Color = Rgb888>>(
        &self,
        target: &mut T,
        [assigned, used, available, peak]: [u32; 4],
        [least, doublings]: [u32; 2],
    ) -> Result<u32, T::Error> {
        let Self { x, y, length } = *self;
        let total = scaled(assigned, least, doublings, length);
        let part = |value: u32| (u64::from(value.min(assigned)) * u64::from(total) / u64::from(assigned.max(1))) as u32;
        let spent = assigned.saturating_sub(available).max(used);
        let colour = match u64::from(spent) * 100 / u64::from(assigned.max(1)) {
            0..75 => GREEN,
            75..=90 => AMBER,
            _ => RED,
        };
        fill(target, [x, y, total, BAR], EMPTY)?;
        fill(target, [x, y, part(spent), BAR], LENT)?;
        fill(target, [x, y, part(used), BAR], colour)?;
        fill(target, [x + part(peak).saturating_sub(1), y - 2, 1, BAR + 4], TEXT)?;
        Ok(x + total)
    }
}

/// The length of a bar for `value`: with each doubling it grows by the same amount.
fn scaled(value: u32, least: u32, doublings: u32, length: u32) -> u32 {
    let units = value / least.max(1);
    let steps = units.max(1).ilog2().min(doublings);
    // Between two powers of two, straight.
    let rest = (u64::from(units) << 8 >> steps).saturating_sub(256).min(256);
    let position = u64::from(steps) * 256 + rest;
    let longest = u64::from(doublings) * 256;
    (u64::from(length) * position.min(longest) / longest.max(1)).max(4) as u32
}

fn fill<T: DrawTarget<Color = Rgb888>>(
    target: &mut T,
    [x, y, width, height]: [u32; 4],
    colour: Rgb888,
) -> Result<(), T::Error> {
    target.fill_solid(&Rectangle::new(Point::new(x as i32, y as i32), Size::new(width, height)), colour)
}
