//! Facts about the ZedBoard.
//!
//! The source is the ZedBoard hardware user's guide. What a device manager needs to know at run
//! time is in the devicetree [`DEVICETREE`]; the constants here are for what runs or is built
//! before there is one.

#![no_std]
#![forbid(unsafe_code)]

/// The devicetree's source text. The device tree compiler `dtc` makes the blob of it that
/// components read.
pub const DEVICETREE: &str = include_str!("../zedboard.dts");

/// Rate of the crystal clock `PS_CLK` in hertz: 33.333333 MHz.
pub const PS_CLK: u32 = 33_333_333;

/// DDR3 memory at address 0, in bytes: 512 MiB.
pub const RAM: u32 = 512 << 20;

/// Baud rate of the console on UART 1.
pub const CONSOLE_BAUD: u32 = 115_200;

/// What hangs on the multiplexed pins (MIO) of the processing system.
pub mod mio {
    use core::ops::RangeInclusive;

    /// LED LD9. The pin can only drive.
    pub const LED: u32 = 7;
    /// SD card slot on SD controller 0: clock, command, data 0 to 3.
    pub const SD: RangeInclusive<u32> = 40..=45;
    /// Write protect switch of the SD card slot.
    pub const SD_WRITE_PROTECT: u32 = 46;
    /// Card detect switch of the SD card slot.
    pub const SD_CARD_DETECT: u32 = 47;
    /// Console: UART 1 transmit.
    pub const CONSOLE_TRANSMIT: u32 = 48;
    /// Console: UART 1 receive.
    pub const CONSOLE_RECEIVE: u32 = 49;
    /// Push buttons PB1 and PB2.
    pub const BUTTONS: RangeInclusive<u32> = 50..=51;
}
