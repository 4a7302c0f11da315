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
//!
//! When the camera is gone its sessions are closed and opened again: whoever hands out its pictures may have been started again.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::camera::Camera;
use component::mark::{begin, end, interval};
use component::screen::{Scanout, Screen};
use component::{Env, Error, log};
use heapless::Vec;
use serde::Deserialize;
use session::capture::{MAX_BUFFERS, MAX_HELD};
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

/// What has been done so far.
#[derive(Default)]
struct Shown {
    pictures: u32,
    /// As the screen counts.
    errors: u32,
    recoveries: u32,
    /// That nobody has taken in time, in the last session.
    lost: u32,
}

impl Shown {
    const fn is_enough(&self, config: &Config) -> bool {
        config.pictures != 0 && self.pictures >= config.pictures
    }

    fn add(&mut self, statistics: Statistics) {
        self.errors += statistics.errors;
        self.recoveries += statistics.recoveries;
    }
}

fn run(env: Env) -> Result<(), Error> {
    let config: Config = env.config()?;
    let mut shown = Shown::default();
    while !shown.is_enough(&config) {
        let mut camera = Camera::open(config.camera_ram, MAX_HELD)?;
        match show(&mut camera, &config, &mut shown) {
            Err(Error::Gone) => log!("the camera is gone after {} pictures", shown.pictures),
            result => result?,
        }
        camera.close()?;
    }
    let Shown { pictures, lost, errors, recoveries } = shown;
    log!("{pictures} pictures shown, {lost} lost, {errors} errors and {recoveries} recoveries of the screen");
    Ok(())
}

fn show(camera: &mut Camera, config: &Config, shown: &mut Shown) -> Result<(), Error> {
    let screen = Scanout::open()?;
    let (from, to) = (camera.info(), screen.info());
    log!("{} x {} on {} x {}", from.width, from.height, to.width, to.height);
    let form = |info: Info| (info.width, info.height, info.stride, info.format);
    if form(from) == form(to) {
        let result = pass(camera, &screen, config, shown);
        screen.close()?;
        return result;
    }
    screen.close()?;
    let mut screen = Screen::open(2, config.screen_ram)?;
    let result = copy(camera, &mut screen, config, shown);
    screen.close()?;
    result
}

/// Shows the camera's buffers.
fn pass(camera: &mut Camera, screen: &Scanout, config: &Config, shown: &mut Shown) -> Result<(), Error> {
    let mut imports: Vec<u32, { MAX_BUFFERS as usize }> = Vec::new();
    for index in 0..camera.info().buffers {
        let buffer = camera.buffer(index).ok_or(Error::Invalid)?;
        imports.push(screen.import(buffer)?).map_err(|_| Error::Invalid)?;
    }
    log!("pictures go to the screen as they are");
    while !shown.is_enough(config) {
        begin::<{ interval::PASS }>();
        let picture = camera.take()?;
        shown.lost = picture.lost();
        let import = imports.get(picture.index() as usize).ok_or(Error::Invalid)?;
        screen.show(*import)?;
        end::<{ interval::PASS }>();
        shown.pictures += 1;
    }
    log!("the last picture is there");
    screen.server().sync()?;
    shown.add(screen.server().statistics()?);
    Ok(())
}

/// Copies the camera's pictures to the screen.
fn copy(camera: &mut Camera, screen: &mut Screen, config: &Config, shown: &mut Shown) -> Result<(), Error> {
    let (from, to) = (camera.info(), screen.info());
    if from.format != to.format || from.width * from.format.bytes() >= (LINE * size_of::<u32>()) as u32 {
        log!("the camera's {:?} of {} pixels cannot be shown as {:?}", from.format, from.width, to.format);
        return Err(Error::Invalid);
    }
    log!("pictures are copied to the screen");
    let mut line = [0; LINE];
    while !shown.is_enough(config) {
        let picture = camera.take()?;
        shown.lost = picture.lost();
        begin::<{ interval::DRAW }>();
        let pixels = picture.pixels()?;
        let mut frame = screen.frame();
        for y in 0..from.height.min(to.height) {
            frame.store(0, y, pixels.line(y, &mut line)?);
        }
        end::<{ interval::DRAW }>();
        screen.present(Area::default())?;
        shown.pictures += 1;
    }
    screen.server().sync()?;
    shown.add(screen.statistics()?);
    Ok(())
}
