//! A 64-bit clock and one deadline from two 16-bit counters.
//!
//! # The clock
//!
//! Counter 1 wraps around every 65,536 ticks. A wrap sets a bit in the counter's interrupt
//! register, and reading that register clears it: whoever reads it has to count the wrap. The
//! driver therefore reads the count first and the interrupt register second. If no wrap is
//! reported, none lies between the last one counted and the count that was read, so the two belong
//! together. Otherwise the wrap is counted and the count is read anew.
//!
//! This holds as long as the driver looks at the clock at least once in each [wrap
//! period](Driver::wrap_period): the interrupt sees to that, if the component runs within a wrap
//! period after it. A component that is kept from running for longer makes the clock lose whole
//! wrap periods; it still never goes back.
//!
//! # The deadline
//!
//! Counter 2 counts from zero to the value of its interval register and interrupts. The prescaler
//! is not restarted with the counter, so the first tick is shorter than the others; with an
//! interval of n ticks the interrupt comes after at least n ticks and at most n + 1. Deadlines
//! farther away than 65,535 ticks take several rounds: the interrupt comes early, nothing has
//! expired, and [`arm`](Driver::arm) starts the next round.

use core::num::NonZeroU32;

use mmio::Registers;
use tock_registers::interfaces::{Readable, Writeable};

use crate::registers::{CLOCK_CONTROL, COUNT, COUNTER_CONTROL, Counter, INTERRUPT, Page};

const CLOCK: Counter = Counter::One;
const DEADLINE: Counter = Counter::Two;

/// Times that reading the clock may find that the counter wrapped around meanwhile. Once is
/// common; more often means that the driver is interrupted for a wrap period each time.
const ATTEMPTS: usize = 4;

const MICROSECONDS: u64 = 1_000_000;

/// How far the input clock is divided before it is counted: by two to the power of 0 to 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prescaler(u8);

impl Prescaler {
    /// By 128: at 111.1 MHz a tick is 1.15 microseconds and the counter wraps around every 75
    /// milliseconds.
    pub const DEFAULT: Self = Self(7);

    /// Division by two to the power of `exponent`, or `None` if that is more than 16.
    pub const fn new(exponent: u8) -> Option<Self> {
        if exponent <= 16 { Some(Self(exponent)) } else { None }
    }

    fn bits(self) -> u32 {
        match self.0.checked_sub(1) {
            None => 0,
            Some(value) => {
                (CLOCK_CONTROL::PRESCALE_ENABLE::SET + CLOCK_CONTROL::PRESCALE_VALUE.val(u32::from(value))).value
            }
        }
    }
}

/// The driver of one triple timer counter. Times are microseconds since it was created.
#[derive(Debug)]
pub struct Driver<B> {
    page: Page<B>,
    input_clock: NonZeroU32,
    prescaler: Prescaler,
    wraps: u64,
    latest: u64,
}

impl<B: Registers> Driver<B> {
    /// Stops all counters and starts the clock.
    ///
    /// `input_clock` is the rate of `cpu_1x` in hertz.
    pub fn new(block: B, input_clock: NonZeroU32, prescaler: Prescaler) -> Self {
        let page = Page::new(block);
        for counter in Counter::ALL {
            page.counter_control(counter).write(COUNTER_CONTROL::DISABLE::SET + COUNTER_CONTROL::WAVE_DISABLE::SET);
            page.interrupt_enable(counter).set(0);
            page.take_interrupts(counter).get();
            page.clock_control(counter).set(prescaler.bits());
        }
        page.interrupt_enable(CLOCK).write(INTERRUPT::OVERFLOW::SET);
        page.counter_control(CLOCK).write(COUNTER_CONTROL::RESET::SET + COUNTER_CONTROL::WAVE_DISABLE::SET);
        Self { page, input_clock, prescaler, wraps: 0, latest: 0 }
    }

    /// Microseconds in which the counter of the clock wraps around once. The component must get to
    /// run at least so often.
    pub fn wrap_period(&self) -> u64 {
        self.microseconds(1 << 16)
    }

    /// The time.
    pub fn now(&mut self) -> u64 {
        let mut count = 0;
        for _ in 0..ATTEMPTS {
            count = self.page.count(CLOCK).read(COUNT::VALUE);
            if !self.page.take_interrupts(CLOCK).is_set(INTERRUPT::OVERFLOW) {
                break;
            }
            self.wraps += 1;
        }
        let ticks = (self.wraps << 16) | u64::from(count);
        self.latest = self.latest.max(self.microseconds(ticks));
        self.latest
    }

    /// Handles an interrupt of counter 1. There may be none pending, as [`now`](Self::now) takes it
    /// too.
    pub fn handle_clock_interrupt(&mut self) {
        self.now();
    }

    /// Handles an interrupt of counter 2: the deadline, or a part of the way to it, has passed.
    /// Look which timeouts have expired and [`arm`](Self::arm) again.
    pub fn handle_deadline_interrupt(&mut self) {
        self.stop();
    }

    /// Makes counter 2 interrupt at `deadline`, or, if that is farther away than the counter
    /// reaches, at the end of its reach. A deadline that has passed interrupts at once. Without a
    /// deadline, makes it stop.
    pub fn arm(&mut self, deadline: Option<u64>) {
        self.stop();
        let Some(deadline) = deadline else { return };
        let remaining = deadline.saturating_sub(self.now());
        let interval = self.ticks(remaining).clamp(1, u64::from(u16::MAX)) as u32;
        self.page.interval(DEADLINE).write(COUNT::VALUE.val(interval));
        self.page.interrupt_enable(DEADLINE).write(INTERRUPT::INTERVAL::SET);
        self.page
            .counter_control(DEADLINE)
            .write(COUNTER_CONTROL::INTERVAL::SET + COUNTER_CONTROL::RESET::SET + COUNTER_CONTROL::WAVE_DISABLE::SET);
    }

    fn stop(&self) {
        self.page.counter_control(DEADLINE).write(COUNTER_CONTROL::DISABLE::SET + COUNTER_CONTROL::WAVE_DISABLE::SET);
        self.page.interrupt_enable(DEADLINE).set(0);
        self.page.take_interrupts(DEADLINE).get();
    }

    /// Rounded down. In two steps, as the product of cycles and a million overflows within two
    /// days.
    fn microseconds(&self, ticks: u64) -> u64 {
        let cycles = ticks << self.prescaler.0;
        let rate = u64::from(self.input_clock.get());
        cycles / rate * MICROSECONDS + cycles % rate * MICROSECONDS / rate
    }

    /// Rounded up. Of what is longer than an hour, only the first hour counts: it is several rounds
    /// anyway.
    fn ticks(&self, microseconds: u64) -> u64 {
        let microseconds = microseconds.min(u64::from(u32::MAX));
        let scaled = microseconds * u64::from(self.input_clock.get());
        scaled.div_ceil(MICROSECONDS << self.prescaler.0)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use proptest::prelude::*;

    use super::*;
    use crate::bench::Ttc;

    const ZEDBOARD: u32 = 111_111_110;
    const EMULATOR: u32 = 133_000_000;

    fn driver(ttc: &Ttc, rate: u32, exponent: u8) -> Driver<&Ttc> {
        let prescaler = Prescaler::new(exponent).unwrap();
        Driver::new(ttc, NonZeroU32::new(rate).unwrap(), prescaler)
    }

    /// Exact time of the model since `start` in microseconds, in wide arithmetic.
    fn true_time(ttc: &Ttc, start: u64, rate: u32) -> u128 {
        u128::from(ttc.cycles() - start) * 1_000_000 / u128::from(rate)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// Each register access takes a random time, so that wraps fall between any two accesses.
        #[test]
        fn the_clock_is_right_wherever_the_wrap_falls(
            rate in prop_oneof![Just(ZEDBOARD), Just(EMULATOR)],
            exponent in 0..=16_u8,
            cost in 1..1000_u64,
            handled in any::<bool>(),
            gaps in prop::collection::vec(0..85_u64, 1..60),
        ) {
            let ttc = Ttc::new(cost);
            let mut driver = driver(&ttc, rate, exponent);
            let start = ttc.cycles_at_start();
            let tick = 1_000_000_u128 * (1 << exponent) / u128::from(rate) + 1;
            let mut latest = 0;
            for gap in gaps {
                ttc.advance((65_536 << exponent) * gap / 100);
                if handled && ttc.interrupts(Counter::One) {
                    driver.handle_clock_interrupt();
                }
                let before = true_time(&ttc, start, rate);
                let now = driver.now();
                let after = true_time(&ttc, start, rate);
                prop_assert!(u128::from(now) + tick >= before, "{now} is before {before}");
                prop_assert!(u128::from(now) <= after + tick, "{now} is after {after}");
                prop_assert!(now >= latest);
                latest = now;
            }
        }

        #[test]
        fn a_deadline_interrupts_in_time_and_not_early(
            rate in prop_oneof![Just(ZEDBOARD), Just(EMULATOR)],
            exponent in 4..=9_u8,
            phase in 0..70_000_u64,
            delay in 0..500_000_u64,
        ) {
            let ttc = Ttc::new(7);
            let mut driver = driver(&ttc, rate, exponent);
            ttc.advance(phase);
            let deadline = driver.now() + delay;
            let tick = driver.microseconds(1) + 2;
            driver.arm(Some(deadline));
            let mut rounds = 0;
            loop {
                while !ttc.interrupts(Counter::Two) {
                    if ttc.interrupts(Counter::One) {
                        driver.handle_clock_interrupt();
                    }
                    ttc.advance_to_event();
                }
                driver.handle_deadline_interrupt();
                prop_assert!(!ttc.interrupts(Counter::Two));
                let now = driver.now();
                if now >= deadline {
                    prop_assert!(now <= deadline + 3 * tick, "{now} is late for {deadline}");
                    break;
                }
                rounds += 1;
                prop_assert!(rounds <= 2 + delay / driver.wrap_period(), "too many rounds");
                driver.arm(Some(deadline));
            }
        }
    }

    #[test]
    fn a_wrap_between_count_and_status_is_not_counted_twice() {
        let ttc = Ttc::new(0);
        let mut driver = driver(&ttc, 1_000_000, 0);
        ttc.advance(0xffff);
        assert_eq!(driver.now(), 0xffff);
        // The count is read as 0xffff, and the counter wraps before the status is read.
        ttc.advance_after_next_read(1);
        assert_eq!(driver.now(), 0x1_0000);
        assert_eq!(driver.now(), 0x1_0000);
        ttc.advance(0x1_0000);
        assert_eq!(driver.now(), 0x2_0000);
    }

    #[test]
    fn no_deadline_means_no_interrupt() {
        let ttc = Ttc::new(1);
        let mut driver = driver(&ttc, ZEDBOARD, 4);
        driver.arm(Some(10));
        driver.arm(None);
        ttc.advance(1_000_000);
        assert!(!ttc.interrupts(Counter::Two));
    }

    #[test]
    fn a_deadline_in_the_past_interrupts_at_once() {
        let ttc = Ttc::new(1);
        let mut driver = driver(&ttc, ZEDBOARD, 4);
        ttc.advance(1_000_000);
        driver.arm(Some(1));
        ttc.advance(3 << 4);
        assert!(ttc.interrupts(Counter::Two));
    }

    #[test]
    fn years_do_not_overflow() {
        let ttc = Ttc::new(0);
        let mut driver = driver(&ttc, ZEDBOARD, 16);
        let year = 365 * 86_400 * u64::from(ZEDBOARD);
        driver.wraps = (100 * year) >> 32;
        let expected = 100 * 365 * 86_400 * 1_000_000_u64;
        assert!(driver.now().abs_diff(expected) < driver.wrap_period() + 1);
        driver.arm(Some(u64::MAX));
        assert!(Prescaler::new(17).is_none());
    }

    #[test]
    fn what_firmware_left_running_is_stopped() {
        let ttc = Ttc::new(1);
        {
            let page = Page::new(&ttc);
            page.interval(Counter::Three).set(10);
            page.interrupt_enable(Counter::Three).write(INTERRUPT::INTERVAL::SET);
            page.counter_control(Counter::Three).write(COUNTER_CONTROL::INTERVAL::SET);
        }
        ttc.advance(1000);
        assert!(ttc.interrupts(Counter::Three));
        let _driver = driver(&ttc, ZEDBOARD, 4);
        ttc.advance(1000);
        assert!(!ttc.interrupts(Counter::Three));
    }
}
