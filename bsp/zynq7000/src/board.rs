//! What start-up code has to know about a board.
//!
//! A board is data: a [`Board`] in a crate of its own, next to its devicetree, with the source of every figure. What
//! registers have to hold follows from it ([`setup`](crate::setup)). Nothing here is specific to one board, and no code
//! asks which one it runs on. How to add a board: `docs/boards.md`.

/// A board with a Zynq-7000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Board {
    /// What people call it.
    pub name: &'static str,
    /// Rate of the crystal clock `PS_CLK` in hertz: 30 to 60 MHz.
    pub ps_clk: u32,
    /// Loops and clocks.
    pub clocks: Clocks,
    /// The memory.
    pub memory: Memory,
    /// The multiplexed pins.
    pub pins: Pins,
    /// Pin (MIO) of the LED that start-up code may use, if there is one. It shines while the pin is high.
    pub led: Option<u8>,
    /// The console.
    pub console: Console,
    /// The slot on SD controller 0 that the board boots from.
    pub card: CardSlot,
}

/// Loops and clocks (UG585 chapter 25). All rates are in hertz.
///
/// A reference clock is made as fast as a whole divisor allows without exceeding the rate given here. All come from the
/// IO PLL, except for the processors' and the memory's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// Feedback divisor of the ARM PLL: its rate is so many times `ps_clk`.
    pub arm_pll: u8,
    /// Feedback divisor of the DDR PLL.
    pub ddr_pll: u8,
    /// Feedback divisor of the IO PLL.
    pub io_pll: u8,
    /// The processors' clock `cpu_6x4x` is the ARM PLL divided by this. Neither 1 nor 3.
    pub cpu: u8,
    /// The memory's clock `ddr_3x` is the DDR PLL divided by this. Even.
    pub ddr_3x: u8,
    /// The clock `ddr_2x` of the memory's ports is the DDR PLL divided by this.
    pub ddr_2x: u8,
    /// Calibration of the memory's pads, from the DDR PLL.
    pub dci: u32,
    /// Ethernet 0, if the board uses it.
    pub ethernet: Option<u32>,
    /// Quad SPI.
    pub quad_spi: u32,
    /// SD controllers.
    pub sd: u32,
    /// UARTs.
    pub uart: u32,
    /// The port that configures the programmable logic.
    pub pcap: u32,
    /// Clocks for the programmable logic, each if it is used.
    pub logic: [Option<u32>; 4],
    /// Controllers whose bus clock runs.
    pub bus: &'static [BusClock],
}

/// Bus clock of a controller, with its bit in `APER_CLK_CTRL` (UG585 appendix B.28).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum BusClock {
    /// DMA controller
    Dma = 0,
    /// USB 0
    Usb0 = 2,
    /// USB 1
    Usb1 = 3,
    /// Ethernet 0
    Ethernet0 = 6,
    /// Ethernet 1
    Ethernet1 = 7,
    /// SD controller 0
    Sd0 = 10,
    /// SD controller 1
    Sd1 = 11,
    /// SPI 0
    Spi0 = 14,
    /// SPI 1
    Spi1 = 15,
    /// CAN 0
    Can0 = 16,
    /// CAN 1
    Can1 = 17,
    /// I2C 0
    I2c0 = 18,
    /// I2C 1
    I2c1 = 19,
    /// UART 0
    Uart0 = 20,
    /// UART 1
    Uart1 = 21,
    /// GPIO
    Gpio = 22,
    /// Quad SPI
    QuadSpi = 23,
    /// Static memory controller
    StaticMemory = 24,
}

/// DDR3 memory on the whole bus of 32 bits, burst length 8, no additive latency, no error correction, one rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Marking of the chips.
    pub part: &'static str,
    /// Row address bits: 12 to 16.
    pub rows: u8,
    /// Column address bits, 10 with chips of 16 data lines.
    pub columns: u8,
    /// Times of the chips at the rate that the board runs them.
    pub timing: Timing,
    /// Where the pads get their reference voltage from.
    pub reference: Reference,
    /// Strength and slope of the pads.
    pub pads: Pads,
    /// Delays on the board, for each of the four bytes of the bus.
    pub lanes: [Lane; 4],
}

impl Memory {
    /// Bytes: eight banks of rows of columns of four bytes.
    pub const fn size(&self) -> u32 {
        1 << (self.rows + self.columns + 3 + 2)
    }
}

/// Times of DDR3 chips, in picoseconds where nothing else is said. What all DDR3 chips have in common is not here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// CAS latency, in clocks: 5 to 11.
    pub cas_latency: u8,
    /// CAS write latency, in clocks: 5 to 8.
    pub cas_write_latency: u8,
    /// tRCD: activate to read or write, in clocks.
    pub row_to_column: u8,
    /// tRP: precharge to activate, in clocks.
    pub precharge: u8,
    /// tRC: activate to activate in the same bank.
    pub row_cycle: u32,
    /// tRAS(min): activate to precharge.
    pub row_active: u32,
    /// tFAW: window of four activates.
    pub four_activates: u32,
    /// tRRD: activate to activate in another bank.
    pub row_to_row: u32,
    /// tRFC: refresh to activate.
    pub refresh_cycle: u32,
}

/// Where the memory's pads get their reference voltage from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// Made in the chip: 0.75 V, for memory at 1.5 V.
    Internal,
    /// From pins of the chip.
    External,
}

/// Strength and slope of the memory's pads, as registers want them. The manual reserves the fields and tells to take them from
/// the vendor's tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pads {
    /// `DDRIOB_DRIVE_SLEW_ADDR`
    pub address: u32,
    /// `DDRIOB_DRIVE_SLEW_DATA`, `_DIFF` and `_CLOCK`
    pub others: u32,
}

/// Delays of a byte of the memory bus, in picoseconds. They are where training begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane {
    /// How much later the clock arrives at the chip than the strobe.
    pub strobe_to_clock: i16,
    /// From controller to chip, mean of clock and data.
    pub board: u16,
}

/// Voltage of a bank of pins (LVCMOS).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voltage {
    /// 1.8 V
    V18,
    /// 2.5 V
    V25,
    /// 3.3 V
    V33,
}

/// The multiplexed pins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pins {
    /// Voltage of pins 0 to 15.
    pub bank_0: Voltage,
    /// Voltage of pins 16 to 53.
    pub bank_1: Voltage,
    /// What the pins do. Each of the 54 pins is in one group.
    pub groups: &'static [PinGroup],
}

/// Pins that are set up alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinGroup {
    /// The first pin.
    pub first: u8,
    /// The last pin.
    pub last: u8,
    /// What they do.
    pub function: Function,
    /// Fast edges.
    pub fast: bool,
    /// The chip pulls them up.
    pub pull_up: bool,
}

impl PinGroup {
    /// Pins `first` to `last` with slow edges and without pull-up.
    pub const fn new(first: u8, last: u8, function: Function) -> Self {
        Self { first, last, function, fast: false, pull_up: false }
    }

    /// The same with fast edges.
    #[must_use]
    pub const fn fast(self) -> Self {
        Self { fast: true, ..self }
    }

    /// The same with pull-ups.
    #[must_use]
    pub const fn pulled_up(self) -> Self {
        Self { pull_up: true, ..self }
    }
}

/// What a pin does (UG585 table 2-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// GPIO
    Gpio,
    /// GPIO, card detect or write protect, never driven
    Input,
    /// Quad SPI
    QuadSpi,
    /// Ethernet, transmitter
    EthernetOut,
    /// Ethernet, receiver
    EthernetIn,
    /// Management of the Ethernet PHY
    Mdio,
    /// USB, data and outputs
    Usb,
    /// USB, inputs
    UsbIn,
    /// I2C
    I2c,
    /// SD card
    Sd,
    /// UART, transmitter
    UartOut,
    /// UART, receiver
    UartIn,
}

impl Function {
    /// The bits of a pin's register: tristate (0) and the four levels of multiplexers (1, 2, 3 to 4, 5 to 7; UG585 appendix B.28).
    pub const fn bits(self) -> u32 {
        match self {
            Self::Gpio => 0x00,
            Self::Input => 0x01,
            Self::QuadSpi | Self::EthernetOut => 0x02,
            Self::EthernetIn => 0x03,
            Self::Usb => 0x04,
            Self::UsbIn => 0x05,
            Self::I2c => 0x40,
            Self::Mdio | Self::Sd => 0x80,
            Self::UartOut => 0xe0,
            Self::UartIn => 0xe1,
        }
    }
}

/// The console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Console {
    /// Which UART: 0 or 1.
    pub uart: u8,
    /// Its rate in baud.
    pub baud: u32,
}

/// The slot on SD controller 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CardSlot {
    /// Pin of the card detect switch. Any but 7 and 8.
    pub detect: u8,
    /// Pin of the write protect switch; `None` where the slot has none.
    pub protect: Option<u8>,
}
