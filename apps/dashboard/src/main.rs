//! Shows the state of the system that it runs in, from init's report.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::delay::Delay;
use component::report::Reader;
use component::screen::Screen;
use component::signal::Signal;
use component::{Env, Error, log};
use init::state::State;
use serde::Deserialize;
use session::framebuffer::Area;

component::entry!(run);

/// init's library wants one; nothing here allocates, so it stays empty.
#[cfg(target_os = "none")]
#[global_allocator]
static MEMORY: component::heap::ComponentHeap = component::heap::ComponentHeap::empty();

/// Most components of the system.
const COMPONENTS: usize = 48;
/// Most bytes of the report.
const STATE: u32 = 16384;
/// Signal of the timer.
const TIMER: u32 = 1;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Config {
    /// RAM to donate to the screen, in bytes.
    ram: u32,
    /// Pictures to show; 0: no end.
    #[serde(default)]
    pictures: u32,
    /// Milliseconds between two pictures.
    #[serde(default = "interval")]
    interval_ms: u32,
}

const fn interval() -> u32 {
    500
}

fn run(env: Env) -> Result<(), Error> {
    let config: Config = env.config()?;
    let mut state = Reader::open("state", STATE, None)?;
    let mut delay = Delay::open(Signal::new(TIMER).ok_or(Error::Invalid)?)?;
    let mut screen = match Screen::open(2, config.ram) {
        // Its driver has ended: the board was started without what drives it.
        Err(Error::Gone) => {
            log!("there is no screen");
            return Ok(());
        }
        screen => screen?,
    };
    let begin = delay.now()?;
    let mut next = begin;
    let mut number = 0;
    while config.pictures == 0 || number < config.pictures {
        let report = State::<COMPONENTS>::parse(state.update()?)?;
        let seconds = ((next - begin) / 1_000_000) as u32;
        // Drawing into memory does not fail.
        let Ok(()) = zelkova_dashboard::draw(&mut screen.frame(), &report, seconds);
        screen.present(Area::default())?;
        number = number.wrapping_add(1);
        if number == 1 {
            log!("the first picture is shown");
        }
        next += u64::from(config.interval_ms) * 1000;
        delay.wait_until(next)?;
    }
    log!("{number} pictures shown");
    screen.close()
}
