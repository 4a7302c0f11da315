//! Counts how often buttons are pressed.
//!
//! A button is pressed when its pin goes high. The contacts bounce, so each pin has a debounce time, and the driver counts only what is left of the
//! edges; nothing is lost if several buttons are pressed while this component does something else.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::gpio::Pins;
use component::signal::{self, Signal};
use component::{Env, Error, log};
use heapless::{String, Vec};
use serde::Deserialize;
use session::gpio::{Pin, Trigger};

component::entry!(run);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Config {
    /// Names of the pins.
    buttons: Vec<String<16>, 32>,
    /// Edges closer together than this are bouncing.
    #[serde(default = "ten")]
    debounce_ms: u32,
    /// End when all buttons together have been pressed so often; 0: no end.
    #[serde(default)]
    presses: u32,
}

const fn ten() -> u32 {
    10
}

/// Signal of the buttons.
const PRESSED: u32 = 1;

/// A button, and how often it has been pressed.
struct Button {
    name: String<16>,
    pin: Pin,
    presses: u32,
}

fn run(env: Env) -> Result<(), Error> {
    let config: Config = env.config()?;
    let pins = Pins::open(Some(Signal::new(PRESSED).ok_or(Error::Invalid)?))?;
    let mut buttons: Vec<Button, 32> = Vec::new();
    let mut all = 0;
    for name in config.buttons {
        let pin = pins.pin(&name)?;
        all |= pin.mask();
        buttons.push(Button { name, pin, presses: 0 }).map_err(|_| Error::Invalid)?;
    }
    pins.direct(all, 0, 0)?;
    pins.debounce(all, config.debounce_ms * 1000)?;
    pins.trigger(all, Trigger::Rising)?;
    log!("waiting for {} buttons", buttons.len());
    let mut total = 0;
    while config.presses == 0 || total < config.presses {
        signal::wait();
        let pending = pins.pending()?;
        for button in buttons.iter_mut().filter(|button| button.pin.mask() & pending != 0) {
            let count = pins.take(button.pin)?.count;
            button.presses += count;
            total += count;
            log!("{} pressed: {}", button.name, button.presses);
        }
    }
    pins.close()
}
