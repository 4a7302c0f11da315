//! A component drains its account by every road there is, beside one that reads from the SD card and must not notice.
//!
//! # Theory of operation
//!
//! The *drain* goes down one road after the other: it takes more and more of one thing until it is refused, checks that the refusal is one that it can handle,
//! gives everything back, and goes on with the next road. All roads are gone down three times, and the last time it must get exactly as far as before.
//!
//! The *reader* reads from the card, with each read between marks for the emulator's instruction counter: first alone, then beside the drain. The drain does
//! not start before the reader has served it, and the reader reads until the drain has finished. It has the higher priority, and sleeps between two reads so that the drain runs.
#![cfg_attr(target_os = "none", no_std, no_main)]

mod drain;
mod reader;

use component::{Env, Error, log};
use serde::Deserialize;

component::entry!(run);

/// The part to play.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Role {
    /// Takes whatever it can get.
    Drain,
    /// Reads from the card.
    Reader,
}

#[derive(Debug, Deserialize)]
struct Config {
    role: Role,
}

fn run(env: Env) -> Result<(), Error> {
    let config: Config = env.config()?;
    // The session with the log is opened by the first line, and stays.
    log!("plays {:?}", config.role);
    match config.role {
        Role::Drain => drain::run(),
        Role::Reader => reader::run(),
    }
}
