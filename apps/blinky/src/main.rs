//! Blinks an LED.
//!
//! The LED is a pin of a Gpio session, called `led` in the server's policy unless the configuration says otherwise. Each half of the period begins at a moment
//! that was fixed at the start, so that the period is exact however long a call takes.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::delay::Delay;
use component::gpio::Pins;
use component::signal::Signal;
use component::{Env, Error, log};
use embedded_hal::digital::StatefulOutputPin;
use heapless::String;
use serde::Deserialize;

component::entry!(run);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// Name of the pin.
    pin: String<16>,
    /// Length of a period in milliseconds.
    period_ms: u32,
    /// Number of periods; 0: no end.
    periods: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { pin: String::try_from("led").unwrap_or_default(), period_ms: 1000, periods: 0 }
    }
}

/// Signal of the timer.
const TIMER: u32 = 1;

fn run(env: Env) -> Result<(), Error> {
    let config: Config = env.config()?;
    let pins = Pins::open(None)?;
    let mut led = pins.output(pins.pin(&config.pin)?, false)?;
    let mut delay = Delay::open(Signal::new(TIMER).ok_or(Error::Invalid)?)?;
    let half = u64::from(config.period_ms) * 1000 / 2;
    let mut next = delay.now()?;
    let mut halves = 0;
    while config.periods == 0 || halves < 2 * config.periods {
        led.toggle()?;
        halves = halves.wrapping_add(1);
        next += half;
        delay.wait_until(next)?;
    }
    log!("blinked {} times", config.periods);
    pins.close()
}
