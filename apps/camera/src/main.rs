//! Shows what the camera sees: each picture is taken from a Capture session, and copied to the screen of a Framebuffer session.
//!
//! Camera and screen have clocks of their own and memory of their own, so this is the place where pictures are copied, a line at a time, and where the two
//! rates meet: a screen that is slower than the camera loses pictures, a faster one repeats some.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::camera::Camera;
use component::mark::{begin, end, interval};
use component::screen::Screen;
use component::{Env, Error, log};
use serde::Deserialize;
use session::framebuffer::{Area, Statistics};

component::entry!(run);

/// Words of the longest line, and one more.
const LINE: usize = 2049;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Pictures to show; 0: no end.
    #[serde(default)]
    pictures: u32,
    /// RAM to donate to each of the two sessions, in bytes.
    ram: u32,
}

fn run(env: Env) -> Result<(), Error> {
    let config: Config = env.config()?;
    let mut camera = Camera::open(config.ram)?;
    let mut screen = Screen::open(2, config.ram)?;
    let (from, to) = (camera.info(), screen.info());
    if from.format != to.format || from.width * from.format.bytes() >= (LINE * size_of::<u32>()) as u32 {
        log!("the camera's {:?} of {} pixels cannot be shown as {:?}", from.format, from.width, to.format);
        return Err(Error::Invalid);
    }
    log!("{} x {} on {} x {}", from.width, from.height, to.width, to.height);
    let mut line = [0; LINE];
    let mut number = 0;
    let mut lost = 0;
    while config.pictures == 0 || number < config.pictures {
        let picture = camera.take()?;
        lost = picture.lost();
        begin::<{ interval::DRAW }>();
        let mut frame = screen.frame();
        for y in 0..from.height.min(to.height) {
            frame.store(0, y, picture.line(y, &mut line)?);
        }
        end::<{ interval::DRAW }>();
        screen.present(Area::default())?;
        number = number.wrapping_add(1);
    }
    screen.server().sync()?;
    let Statistics { errors, recoveries, .. } = screen.statistics()?;
    log!("{number} pictures shown, {lost} lost, {errors} errors and {recoveries} recoveries of the screen");
    screen.close()?;
    camera.close()
}
