//! Answers its parent a few times, then no more.
//!
//! A parent that wants a heartbeat raises the parent signal, and a component that is well asks what there is. This one does so as often as its
//! configuration says, and then sleeps on.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::{Env, Error, log, next_event, signal};
use serde::Deserialize;

component::entry!(run);

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    answers: u32,
}

fn run(env: Env) -> Result<(), Error> {
    let Config { answers } = env.config()?;
    for _ in 0..answers {
        signal::wait();
        while next_event()?.is_some() {}
    }
    log!("answered {answers} times, and falls asleep");
    loop {
        signal::wait();
    }
}
