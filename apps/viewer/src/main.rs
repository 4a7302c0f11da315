//! Shows what a camera sees: pictures from a Capture session on the screen of a Framebuffer session.
//!
//! # Theory of operation
//!
//! Camera and screen have clocks of their own, so this is where the two rates meet: a screen that is slower than the camera loses pictures, a faster one
//! repeats some.
//!
//! If the two have pictures of the same form, nothing is copied: the camera's buffers are imported into the screen's session once, and then the display's engine reads
//! where the camera's has written. Two pictures are held, the one that is shown and the one that is to come. Otherwise each picture is copied to the
//! upper left corner of the screen, a line at a time.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::camera::Camera;
use component::mark::{begin, end, interval};
use component::screen::{Scanout, Screen};
use component::{Env, Error, log};
use heapless::Vec;
use serde::Deserialize;
use session::capture::MAX_BUFFERS;
use session::framebuffer::{Area, Info, Statistics};

component::entry!(run);

/// Words of the longest line, and one more.
const LINE: usize = 2049;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Config {
    /// Pictures to show; 0: no end.
    #[serde(default)]
    pictures: u32,
    /// RAM to donate to the camera's session, in bytes.
    #[serde(default)]
    camera_ram: u32,
    /// RAM to donate to the screen's session if pictures have to be copied, in bytes.
    #[serde(default)]
    screen_ram: u32,
}

fn run(env: Env) -> Result<(), Error> {
    let config: Config = env.config()?;
    let mut camera = Camera::open(config.camera_ram, 2)?;
    let screen = Scanout::open()?;
    let (from, to) = (camera.info(), screen.info());
    log!("{} x {} on {} x {}", from.width, from.height, to.width, to.height);
    let form = |info: Info| (info.width, info.height, info.stride, info.format);
    let (number, lost, statistics) = if form(from) == form(to) {
        let done = pass(&mut camera, &screen, config.pictures)?;
        screen.close()?;
        done
    } else {
        screen.close()?;
        copy(&mut camera, &config)?
    };
    let Statistics { errors, recoveries, .. } = statistics;
    log!("{number} pictures shown, {lost} lost, {errors} errors and {recoveries} recoveries of the screen");
    camera.close()
}

/// Whether there are enough.
const fn goes_on(pictures: u32, number: u32) -> bool {
    pictures == 0 || number < pictures
}

/// Shows the camera's buffers. Returns how many pictures were shown and lost, and what the screen has counted.
fn pass(camera: &mut Camera, screen: &Scanout, pictures: u32) -> Result<(u32, u32, Statistics), Error> {
    let mut imports: Vec<u32, { MAX_BUFFERS as usize }> = Vec::new();
    for index in 0..camera.info().buffers {
        let buffer = camera.buffer(index).ok_or(Error::Invalid)?;
        imports.push(screen.import(buffer)?).map_err(|_| Error::Invalid)?;
    }
    log!("pictures go to the screen as they are");
    let (mut number, mut lost) = (0, 0);
    while goes_on(pictures, number) {
        begin::<{ interval::PASS }>();
        let picture = camera.take()?;
        lost = picture.lost();
        let import = imports.get(picture.index() as usize).ok_or(Error::Invalid)?;
        screen.show(*import)?;
        end::<{ interval::PASS }>();
        number = number.wrapping_add(1);
    }
    log!("the last picture is there");
    screen.server().sync()?;
    Ok((number, lost, screen.server().statistics()?))
}

/// Copies pictures to the screen; otherwise like [`pass`].
fn copy(camera: &mut Camera, config: &Config) -> Result<(u32, u32, Statistics), Error> {
    let mut screen = Screen::open(2, config.screen_ram)?;
    let (from, to) = (camera.info(), screen.info());
    if from.format != to.format || from.width * from.format.bytes() >= (LINE * size_of::<u32>()) as u32 {
        log!("the camera's {:?} of {} pixels cannot be shown as {:?}", from.format, from.width, to.format);
        return Err(Error::Invalid);
    }
    log!("pictures are copied to the screen");
    let mut line = [0; LINE];
    let (mut number, mut lost) = (0, 0);
    while goes_on(config.pictures, number) {
        let picture = camera.take()?;
        lost = picture.lost();
        begin::<{ interval::DRAW }>();
        let pixels = picture.pixels()?;
        let mut frame = screen.frame();
        for y in 0..from.height.min(to.height) {
            frame.store(0, y, pixels.line(y, &mut line)?);
        }
        end::<{ interval::DRAW }>();
        screen.present(Area::default())?;
        number = number.wrapping_add(1);
    }
    screen.server().sync()?;
    let statistics = screen.statistics()?;
    screen.close()?;
    Ok((number, lost, statistics))
}
