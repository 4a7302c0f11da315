//! The rate of the clock line.
//!
//! fSCL = input clock / (22 * (a + 1) * (b + 1)), with a of 2 bits and b of 6 (UG585 chapter 20.2.4). The controller holds the clock low for too short a time at
//! the nominal rates: 4.7 us and 1.3 us are kept up to 90 kHz and 384.6 kHz only.

use serde::Deserialize;

/// A mode of the bus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speed {
    /// Standard mode, nominally 100 kHz.
    #[default]
    Standard,
    /// Fast mode, nominally 400 kHz.
    Fast,
}

impl Speed {
    /// The highest rate of the clock line that keeps the mode's times, in Hz.
    pub const fn limit(self) -> u32 {
        match self {
            Self::Standard => 90_000,
            Self::Fast => 384_600,
        }
    }
}

/// A divider of the controller's input clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Divisors {
    /// First divisor, 1 to 4.
    pub a: u32,
    /// Second divisor, 1 to 64.
    pub b: u32,
}

const STAGE: u32 = 22;

impl Divisors {
    /// The divisors for the fastest clock line that `speed` allows, from an input clock in Hz; `None` if the input clock is too fast to be divided so far.
    pub fn new(input_clock: u32, speed: Speed) -> Option<Self> {
        let rate = |divisors: &Self| divisors.rate(input_clock);
        (1..=4)
            .flat_map(|a| (1..=64).map(move |b| Self { a, b }))
            .filter(|divisors| rate(divisors) <= speed.limit())
            .max_by_key(rate)
    }

    /// The rate of the clock line in Hz, rounded up.
    pub const fn rate(self, input_clock: u32) -> u32 {
        input_clock.div_ceil(STAGE * self.a * self.b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_stay_below_the_limit_and_near_it() {
        for clock in [111_111_110, 133_333_333, 100_000_000, 36_111_110] {
            for speed in [Speed::Standard, Speed::Fast] {
                let divisors = Divisors::new(clock, speed).unwrap();
                assert!((1..=4).contains(&divisors.a) && (1..=64).contains(&divisors.b));
                let rate = divisors.rate(clock);
                assert!(rate <= speed.limit() && rate > speed.limit() / 4 * 3, "{clock} {speed:?} {rate}");
            }
        }
        assert_eq!(Divisors::new(u32::MAX, Speed::Standard), None);
    }
}
