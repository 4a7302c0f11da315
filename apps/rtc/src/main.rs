//! Sets a real-time clock if it stands still, and shows how it runs.
//!
//! The driver is the crate `ds1307`, as it is.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::delay::Delay;
use component::i2c::Bus;
use component::signal::Signal;
use component::{Env, Error, log};
use ds1307::{DateTimeAccess, Ds1307, NaiveDate};
use serde::Deserialize;

component::entry!(run);

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// What the clock is set to: year, month, day, hour, minute, second.
    set: (i32, u32, u32, u32, u32, u32),
    /// How many seconds to watch it.
    seconds: u32,
}

/// Signal of the timer.
const TIMER: u32 = 1;

fn run(env: Env) -> Result<(), Error> {
    let Config { set: (year, month, day, hour, minute, second), seconds } = env.config()?;
    let start = NaiveDate::from_ymd_opt(year, month, day).and_then(|date| date.and_hms_opt(hour, minute, second));
    let Some(start) = start else {
        log!("`set` in the configuration is not a date and time");
        return Err(Error::Invalid);
    };
    let mut bus = Bus::open(0)?;
    let mut delay = Delay::open(Signal::new(TIMER).ok_or(Error::Invalid)?)?;
    let mut clock = Ds1307::new(&mut *bus);
    let failed = |error: ds1307::Error<_>| log::failed("the clock does not answer", &error);
    if !clock.running().map_err(failed)? {
        log!("the clock stands still and is set");
        clock.set_datetime(&start).map_err(failed)?;
        clock.set_running().map_err(failed)?;
    }
    for _ in 0..seconds {
        log!("{}", clock.datetime().map_err(failed)?);
        delay.wait(1_000_000)?;
    }
    bus.close()
}
