//! The pictures that the scenarios expect on the display are those that the card draws into plain memory of the host.
//!
//! `UPDATE_PICTURES=1 cargo test -p zelkova-testcard` writes them anew; look at them before they are committed.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::convert::Infallible;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use embedded_graphics::Pixel;
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use zelkova_testcard::{draw, draw_moving, draw_still};

/// Width, height, name of the format, and the last frame that the scenario shows.
const PICTURES: [(u32, u32, &str, u32); 4] =
    [(640, 480, "RGB888", 609), (800, 600, "XRGB8888", 119), (1280, 720, "RGB565", 119), (1920, 1080, "RGB888", 39)];

struct Canvas {
    size: Size,
    pixels: Vec<Rgb888>,
}

impl Canvas {
    fn new(width: u32, height: u32) -> Self {
        let size = Size::new(width, height);
        Self { size, pixels: vec![Rgb888::BLACK; (width * height) as usize] }
    }

    /// Red, green and blue as a display shows them that gets the pixels in a format.
    fn shown(&self, format: &str) -> Vec<u8> {
        let shown = |pixel: &Rgb888| match format {
            "RGB565" => [repeated(pixel.r(), 5), repeated(pixel.g(), 6), repeated(pixel.b(), 5)],
            _ => [pixel.r(), pixel.g(), pixel.b()],
        };
        self.pixels.iter().flat_map(shown).collect()
    }
}

/// The upper `bits` bits, and again below, so that full is full.
fn repeated(channel: u8, bits: u32) -> u8 {
    let upper = channel >> (8 - bits) << (8 - bits);
    upper | upper >> bits
}

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        self.size
    }
}

impl DrawTarget for Canvas {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(point, colour) in pixels {
            if let (Ok(x), Ok(y)) = (u32::try_from(point.x), u32::try_from(point.y))
                && x < self.size.width
                && let Some(pixel) = self.pixels.get_mut((y * self.size.width + x) as usize)
            {
                *pixel = colour;
            }
        }
        Ok(())
    }
}

#[test]
fn the_expected_pictures_are_those_that_the_card_draws() {
    for (width, height, format, frame) in PICTURES {
        let mut canvas = Canvas::new(width, height);
        draw(&mut canvas, frame, format).unwrap();
        compare(&format!("testcard-{width}x{height}.png"), &canvas, format);
    }
}

/// Compares with a picture of the scenarios, or writes it.
fn compare(name: &str, canvas: &Canvas, format: &str) {
    let Size { width, height } = canvas.size;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/pictures").join(name);
    if std::env::var_os("UPDATE_PICTURES").is_some() {
        let mut encoder = png::Encoder::new(File::create(&path).unwrap(), width, height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_compression(png::Compression::High);
        encoder.write_header().unwrap().write_image_data(&canvas.shown(format)).unwrap();
    }
    let mut reader = png::Decoder::new(BufReader::new(File::open(&path).unwrap())).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.width, info.height), (width, height));
    assert!(pixels == canvas.shown(format), "{}", path.display());
}

#[test]
fn two_cards_share_the_screen_of_the_compositor() {
    let mut screen = Canvas::new(800, 600);
    screen.pixels.fill(Rgb888::new(16, 16, 32));
    for (x, y, width, height, frame) in [(0, 0, 400, 600, 149), (400, 60, 360, 420, 99)] {
        let mut card = Canvas::new(width, height);
        draw(&mut card, frame, "RGB565").unwrap();
        let area = Rectangle::new(Point::new(x, y), card.size);
        screen.fill_contiguous(&area, card.pixels).unwrap();
    }
    compare("compositor.png", &screen, "RGB565");
}

#[test]
fn what_moves_covers_any_other_frame() {
    let mut fresh = Canvas::new(640, 480);
    draw(&mut fresh, 150, "RGB888").unwrap();
    let mut used = Canvas::new(640, 480);
    draw_still(&mut used, "RGB888").unwrap();
    for frame in [4_294_967_295, 0, 3, 149, 150] {
        draw_moving(&mut used, frame).unwrap();
    }
    assert!(fresh.pixels == used.pixels);
}
