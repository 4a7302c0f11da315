//! Shows a test card: colour bars, ramps, and a block that moves with each frame.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::mark::{begin, end, interval};
use component::screen::Screen;
use component::{Env, Error, log};
use serde::Deserialize;
use session::framebuffer::{Area, Format, Statistics};

component::entry!(run);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// Pictures to show; 0: no end.
    frames: u32,
    /// Buffers, 2 or 3.
    buffers: u32,
    /// RAM to donate to the session, in bytes.
    ram: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { frames: 0, buffers: 2, ram: 9 << 20 }
    }
}

fn run(env: Env) -> Result<(), Error> {
    let config: Config = env.config()?;
    let mut screen = Screen::open(config.buffers, config.ram)?;
    let info = screen.info();
    let format = match info.format {
        Format::Rgb888 => "RGB888",
        Format::Xrgb8888 => "XRGB8888",
        Format::Rgb565 => "RGB565",
    };
    log!("{} x {}, {format}, {} buffers", info.width, info.height, info.buffers);
    let mut number = 0;
    while config.frames == 0 || number < config.frames {
        // Drawing into memory does not fail.
        if number < info.buffers {
            let Ok(()) = zelkova_testcard::draw_still(&mut screen.frame(), format);
        }
        begin::<{ interval::DRAW }>();
        let Ok(()) = zelkova_testcard::draw_moving(&mut screen.frame(), number);
        end::<{ interval::DRAW }>();
        begin::<{ interval::WRITE_BACK }>();
        screen.write_back(Area::default())?;
        end::<{ interval::WRITE_BACK }>();
        begin::<{ interval::SHOW }>();
        screen.show(Area::default())?;
        end::<{ interval::SHOW }>();
        number = number.wrapping_add(1);
    }
    // The last picture is on the screen from the next frame on.
    screen.server().sync()?;
    screen.server().sync()?;
    let Statistics { frames, errors, recoveries, .. } = screen.statistics()?;
    log!("{frames} frames, {errors} errors, {recoveries} recoveries");
    log!("{number} pictures shown");
    // The picture stays until the system is told to end.
    loop {
        screen.server().sync()?;
    }
}
