//! Switches the ZedBoard's HDMI transmitter on whenever a monitor is plugged in.
//!
//! The transmitter is asked ten times a second. What the monitor then shows is another component's matter: this one has a bus, and no screen.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::delay::Delay;
use component::i2c::Bus;
use component::signal::Signal;
use component::{Env, Error, log};
use zelkova_hdmi::{Adv7511, Monitor};

component::entry!(run);

/// Signal of the timer.
const TIMER: u32 = 1;
/// Microseconds between two looks.
const INTERVAL: u64 = 100_000;

fn run(_: Env) -> Result<(), Error> {
    let mut bus = Bus::open(0)?;
    let mut delay = Delay::open(Signal::new(TIMER).ok_or(Error::Invalid)?)?;
    let mut transmitter = Adv7511::new(&mut *bus);
    let revision = transmitter.revision().map_err(|error| log::failed("the transmitter does not answer", &error))?;
    log!("ADV7511 revision {revision:#04x}");
    let mut before = Monitor::None;
    loop {
        let monitor = transmitter.monitor().map_err(|error| log::failed("the transmitter does not answer", &error))?;
        match monitor {
            Monitor::None if before != Monitor::None => log!("the monitor is gone"),
            // It may go away at any moment; then the next look tells.
            Monitor::New { .. } => match transmitter.switch_on() {
                Ok(()) => log!("a monitor: the picture is on"),
                Err(error) if before != monitor => log!("a monitor, but: {error}"),
                Err(_) => {}
            },
            Monitor::None | Monitor::Served => {}
        }
        before = monitor;
        delay.wait(INTERVAL)?;
    }
}
