//! Shows a test card: colour bars, ramps, and a block that moves with each frame.
//!
//! A display engine that has failed may recover. The test card waits for that as long as it is told to, and tries again now and then.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::delay::Delay;
use component::mark::{begin, end, interval};
use component::screen::Screen;
use component::signal::Signal;
use component::{Env, Error, log};
use embedded_hal::delay::DelayNs;
use serde::Deserialize;
use session::framebuffer::{Area, Format, Statistics};

/// Raised by the timer.
const TIME: u32 = 1;
/// Milliseconds until an engine that has failed is tried again.
const RETRY: u32 = 50;

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
    /// How long an engine that has failed is waited for, altogether, in milliseconds. More than 0 needs a timer.
    patience: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { frames: 0, buffers: 2, ram: 9 << 20, patience: 0 }
    }
}

/// Waits for an engine that has failed.
struct Patience {
    delay: Delay,
    /// Milliseconds.
    left: u32,
}

impl Patience {
    fn new(time: u32) -> Result<Option<Self>, Error> {
        if time == 0 {
            return Ok(None);
        }
        let signal = Signal::new(TIME).ok_or(Error::Invalid)?;
        Ok(Some(Self { delay: Delay::open(signal)?, left: time }))
    }

    /// Waits, or gives up with the error.
    fn wait(&mut self, error: Error) -> Result<(), Error> {
        self.left = self.left.checked_sub(RETRY).ok_or(error)?;
        self.delay.delay_ms(RETRY);
        Ok(())
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
    let mut patience = Patience::new(config.patience)?;
    let mut has_failed = false;
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
        let shown = screen.show(Area::default());
        end::<{ interval::SHOW }>();
        match (shown, &mut patience) {
            (Ok(()), _) => number = number.wrapping_add(1),
            (Err(error @ Error::Device), Some(patience)) => {
                if !has_failed {
                    log!("picture {number}: {error}, trying again");
                }
                patience.wait(error)?;
            }
            (Err(error), _) => return Err(error),
        }
        let had_failed = core::mem::replace(&mut has_failed, shown.is_err());
        if had_failed && !has_failed {
            log!("the screen is back");
        }
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
