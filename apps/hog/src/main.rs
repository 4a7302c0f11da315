//! A component that keeps the processor busy, or one that only wants a little of it; its configuration says which.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::signal::{self, Signal};
use component::timer::open_timer;
use component::{Env, Error, log};
use serde::Deserialize;

component::entry!(run);

/// Milliseconds of a patient component's period.
const PERIOD: u32 = 5;
/// Periods of a patient component.
const PERIODS: u32 = 20;
const TICK: u32 = 1;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    role: Role,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    /// Computes without end.
    Spin,
    /// Asks for a signal again and again instead of waiting for it.
    Poll,
    /// Works a little, and waits for the timer in between.
    Patient,
    /// The same with a low priority.
    Modest,
}

fn run(env: Env) -> Result<(), Error> {
    let config = env.config::<Config>().map_err(|error| {
        log!("{error}");
        Error::Invalid
    })?;
    match config.role {
        Role::Spin => {
            log!("here comes a hog");
            loop {
                core::hint::spin_loop();
            }
        }
        Role::Poll => {
            log!("here comes a hog that polls");
            loop {
                signal::poll();
            }
        }
        Role::Patient => {
            patient()?;
            log!("{PERIODS} periods beside a hog");
            Ok(())
        }
        Role::Modest => {
            log!("at last");
            patient()
        }
    }
}

fn patient() -> Result<(), Error> {
    let tick = Signal::new(TICK).ok_or(Error::Invalid)?;
    let timer = open_timer(tick)?;
    timer.repeat(PERIOD * 1000)?;
    for _ in 0..PERIODS {
        while signal::wait() & tick.bit() == 0 {}
    }
    Ok(())
}
