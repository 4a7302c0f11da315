//! Clocks and resets of the blocks (UG585 chapters 25 and 26).

use std::fmt;

use super::{Slcr, offset};

/// A block whose clock and reset the SLCR controls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "they are called what the manual calls them")]
pub enum Block {
    Gpio,
    I2c0,
    I2c1,
    Uart0,
    Uart1,
    Sdio0,
    Sdio1,
    Spi0,
    Spi1,
    Can0,
    Can1,
    Gem0,
    Gem1,
    Usb0,
    Usb1,
    Qspi,
    Smc,
    Dmac,
    /// Both triple timer counters: there is no gate but that of the `CPU_1x` clock, and no reset.
    Ttc,
}

/// Where a block is gated.
struct Gates {
    /// Bit of `APER_CLK_CTRL`.
    bus_clock: Option<u32>,
    /// Register, bit of the bus side, bit of the side of the reference clock.
    reset: Option<(u32, u32, Option<u32>)>,
    /// Register and bit of the reference clock.
    reference: Option<(u32, u32, Clock)>,
}

impl Block {
    /// All blocks.
    pub const ALL: [Self; 19] = [
        Self::Gpio,
        Self::I2c0,
        Self::I2c1,
        Self::Uart0,
        Self::Uart1,
        Self::Sdio0,
        Self::Sdio1,
        Self::Spi0,
        Self::Spi1,
        Self::Can0,
        Self::Can1,
        Self::Gem0,
        Self::Gem1,
        Self::Usb0,
        Self::Usb1,
        Self::Qspi,
        Self::Smc,
        Self::Dmac,
        Self::Ttc,
    ];

    const fn gates(self) -> Gates {
        /// A block without a reference clock of its own.
        const fn bus(clock: u32, reset: u32, bit: u32) -> Gates {
            Gates { bus_clock: Some(clock), reset: Some((reset, bit, None)), reference: None }
        }
        match self {
            Self::Gpio => bus(22, offset::GPIO_RST_CTRL, 0),
            Self::I2c0 => bus(18, offset::I2C_RST_CTRL, 0),
            Self::I2c1 => bus(19, offset::I2C_RST_CTRL, 1),
            Self::Uart0 => Gates {
                bus_clock: Some(20),
                reset: Some((offset::UART_RST_CTRL, 0, Some(2))),
                reference: Some((offset::UART_CLK_CTRL, 0, Clock::Uart)),
            },
            Self::Uart1 => Gates {
                bus_clock: Some(21),
                reset: Some((offset::UART_RST_CTRL, 1, Some(3))),
                reference: Some((offset::UART_CLK_CTRL, 1, Clock::Uart)),
            },
            Self::Sdio0 => Gates {
                bus_clock: Some(10),
                reset: Some((offset::SDIO_RST_CTRL, 0, Some(4))),
                reference: Some((offset::SDIO_CLK_CTRL, 0, Clock::Sdio)),
            },
            Self::Sdio1 => Gates {
                bus_clock: Some(11),
                reset: Some((offset::SDIO_RST_CTRL, 1, Some(5))),
                reference: Some((offset::SDIO_CLK_CTRL, 1, Clock::Sdio)),
            },
            Self::Spi0 => Gates {
                bus_clock: Some(14),
                reset: Some((offset::SPI_RST_CTRL, 0, Some(2))),
                reference: Some((offset::SPI_CLK_CTRL, 0, Clock::Spi)),
            },
            Self::Spi1 => Gates {
                bus_clock: Some(15),
                reset: Some((offset::SPI_RST_CTRL, 1, Some(3))),
                reference: Some((offset::SPI_CLK_CTRL, 1, Clock::Spi)),
            },
            Self::Can0 => Gates {
                bus_clock: Some(16),
                reset: Some((offset::CAN_RST_CTRL, 0, None)),
                reference: Some((offset::CAN_CLK_CTRL, 0, Clock::Can)),
            },
            Self::Can1 => Gates {
                bus_clock: Some(17),
                reset: Some((offset::CAN_RST_CTRL, 1, None)),
                reference: Some((offset::CAN_CLK_CTRL, 1, Clock::Can)),
            },
            Self::Gem0 => Gates {
                bus_clock: Some(6),
                reset: Some((offset::GEM_RST_CTRL, 0, Some(6))),
                reference: Some((offset::GEM0_CLK_CTRL, 0, Clock::Gem0)),
            },
            Self::Gem1 => Gates {
                bus_clock: Some(7),
                reset: Some((offset::GEM_RST_CTRL, 1, Some(7))),
                reference: Some((offset::GEM1_CLK_CTRL, 0, Clock::Gem1)),
            },
            Self::Usb0 => bus(2, offset::USB_RST_CTRL, 0),
            Self::Usb1 => bus(3, offset::USB_RST_CTRL, 1),
            Self::Qspi => Gates {
                bus_clock: Some(23),
                reset: Some((offset::QSPI_RST_CTRL, 0, Some(1))),
                reference: Some((offset::QSPI_CLK_CTRL, 0, Clock::Qspi)),
            },
            Self::Smc => Gates {
                bus_clock: Some(24),
                reset: Some((offset::SMC_RST_CTRL, 0, Some(1))),
                reference: Some((offset::SMC_CLK_CTRL, 0, Clock::Smc)),
            },
            Self::Dmac => bus(0, offset::DMAC_RST_CTRL, 0),
            Self::Ttc => Gates { bus_clock: None, reset: None, reference: None },
        }
    }
}

/// Whether a block answers on the bus, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// It answers.
    Running,
    /// Its bus clock is off.
    ClockOff {
        /// The register that says so.
        register: &'static str,
        /// The bit, which is 0.
        bit: u32,
    },
    /// It is held in reset.
    InReset {
        /// The register that says so.
        register: &'static str,
        /// The bit, which is 1.
        bit: u32,
    },
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => f.write_str("running"),
            Self::ClockOff { register, bit } => write!(f, "its clock is off (slcr.{register} bit {bit} is 0)"),
            Self::InReset { register, bit } => write!(f, "it is held in reset (slcr.{register} bit {bit} is 1)"),
        }
    }
}

/// A clock that the SLCR makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Output of the ARM PLL.
    ArmPll,
    /// Output of the DDR PLL.
    DdrPll,
    /// Output of the I/O PLL.
    IoPll,
    /// `CPU_6x4x`: the processors.
    Cpu6x4x,
    /// `CPU_3x2x`: half of it; the private timers.
    Cpu3x2x,
    /// `CPU_2x`: interconnect.
    Cpu2x,
    /// `CPU_1x`: registers of the peripherals, I2C, GPIO, TTC.
    Cpu1x,
    /// `DDR_3x`: the memory.
    Ddr3x,
    /// `DDR_2x`: the memory controller's ports.
    Ddr2x,
    /// Calibration of the memory's I/O buffers.
    Dci,
    /// Reference clock of the SD controllers.
    Sdio,
    /// Reference clock of the UARTs.
    Uart,
    /// Reference clock of the SPI controllers.
    Spi,
    /// Reference clock of the CAN controllers.
    Can,
    /// Reference clock of Ethernet controller 0.
    Gem0,
    /// Reference clock of Ethernet controller 1.
    Gem1,
    /// Reference clock of the quad SPI controller.
    Qspi,
    /// Reference clock of the static memory controller.
    Smc,
    /// Configuration port of the programmable logic.
    Pcap,
    /// Trace port.
    Trace,
    /// `FCLKCLK0` to `FCLKCLK3`, to the programmable logic.
    Fclk(u8),
}

impl Slcr {
    /// Whether registers of the block answer.
    pub fn gate(&self, block: Block) -> Gate {
        let gates = block.gates();
        let clocks = self.register(offset::ARM_CLK_CTRL);
        if clocks >> 27 & 1 == 0 {
            return Gate::ClockOff { register: "ARM_CLK_CTRL", bit: 27 };
        }
        if let Some(bit) = gates.bus_clock
            && self.register(offset::APER_CLK_CTRL) >> bit & 1 == 0
        {
            return Gate::ClockOff { register: "APER_CLK_CTRL", bit };
        }
        if let Some((register, bit, _)) = gates.reset
            && self.register(register) >> bit & 1 != 0
        {
            return Gate::InReset { register: super::name(register), bit };
        }
        Gate::Running
    }

    /// Frequency of the block's reference clock in Hz: 0 if it is gated or that side of the block is held in reset, and
    /// that of `CPU_1x` for blocks that have no reference clock of their own.
    pub fn reference(&self, block: Block) -> u64 {
        let gates = block.gates();
        if let Some((register, _, Some(bit))) = gates.reset
            && self.register(register) >> bit & 1 != 0
        {
            return 0;
        }
        match gates.reference {
            None => self.frequency(Clock::Cpu1x),
            Some((register, bit, _)) if self.register(register) >> bit & 1 == 0 => 0,
            Some((.., clock)) => self.frequency(clock),
        }
    }

    /// Frequency of a clock in Hz, rounded down; 0 if it is off, or comes from outside. The gates of single blocks are
    /// not looked at: see [`Slcr::reference`].
    pub fn frequency(&self, clock: Clock) -> u64 {
        match clock {
            Clock::ArmPll => self.pll_output(0),
            Clock::DdrPll => self.pll_output(1),
            Clock::IoPll => self.pll_output(2),
            Clock::Cpu6x4x => self.processor(24, 1),
            Clock::Cpu3x2x => self.processor(25, 2),
            Clock::Cpu2x => self.processor(26, if self.six_to_one() { 3 } else { 2 }),
            Clock::Cpu1x => self.processor(27, if self.six_to_one() { 6 } else { 4 }),
            Clock::Ddr3x => self.memory(0, 20),
            Clock::Ddr2x => self.memory(1, 26),
            Clock::Dci => {
                let control = self.register(offset::DCI_CLK_CTRL);
                if control & 1 == 0 { 0 } else { divide(self.pll_output(1), field(control, 8) * field(control, 20)) }
            }
            Clock::Sdio => self.peripheral(offset::SDIO_CLK_CTRL, 3),
            Clock::Uart => self.peripheral(offset::UART_CLK_CTRL, 3),
            Clock::Spi => self.peripheral(offset::SPI_CLK_CTRL, 3),
            Clock::Can => divide(self.peripheral(offset::CAN_CLK_CTRL, 3), self.second(offset::CAN_CLK_CTRL)),
            Clock::Gem0 => divide(self.peripheral(offset::GEM0_CLK_CTRL, 1), self.second(offset::GEM0_CLK_CTRL)),
            Clock::Gem1 => divide(self.peripheral(offset::GEM1_CLK_CTRL, 1), self.second(offset::GEM1_CLK_CTRL)),
            Clock::Qspi => self.peripheral(offset::QSPI_CLK_CTRL, 1),
            Clock::Smc => self.peripheral(offset::SMC_CLK_CTRL, 1),
            Clock::Pcap => self.peripheral(offset::PCAP_CLK_CTRL, 1),
            Clock::Trace => self.peripheral(offset::DBG_CLK_CTRL, 1),
            Clock::Fclk(number @ 0..=3) => {
                let register = offset::FPGA0_CLK_CTRL + 0x10 * u32::from(number);
                divide(self.peripheral(register, 0), self.second(register))
            }
            Clock::Fclk(_) => 0,
        }
    }

    fn six_to_one(&self) -> bool {
        self.register(offset::CLK_621_TRUE) & 1 != 0
    }

    /// One of the processors' clocks: bit of its gate, ratio to the fastest one. The source select is the only one that
    /// names the ARM PLL first.
    fn processor(&self, gate: u32, ratio: u64) -> u64 {
        let control = self.register(offset::ARM_CLK_CTRL);
        if control >> gate & 1 == 0 {
            return 0;
        }
        let source = match control >> 4 & 3 {
            0 | 1 => 0,
            2 => 1,
            _ => 2,
        };
        divide(self.pll_output(source), field(control, 8) * ratio)
    }

    fn memory(&self, gate: u32, divisor: u32) -> u64 {
        let control = self.register(offset::DDR_CLK_CTRL);
        if control >> gate & 1 == 0 { 0 } else { divide(self.pll_output(1), field(control, divisor)) }
    }

    /// A clock with the usual register: gates in the bits `gates` (any of them opens it; none has no gate), source in
    /// bits 5 to 4, with bit 6 a clock from outside where the register has it, divisor in bits 13 to 8.
    fn peripheral(&self, register: u32, gates: u32) -> u64 {
        let control = self.register(register);
        if gates != 0 && control & gates == 0 || control >> 6 & 1 != 0 {
            return 0;
        }
        let source = match control >> 4 & 3 {
            0 | 1 => 2,
            2 => 0,
            _ => 1,
        };
        divide(self.pll_output(source), field(control, 8))
    }

    /// The second divisor of a register that has one.
    fn second(&self, register: u32) -> u64 {
        field(self.register(register), 20)
    }
}

fn field(register: u32, shift: u32) -> u64 {
    u64::from(register >> shift & 0x3F)
}

/// A divisor of 0 is not allowed; dividers pass the clock on undivided then.
fn divide(frequency: u64, divisor: u64) -> u64 {
    frequency / divisor.max(1)
}
