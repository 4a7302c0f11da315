//! Checks what a Gpio session refuses, and the events of pins that are driven from outside.
//!
//! The waits are those of `embedded_hal_async::digital::Wait`, run by the component's own executor. The scenario drives the pin called `input` after each line that
//! says what this waits for, and then `first` and `second` at the same moment.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::check::{check, check_refused};
use component::gpio::Pins;
use component::signal::{self, Signal};
use component::task::block_on;
use component::{Env, Error, log};
use embedded_hal_async::digital::Wait;
use session::gpio::{Pin, Trigger};

component::entry!(run);

/// Signal of the pins.
const EVENT: u32 = 1;
/// A pin that the session does not have.
const FOREIGN: u32 = 1 << 31;

fn run(_: Env) -> Result<(), Error> {
    let pins = Pins::open(Some(Signal::new(EVENT).ok_or(Error::Invalid)?))?;
    let [input, first, second] = [pins.pin("input")?, pins.pin("first")?, pins.pin("second")?];
    refusals(&pins, input)?;
    waits(&pins, input)?;
    at_once(&pins, first, second)?;
    log!("all pins as they should be");
    pins.close()
}

fn refusals(pins: &Pins, input: Pin) -> Result<(), Error> {
    check_refused("another client's pin by its name", pins.pin("led"), Error::Denied)?;
    check_refused("a write to a pin that is not the session's", pins.write(FOREIGN, FOREIGN), Error::Denied)?;
    check_refused("a direction for it", pins.direct(FOREIGN, FOREIGN, 0), Error::Denied)?;
    check_refused("a trigger for it", pins.trigger(FOREIGN, Trigger::Both), Error::Denied)?;
    check_refused("an output where only an input is allowed", pins.output(input, true).map(drop), Error::Denied)
}

fn waits(pins: &Pins, pin: Pin) -> Result<(), Error> {
    let mut input = pins.input(pin)?;
    block_on(async {
        log!("waiting for a rising edge");
        input.wait_for_rising_edge().await?;
        log!("waiting for a falling edge");
        input.wait_for_falling_edge().await?;
        log!("waiting for any edge");
        input.wait_for_any_edge().await?;
        log!("waiting for any edge again");
        input.wait_for_any_edge().await?;
        log!("waiting for a high level");
        input.wait_for_high().await?;
        // It is high: there is nothing to wait for.
        input.wait_for_high().await?;
        log!("waiting for a low level");
        input.wait_for_low().await
    })?;
    check("every edge and level came", true)
}

/// Two pins change at the same moment.
fn at_once(pins: &Pins, first: Pin, second: Pin) -> Result<(), Error> {
    let both = first.mask() | second.mask();
    pins.direct(both, 0, 0)?;
    pins.trigger(both, Trigger::Rising)?;
    log!("waiting for two pins at once");
    let mut counts = [0, 0];
    while counts.contains(&0) {
        signal::wait();
        for (count, pin) in counts.iter_mut().zip([first, second]) {
            *count += pins.take(pin)?.count;
        }
    }
    check("two pins at once are one event each", counts == [1, 1])
}
