//! From a clock and a baud rate to the two divisors of the controller.
//!
//! The reference clock is divided by CD, which gives the sampling clock, and that by BDIV + 1, the
//! number of samples for each bit (UG585 chapter 19.2.3): `baud = clock / (CD * (BDIV + 1))`.

use thiserror::Error;

/// Largest deviation from the rate asked for, in millionths. With ten bits a byte and the other
/// side being as far off in the other direction, the last bit is still sampled inside of its half.
const TOLERANCE: u64 = 20_000;

/// The controller cannot make a rate that is near enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no baud rate within 2 % of {baud} can be made of a clock of {clock} Hz; choose another")]
pub struct NoSuchRate {
    /// The rate asked for, in bits a second.
    pub baud: u32,
    /// The reference clock in hertz.
    pub clock: u32,
}

/// Values of the baud rate generator and the baud rate divider register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Divisors {
    /// CD: 1 to 65,535.
    pub clock: u16,
    /// BDIV: 4 to 255, the samples of each bit less one.
    pub samples: u8,
}

impl Divisors {
    /// The divisors that come nearest to `baud`, given the reference `clock` in hertz; among equals
    /// those with the fewest samples, as the manual's examples have it.
    ///
    /// # Errors
    /// [`NoSuchRate`] if the nearest rate is more than 2 % off.
    pub fn new(clock: u32, baud: u32) -> Result<Self, NoSuchRate> {
        let error = NoSuchRate { baud, clock };
        let mut best: Option<(u64, Self)> = None;
        for samples in 4..=u8::MAX {
            let sampling = u64::from(baud) * (u64::from(samples) + 1);
            let rounded = (u64::from(clock) + sampling / 2).checked_div(sampling).ok_or(error)?;
            let divisors = match u16::try_from(rounded) {
                Ok(divisor) if divisor > 0 => Self { clock: divisor, samples },
                _ => continue,
            };
            let product = sampling * rounded;
            let deviation = u64::from(clock).abs_diff(product) * 1_000_000 / product;
            if best.is_none_or(|(least, _)| deviation < least) {
                best = Some((deviation, divisors));
            }
        }
        match best {
            Some((deviation, divisors)) if deviation <= TOLERANCE => Ok(divisors),
            _ => Err(error),
        }
    }

    /// The rate these divisors make of `clock`, in bits a second, rounded down.
    pub fn rate(self, clock: u32) -> u32 {
        clock / (u32::from(self.clock).max(1) * (u32::from(self.samples) + 1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CLOCK: u32 = 50_000_000;

    /// Worked out by hand from the manual's equation.
    #[test]
    fn settings_for_a_50_mhz_clock() {
        assert_eq!(Divisors::new(CLOCK, 115_200), Ok(Divisors { clock: 62, samples: 6 }));
        for (divisors, rate) in [
            (Divisors { clock: 10_417, samples: 7 }, 599),
            (Divisors { clock: 651, samples: 7 }, 9_600),
            (Divisors { clock: 347, samples: 4 }, 28_818),
            (Divisors { clock: 62, samples: 6 }, 115_207),
            (Divisors { clock: 31, samples: 6 }, 230_414),
            (Divisors { clock: 9, samples: 11 }, 462_962),
            (Divisors { clock: 9, samples: 5 }, 925_925),
        ] {
            assert_eq!(divisors.rate(CLOCK), rate);
        }
    }

    #[test]
    fn no_setting_in_the_whole_range_is_nearer() {
        for baud in [600, 9_600, 28_800, 57_600, 115_200, 230_400, 460_800, 921_600] {
            let found = Divisors::new(CLOCK, baud).unwrap();
            let deviation = |divisors: Divisors| {
                let product = f64::from(divisors.clock) * (f64::from(divisors.samples) + 1.0);
                (f64::from(CLOCK) / product - f64::from(baud)).abs() / f64::from(baud)
            };
            let least = (4..=255)
                .flat_map(|samples| (1..=u16::MAX).map(move |clock| Divisors { clock, samples }))
                .map(deviation)
                .fold(f64::INFINITY, f64::min);
            assert!(deviation(found) <= least + 2e-6, "{baud}: {found:?}");
        }
    }

    #[test]
    fn impossible_rates_are_refused() {
        for baud in [0, 2, 11_000_000, u32::MAX] {
            assert_eq!(Divisors::new(CLOCK, baud), Err(NoSuchRate { baud, clock: CLOCK }));
        }
        assert!(Divisors::new(0, 115_200).is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_found_is_near(clock: u32, baud: u32) {
            if let Ok(divisors) = Divisors::new(clock, baud) {
                prop_assert!(divisors.clock >= 1 && divisors.samples >= 4);
                let product = f64::from(divisors.clock) * (f64::from(divisors.samples) + 1.0);
                let rate = f64::from(clock) / product;
                prop_assert!((rate / f64::from(baud) - 1.0).abs() < 0.0205);
            }
        }
    }
}
