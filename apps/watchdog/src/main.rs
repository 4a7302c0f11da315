//! A watchdog for the processor.
//!
//! # Theory of operation
//!
//! A component that never waits keeps every component with a lower priority from running. The watchdog has a thread at each of the priorities that its
//! configuration names. Once a period, at its own priority, it looks whether each of these threads has run since the period before, and lets it run again. A
//! thread that has not run for a number of periods starves, and so does everybody else with its priority. The watchdog then tells its
//! parent the highest priority that starves, each period anew until it is over; the parent finds out who it is, and ends it.
//!
//! The watchdog itself and the timer that wakes it need priorities above all that are watched. Its threads do next to nothing: one signal and a
//! few instructions a period for each.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicBool, Ordering};

use component::signal::{self, Signal};
use component::sync::Park;
use component::thread::{self, Options, ThreadPark};
use component::timer::open_timer;
use component::{Env, Error, env, log};
use serde::Deserialize;

component::entry!(run);

/// Most priorities that are watched.
const LEVELS: usize = 8;
const TICK: u32 = 1;
const STACK: u32 = 4096;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Priorities to watch.
    priorities: heapless::Vec<u32, LEVELS>,
    /// Milliseconds between two looks.
    period: u32,
    /// Periods without running after which a priority starves.
    patience: u32,
}

/// Which of the threads have run since the last look.
static RUN: [AtomicBool; LEVELS] = [const { AtomicBool::new(false) }; LEVELS];

/// A priority that is watched.
struct Level {
    priority: u32,
    /// Number of its thread.
    thread: u32,
    /// Periods without running so far.
    missed: u32,
}

fn run(env: Env) -> Result<(), Error> {
    let config = match env.config::<Config>() {
        Ok(config) if config.period > 0 && config.patience > 0 => config,
        Ok(_) => {
            log!("period and patience must be more than 0");
            return Err(Error::Invalid);
        }
        Err(error) => {
            log!("{error}");
            return Err(Error::Invalid);
        }
    };
    let tick = Signal::new(TICK).ok_or(Error::Invalid)?;
    let timer = open_timer(tick)?;
    let mut levels = heapless::Vec::<Level, LEVELS>::new();
    for (priority, run) in config.priorities.into_iter().zip(&RUN) {
        let thread = thread::spawn(Options { stack: STACK, priority }, move || -> () {
            loop {
                run.store(true, Ordering::Relaxed);
                ThreadPark::park();
            }
        })?;
        // There are as many places as the configuration can name.
        let _ = levels.push(Level { priority, thread: thread.number(), missed: 0 });
    }
    timer.repeat(config.period.saturating_mul(1000))?;
    log!("watching {} priorities", levels.len());
    let mut starving = 0;
    loop {
        while signal::wait() & tick.bit() == 0 {}
        for (level, run) in levels.iter_mut().zip(&RUN) {
            level.missed = if run.swap(false, Ordering::Relaxed) { 0 } else { level.missed.saturating_add(1) };
            ThreadPark::unpark(level.thread);
        }
        let starved = levels.iter().filter(|level| level.missed >= config.patience).map(|level| level.priority);
        let highest = starved.max().unwrap_or_default();
        if highest > starving {
            log!("priority {highest} does not run");
        } else if highest == 0 && starving > 0 {
            log!("all run again");
        }
        if highest > 0 || starving > 0 {
            env::starving(highest)?;
        }
        starving = highest;
    }
}
