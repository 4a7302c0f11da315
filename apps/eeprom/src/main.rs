//! Writes a text into an EEPROM and reads it back.
//!
//! The driver is the crate `eeprom24x`, as it is, for a 24C256: it splits the text at the borders of pages and gives the EEPROM the time that it needs to write
//! each of them.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::delay::Delay;
use component::i2c::Bus;
use component::signal::Signal;
use component::{Env, Error, log};
use eeprom24x::{Eeprom24x, SlaveAddr, Storage};
use embedded_storage::{ReadStorage, Storage as _};
use heapless::String;
use serde::Deserialize;

component::entry!(run);

/// Longest text.
const LONGEST: usize = 256;
/// Longest transaction: a page of 64 bytes behind its address, or the whole text.
const BUFFER: u32 = LONGEST as u32 + 2;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Where the text begins.
    offset: u32,
    /// The text.
    text: String<LONGEST>,
}

/// Signal of the timer.
const TIMER: u32 = 1;

fn run(env: Env) -> Result<(), Error> {
    let Config { offset, text } = env.config()?;
    let mut bus = Bus::open(BUFFER)?;
    let eeprom = Eeprom24x::new_24x256(&mut *bus, SlaveAddr::default());
    let mut storage = Storage::new(eeprom, Delay::open(Signal::new(TIMER).ok_or(Error::Invalid)?)?);
    storage.write(offset, text.as_bytes()).map_err(|error| log::failed("the EEPROM cannot be written", &error))?;
    let mut bytes = [0; LONGEST];
    let read = bytes.get_mut(..text.len()).ok_or(Error::Invalid)?;
    storage.read(offset, read).map_err(|error| log::failed("the EEPROM cannot be read", &error))?;
    if read != text.as_bytes() {
        log!("read something else than was written");
        return Err(Error::Device);
    }
    log!("{} bytes at {offset:#06x} are as written", text.len());
    drop(storage);
    bus.close()
}
