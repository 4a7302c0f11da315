//! The memory: pads, controller, training (UG585 chapter 10.6).
//!
//! The controller powers the chips up and trains its PHY by itself once it leaves its reset
//! ([`zynq7000::setup::memory_controller`] tells how). It is waited for, asked whether the trainings ran out of time, and the memory is then
//! tried: training that ended at a wrong delay shows as words that do not come back.

use core::ops::Range;

use mmio::Registers;
use thiserror::Error;
use zynq7000::board::Board;
use zynq7000::memory::{DDRC, SLCR};
use zynq7000::setup::{self, SetupError};
use zynq7000::slcr;

use crate::clocks::apply;
use crate::time::{Time, wait};

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// The board's data are wrong.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The pads' impedance is not calibrated in time.
    #[error("the memory's pads are not calibrated; are the reference resistors there?")]
    Calibration,
    /// The controller stays in its initialization.
    #[error("the memory controller does not finish its initialization (operating mode 0)")]
    Initialization,
    /// A training took too long.
    #[error("training of the memory failed: write leveling {}, read gate or data eye {}", verdict(*write), verdict(*read))]
    Training {
        /// Write leveling timed out.
        write: bool,
        /// Gate or data eye training timed out.
        read: bool,
    },
    /// A word does not read back.
    #[error("the memory at {address:#010x} reads {found:#010x}, not {expected:#010x} as written")]
    Test {
        /// Where.
        address: u32,
        /// What was written.
        expected: u32,
        /// What was read.
        found: u32,
    },
}

fn verdict(failed: bool) -> &'static str {
    if failed { "timed out" } else { "fine" }
}

/// Memory that can be reached once it is started.
pub trait Ram {
    /// Where it is. Begins at 0 with the board's memory.
    fn range(&self) -> Range<u32>;

    /// Loads the word at `address`, which is aligned and within the range, from the chip itself.
    fn load(&self, address: u32) -> u32;

    /// Stores to the word at `address`, which is aligned and within the range, in the chip itself.
    fn store(&mut self, address: u32, value: u32);

    /// The bytes of `range`; `None` if it is not within the memory.
    fn bytes(&mut self, range: Range<u32>) -> Option<&mut [u8]>;

    /// Copies the bytes of `from` to `to` and behind. Whether both are within the memory.
    #[must_use]
    fn copy(&mut self, from: Range<u32>, to: u32) -> bool;
}

/// Bit of `DDRIOB_DCI_STATUS`: calibrated.
const CALIBRATED: u32 = 1 << 13;
/// Registers of the controller.
const CONTROL: usize = 0x000;
const MODE_STATUS: usize = 0x054;
const TRAINING: usize = 0x0b0;
/// Bit of the control register: out of reset.
const RUN: u32 = 1;
/// Bits of the mode status: operating mode, 0 while it initializes.
const MODE: u32 = 7;
/// Bits of the training control: write leveling and read training timed out.
const WRITE_ERROR: u32 = 1 << 24;
const READ_ERROR: u32 = 1 << 25;

/// How long the calibration of the pads may take, in microseconds.
const CALIBRATION_TIME: u64 = 10_000;
/// How long the controller may take: 0.7 ms for powering up the chips, and 7.9 ms for each of three trainings.
const INITIALIZATION_TIME: u64 = 100_000;

/// Starts the memory, once its clocks run.
///
/// # Errors
/// [`Fault`]
pub fn start(slcr: &impl Registers, ddrc: &impl Registers, board: &Board, time: &impl Time) -> Result<(), Fault> {
    for write in setup::memory_pads(board) {
        apply(slcr, SLCR.registers.base, write);
    }
    for write in setup::memory_controller(board)? {
        apply(ddrc, DDRC.registers.base, write);
    }
    if !wait(time, CALIBRATION_TIME, || slcr.read(slcr::DDRIOB_DCI_STATUS) & CALIBRATED != 0) {
        return Err(Fault::Calibration);
    }
    ddrc.write(CONTROL, ddrc.read(CONTROL) | RUN);
    let is_up = wait(time, INITIALIZATION_TIME, || ddrc.read(MODE_STATUS) & MODE != 0);
    let training = ddrc.read(TRAINING);
    let (write, read) = (training & WRITE_ERROR != 0, training & READ_ERROR != 0);
    if write || read {
        return Err(Fault::Training { write, read });
    }
    if !is_up {
        return Err(Fault::Initialization);
    }
    Ok(())
}

/// Tries the memory: each data line with a word at its start, and each address line with a word at each power of two.
///
/// # Errors
/// [`Fault::Test`]
pub fn test(ram: &mut impl Ram) -> Result<(), Fault> {
    let Range { start, end } = ram.range();
    let check = |ram: &dyn Fn() -> u32, address, expected| match ram() {
        found if found == expected => Ok(()),
        found => Err(Fault::Test { address, expected, found }),
    };
    for bit in 0..32 {
        for pattern in [1 << bit, !(1 << bit)] {
            ram.store(start, pattern);
            check(&|| ram.load(start), start, pattern)?;
        }
    }
    let places = || (2..32).map(|bit| 1_u32 << bit).filter(move |offset| *offset < end - start);
    let word = |offset: u32| 0x5a00_0000 ^ offset.wrapping_mul(0x9e37_79b1);
    ram.store(start, word(0));
    for offset in places() {
        ram.store(start + offset, word(offset));
    }
    for offset in places().chain([0]) {
        check(&|| ram.load(start + offset), start + offset, word(offset))?;
    }
    Ok(())
}
