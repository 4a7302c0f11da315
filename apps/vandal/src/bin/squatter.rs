//! Takes memory as soon as somebody has given it back, and writes green over all of it.
//!
//! An engine that still read memory which its owner has lost would show that green.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::Ordering;

use component::delay::Delay;
use component::signal::Signal;
use component::{Account, Attached, Dataspace, Env, Error, log};
use heapless::Vec;
use serde::Deserialize;
use session::core::WRITE;

component::entry!(run);

/// Signal of the timer.
const TIMER: u32 = 1;
/// The pixel in a format of 32 bits.
const GREEN: u32 = 0x0000_FF00;
/// Bytes of a piece.
const PIECE: u32 = 2 << 20;
/// Pieces at a time.
const PIECES: usize = 4;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// How long to go on.
    milliseconds: u32,
}

fn run(env: Env) -> Result<(), Error> {
    let config: Config = env.config()?;
    let account = Account::own();
    let delay = Delay::open(Signal::new(TIMER).ok_or(Error::Invalid)?)?;
    let end = delay.now()? + u64::from(config.milliseconds) * 1000;
    let mut pieces = 0_u32;
    while delay.now()? < end {
        let mut held = Vec::<Dataspace, PIECES>::new();
        while !held.is_full() {
            let piece = account.create_dataspace(PIECE, 0)?;
            let memory = Attached::new(&piece, WRITE, None)?;
            memory.words().iter().for_each(|word| word.store(GREEN, Ordering::Relaxed));
            pieces += 1;
            // There is room.
            let _ = held.push(piece);
        }
        for piece in held {
            account.free_dataspace(piece)?;
        }
    }
    log!("{pieces} pieces of {PIECE} bytes painted");
    Ok(())
}
