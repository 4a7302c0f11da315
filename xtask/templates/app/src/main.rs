//! Says hello, again and again: a beginning for a component of your own.
//!
//! What it says, how often and at what times is its configuration, which the scenario gives it. The time comes from a Timer session, its lines go to a
//! Log session: both are routes in the scenario, and the component knows nothing else of the system.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::delay::Delay;
use component::signal::Signal;
use component::{Env, Error, log};
use heapless::String;
use serde::Deserialize;

component::entry!(run);

/// Signal of the timer.
const TIMER: u32 = 1;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Config {
    /// What to say.
    greeting: String<32>,
    /// How often.
    times: u32,
    /// Milliseconds before each time.
    pause_ms: u32,
}

fn run(env: Env) -> Result<(), Error> {
    let config: Config = env.config()?;
    let mut delay = Delay::open(Signal::new(TIMER).ok_or(Error::Invalid)?)?;
    let begun = delay.now()?;
    for time in 1..=config.times {
        // From one fixed moment on, so that what is done in between does not add up.
        delay.wait_until(begun + u64::from(config.pause_ms) * 1000 * u64::from(time))?;
        log!("{}, {time} of {}", config.greeting, config.times);
    }
    Ok(())
}
