//! Sends what nobody should ever send, to whoever can be reached, beside a witness to whom nothing may happen.
//!
//! # Theory of operation
//!
//! The hostile component has what any component has: its parent, its domain, its account, and a session with every server. It
//! calls them, and all objects that it gets that way, with random labels, lengths, words and capabilities, writes random numbers to the
//! indices of the rings that it shares with a driver, and signals capabilities that it does not have. The numbers are random but for
//! the seed, so a run can be repeated; they are drawn so that a good part of them is almost right, for those get furthest.
//!
//! The witness serves the hostile component, holds a session with every server, too, and looks from time to time whether all is as
//! it was: its account, its memory, the card, the clock. It knows by the end of the last session that the hostile component is gone.
//! In the end core says whether every byte is back.
//!
//! What the hostile component leaves out is what harms only itself, and would end it early: leaving ([`Exit`](session::parent::ParentRequest::Exit)), unmapping its own
//! program, calling its own endpoint, on which nobody answers, and the kernel's operations on its own capability space.
#![cfg_attr(target_os = "none", no_std, no_main)]

mod hostile;
mod witness;

use component::{Env, Error};
use serde::Deserialize;

component::entry!(run);

/// The part to play.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Config {
    /// Does harm, or tries to.
    Hostile {
        /// Seed of the random numbers.
        seed: u64,
        /// Messages to send.
        messages: u32,
    },
    /// Sees to it that none is done.
    Witness {},
}

fn run(env: Env) -> Result<(), Error> {
    let config = env.config()?;
    match config {
        Config::Hostile { seed, messages } => hostile::run(seed, messages),
        Config::Witness {} => witness::run(),
    }
}

/// Words that tell the witness to look whether all is as it was, by an echo call.
const CHECK: [u32; 4] = [0x6c6f_6f6b, 0x6172_6f75, 0x6e64_2021, 1];
/// Words that tell the witness that the hostile component is about to go.
const GOING: [u32; 4] = [0x6c6f_6f6b, 0x6172_6f75, 0x6e64_2021, 2];
