//! A client that checks the driver on the board, against the clock of another device.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::check::{check, check_refused};
use component::delay::Delay;
use component::signal::Signal;
use component::{Env, Error, Open, open};
use session::Service;
use zelkova_skeleton::interface::Client;

/// Microseconds between two events.
const PERIOD: u32 = 10_000;
/// Events that are waited for.
const EVENTS: u32 = 10;
/// Microseconds until they must have come; a board that is not busy needs a hundredth of it.
const DEADLINE: u64 = 10_000_000;
/// Signal of the timer.
const TIMER: u32 = 1;
/// What a session costs.
const CAPS: u32 = 4;

component::entry!(run);

fn run(_: Env) -> Result<(), Error> {
    let mut session = open(&Open { caps: CAPS, ..Open::new(Service::Skeleton) })?;
    let device = Client::new(session.capability.take().ok_or(Error::Invalid)?);
    let mut delay = Delay::open(Signal::new(TIMER).ok_or(Error::Invalid)?)?;

    check_refused("a second session", open(&Open { caps: CAPS, ..Open::new(Service::Skeleton) }), Error::Busy)?;
    check_refused("a period of nothing", device.start(0), Error::Invalid)?;

    let begun = delay.now()?;
    device.start(PERIOD)?;
    while device.events()? < EVENTS && delay.now()? - begun < DEADLINE {
        delay.wait(PERIOD.into())?;
    }
    let took = delay.now()? - begun;
    check("events come", device.events()? >= EVENTS)?;
    // The counter's first tick is shorter than the others.
    check("they do not come early", took >= u64::from(PERIOD) * u64::from(EVENTS - 1))?;

    device.stop()?;
    let events = device.events()?;
    delay.wait(u64::from(PERIOD) * 5)?;
    check("none come after the stop", device.events()? == events)?;
    session.close()
}
