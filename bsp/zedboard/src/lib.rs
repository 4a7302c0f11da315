//! Facts about the ZedBoard.
//!
//! The source is the ZedBoard hardware user's guide, if nothing else is named. What a device manager needs to know at run
//! time is in the devicetree [`DEVICETREE`]; the constants and the [`BOARD`] here are for what runs or is built
//! before there is one.

#![no_std]
#![forbid(unsafe_code)]

use zynq7000::board::{
    Board, BusClock, CardSlot, Clocks, Console, Function, Lane, Memory, Pads, PinGroup, Pins, Reference, Timing,
    Voltage,
};

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
    /// Clock and data of I2C controller 0 on connector JE: its pins 2 and 3.
    pub const I2C0: [u32; 2] = [10, 11];
    /// Clock and data of I2C controller 1 on connector JE: its pins 4 and 1.
    pub const I2C1: [u32; 2] = [12, 13];
}

/// The board for start-up code.
///
/// | what | source |
/// |---|---|
/// | `ps_clk`, LED, card slot, console, pins, voltages | hardware user's guide 1.1, chapters 2.1 to 2.10, and its table of MIO pins |
/// | rates | the fastest of speed grade -1 (DS187): processors 667 MHz, memory 533 MHz; controllers as in UG585 table 25-1 |
/// | chips | hardware user's guide 2.1.1: two chips of 128 Mi words of 16 bits |
/// | times of the chips | data sheet of MT41K128M16 in the speed bin -15E (DDR3-1333), latencies for DDR3-1066 (JESD79-3, bin 1066F) |
/// | reference, pads, delays on the board | the board's preset for the vendor's design tool, in which lanes are counted alike |
pub const BOARD: Board = Board {
    name: "ZedBoard",
    ps_clk: PS_CLK,
    clocks: Clocks {
        arm_pll: 40,
        ddr_pll: 32,
        io_pll: 30,
        cpu: 2,
        ddr_3x: 2,
        ddr_2x: 3,
        dci: 10_158_730,
        ethernet: Some(125_000_000),
        quad_spi: 200_000_000,
        sd: 50_000_000,
        uart: 50_000_000,
        pcap: 200_000_000,
        logic: [Some(100_000_000), Some(142_857_143), Some(50_000_000), Some(50_000_000)],
        bus: &[
            BusClock::Dma,
            BusClock::Usb0,
            BusClock::Usb1,
            BusClock::Ethernet0,
            BusClock::Sd0,
            BusClock::I2c0,
            BusClock::I2c1,
            BusClock::Uart1,
            BusClock::Gpio,
            BusClock::QuadSpi,
            BusClock::StaticMemory,
        ],
    },
    memory: Memory {
        part: "MT41K128M16 x 2",
        rows: 14,
        columns: 10,
        timing: Timing {
            cas_latency: 7,
            cas_write_latency: 6,
            row_to_column: 7,
            precharge: 7,
            row_cycle: 49_500,
            row_active: 36_000,
            four_activates: 45_000,
            row_to_row: 10_000,
            refresh_cycle: 160_000,
        },
        reference: Reference::Internal,
        pads: Pads { address: 0x0018_c61c, others: 0x00f9_861c },
        lanes: [
            Lane { strobe_to_clock: 25, board: 410 },
            Lane { strobe_to_clock: 28, board: 411 },
            Lane { strobe_to_clock: -9, board: 341 },
            Lane { strobe_to_clock: -61, board: 358 },
        ],
    },
    pins: Pins {
        bank_0: Voltage::V33,
        bank_1: Voltage::V18,
        groups: &[
            PinGroup::new(0, 0, Function::Gpio),
            PinGroup::new(1, 6, Function::QuadSpi).fast(),
            PinGroup::new(7, 7, Function::Gpio),
            PinGroup::new(8, 8, Function::Gpio).fast(),
            PinGroup::new(9, 15, Function::Gpio),
            PinGroup::new(16, 21, Function::EthernetOut).fast(),
            PinGroup::new(22, 27, Function::EthernetIn).fast(),
            PinGroup::new(28, 28, Function::Usb).fast(),
            PinGroup::new(29, 29, Function::UsbIn).fast(),
            PinGroup::new(30, 30, Function::Usb).fast(),
            PinGroup::new(31, 31, Function::UsbIn).fast(),
            PinGroup::new(32, 35, Function::Usb).fast(),
            PinGroup::new(36, 36, Function::UsbIn).fast(),
            PinGroup::new(37, 39, Function::Usb).fast(),
            PinGroup::new(40, 45, Function::Sd).fast(),
            PinGroup::new(46, 47, Function::Input),
            PinGroup::new(48, 48, Function::UartOut),
            PinGroup::new(49, 49, Function::UartIn),
            PinGroup::new(50, 51, Function::Input),
            PinGroup::new(52, 53, Function::Mdio),
        ],
    },
    led: Some(mio::LED as u8),
    console: Console { uart: 1, baud: CONSOLE_BAUD },
    card: CardSlot { detect: mio::SD_CARD_DETECT as u8, protect: Some(mio::SD_WRITE_PROTECT as u8) },
};

const _: () = assert!(BOARD.memory.size() == RAM);
