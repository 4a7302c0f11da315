//! The multiplexed pins, MIO 0 to 53 (UG585 chapter 2.5 and appendix B.28, `MIO_PIN_00` to `MIO_PIN_53`).
//!
//! Each pin has a register in the SLCR that says what it is connected to and what its buffer is like. Four multiplexers in a row choose the function: the first
//! three pass the choice on when they are 0, and everything here is at the fourth, `L3_SEL`.

#![allow(missing_docs, reason = "the bit field macro makes items of its own; each field is described")]

use tock_registers::register_bitfields;

use crate::slcr;

/// Number of pins.
pub const PINS: u32 = 54;

register_bitfields![u32,
    /// A pin.
    pub MIO_PIN [
        /// Set: the pin never drives.
        TRI_ENABLE OFFSET(0) NUMBITS(1) [],
        /// All four multiplexers.
        FUNCTION OFFSET(1) NUMBITS(7) [],
        /// Edges of the output.
        SPEED OFFSET(8) NUMBITS(1) [
            Slow = 0,
            Fast = 1
        ],
        /// Voltage and kind of the buffer.
        IO_TYPE OFFSET(9) NUMBITS(3) [
            Lvcmos18 = 1,
            Lvcmos25 = 2,
            Lvcmos33 = 3,
            Hstl = 4
        ],
        /// A resistor to the supply.
        PULLUP OFFSET(12) NUMBITS(1) [],
        /// Switches the receiver of HSTL off.
        DISABLE_RECEIVER OFFSET(13) NUMBITS(1) []
    ]
];

/// What a pin can be connected to, as far as this system uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// The GPIO controller's pin of the same number.
    Gpio,
    /// I2C controller 0: clock on even pins, data on odd ones.
    I2c0,
    /// I2C controller 1.
    I2c1,
}

/// Offset of a pin's register in the SLCR.
pub const fn register(pin: u32) -> Option<usize> {
    if pin < PINS { Some(slcr::MIO_PIN_00 + 4 * pin as usize) } else { None }
}

/// What a pin's field [`const@MIO_PIN::FUNCTION`] must be for a function; `None` if the pin does not have that.
///
/// From pin 10 on, two pins in turn can be controller 0 and controller 1 (UG585 table 2-4).
pub const fn select(pin: u32, function: Function) -> Option<u32> {
    const L3: u32 = 4;
    const I2C: u32 = 0b010 << L3;
    match function {
        Function::Gpio if pin < PINS => Some(0),
        Function::I2c0 if pin >= 10 && pin < PINS && pin % 4 >= 2 => Some(I2C),
        Function::I2c1 if pin >= 12 && pin < PINS && pin % 4 < 2 => Some(I2C),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    #[test]
    fn functions_are_where_the_table_has_them() {
        let pins = |function| (0..64).filter(|pin| select(*pin, function).is_some()).collect::<Vec<_>>();
        assert_eq!(pins(Function::Gpio), (0..54).collect::<Vec<_>>());
        let first = [10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31, 34, 35, 38, 39, 42, 43, 46, 47, 50, 51];
        assert_eq!(pins(Function::I2c0), first);
        let second = [12, 13, 16, 17, 20, 21, 24, 25, 28, 29, 32, 33, 36, 37, 40, 41, 44, 45, 48, 49, 52, 53];
        assert_eq!(pins(Function::I2c1), second);
        assert_eq!(MIO_PIN::FUNCTION.val(select(10, Function::I2c0).unwrap()).value, 0b010 << 5);
        assert_eq!((register(0), register(53), register(54)), (Some(0x700), Some(0x7d4), None));
    }
}
