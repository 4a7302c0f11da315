//! Clock rates from register values (UG585 chapter 25), and what devicetrees call clocks and
//! resets.
//!
//! The crystal clock `PS_CLK` feeds three phase locked loops. The ARM PLL makes the processors'
//! clocks, which keep a fixed ratio: 6:3:2:1 or 4:2:2:1. The slowest of them, `cpu_1x`, is the bus
//! clock of the peripherals and what the timers count. Most controllers have a reference clock
//! besides, which is one of the loops divided by a number of their own; the SD controllers share
//! theirs, and so do the UARTs. Each clock of a controller has a gate.

use thiserror::Error;
use tock_registers::LocalRegisterCopy;

use crate::slcr::{self, BOOT_MODE_PINS, CLK_621, CLK_CTRL, PLL_CTRL};

/// A phase locked loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pll {
    /// For the processors.
    Arm,
    /// For the DDR memory.
    Ddr,
    /// For the peripherals.
    Io,
}

/// Why a clock has no rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ClockError {
    /// The loop it is made from is off.
    #[error("the {0:?} PLL is held in reset or powered down")]
    PllOff(Pll),
    /// The register at this offset divides by zero.
    #[error("the SLCR register at {0:#x} has a divisor of zero")]
    NoDivisor(usize),
    /// The rate does not fit 32 bits; the registers were never set up.
    #[error("the {0:?} PLL would run at more than 4 GHz; its feedback divisor is not set up")]
    TooFast(Pll),
}

/// The values of all registers that rates depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockRegisters {
    /// [`slcr::ARM_PLL_CTRL`]
    pub arm_pll_ctrl: u32,
    /// [`slcr::DDR_PLL_CTRL`]
    pub ddr_pll_ctrl: u32,
    /// [`slcr::IO_PLL_CTRL`]
    pub io_pll_ctrl: u32,
    /// [`slcr::ARM_CLK_CTRL`]
    pub arm_clk_ctrl: u32,
    /// [`slcr::CLK_621_TRUE`]
    pub clk_621_true: u32,
    /// [`slcr::SDIO_CLK_CTRL`]
    pub sdio_clk_ctrl: u32,
    /// [`slcr::UART_CLK_CTRL`]
    pub uart_clk_ctrl: u32,
    /// [`slcr::BOOT_MODE`]
    pub boot_mode: u32,
}

impl ClockRegisters {
    /// Their values after power-on (UG585 appendix B.28), with a boot mode that does not bypass the
    /// loops.
    pub const RESET: Self = Self {
        arm_pll_ctrl: 0x0001_a008,
        ddr_pll_ctrl: 0x0001_a008,
        io_pll_ctrl: 0x0001_a008,
        arm_clk_ctrl: 0x1f00_0400,
        clk_621_true: 1,
        sdio_clk_ctrl: 0x0000_1e03,
        uart_clk_ctrl: 0x0000_3f03,
        boot_mode: 0,
    };

    /// Gets each value from `read`, which takes the offset in the SLCR page.
    pub fn read(mut read: impl FnMut(usize) -> u32) -> Self {
        Self {
            arm_pll_ctrl: read(slcr::ARM_PLL_CTRL),
            ddr_pll_ctrl: read(slcr::DDR_PLL_CTRL),
            io_pll_ctrl: read(slcr::IO_PLL_CTRL),
            arm_clk_ctrl: read(slcr::ARM_CLK_CTRL),
            clk_621_true: read(slcr::CLK_621_TRUE),
            sdio_clk_ctrl: read(slcr::SDIO_CLK_CTRL),
            uart_clk_ctrl: read(slcr::UART_CLK_CTRL),
            boot_mode: read(slcr::BOOT_MODE),
        }
    }

    /// Output of a loop in hertz, given `PS_CLK` in hertz.
    ///
    /// # Errors
    /// [`ClockError`] if the loop is off or its rate is nonsense.
    pub fn pll(&self, pll: Pll, ps_clk: u32) -> Result<u32, ClockError> {
        let value = match pll {
            Pll::Arm => self.arm_pll_ctrl,
            Pll::Ddr => self.ddr_pll_ctrl,
            Pll::Io => self.io_pll_ctrl,
        };
        let control = LocalRegisterCopy::<u32, PLL_CTRL::Register>::new(value);
        let by_pin = control.is_set(PLL_CTRL::BYPASS_QUAL) && BOOT_MODE_PINS::PLL_BYPASS.is_set(self.boot_mode);
        if control.is_set(PLL_CTRL::BYPASS_FORCE) || by_pin {
            return Ok(ps_clk);
        }
        if control.is_set(PLL_CTRL::RESET) || control.is_set(PLL_CTRL::POWER_DOWN) {
            return Err(ClockError::PllOff(pll));
        }
        ps_clk.checked_mul(control.read(PLL_CTRL::FDIV)).ok_or(ClockError::TooFast(pll))
    }

    /// The processors' clock in hertz, given `PS_CLK` in hertz.
    ///
    /// # Errors
    /// [`ClockError`]
    pub fn cpu_6x4x(&self, ps_clk: u32) -> Result<u32, ClockError> {
        let control = LocalRegisterCopy::new(self.arm_clk_ctrl);
        let pll = match control.read(CLK_CTRL::SRCSEL) {
            2 => Pll::Ddr,
            3 => Pll::Io,
            _ => Pll::Arm,
        };
        self.divide(pll, control, slcr::ARM_CLK_CTRL, ps_clk)
    }

    /// The bus clock of the peripherals and input of the timers in hertz, given `PS_CLK` in hertz.
    ///
    /// # Errors
    /// [`ClockError`]
    pub fn cpu_1x(&self, ps_clk: u32) -> Result<u32, ClockError> {
        let ratio = if CLK_621::RATIO.is_set(self.clk_621_true) { 6 } else { 4 };
        Ok(self.cpu_6x4x(ps_clk)? / ratio)
    }

    /// Reference clock of the SD controllers in hertz, given `PS_CLK` in hertz.
    ///
    /// # Errors
    /// [`ClockError`]
    pub fn sdio_ref(&self, ps_clk: u32) -> Result<u32, ClockError> {
        self.peripheral(self.sdio_clk_ctrl, slcr::SDIO_CLK_CTRL, ps_clk)
    }

    /// Reference clock of the UARTs in hertz, given `PS_CLK` in hertz.
    ///
    /// # Errors
    /// [`ClockError`]
    pub fn uart_ref(&self, ps_clk: u32) -> Result<u32, ClockError> {
        self.peripheral(self.uart_clk_ctrl, slcr::UART_CLK_CTRL, ps_clk)
    }

    fn peripheral(&self, value: u32, offset: usize, ps_clk: u32) -> Result<u32, ClockError> {
        let control = LocalRegisterCopy::new(value);
        let pll = match control.read(CLK_CTRL::SRCSEL) {
            2 => Pll::Arm,
            3 => Pll::Ddr,
            _ => Pll::Io,
        };
        self.divide(pll, control, offset, ps_clk)
    }

    fn divide(
        &self,
        pll: Pll,
        control: LocalRegisterCopy<u32, CLK_CTRL::Register>,
        offset: usize,
        ps_clk: u32,
    ) -> Result<u32, ClockError> {
        let divisor = control.read(CLK_CTRL::DIVISOR);
        self.pll(pll, ps_clk)?.checked_div(divisor).ok_or(ClockError::NoDivisor(offset))
    }
}

/// A clock of a controller, by the identifier of the devicetree binding `xlnx,ps7-clkc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Clock {
    /// `cpu_1x`
    Cpu1x = 6,
    /// Reference clock of SD controller 0
    Sdio0 = 21,
    /// Reference clock of SD controller 1
    Sdio1 = 22,
    /// Reference clock of UART 0
    Uart0 = 23,
    /// Reference clock of UART 1
    Uart1 = 24,
    /// Bus clock of SD controller 0
    Sdio0Aper = 32,
    /// Bus clock of SD controller 1
    Sdio1Aper = 33,
    /// Bus clock of I2C controller 0
    I2c0Aper = 38,
    /// Bus clock of I2C controller 1
    I2c1Aper = 39,
    /// Bus clock of UART 0
    Uart0Aper = 40,
    /// Bus clock of UART 1
    Uart1Aper = 41,
    /// Bus clock of the GPIO controller
    GpioAper = 42,
}

impl Clock {
    /// All clocks that are known here.
    pub const ALL: [Self; 12] = [
        Self::Cpu1x,
        Self::Sdio0,
        Self::Sdio1,
        Self::Uart0,
        Self::Uart1,
        Self::Sdio0Aper,
        Self::Sdio1Aper,
        Self::I2c0Aper,
        Self::I2c1Aper,
        Self::Uart0Aper,
        Self::Uart1Aper,
        Self::GpioAper,
    ];

    /// The clock with this identifier.
    pub fn from_id(id: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|&clock| clock as u32 == id)
    }

    /// Offset of the register that gates the clock, and the gate's bit: set, the clock runs. `None`
    /// if it always does.
    pub const fn gate(self) -> Option<(usize, u32)> {
        Some(match self {
            Self::Cpu1x => return None,
            Self::Sdio0 => (slcr::SDIO_CLK_CTRL, 1 << 0),
            Self::Sdio1 => (slcr::SDIO_CLK_CTRL, 1 << 1),
            Self::Uart0 => (slcr::UART_CLK_CTRL, 1 << 0),
            Self::Uart1 => (slcr::UART_CLK_CTRL, 1 << 1),
            Self::Sdio0Aper => (slcr::APER_CLK_CTRL, 1 << 10),
            Self::Sdio1Aper => (slcr::APER_CLK_CTRL, 1 << 11),
            Self::I2c0Aper => (slcr::APER_CLK_CTRL, 1 << 18),
            Self::I2c1Aper => (slcr::APER_CLK_CTRL, 1 << 19),
            Self::Uart0Aper => (slcr::APER_CLK_CTRL, 1 << 20),
            Self::Uart1Aper => (slcr::APER_CLK_CTRL, 1 << 21),
            Self::GpioAper => (slcr::APER_CLK_CTRL, 1 << 22),
        })
    }

    /// The rate in hertz when the gate is open, given `PS_CLK` in hertz.
    ///
    /// # Errors
    /// [`ClockError`]
    pub fn rate(self, registers: &ClockRegisters, ps_clk: u32) -> Result<u32, ClockError> {
        match self {
            Self::Sdio0 | Self::Sdio1 => registers.sdio_ref(ps_clk),
            Self::Uart0 | Self::Uart1 => registers.uart_ref(ps_clk),
            _ => registers.cpu_1x(ps_clk),
        }
    }
}

/// A reset of a controller, by the identifier of the devicetree binding `xlnx,zynq-reset`: 32 times
/// the number of the register, counted from [`slcr::RESETS`], plus the bit.
///
/// Only resets of the peripherals that are handed to components exist here; those of the memory
/// controller, the interconnect or the whole chip do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reset(u32);

impl Reset {
    const fn at(register: usize, bit: u32) -> Self {
        Self((register - slcr::RESETS) as u32 / 4 * 32 + bit)
    }

    /// All resets that are known here.
    pub const ALL: [Self; 11] = [
        Self::at(slcr::SDIO_RST_CTRL, 0),
        Self::at(slcr::SDIO_RST_CTRL, 1),
        Self::at(slcr::SDIO_RST_CTRL, 4),
        Self::at(slcr::SDIO_RST_CTRL, 5),
        Self::at(slcr::I2C_RST_CTRL, 0),
        Self::at(slcr::I2C_RST_CTRL, 1),
        Self::at(slcr::UART_RST_CTRL, 0),
        Self::at(slcr::UART_RST_CTRL, 1),
        Self::at(slcr::UART_RST_CTRL, 2),
        Self::at(slcr::UART_RST_CTRL, 3),
        Self::at(slcr::GPIO_RST_CTRL, 0),
    ];

    /// The reset with this identifier.
    pub fn from_id(id: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|reset| reset.0 == id)
    }

    /// The identifier.
    pub const fn id(self) -> u32 {
        self.0
    }

    /// Offset of the reset register, and the bit: set, the controller is held in reset.
    pub const fn bit(self) -> (usize, u32) {
        (slcr::RESETS + self.0 as usize / 32 * 4, 1 << (self.0 % 32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PS_CLK: u32 = 33_333_333;

    /// What the ZedBoard's published start-up code programs.
    const ZEDBOARD: ClockRegisters = ClockRegisters {
        arm_pll_ctrl: 0x0002_8008,
        ddr_pll_ctrl: 0x0002_0008,
        io_pll_ctrl: 0x0001_e008,
        arm_clk_ctrl: 0x1f00_0200,
        clk_621_true: 1,
        sdio_clk_ctrl: 0x0000_1401,
        uart_clk_ctrl: 0x0000_1402,
        boot_mode: 5,
    };

    /// Within a hertz for each unit of the factor that `PS_CLK` was rounded for.
    fn is(rate: Result<u32, ClockError>, expected: u32) -> bool {
        rate.is_ok_and(|rate| rate.abs_diff(expected) <= 20)
    }

    #[test]
    fn zedboard() {
        assert!(is(ZEDBOARD.pll(Pll::Arm, PS_CLK), 1_333_333_333));
        assert!(is(ZEDBOARD.pll(Pll::Ddr, PS_CLK), 1_066_666_667));
        assert!(is(ZEDBOARD.pll(Pll::Io, PS_CLK), 1_000_000_000));
        assert!(is(ZEDBOARD.cpu_6x4x(PS_CLK), 666_666_667));
        assert!(is(ZEDBOARD.cpu_1x(PS_CLK), 111_111_111));
        assert!(is(ZEDBOARD.sdio_ref(PS_CLK), 50_000_000));
        assert!(is(ZEDBOARD.uart_ref(PS_CLK), 50_000_000));
        assert!(is(Clock::Uart1.rate(&ZEDBOARD, PS_CLK), 50_000_000));
        assert!(is(Clock::GpioAper.rate(&ZEDBOARD, PS_CLK), 111_111_111));
    }

    #[test]
    fn after_power_on() {
        assert!(is(ClockRegisters::RESET.pll(Pll::Io, PS_CLK), 866_666_667));
        assert!(is(ClockRegisters::RESET.cpu_6x4x(PS_CLK), 216_666_667));
        assert!(is(ClockRegisters::RESET.sdio_ref(PS_CLK), 28_888_889));
        assert!(is(ClockRegisters::RESET.uart_ref(PS_CLK), 13_756_614));
    }

    #[test]
    fn the_other_ratio() {
        let registers = ClockRegisters { clk_621_true: 0, ..ZEDBOARD };
        assert!(is(registers.cpu_1x(PS_CLK), 166_666_667));
    }

    #[test]
    fn sources_are_coded_differently_for_processors_and_peripherals() {
        for (code, cpu, peripheral) in [
            (0, 1_333_333_333, 1_000_000_000),
            (1, 1_333_333_333, 1_000_000_000),
            (2, 1_066_666_667, 1_333_333_333),
            (3, 1_000_000_000, 1_066_666_667),
        ] {
            let control = 0x400 | code << 4;
            let registers =
                ClockRegisters { arm_clk_ctrl: control, uart_clk_ctrl: control, sdio_clk_ctrl: control, ..ZEDBOARD };
            assert!(is(registers.cpu_6x4x(PS_CLK), cpu / 4));
            assert!(is(registers.uart_ref(PS_CLK), peripheral / 4));
            assert!(is(registers.sdio_ref(PS_CLK), peripheral / 4));
        }
    }

    #[test]
    fn bypassed_loops_pass_the_crystal_clock_through() {
        let forced = ClockRegisters { io_pll_ctrl: 0x0001_e010, ..ZEDBOARD };
        assert_eq!(forced.pll(Pll::Io, PS_CLK), Ok(PS_CLK));
        let by_pin = ClockRegisters { boot_mode: 0x15, ..ZEDBOARD };
        assert_eq!(by_pin.pll(Pll::Io, PS_CLK), Ok(PS_CLK));
        let pin_ignored = ClockRegisters { io_pll_ctrl: 0x0001_e000, ..by_pin };
        assert!(is(pin_ignored.pll(Pll::Io, PS_CLK), 1_000_000_000));
    }

    #[test]
    fn nonsense_is_an_error() {
        let off = ClockRegisters { io_pll_ctrl: 0x0001_e001, ..ZEDBOARD };
        assert_eq!(off.uart_ref(PS_CLK), Err(ClockError::PllOff(Pll::Io)));
        let down = ClockRegisters { arm_pll_ctrl: 0x0002_8002, ..ZEDBOARD };
        assert_eq!(down.cpu_1x(PS_CLK), Err(ClockError::PllOff(Pll::Arm)));
        let undivided = ClockRegisters { sdio_clk_ctrl: 1, ..ZEDBOARD };
        assert_eq!(undivided.sdio_ref(PS_CLK), Err(ClockError::NoDivisor(slcr::SDIO_CLK_CTRL)));
        let fast = ClockRegisters { io_pll_ctrl: 0x7_f000, ..ZEDBOARD };
        assert_eq!(fast.uart_ref(60_000_000), Err(ClockError::TooFast(Pll::Io)));
    }

    #[test]
    fn read_asks_for_the_right_registers() {
        let registers = ClockRegisters::read(|offset| match offset {
            0x100 => ZEDBOARD.arm_pll_ctrl,
            0x104 => ZEDBOARD.ddr_pll_ctrl,
            0x108 => ZEDBOARD.io_pll_ctrl,
            0x120 => ZEDBOARD.arm_clk_ctrl,
            0x150 => ZEDBOARD.sdio_clk_ctrl,
            0x154 => ZEDBOARD.uart_clk_ctrl,
            0x1c4 => ZEDBOARD.clk_621_true,
            0x25c => ZEDBOARD.boot_mode,
            _ => panic!("no clock register: {offset:#x}"),
        });
        assert_eq!(registers, ZEDBOARD);
    }

    #[test]
    fn identifiers_are_those_of_the_bindings() {
        assert_eq!(Clock::from_id(24), Some(Clock::Uart1));
        assert_eq!(Clock::from_id(41), Some(Clock::Uart1Aper));
        assert_eq!(Clock::from_id(0), None);
        for (id, register, bit) in [(192, 0x218, 0), (196, 0x218, 4), (288, 0x224, 0), (323, 0x228, 3), (352, 0x22c, 0)]
        {
            let reset = Reset::from_id(id).unwrap();
            assert_eq!((reset.id(), reset.bit()), (id, (register, 1 << bit)));
        }
        // The whole chip, the memory controller, the interconnect, the on-chip memory.
        for id in [0, 32, 64, 448, u32::MAX] {
            assert_eq!(Reset::from_id(id), None);
        }
    }
}
