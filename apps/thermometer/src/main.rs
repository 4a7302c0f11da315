//! Reads a temperature sensor.
//!
//! The driver is the crate `lm75`, as it is: it knows `embedded_hal::i2c::I2c` and nothing of this system. It works for the LM75 and those that are compatible with
//! it, as the TMP105 is.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::delay::Delay;
use component::i2c::Bus;
use component::signal::Signal;
use component::{Env, Error, log};
use lm75::Lm75;
use serde::Deserialize;

component::entry!(run);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Config {
    /// Address of the sensor.
    address: u8,
    /// Milliseconds between two readings.
    interval_ms: u32,
    /// Number of readings; 0: no end.
    #[serde(default)]
    readings: u32,
}

/// Signal of the timer.
const TIMER: u32 = 1;

fn run(env: Env) -> Result<(), Error> {
    let Config { address, interval_ms, readings } = env.config()?;
    let mut bus = Bus::open(0)?;
    let mut delay = Delay::open(Signal::new(TIMER).ok_or(Error::Invalid)?)?;
    let mut sensor = Lm75::new(&mut *bus, address);
    let mut shown = None;
    let mut taken = 0;
    while readings == 0 || taken < readings {
        // Also before the first reading: until its first conversion is over a sensor reports 0 degrees.
        delay.wait(u64::from(interval_ms) * 1000)?;
        let temperature =
            sensor.read_temperature().map_err(|error| log::failed("the sensor cannot be read", &error))?;
        if shown != Some(temperature) {
            log!("{temperature:.1} degrees");
            shown = Some(temperature);
        }
        taken = taken.wrapping_add(1);
    }
    bus.close()
}
