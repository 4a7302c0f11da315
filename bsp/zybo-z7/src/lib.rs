//! Facts about the Zybo Z7 (the model with the 7Z020).
//!
//! The source is the Zybo Z7 reference manual, if nothing else is named. There is no devicetree here yet: nothing but start-up code
//! knows this board.

#![no_std]
#![forbid(unsafe_code)]

use zynq7000::board::{
    Board, BusClock, CardSlot, Clocks, Console, Function, Lane, Memory, Pads, PinGroup, Pins, Reference, Timing,
    Voltage,
};

/// The board for start-up code.
///
/// | what | source |
/// |---|---|
/// | `ps_clk`, LED, card slot, console, pins, voltages | reference manual, chapters 1 to 8, and its table of MIO pins |
/// | rates | the fastest of speed grade -1 (DS187): processors 667 MHz, memory 533 MHz; controllers as in UG585 table 25-1 |
/// | chips | reference manual 5: two chips of 256 Mi words of 16 bits |
/// | times of the chips | data sheet of MT41K256M16 in the speed bin -125 (DDR3L-1600), latencies for DDR3-1066 (JESD79-3, bin 1066F) |
/// | reference, pads, delays on the board | the board's preset for the vendor's design tool |
pub const BOARD: Board = Board {
    name: "Zybo Z7",
    ps_clk: 33_333_333,
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
        uart: 100_000_000,
        pcap: 200_000_000,
        logic: [Some(50_000_000), None, None, None],
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
        part: "MT41K256M16 x 2",
        rows: 15,
        columns: 10,
        timing: Timing {
            cas_latency: 7,
            cas_write_latency: 6,
            row_to_column: 7,
            precharge: 7,
            row_cycle: 48_750,
            row_active: 35_000,
            four_activates: 40_000,
            row_to_row: 10_000,
            refresh_cycle: 300_000,
        },
        reference: Reference::External,
        pads: Pads { address: 0x0018_c068, others: 0x00f9_8068 },
        lanes: [
            Lane { strobe_to_clock: -50, board: 221 },
            Lane { strobe_to_clock: -44, board: 222 },
            Lane { strobe_to_clock: -35, board: 217 },
            Lane { strobe_to_clock: -100, board: 244 },
        ],
    },
    pins: Pins {
        bank_0: Voltage::V33,
        bank_1: Voltage::V18,
        groups: &[
            PinGroup::new(0, 0, Function::Gpio).pulled_up(),
            PinGroup::new(1, 1, Function::QuadSpi).pulled_up(),
            PinGroup::new(2, 6, Function::QuadSpi),
            PinGroup::new(7, 7, Function::Gpio),
            PinGroup::new(8, 8, Function::QuadSpi),
            PinGroup::new(9, 15, Function::Gpio).pulled_up(),
            PinGroup::new(16, 21, Function::EthernetOut).fast().pulled_up(),
            PinGroup::new(22, 27, Function::EthernetIn).fast().pulled_up(),
            PinGroup::new(28, 28, Function::Usb).fast().pulled_up(),
            PinGroup::new(29, 29, Function::UsbIn).fast().pulled_up(),
            PinGroup::new(30, 30, Function::Usb).fast().pulled_up(),
            PinGroup::new(31, 31, Function::UsbIn).fast().pulled_up(),
            PinGroup::new(32, 35, Function::Usb).fast().pulled_up(),
            PinGroup::new(36, 36, Function::UsbIn).fast().pulled_up(),
            PinGroup::new(37, 39, Function::Usb).fast().pulled_up(),
            PinGroup::new(40, 45, Function::Sd).pulled_up(),
            PinGroup::new(46, 46, Function::Gpio).pulled_up(),
            PinGroup::new(47, 47, Function::Input).pulled_up(),
            PinGroup::new(48, 48, Function::UartOut).pulled_up(),
            PinGroup::new(49, 49, Function::UartIn).pulled_up(),
            PinGroup::new(50, 51, Function::Gpio).pulled_up(),
            PinGroup::new(52, 53, Function::Mdio).pulled_up(),
        ],
    },
    led: Some(7),
    console: Console { uart: 1, baud: 115_200 },
    card: CardSlot { detect: 47, protect: None },
};

/// DDR3 memory at address 0, in bytes: 1 GiB.
pub const RAM: u32 = 1 << 30;

const _: () = assert!(BOARD.memory.size() == RAM);
