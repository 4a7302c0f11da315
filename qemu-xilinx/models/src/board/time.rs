//! Times as people write them: `"200ms"`, `"5us"`, `"1500ns"`, `"2s"`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A time or a span of time in the board's own time, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Time(pub u64);

/// A text is no time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no time; write a whole number and ns, us, ms or s, for instance \"200ms\"")]
pub struct TimeError {
    /// The text.
    pub text: String,
}

const UNITS: [(&str, u64); 4] = [("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)];

impl std::str::FromStr for Time {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let number = |(unit, factor): (&str, u64)| {
            let digits = text.strip_suffix(unit)?.trim_end();
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| digits.parse::<u64>().ok()?.checked_mul(factor)).flatten()
        };
        // "ms" also ends with "s", but then "m" is no digit.
        UNITS.into_iter().find_map(number).map(Self).ok_or_else(|| TimeError { text: text.to_owned() })
    }
}

impl TryFrom<String> for Time {
    type Error = TimeError;

    fn try_from(text: String) -> Result<Self, TimeError> {
        text.parse()
    }
}

impl From<Time> for String {
    fn from(time: Time) -> Self {
        time.to_string()
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = UNITS.into_iter().rev().find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor));
        match whole {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}ns", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written() {
        for (text, nanoseconds) in
            [("0ns", 0), ("7ns", 7), ("5us", 5_000), ("200ms", 200_000_000), ("2s", 2_000_000_000)]
        {
            assert_eq!(text.parse(), Ok(Time(nanoseconds)));
            assert_eq!(Time(nanoseconds).to_string(), text);
        }
        assert_eq!("3 ms".parse(), Ok(Time(3_000_000)));
        assert_eq!(Time(1_500_000).to_string(), "1500us");
        for text in ["", "5", "ms", "-1ms", "1.5ms", "1min", "99999999999999s"] {
            assert!(text.parse::<Time>().is_err(), "{text}");
        }
    }
}
