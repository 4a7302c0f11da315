//! Reads two temperature sensors that have the same address, behind a multiplexer.
//!
//! The drivers are the crates `xca9548a` and `lm75`, as they are: each channel of the multiplexer is a bus for the driver of what lies behind it.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::delay::Delay;
use component::i2c::Bus;
use component::signal::Signal;
use component::{Env, Error, log};
use lm75::Lm75;
use xca9548a::{SlaveAddr, Xca9548a};

component::entry!(run);

/// Address of both sensors.
const SENSOR: u8 = 0x4a;
/// Microseconds until the first conversion of an LM75 is over (data sheet: 300 ms at most). Before, it reports 0 degrees.
const CONVERSION: u64 = 300_000;
/// Signal of the timer.
const TIMER: u32 = 1;

fn run(_: Env) -> Result<(), Error> {
    let mut bus = Bus::open(0)?;
    Delay::open(Signal::new(TIMER).ok_or(Error::Invalid)?)?.wait(CONVERSION)?;
    let multiplexer = Xca9548a::new(&mut *bus, SlaveAddr::default());
    let channels = multiplexer.split();
    for (number, channel) in [(0, channels.i2c0), (3, channels.i2c3)] {
        let temperature = Lm75::new(channel, SENSOR)
            .read_temperature()
            .map_err(|error| log::failed("a sensor does not answer", &error))?;
        log!("channel {number}: {temperature:.1} degrees");
    }
    bus.close()
}
