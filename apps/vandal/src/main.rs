//! Asks a video server for what it must refuse.
//!
//! # Theory of operation
//!
//! A client of a screen or a camera has few ways to do wrong: it names neither addresses nor line lengths, as the server makes the buffers. What is left is
//! to open sessions that cannot be, to name buffers and areas that do not exist, to send what is no request, too short or with capabilities that do not
//! belong there, and to come when others are there. All of this is tried here while a picture of one colour is shown, and every answer must be the right error. Who
//! looks at the display sees that colour and no other.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::camera::Camera;
use component::cap::call;
use component::delay::Delay;
use component::screen::{Scanout, Screen};
use component::signal::Signal;
use component::{Account, Capability, Env, Error, Open, log, open};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use serde::Deserialize;
use session::framebuffer::{self, Area};
use session::{Message, Service, capture};

component::entry!(run);

/// The colour that is shown: in every format one that only this component draws.
const COLOUR: Rgb888 = Rgb888::new(0x20, 0x40, 0xC0);
/// Signal of the timer.
const TIMER: u32 = 1;
/// Microseconds between two attempts to get a session.
const INTERVAL: u64 = 5_000;
/// Frames that the picture stays at the end.
const FRAMES: u32 = 60;
/// What a session is offered.
const RAM: u32 = 5 << 20;
const CAPS: u32 = 40;
/// Labels that are tried: all requests that there are, and many that there are not.
const LABELS: u32 = 40;

/// The part to play.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
enum Config {
    /// Has a session, and abuses it.
    Inside {
        /// Another one of the camera, too.
        camera: bool,
        /// RAM to donate to each session, in bytes.
        #[serde(default = "ram")]
        ram: u32,
    },
    /// Has no policy.
    Stranger {
        /// When to begin, in milliseconds.
        after_ms: u32,
        /// Attempts.
        times: u32,
    },
    /// Has a policy, but somebody else is there.
    Rival {
        /// When to begin, in milliseconds.
        after_ms: u32,
        /// Attempts.
        times: u32,
    },
}

const fn ram() -> u32 {
    RAM
}

fn run(env: Env) -> Result<(), Error> {
    match env.config()? {
        Config::Inside { camera, ram } => inside(camera, ram),
        Config::Stranger { after_ms, times } => outside(after_ms, times, Error::Denied),
        Config::Rival { after_ms, times } => outside(after_ms, times, Error::Busy),
    }
}

/// Counts requests, and those whose answer was not the right one.
#[derive(Default)]
struct Tally {
    requests: u32,
    wrong: u32,
}

impl Tally {
    fn expect<T>(&mut self, what: &str, detail: u32, result: Result<T, Error>, wanted: Error) {
        self.requests += 1;
        let error = result.err();
        if error != Some(wanted) {
            self.wrong += 1;
            log!("wrong: {what} {detail:#x}: {error:?} instead of {wanted:?}");
        }
    }

    fn finish(self) -> Result<(), Error> {
        log!("{} requests, {} wrong answers", self.requests, self.wrong);
        if self.wrong == 0 { Ok(()) } else { Err(Error::Invalid) }
    }
}

fn outside(after_ms: u32, times: u32, wanted: Error) -> Result<(), Error> {
    let mut delay = Delay::open(Signal::new(TIMER).ok_or(Error::Invalid)?)?;
    let begin = delay.now()? + u64::from(after_ms) * 1000;
    let mut tally = Tally::default();
    for attempt in 0..times {
        delay.wait_until(begin + u64::from(attempt) * INTERVAL)?;
        let request = Open { ram: RAM, caps: CAPS, argument: 2, ..Open::new(Service::Framebuffer) };
        tally.expect("a session", attempt, open(&request), wanted);
    }
    tally.finish()
}

fn inside(camera: bool, enough: u32) -> Result<(), Error> {
    let mut tally = Tally::default();
    let screen = |ram, caps, argument| open(&Open { ram, caps, argument, ..Open::new(Service::Framebuffer) });
    for buffers in [1, 4, 5, 255, 256, 0x8000_0002, u32::MAX] {
        tally.expect("buffers", buffers, screen(enough, CAPS, buffers), Error::Invalid);
    }
    tally.expect("too little RAM", 0, screen(4096, CAPS, 2), Error::InsufficientRam);
    tally.expect("too few capabilities", 0, screen(enough, 1, 2), Error::InsufficientCaps);
    if camera {
        abuse_import(&mut tally)?;
    }
    let mut screen = Screen::open(2, enough)?;
    for _ in 0..screen.info().buffers {
        // Drawing into memory does not fail.
        let Ok(()) = screen.frame().clear(COLOUR);
        screen.present(Area::default())?;
    }
    log!("the picture is there");
    let again = open(&Open { ram: enough, caps: CAPS, argument: 2, ..Open::new(Service::Framebuffer) });
    tally.expect("a second session", 0, again, Error::Busy);
    abuse_screen(&screen, &mut tally)?;
    if camera {
        abuse_camera(&mut tally)?;
    }
    for _ in 0..FRAMES {
        screen.server().sync()?;
    }
    let statistics = screen.statistics()?;
    if (statistics.errors, statistics.recoveries) != (0, 0) {
        log!("wrong: the engine had errors: {statistics:?}");
        tally.wrong += 1;
    }
    screen.close()?;
    tally.finish()
}

/// Sends requests that are none.
fn malformed(server: u32, requests: &[(u32, usize)], tally: &mut Tally) {
    for label in 0..LABELS {
        // A request with as many words as it takes is not malformed.
        let words = requests.iter().find(|(known, _)| *known == label).map_or(4, |(_, words)| *words);
        for given in 0..words {
            let message = Message::from_words(label, [u32::MAX; 4].get(..given).unwrap_or(&[]));
            tally.expect("a request that is too short", label, call(server, &message, &[]), Error::Invalid);
        }
    }
    for label in [0xFF, 0x1000, 0xF_FFFF] {
        tally.expect("a request that is none", label, call(server, &Message::new(label), &[]), Error::Invalid);
    }
}

fn abuse_screen(screen: &Screen, tally: &mut Tally) -> Result<(), Error> {
    let server = screen.server();
    let info = screen.info();
    for index in [info.buffers, info.buffers + 1, 0xFF, 0x100, 0x8000_0000, u32::MAX] {
        tally.expect("buffer", index, server.buffer(index), Error::NotFound);
    }
    for buffer in info.buffers..=0xFF {
        tally.expect("flip to buffer", buffer, server.flip(buffer, Area::default(), false), Error::Invalid);
    }
    let (width, height) = (info.width, info.height);
    for (x, y, w, h) in [
        (0, 0, width + 1, height),
        (0, 0, width, height + 1),
        (1, 0, width, height),
        (0, 1, width, height),
        (width, 0, 1, 1),
        (0, height, 1, 1),
        (0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF),
        (0xFFFF, 0, 1, 1),
    ] {
        let area = Area { x, y, width: w, height: h };
        tally.expect("flip with an area at", x << 16 | y, server.flip(1, area, false), Error::Invalid);
    }
    let slot = server.session().slot();
    for first in [0x200, 0x1_0000, 0x8000_0000, u32::MAX] {
        let message = Message::from_words(framebuffer::FLIP, &[first, 0, 0]);
        tally.expect("flip to", first, call(slot, &message, &[]), Error::Invalid);
    }
    tally.expect("an import beside own buffers", slot, server.import(Account::own().slot()), Error::Invalid);
    // Requests that take nothing are not too short.
    malformed(slot, &[(1, 0), (2, 1), (framebuffer::FLIP, 3), (framebuffer::SYNC, 0), (5, 0)], tally);
    // Capabilities where none belong, and one that is no notification: it is taken, and does nothing.
    let account = Account::own().slot();
    call(slot, &Message::from_words(framebuffer::FLIP, &[1, 0, 0]), &[account]).map(drop)?;
    server.sync()?;
    server.connect(account)?;
    // The server's own endpoint does not arrive as a capability.
    tally.expect("the session itself as a notification", slot, server.connect(slot), Error::Invalid);
    for _ in 0..10 {
        server.sync()?;
    }
    Ok(())
}

/// A screen without buffers shows those of a camera and nothing else, and only as long as they are there.
fn abuse_import(tally: &mut Tally) -> Result<(), Error> {
    let screen = Scanout::open()?;
    let server = screen.server();
    let own = Account::own().create_dataspace(RAM, 0)?;
    let show = |buffer| server.flip(buffer, Area::default(), true);
    tally.expect("a frame of nothing", 0, server.sync(), Error::Gone);
    tally.expect("buffer", 0, server.buffer(0), Error::NotFound);
    tally.expect("an import of one's own", 0, screen.import(&own), Error::NotFound);
    let camera = Camera::open(2 * RAM, 1)?;
    tally.expect("an import of one's own", 1, screen.import(&own), Error::NotFound);
    tally.expect("an import of an account", 0, server.import(Account::own().slot()), Error::NotFound);
    tally.expect("an import of a session", 0, server.import(camera.server().session().slot()), Error::Invalid);
    let buffer = camera.buffer(0).ok_or(Error::Invalid)?;
    for again in 0..10 {
        // The same buffer is the same import.
        let import = screen.import(&buffer.read_only()?)?;
        if import != 0 {
            tally.expect("an import again", again, Ok(import), Error::Invalid);
        }
    }
    for buffer in 1..=0xFF {
        tally.expect("flip to import", buffer, show(buffer), Error::Invalid);
    }
    camera.close()?;
    tally.expect("flip to what is gone", 0, show(0), Error::Gone);
    tally.expect("a frame of what is gone", 0, server.sync(), Error::Gone);
    let camera = Camera::open(2 * RAM, 1)?;
    tally.expect("flip to what is gone", 1, show(0), Error::Gone);
    tally.expect("an import of one's own", 2, screen.import(&own), Error::NotFound);
    tally.expect("flip to what was never imported", 0, show(0), Error::Invalid);
    camera.close()?;
    Account::own().free_dataspace(own)?;
    screen.close()
}

fn abuse_camera(tally: &mut Tally) -> Result<(), Error> {
    for held in [0, 3, 0x102, u32::MAX] {
        let request = Open { ram: 2 * RAM, caps: CAPS, argument: held, ..Open::new(Service::Capture) };
        tally.expect("pictures held", held, open(&request), Error::Invalid);
    }
    let mut session = open(&Open { ram: 2 * RAM, caps: CAPS, argument: 1, ..Open::new(Service::Capture) })?;
    let server: capture::Client<Capability> = capture::Client::new(session.capability.take().ok_or(Error::Invalid)?);
    for index in [server.info()?.buffers, 0xFF, u32::MAX] {
        tally.expect("the camera's buffer", index, server.buffer(index), Error::NotFound);
    }
    malformed(server.session().slot(), &[(1, 0), (2, 1), (capture::TAKE, 1)], tally);
    for _ in 0..3 {
        server.take(true)?;
    }
    drop(server);
    session.close()
}
