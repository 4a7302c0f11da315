//! Writes its pins very often, and looks whether they stay as it wrote them.
//!
//! Several of these at once, with different pins of one bank, show that no write is lost to a neighbour's: a driver that reads a data register, changes some bits
//! and writes it back would sooner or later write back what another has just changed.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::gpio::Pins;
use component::{Env, Error, log};
use serde::Deserialize;

component::entry!(run);

/// After so many writes, the pins are read.
const LOOK: u32 = 8;

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// How often to write.
    writes: u32,
}

fn run(env: Env) -> Result<(), Error> {
    let Config { writes } = env.config()?;
    let pins = Pins::open(None)?;
    let mask = pins.info()?.outputs;
    pins.direct(mask, mask, 0)?;
    for number in 1..=writes {
        let levels = number & mask;
        pins.write(mask, levels)?;
        if number % LOOK == 0 {
            let seen = pins.read()?.pins & mask;
            if seen != levels {
                log!("wrong: write {number} was {levels:#x}, and the pins are {seen:#x}");
                return Err(Error::Device);
            }
        }
    }
    log!("{writes} writes, none lost");
    pins.close()
}
