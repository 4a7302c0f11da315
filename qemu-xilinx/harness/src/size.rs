//! Sizes as people write them: `4096`, `"256K"`, `"2M"`, `"4G"`.

use std::fmt;

use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};

/// A number of bytes.
///
/// In TOML it is an integer or a string of an integer with an optional suffix `K`, `M` or `G`
/// (powers of 1024).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Size(pub u64);

impl Size {
    /// Reads `text`; `None` if it is no size or does not fit 64 bits.
    ///
    /// ```
    /// use zelkova_harness::size::Size;
    /// assert_eq!(Size::parse("16K"), Some(Size(16384)));
    /// assert_eq!(Size::parse("16k"), None);
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        let (digits, unit) = match text.as_bytes().last()? {
            b'K' => (text.strip_suffix('K')?, 1 << 10),
            b'M' => (text.strip_suffix('M')?, 1 << 20),
            b'G' => (text.strip_suffix('G')?, 1 << 30),
            _ => (text, 1),
        };
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        digits.parse::<u64>().ok()?.checked_mul(unit).map(Self)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (shift, suffix) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
            if self.0 >= 1 << shift && self.0.trailing_zeros() >= shift {
                return write!(f, "{} {suffix}", self.0 >> shift);
            }
        }
        write!(f, "{} bytes", self.0)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size: bytes, or a string like \"256K\", \"2M\", \"4G\"")
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Size, E> {
                u64::try_from(value)
                    .map(Size)
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(value), &self))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Size, E> {
                Ok(Size(value))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Size, E> {
                Size::parse(value).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(value), &self))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_are_powers_of_1024() {
        for (text, bytes) in [("0", 0), ("512", 512), ("1K", 1024), ("3M", 3 << 20), ("4G", 4 << 30)] {
            assert_eq!(Size::parse(text), Some(Size(bytes)), "{text}");
        }
        for text in ["", "K", "1T", "-1", "1.5M", "+1", "99999999999G"] {
            assert_eq!(Size::parse(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_in_the_largest_whole_unit() {
        assert_eq!(Size(1 << 20).to_string(), "1 MiB");
        assert_eq!(Size(1536).to_string(), "1536 bytes");
        assert_eq!(Size(0).to_string(), "0 bytes");
    }
}
