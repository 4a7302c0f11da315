//! The state machine: it knows registers and time, and neither sessions nor the kernel.

use core::num::NonZeroU32;

use mmio::Registers;
use tock_registers::interfaces::{Readable, Writeable};

use crate::registers::{CLOCK_CONTROL, COUNT, COUNTER_CONTROL, INTERRUPT, Page};

/// Largest power of two that the clock can be divided by.
const LARGEST_EXPONENT: u32 = 16;
/// Most ticks from zero to zero: the interval register holds one less.
const MOST_TICKS: u64 = 0x1_0000;

/// A period that the counter cannot have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeriodError {
    /// It is less than two ticks of the input clock.
    #[error("a period of {0} microseconds is too short for the clock")]
    TooShort(u32),
    /// It is more than the counter reaches at its slowest.
    #[error("a period of {0} microseconds is too long for the counter")]
    TooLong(u32),
}

/// The driver of the counter.
#[derive(Debug)]
pub struct Driver<B> {
    page: Page<B>,
    input_clock: NonZeroU32,
    events: u32,
}

impl<B: Registers> Driver<B> {
    /// Takes the device over and stops it, whatever it was doing.
    ///
    /// `input_clock` is the rate of its clock in hertz.
    pub fn new(block: B, input_clock: NonZeroU32) -> Self {
        let driver = Self { page: Page::new(block), input_clock, events: 0 };
        driver.stop();
        driver
    }

    /// Makes an event happen every `period` microseconds, and counts from zero.
    ///
    /// # Errors
    /// [`PeriodError`]; the counter then is as it was.
    pub fn start(&mut self, period: u32) -> Result<(), PeriodError> {
        let (exponent, ticks) = divide(self.input_clock, period)?;
        self.stop();
        self.events = 0;
        let prescaler = match exponent.checked_sub(1) {
            None => 0,
            Some(value) => (CLOCK_CONTROL::PRESCALE_ENABLE::SET + CLOCK_CONTROL::PRESCALE_VALUE.val(value)).value,
        };
        self.page.clock_control().set(prescaler);
        self.page.interval().write(COUNT::VALUE.val(ticks - 1));
        self.page.interrupt_enable().write(INTERRUPT::INTERVAL::SET);
        self.page
            .counter_control()
            .write(COUNTER_CONTROL::INTERVAL::SET + COUNTER_CONTROL::RESET::SET + COUNTER_CONTROL::WAVE_DISABLE::SET);
        Ok(())
    }

    /// Stops the counter; what it has counted stays.
    pub fn stop(&self) {
        self.page.counter_control().write(COUNTER_CONTROL::DISABLE::SET + COUNTER_CONTROL::WAVE_DISABLE::SET);
        self.page.interrupt_enable().set(0);
        self.page.take_interrupts().get();
    }

    /// Handles an interrupt, after which the device's line is low. There may be none pending.
    pub fn handle_interrupt(&mut self) {
        if self.page.take_interrupts().is_set(INTERRUPT::INTERVAL) {
            self.events = self.events.wrapping_add(1);
        }
    }

    /// Events since the start.
    pub fn events(&self) -> u32 {
        self.events
    }
}

/// By which power of two the clock is divided, and how many ticks of it are a period. The smallest divider has the finest ticks.
fn divide(clock: NonZeroU32, period: u32) -> Result<(u32, u32), PeriodError> {
    let cycles = u64::from(clock.get()) * u64::from(period) / 1_000_000;
    if cycles < 2 {
        return Err(PeriodError::TooShort(period));
    }
    let exponent = (0..=LARGEST_EXPONENT).find(|exponent| cycles >> exponent <= MOST_TICKS);
    let exponent = exponent.ok_or(PeriodError::TooLong(period))?;
    // At most the most ticks, and at least one.
    Ok((exponent, (cycles >> exponent) as u32))
}
