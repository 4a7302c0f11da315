//! The driver against models of its device: the stub beside this file, and the one that the emulated board has.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod bench;

use std::num::NonZeroU32;

use bench::{Bench, Stub};
use models::Device;
use models::ttc::Ttc;
use zelkova_skeleton::{Driver, PeriodError};

/// Rate of the models' clock in hertz.
const CLOCK: u32 = 100_000_000;
/// A millisecond in nanoseconds.
const MILLISECOND: u64 = 1_000_000;

fn driver<D: Device>(bench: &Bench<D>) -> Driver<&Bench<D>> {
    Driver::new(bench, NonZeroU32::new(CLOCK).unwrap())
}

/// Lets time pass and handles interrupts as they come.
fn run<D: Device>(bench: &Bench<D>, driver: &mut Driver<&Bench<D>>, nanoseconds: u64) {
    let end = bench.now() + nanoseconds;
    while bench.advance_to_interrupt(end) {
        driver.handle_interrupt();
        assert!(!bench.interrupt(), "a handled interrupt is gone");
    }
}

fn events_come_at_their_period<D: Device>(device: D) {
    let bench = Bench::new(device);
    let mut driver = driver(&bench);
    for period in [20, 1_000, 7_000, 300_000] {
        driver.start(period).unwrap();
        run(&bench, &mut driver, u64::from(period) * 1_000 * 100 + u64::from(period) * 500);
        assert!((99..=101).contains(&driver.events()), "{} events of {period} microseconds", driver.events());
    }
    driver.stop();
    let events = driver.events();
    run(&bench, &mut driver, 1_000 * MILLISECOND);
    assert_eq!(driver.events(), events, "none come after the stop");
}

fn what_was_left_running_is_stopped<D: Device>(device: D) {
    let bench = Bench::new(device);
    driver(&bench).start(1_000).unwrap();
    assert!(bench.advance_to_interrupt(bench.now() + 10 * MILLISECOND));
    let mut second = driver(&bench);
    run(&bench, &mut second, 10 * MILLISECOND);
    assert_eq!(second.events(), 0);
}

#[test]
fn the_stub_counts() {
    events_come_at_their_period(Stub::new(CLOCK));
    what_was_left_running_is_stopped(Stub::new(CLOCK));
}

#[test]
fn the_model_of_the_board_counts() {
    events_come_at_their_period(Ttc::new(CLOCK));
    what_was_left_running_is_stopped(Ttc::new(CLOCK));
}

#[test]
fn an_interrupt_that_is_none_is_not_counted() {
    let bench = Bench::new(Stub::new(CLOCK));
    let mut driver = driver(&bench);
    driver.start(1_000).unwrap();
    driver.handle_interrupt();
    assert_eq!(driver.events(), 0);
}

#[test]
fn a_period_that_is_refused_changes_nothing() {
    let bench = Bench::new(Stub::new(CLOCK));
    let mut driver = driver(&bench);
    driver.start(1_000).unwrap();
    assert_eq!(driver.start(0), Err(PeriodError::TooShort(0)));
    assert_eq!(driver.start(u32::MAX), Err(PeriodError::TooLong(u32::MAX)));
    run(&bench, &mut driver, 10 * MILLISECOND);
    assert!(driver.events() >= 9);
}
