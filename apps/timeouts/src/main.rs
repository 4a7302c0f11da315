//! Thousands of timeouts at once, over one session with the timer.
//!
//! They are set to random times within a second, some are moved or cancelled, and a few repeat. Each that comes is checked: it must be pending, must not
//! come early, and must not come before one with an earlier time. At the end each must have come as often as it should.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::signal::{self, Signal};
use component::sync::Mutex;
use component::timeouts::{Timeouts, Timers};
use component::{Env, Error, log};
use fastrand::Rng;

/// Timeouts that come once.
const SINGLE: usize = 4000;
/// Timeouts that repeat, numbered behind those.
const PERIODIC: usize = 8;
const COUNT: usize = SINGLE + PERIODIC;
/// Microseconds until the first and the last of them.
const FIRST: u64 = 100_000;
const SPREAD: u64 = 1_000_000;
/// Microseconds between two of a repeating timeout.
const PERIOD: u64 = 50_000;
const SEED: u64 = 7;
const TIME: u32 = 1;

static QUEUE: Mutex<Timeouts<COUNT>> = Mutex::new(Timeouts::new());
/// When each timeout is due; 0: not pending.
static DUE: Mutex<[u64; COUNT]> = Mutex::new([0; COUNT]);

component::entry!(run);

fn run(_: Env) -> Result<(), Error> {
    let (mut queue, mut due) = (QUEUE.lock(), DUE.lock());
    let mut timers = Timers::open(&mut queue, Signal::new(TIME).ok_or(Error::Invalid)?)?;
    let mut random = Rng::with_seed(SEED);
    let start = timers.now()?;
    let cancelled = set(&mut timers, &mut due, &mut random, start)?;
    timers.arm()?;
    let (mut single, mut periodic, mut last) = (0, 0, 0);
    while single + cancelled < SINGLE {
        signal::wait();
        let now = timers.now()?;
        while let Some(expired) = timers.next_expired(now)? {
            let place = due.get_mut(expired.number).ok_or(Error::Invalid)?;
            let time = core::mem::take(place);
            check("it is pending", time != 0)?;
            check("it is not early", time <= now)?;
            check("it is in order", time >= last)?;
            last = time;
            if expired.number < SINGLE {
                single += 1;
            } else {
                periodic += expired.times;
                *place = time + PERIOD * expired.times;
            }
        }
        // What repeats may be late, and the next one on time.
        last = 0;
    }
    let now = timers.now()?;
    let expected = (now - start) / PERIOD * PERIODIC as u64;
    check("what repeats has come as often as it should", periodic.abs_diff(expected) <= PERIODIC as u64)?;
    log!(
        "{SINGLE} timeouts, {cancelled} cancelled, {single} came in order and none early; {PERIODIC} repeated {periodic} times"
    );
    Ok(())
}

/// Sets all timeouts, moves every third one and cancels every fourth one. Returns how many are cancelled.
fn set(timers: &mut Timers<'_, COUNT>, due: &mut [u64; COUNT], random: &mut Rng, start: u64) -> Result<usize, Error> {
    let queue = timers.queue();
    let mut cancelled = 0;
    for (number, place) in due.iter_mut().enumerate() {
        if number >= SINGLE {
            *place = start + PERIOD;
            queue.set_periodic(number, *place, PERIOD).map_err(|_| Error::Invalid)?;
            continue;
        }
        for _ in 0..if number % 3 == 0 { 2 } else { 1 } {
            *place = start + FIRST + random.u64(0..SPREAD);
            queue.set_once(number, *place).map_err(|_| Error::Invalid)?;
        }
        if number % 4 == 0 {
            check("it could be cancelled", queue.cancel(number))?;
            *place = 0;
            cancelled += 1;
        }
    }
    Ok(cancelled)
}

fn check(what: &str, right: bool) -> Result<(), Error> {
    if right {
        return Ok(());
    }
    log!("wrong: {what}");
    Err(Error::Invalid)
}
