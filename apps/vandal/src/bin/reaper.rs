//! Ends a component that others depend on, again and again.
//!
//! It manages the system: at a fixed interval it submits a description with another version of the component, upon which init ends that and starts another one.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::delay::Delay;
use component::signal::Signal;
use component::{Env, Error, Rom, log};
use init::manage::Plan;
use serde::Deserialize;

component::entry!(run);

/// init's library wants one; nothing here allocates, so it stays empty.
#[cfg(target_os = "none")]
#[global_allocator]
static MEMORY: component::heap::ComponentHeap = component::heap::ComponentHeap::empty();

/// Components of the system.
const COMPONENTS: usize = 10;
/// Signal of the timer.
const TIMER: u32 = 1;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Config {
    /// The component to end.
    component: heapless::String<24>,
    /// How often.
    times: u32,
    /// Microseconds between two ends.
    interval_us: u32,
}

fn run(env: Env) -> Result<(), Error> {
    let config: Config = env.config()?;
    let rom = Rom::open("system")?;
    let mut plan = Plan::<COMPONENTS>::new(&rom)?;
    let mut delay = Delay::open(Signal::new(TIMER).ok_or(Error::Invalid)?)?;
    for _ in 0..config.times {
        delay.wait(config.interval_us.into())?;
        plan.restart(&config.component)?;
    }
    log!("{} ended {} times", config.component, config.times);
    Ok(())
}
