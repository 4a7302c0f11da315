//! What the registers of an ADV7511 say about its output.
//!
//! The transmitter is powered down after reset and whenever its hot plug input is low; then most of its registers are reset as well. It
//! shows a picture when software has powered it up, has written the values that the programming guide says must be written, and has chosen
//! an input format that fits what arrives (ADV7511 Programming Guide, "Quick Start Guide" and chapters 4.2 and 4.3). On the ZedBoard that
//! is YCbCr 4:2:2 on 16 pins with separate syncs, whatever the frames in memory are: the PL converts, and the transmitter converts back.

/// Registers of the ADV7511, by address.
pub type Registers = [u8; 256];

/// Power down is bit 6 (Programming Guide, register 0x41).
const POWER: usize = 0x41;
const POWER_DOWN: u8 = 1 << 6;
/// Hot plug detected is bit 6 (register 0x42).
const STATUS: usize = 0x42;
const HOT_PLUG: u8 = 1 << 6;
/// Input format is bits 3:0 (register 0x15): 1 is YCbCr 4:2:2 of 16, 20 or 24 bits with separate syncs.
const INPUT_ID: usize = 0x15;
const YCBCR_422: u8 = 1;
/// Register 0x16: output format (bits 7:6, 0 is 4:4:4), colour depth (5:4, 3 is 8 bits), input style (3:2, 2 is style 1).
const INPUT_STYLE: usize = 0x16;
const EIGHT_BIT_STYLE_1: u8 = 0b0011_1000;
const STYLE_MASK: u8 = 0b1111_1100;
/// The colour space converter is on: bit 7 (register 0x18).
const CONVERTER: usize = 0x18;
const CONVERTER_ON: u8 = 1 << 7;
/// "Must be set" registers of the quick start guide: address, mask, value.
const FIXED: [(usize, u8, u8); 7] = [
    (0x98, 0xFF, 0x03),
    (0x9A, 0xE0, 0xE0),
    (0x9C, 0xFF, 0x30),
    (0x9D, 0x03, 0x01),
    (0xA2, 0xFF, 0xA4),
    (0xA3, 0xFF, 0xA4),
    (0xE0, 0xFF, 0xD0),
];

/// Why no picture comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Dark {
    /// No monitor is plugged in.
    #[error("no hot plug: register 0x42 bit 6 is 0")]
    Unplugged,
    /// Powered down.
    #[error("powered down: register 0x41 bit 6 is 1")]
    PoweredDown,
    /// A register that must have a fixed value has another.
    #[error("register {0:#04x} has not the value that the programming guide demands")]
    Fixed(u8),
    /// The input format is not the one that arrives.
    #[error("input format {0} (register 0x15) is not YCbCr 4:2:2 with separate syncs, which is 1")]
    Input(u8),
    /// Output format, colour depth or pins do not fit.
    #[error("register 0x16 is {0:#04x}: not 4:4:4 output of 8 bits from input style 1")]
    Style(u8),
    /// YCbCr would be shown as RGB.
    #[error("the colour space converter is off: register 0x18 bit 7 is 0")]
    Colours,
}

/// Whether what arrives at the pins comes out as a picture.
///
/// # Errors
/// [`Dark`] with the first reason why not.
pub fn check(registers: &Registers) -> Result<(), Dark> {
    let register = |address: usize| registers.get(address).copied().unwrap_or(0);
    if register(STATUS) & HOT_PLUG == 0 {
        return Err(Dark::Unplugged);
    }
    if register(POWER) & POWER_DOWN != 0 {
        return Err(Dark::PoweredDown);
    }
    for (address, mask, value) in FIXED {
        if register(address) & mask != value {
            return Err(Dark::Fixed(address as u8));
        }
    }
    if register(INPUT_ID) & 0x0F != YCBCR_422 {
        return Err(Dark::Input(register(INPUT_ID) & 0x0F));
    }
    if register(INPUT_STYLE) & STYLE_MASK != EIGHT_BIT_STYLE_1 {
        return Err(Dark::Style(register(INPUT_STYLE)));
    }
    if register(CONVERTER) & CONVERTER_ON == 0 {
        return Err(Dark::Colours);
    }
    Ok(())
}
