//! What is drawn is what the state says.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::convert::Infallible;

use embedded_graphics::Pixel;
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use init::state::State;
use zelkova_dashboard::draw;

const GREEN: Rgb888 = Rgb888::new(0x3F, 0xB9, 0x6B);
const AMBER: Rgb888 = Rgb888::new(0xE0, 0xA5, 0x2C);
const RED: Rgb888 = Rgb888::new(0xE0, 0x4F, 0x4F);
const LENT: Rgb888 = Rgb888::new(0x3A, 0x6E, 0xA8);
const EMPTY: Rgb888 = Rgb888::new(0x3A, 0x46, 0x54);
const WIDTH: u32 = 1280;
/// The middle of the first line, and from a line to the next.
const FIRST: u32 = 56 + 11;
const LINE: u32 = 22;

struct Canvas(Vec<Rgb888>);

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        Size::new(WIDTH, 720)
    }
}

impl DrawTarget for Canvas {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(point, colour) in pixels {
            if (0..WIDTH as i32).contains(&point.x) && (0..720).contains(&point.y) {
                self.0[(point.y as u32 * WIDTH + point.x as u32) as usize] = colour;
            }
        }
        Ok(())
    }
}

fn picture(rows: &[(&str, &str, [u32; 4], [u32; 4])]) -> Canvas {
    let row = |(label, state, ram, caps): &(&str, &str, [u32; 4], [u32; 4])| {
        format!(
            r#"{{"label":"{label}","state":"{state}","restarts":0,"end":"","ram":{ram:?},"caps":{caps:?},"kernel":0,"requested":[0,0]}}"#
        )
    };
    let rows: Vec<String> = rows.iter().map(row).collect();
    let text = format!(r#"{{"components":[{}]}}"#, rows.join(","));
    let state = State::<48>::parse(text.as_bytes()).unwrap();
    let mut canvas = Canvas(vec![Rgb888::BLACK; (WIDTH * 720) as usize]);
    draw(&mut canvas, &state, 12).unwrap();
    if let Some(path) = std::env::var_os("DASHBOARD_PNG") {
        let mut encoder = png::Encoder::new(std::fs::File::create(path).unwrap(), WIDTH, 720);
        encoder.set_color(png::ColorType::Rgb);
        let pixels: Vec<u8> = canvas.0.iter().flat_map(|pixel| [pixel.r(), pixel.g(), pixel.b()]).collect();
        encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    }
    canvas
}

impl Canvas {
    /// Pixels of a colour in the middle of a line.
    fn count(&self, line: u32, colour: Rgb888) -> usize {
        let first = ((FIRST + line * LINE) * WIDTH) as usize;
        self.0[first..first + WIDTH as usize].iter().filter(|pixel| **pixel == colour).count()
    }
}

#[test]
fn a_bar_shows_what_is_used_of_what_is_assigned() {
    let caps = [8, 0, 8, 0];
    let canvas = picture(&[
        ("init -> half", "running", [1 << 20, 1 << 19, 1 << 19, 1 << 19], caps),
        ("init -> twice", "running", [2 << 20, 1 << 20, 1 << 20, 1 << 20], caps),
        ("init -> much", "running", [1000 << 10, 800 << 10, 200 << 10, 900 << 10], caps),
        ("init -> full", "running", [1 << 20, 1 << 20, 0, 1 << 20], caps),
        ("init -> deep -> child", "ended", [0, 0, 0, 0], [0, 0, 0, 0]),
        ("init -> lender", "running", [1 << 20, 1 << 18, 1 << 18, 1 << 18], caps),
    ]);
    let (used, rest) = (canvas.count(0, GREEN), canvas.count(0, EMPTY));
    // The bar of the capabilities is empty, three of twelve steps long.
    let caps_bar = canvas.count(3, EMPTY);
    assert!(used.abs_diff(rest - caps_bar) <= 2, "{used} {rest} {caps_bar}");
    assert!(canvas.count(1, GREEN) > used, "twice as much is longer");
    assert!(canvas.count(2, AMBER) > 0 && canvas.count(2, GREEN) == 0);
    assert!(canvas.count(3, RED) > 0 && canvas.count(3, AMBER) == 0);
    let (used, lent) = (canvas.count(5, AMBER), canvas.count(5, LENT));
    assert!(used > 0 && lent.abs_diff(2 * used) <= 4, "half is lent, a quarter used: {lent} {used}");
    assert_eq!([GREEN, AMBER, RED].map(|colour| canvas.count(4, colour)), [0; 3]);
}

#[test]
fn more_components_than_places_are_no_harm() {
    let row = ("init -> one", "running", [4096, 4096, 0, 4096], [1, 1, 0, 1]);
    let canvas = picture(&[row; 48]);
    assert!(canvas.count(29, RED) > 0, "the last place is used");
}
