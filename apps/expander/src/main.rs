//! Moves a light over the lower pins of a PCF8574, and shows its upper pins when they change.
//!
//! The driver is the crate `pcf857x`, as it is.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::delay::Delay;
use component::i2c::Bus;
use component::signal::Signal;
use component::{Env, Error, log};
use pcf857x::{Pcf8574, PinFlag, SlaveAddr};
use serde::Deserialize;

component::entry!(run);

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Config {
    /// Milliseconds for which a pin is lit.
    step_ms: u32,
    /// How often the light passes; 0: no end.
    #[serde(default)]
    rounds: u32,
}

/// Signal of the timer.
const TIMER: u32 = 1;
const LIGHTS: [u8; 4] = [1, 2, 4, 8];
/// A pin that is an input is one that is set.
const INPUTS: u8 = 0xf0;

fn run(env: Env) -> Result<(), Error> {
    let Config { step_ms, rounds } = env.config()?;
    let mut bus = Bus::open(0)?;
    let mut delay = Delay::open(Signal::new(TIMER).ok_or(Error::Invalid)?)?;
    let mut expander = Pcf8574::new(&mut *bus, SlaveAddr::default());
    let failed = |error: pcf857x::Error<_>| log::failed("the expander does not answer", &error);
    let inputs = PinFlag::P4 | PinFlag::P5 | PinFlag::P6 | PinFlag::P7;
    let mut shown = None;
    let mut round = 0;
    while rounds == 0 || round < rounds {
        for light in LIGHTS {
            expander.set(INPUTS | light).map_err(failed)?;
            let levels = expander.get(inputs).map_err(failed)? >> 4;
            if shown != Some(levels) {
                log!("inputs: {levels:04b}");
                shown = Some(levels);
            }
            delay.wait(u64::from(step_ms) * 1000)?;
        }
        round = round.wrapping_add(1);
    }
    log!("{rounds} rounds");
    bus.close()
}
