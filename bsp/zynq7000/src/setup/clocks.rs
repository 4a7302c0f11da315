//! Loops and clocks (UG585 chapter 25).

use super::{SetupError, Write, field};
use crate::board::{Board, BusClock};
use crate::clocks::Pll;
use crate::slcr;

/// What a phase locked loop is set up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PllSetup {
    /// Loop filter and lock detection: `PLL_CFG`.
    pub config: Write,
    /// Feedback divisor: `PLL_CTRL`. The register also has the bits for bypass and reset.
    pub feedback: Write,
    /// Offset of `PLL_CTRL` in the SLCR.
    pub control: usize,
    /// The loop's bit in `PLL_STATUS`.
    pub locked: u32,
}

/// For feedback divisors up to the first number: charge pump, resistor, lock count (UG585 table 25-6). The table begins at 13.
const FILTERS: [(u8, u32, u32, u32); 20] = [
    (13, 2, 6, 750),
    (14, 2, 6, 700),
    (15, 2, 6, 650),
    (16, 2, 10, 625),
    (17, 2, 10, 575),
    (18, 2, 10, 550),
    (19, 2, 10, 525),
    (20, 2, 12, 500),
    (21, 2, 12, 475),
    (22, 2, 12, 450),
    (23, 2, 12, 425),
    (25, 2, 12, 400),
    (26, 2, 12, 375),
    (28, 2, 12, 350),
    (30, 2, 12, 325),
    (33, 2, 2, 300),
    (36, 2, 2, 275),
    (40, 2, 2, 250),
    (47, 3, 12, 250),
    (66, 2, 4, 250),
];

/// Slowest and fastest rate of a loop of a chip of the slowest speed grade, in hertz (DS187 table 26).
const PLL_RATES: core::ops::RangeInclusive<u64> = 780_000_000..=1_600_000_000;

fn feedback(board: &Board, pll: Pll) -> u8 {
    match pll {
        Pll::Arm => board.clocks.arm_pll,
        Pll::Ddr => board.clocks.ddr_pll,
        Pll::Io => board.clocks.io_pll,
    }
}

fn rate(board: &Board, pll: Pll) -> u64 {
    u64::from(board.ps_clk) * u64::from(feedback(board, pll))
}

/// A loop's settings. They are written while it is bypassed and in reset; once out of reset it has to lock, within 60 us, before the bypass is
/// taken away (UG585, 25.10.4).
///
/// # Errors
/// If it cannot run at that rate.
pub fn pll(board: &Board, pll: Pll) -> Result<PllSetup, SetupError> {
    let divisor = feedback(board, pll);
    let filter = FILTERS.iter().find(|(last, ..)| divisor <= *last);
    let Some((_, pump, resistor, count)) = filter.filter(|_| divisor >= 13 && PLL_RATES.contains(&rate(board, pll)))
    else {
        return Err(SetupError::Pll(pll, divisor));
    };
    let (control, config, locked) = match pll {
        Pll::Arm => (slcr::ARM_PLL_CTRL, slcr::ARM_PLL_CFG, 1),
        Pll::Ddr => (slcr::DDR_PLL_CTRL, slcr::ARM_PLL_CFG + 4, 2),
        Pll::Io => (slcr::IO_PLL_CTRL, slcr::ARM_PLL_CFG + 8, 4),
    };
    Ok(PllSetup {
        config: Write::slcr(config, 0x003f_fff0, resistor << 4 | pump << 8 | count << 12),
        feedback: Write::slcr(control, 0x0007_f000, u32::from(divisor) << 12),
        control,
        locked,
    })
}

/// The processors' clocks from the ARM PLL, in the ratio 6:3:2:1. Written while the loop is bypassed, or once it is locked.
///
/// # Errors
/// If the divisor is not one that the clocks can have.
pub fn cpu_clock(board: &Board) -> Result<[Write; 2], SetupError> {
    let divisor = u32::from(board.clocks.cpu);
    if matches!(divisor, 0 | 1 | 3) {
        return Err(SetupError::Divisor { clock: "cpu_6x4x", divisor });
    }
    let divisor = field("ARM_CLK_CTRL.DIVISOR", i64::from(divisor), 8, 6)?;
    Ok([Write::slcr(slcr::ARM_CLK_CTRL, 0x1f00_3f30, 0x1f00_0000 | divisor), Write::slcr(slcr::CLK_621_TRUE, 1, 1)])
}

/// The memory's clocks and that of the pads' calibration, from the DDR PLL.
///
/// # Errors
/// If a divisor is not one that the clocks can have.
pub fn memory_clocks(board: &Board) -> Result<[Write; 2], SetupError> {
    let (three, two) = (i64::from(board.clocks.ddr_3x), i64::from(board.clocks.ddr_2x));
    if three == 0 || three % 2 != 0 {
        return Err(SetupError::Divisor { clock: "ddr_3x", divisor: three as u32 });
    }
    if two == 0 {
        return Err(SetupError::Divisor { clock: "ddr_2x", divisor: 0 });
    }
    let value = field("DDR_3XCLK_DIVISOR", three, 20, 6)? | field("DDR_2XCLK_DIVISOR", two, 26, 6)? | 3;
    let dci = two_stages("dci", rate(board, Pll::Ddr), board.clocks.dci)? | 1;
    Ok([Write::slcr(slcr::DDR_CLK_CTRL, 0xfff0_0003, value), Write::slcr(slcr::DCI_CLK_CTRL, 0x03f0_3f01, dci)])
}

/// All other clocks. Written once the IO PLL is locked.
///
/// # Errors
/// If a clock cannot be made.
pub fn clocks(board: &Board) -> Result<impl Iterator<Item = Write>, SetupError> {
    let clocks = &board.clocks;
    let source = rate(board, Pll::Io);
    let one = |name, hertz| -> Result<u32, SetupError> {
        let divisor = divisor(name, source, hertz)?;
        field(name, i64::from(divisor), 8, 6)
    };
    let gate = |clock: BusClock| u32::from(clocks.bus.contains(&clock));
    let ethernet = match clocks.ethernet {
        Some(hertz) => Some(two_stages("gem0", source, hertz)? | 1),
        None => None,
    };
    let logic = |index: usize| -> Result<Option<Write>, SetupError> {
        let Some(hertz) = clocks.logic.get(index).copied().flatten() else { return Ok(None) };
        let value = two_stages("fclk", source, hertz)?;
        Ok(Some(Write::slcr(slcr::FPGA0_CLK_CTRL + 0x10 * index, 0x03f0_3f30, value)))
    };
    let bus = clocks.bus.iter().fold(0, |bits, clock| bits | 1 << *clock as u32);
    Ok([
        Some(Write::slcr(slcr::GEM0_RCLK_CTRL, 0x11, u32::from(ethernet.is_some()))),
        Some(Write::slcr(slcr::GEM0_CLK_CTRL, 0x03f0_3f71, ethernet.unwrap_or(0))),
        Some(Write::slcr(slcr::LQSPI_CLK_CTRL, 0x3f31, one("lqspi", clocks.quad_spi)? | gate(BusClock::QuadSpi))),
        Some(Write::slcr(
            slcr::SDIO_CLK_CTRL,
            0x3f33,
            one("sdio", clocks.sd)? | gate(BusClock::Sd0) | gate(BusClock::Sd1) << 1,
        )),
        Some(Write::slcr(
            slcr::UART_CLK_CTRL,
            0x3f33,
            one("uart", clocks.uart)? | gate(BusClock::Uart0) | gate(BusClock::Uart1) << 1,
        )),
        Some(Write::slcr(slcr::PCAP_CLK_CTRL, 0x3f31, one("pcap", clocks.pcap)? | 1)),
        logic(0)?,
        logic(1)?,
        logic(2)?,
        logic(3)?,
        Some(Write::slcr(slcr::APER_CLK_CTRL, 0x01ff_cccd, bus)),
    ]
    .into_iter()
    .flatten())
}

/// By how much `source` has to be divided for at most `hertz`. A thousandth more is tolerated, so that rounded figures give the divisor
/// that they were rounded from.
fn divisor(clock: &'static str, source: u64, hertz: u32) -> Result<u32, SetupError> {
    let limit = u64::from(hertz) + u64::from(hertz) / 1000;
    match u32::try_from(source.checked_div(limit).map_or(u64::MAX, |_| source.div_ceil(limit))) {
        Ok(divisor @ 1..) => Ok(divisor),
        _ => Err(SetupError::Divisor { clock, divisor: 0 }),
    }
}

/// The two divisors, one behind the other, that give the fastest clock of at most `hertz`. The first is the larger.
fn two_stages(clock: &'static str, source: u64, hertz: u32) -> Result<u32, SetupError> {
    let least = divisor(clock, source, hertz)?;
    // Products of two numbers below 64 are never far apart.
    for product in least..=63 * 63 {
        if let Some(first) = (1..=63).rev().find(|first| product % first == 0 && product / first <= 63) {
            return Ok(first << 8 | (product / first) << 20);
        }
    }
    Err(SetupError::Divisor { clock, divisor: least })
}
