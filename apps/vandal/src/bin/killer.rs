//! Kills the driver of the screen while the engine reads a picture, again and again.
//!
//! This component shows a red picture, and it manages the system: in the middle of a frame it submits a description with another version of the driver, upon which
//! init ends the driver and starts another one. The call that waits for the end of the frame must say [`Error::Gone`]. Then the session is closed and opened again with the
//! next instance. Who stops the engine is the device manager, before any of the memory is given back.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::{Env, Error, Rom, log};
use init::manage::Plan;
use serde::Deserialize;
use zelkova_vandal::in_mid_frame;

component::entry!(run);

/// init's library wants one; nothing here allocates, so it stays empty.
#[cfg(target_os = "none")]
#[global_allocator]
static MEMORY: component::heap::ComponentHeap = component::heap::ComponentHeap::empty();

/// Components of the system.
const COMPONENTS: usize = 8;
/// Frames that the picture is seen before the driver is killed.
const FRAMES: u32 = 2;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The component to kill.
    driver: heapless::String<24>,
    /// How often.
    times: u32,
}

fn run(env: Env) -> Result<(), Error> {
    let config: Config = env.config()?;
    let rom = Rom::open("system")?;
    let mut plan = Plan::<COMPONENTS>::new(&rom)?;
    let mut gone = 0;
    for _ in 0..config.times {
        let screen = in_mid_frame(FRAMES)?;
        plan.restart(&config.driver)?;
        match screen.server().sync() {
            Err(Error::Gone) => gone += 1,
            Err(error) => log!("wrong: the driver was killed, and the error is: {error}"),
            // It was killed at the end of a frame.
            Ok(_) if screen.server().sync() == Err(Error::Gone) => gone += 1,
            Ok(_) => log!("wrong: the driver was killed, and goes on"),
        }
        screen.close()?;
    }
    log!("{} times the driver was killed, {gone} times the error was Gone", config.times);
    if gone == config.times { Ok(()) } else { Err(Error::Invalid) }
}
