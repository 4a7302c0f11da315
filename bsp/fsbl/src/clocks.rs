//! Pins, loops and clocks (UG585 chapters 2.5 and 25.10).
//!
//! The values come from the board's data ([`zynq7000::setup`]). Here is the order: a loop is bypassed while it gets its settings and is reset, so that
//! everything that runs on it goes on, slowly; the bypass is taken away once it is locked. The processors' own divisor changes under
//! the bypass.

use mmio::Registers;
use thiserror::Error;
use zynq7000::board::Board;
use zynq7000::clocks::Pll;
use zynq7000::memory::SLCR;
use zynq7000::setup::{self, SetupError, Write};
use zynq7000::slcr;

use crate::time::{Time, wait};

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// The board's data are wrong.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The SLCR does not let itself be written to.
    #[error("the system level control registers stay write protected")]
    Locked,
    /// A loop does not lock. The manual gives it 60 us.
    #[error("the {0:?} PLL does not lock; is PS_CLK the board's?")]
    NoLock(Pll),
}

const BYPASS: u32 = 1 << 4;
const RESET: u32 = 1 << 0;

/// How long a loop may take to lock, in microseconds.
const LOCK_TIME: u64 = 1_000;

/// Performs a write to a register of the block at `base`.
pub(crate) fn apply(block: &impl Registers, base: u32, write: Write) {
    let offset = write.address.wrapping_sub(base) as usize;
    let before = if write.mask == u32::MAX { 0 } else { block.read(offset) };
    block.write(offset, write.apply(before));
}

/// Sets up pins, loops and clocks.
///
/// # Errors
/// [`Fault`]
pub fn start(slcr: &impl Registers, board: &Board, time: &impl Time) -> Result<(), Fault> {
    slcr.write(slcr::UNLOCK, slcr::UNLOCK_KEY);
    if slcr.read(slcr::LOCK_STATUS) & 1 != 0 {
        return Err(Fault::Locked);
    }
    let base = SLCR.registers.base;
    for write in setup::pins(board) {
        apply(slcr, base, write);
    }
    start_loop(slcr, board, Pll::Arm, time, || {
        for write in setup::cpu_clock(board)? {
            apply(slcr, base, write);
        }
        Ok(())
    })?;
    start_loop(slcr, board, Pll::Ddr, time, || Ok(()))?;
    for write in setup::memory_clocks(board)? {
        apply(slcr, base, write);
    }
    start_loop(slcr, board, Pll::Io, time, || Ok(()))?;
    for write in setup::clocks(board)? {
        apply(slcr, base, write);
    }
    Ok(())
}

/// Restarts a loop; `divide` changes what is divided from it before it is used.
fn start_loop(
    slcr: &impl Registers,
    board: &Board,
    pll: Pll,
    time: &impl Time,
    divide: impl FnOnce() -> Result<(), SetupError>,
) -> Result<(), Fault> {
    let settings = setup::pll(board, pll)?;
    let base = SLCR.registers.base;
    let change = |set: u32, clear: u32| {
        let before = slcr.read(settings.control);
        slcr.write(settings.control, before & !clear | set);
    };
    change(BYPASS, 0);
    change(RESET, 0);
    apply(slcr, base, settings.config);
    apply(slcr, base, settings.feedback);
    change(0, RESET);
    if !wait(time, LOCK_TIME, || slcr.read(slcr::PLL_STATUS) & settings.locked != 0) {
        return Err(Fault::NoLock(pll));
    }
    divide()?;
    change(0, BYPASS);
    Ok(())
}
