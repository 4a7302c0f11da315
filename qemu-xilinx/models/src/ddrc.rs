//! Memory controller of the Zynq-7000.
//!
//! # How the hardware works
//!
//! The controller (UG585 chapter 10, appendix B.7) is set up while its reset is asserted; most registers are not to be changed afterwards. When the
//! reset is released, it waits, drives CKE high, loads the mode registers of the chips, and has its PHY train the delays that `reg_2c` enables:
//! write leveling, the gate for read strobes, the data eye. A training that finds no answer ends after the time in the same register and
//! sets an error bit there. Then the controller goes to normal operation, which `mode_sts_reg` tells, and answers at its ports.
//!
//! # What this module does
//!
//! [`Ddrc`] has the registers that the manual publishes, with reset values and writable bits, and the times that follow from
//! them. [`Ddrc::answers`] says whether there is memory at all: not before the initialization is over, and not while the clocks are off. Trainings can be made to fail
//! ([`Ddrc::break_training`]).
//!
//! # What it does not do
//!
//! It does not know the chips: wrong times, a wrong address map or wrong ratios change nothing. No error correction, no statistics, no
//! power-down or self-refresh, no arbitration.

use crate::complaints::Complaints;
use crate::{Device, Memory, Width};

/// Offset, reset value, writable bits of a register, and those of them that may be changed in operation (UG585 appendix B.7).
type Register = (u32, u32, u32, u32);

#[rustfmt::skip]
const REGISTERS: &[Register] = &[
    (0x000, 0x0000_0200, 0x0001_ffff, 0x0001_0003), (0x004, 0x000c_1076, 0x1fff_ffff, 0x0000_0fff),
    (0x008, 0x03c0_780f, 0x03ff_ffff, 0), (0x00c, 0x03c0_780f, 0x03ff_ffff, 0),
    (0x010, 0x0007_f80f, 0x03ff_ffff, 0), (0x014, 0x0004_1016, 0x001f_ffff, 0x0000_3fc0),
    (0x018, 0x351b_48d9, 0xffff_ffff, 0), (0x01c, 0x8301_5904, 0xffff_ffff, 0),
    (0x020, 0x2508_82d0, 0xffff_fffc, 0x001f_0000), (0x024, 0x0000_003c, 0x0fff_ffc3, 0x0000_000c),
    (0x028, 0x0000_2007, 0x0000_3fff, 0), (0x02c, 0x0000_0008, 0xffff_ffff, 0),
    (0x030, 0x0000_0940, 0xffff_ffff, 0), (0x034, 0x0002_0034, 0x13ff_3fff, 0),
    (0x038, 0x0000_0000, 0x0000_1fc3, 0x0000_0003), (0x03c, 0x0000_0f77, 0x000f_ffff, 0),
    (0x040, 0xfff0_0000, 0xffff_ffff, 0), (0x044, 0x0ff5_5555, 0x0fff_ffff, 0),
    (0x048, 0x0000_0249, 0x3fff_ffff, 0), (0x04c, 0x0000_0000, 0, 0),
    (0x050, 0x0001_0200, 0xff0f_8fff, 0), (0x054, 0x0000_0000, 0, 0),
    (0x058, 0x0000_0101, 0x0001_ffff, 0x0001_0000), (0x05c, 0x0000_0023, 0x0000_ffff, 0),
    (0x060, 0x0000_003e, 0x0000_17ff, 0x0000_1100), (0x064, 0x0002_0000, 0x0003_ffff, 0),
    (0x068, 0x0028_4027, 0x03ff_ffff, 0), (0x06c, 0x0000_1610, 0x0000_ffff, 0),
    (0x078, 0x0045_5111, 0x03ff_ffff, 0), (0x07c, 0x0003_2222, 0x000f_ffff, 0),
    (0x0a0, 0x0000_8000, 0x00ff_ffff, 0), (0x0a4, 0x1030_0802, 0xffff_ffff, 0),
    (0x0a8, 0x0020_003a, 0x0fff_ffff, 0), (0x0ac, 0x0000_0000, 0x0000_01ff, 1),
    (0x0b0, 0x0000_0000, 0x1cff_ffff, 0), (0x0b4, 0x0000_0200, 0x0000_07ff, 0),
    (0x0b8, 0x0020_0067, 0x01ff_ffff, 0), (0x0c4, 0x0000_0000, 0x0000_0003, 3),
    (0x0c8, 0x0000_0000, 0x0000_00ff, 0x0000_00ff), (0x0cc, 0, 0, 0), (0x0d0, 0, 0, 0), (0x0d4, 0, 0, 0), (0x0d8, 0, 0, 0),
    (0x0dc, 0x0000_0000, 0x0000_0001, 1), (0x0e0, 0, 0, 0), (0x0e4, 0, 0, 0), (0x0e8, 0, 0, 0), (0x0ec, 0, 0, 0),
    (0x0f0, 0x0000_0000, 0x0000_ffff, 0x0000_ffff), (0x0f4, 0x0000_0008, 0x0000_000f, 0), (0x0f8, 0, 0, 0), (0x0fc, 0, 0, 0),
    (0x114, 0x0000_0000, 0x0000_00ff, 0),
    (0x118, 0x4000_0001, 0x7fff_ffcf, 0), (0x11c, 0x4000_0001, 0x7fff_ffcf, 0),
    (0x120, 0x4000_0001, 0x7fff_ffcf, 0), (0x124, 0x4000_0001, 0x7fff_ffcf, 0),
    (0x12c, 0, 0x000f_ffff, 0), (0x130, 0, 0x000f_ffff, 0), (0x134, 0, 0x000f_ffff, 0), (0x138, 0, 0x000f_ffff, 0),
    (0x140, 0x40, 0x000f_ffff, 0), (0x144, 0x40, 0x000f_ffff, 0), (0x148, 0x40, 0x000f_ffff, 0), (0x14c, 0x40, 0x000f_ffff, 0),
    (0x154, 0, 0x000f_ffff, 0), (0x158, 0, 0x000f_ffff, 0), (0x15c, 0, 0x000f_ffff, 0), (0x160, 0, 0x000f_ffff, 0),
    (0x168, 0x40, 0x001f_ffff, 0), (0x16c, 0x40, 0x001f_ffff, 0), (0x170, 0x40, 0x001f_ffff, 0), (0x174, 0x40, 0x001f_ffff, 0),
    (0x17c, 0x80, 0x000f_ffff, 0), (0x180, 0x80, 0x000f_ffff, 0), (0x184, 0x80, 0x000f_ffff, 0), (0x188, 0x80, 0x000f_ffff, 0),
    (0x190, 0x1002_0000, 0x7fff_fffe, 0), (0x194, 0, 0x000f_ffff, 0),
    (0x1a4, 0x0007_0000, 0, 0), (0x1a8, 0x0006_0200, 0, 0), (0x1b0, 0x0004_0600, 0, 0), (0x1b4, 0x0000_0e00, 0, 0),
    (0x1b8, 0, 0, 0), (0x1bc, 0, 0, 0), (0x1c0, 0, 0, 0), (0x1c4, 0, 0, 0),
    (0x1cc, 0, 0, 0), (0x1d0, 0, 0, 0), (0x1d4, 0, 0, 0), (0x1d8, 0, 0, 0),
    (0x1e0, 0x00f0_0000, 0, 0), (0x1e4, 0, 0, 0), (0x1e8, 0x0000_0013, 0, 0), (0x200, 0x0015_3042, 0, 0),
    (0x204, 0, 0xffff_ffff, 0),
    (0x208, 0x0008_03ff, 0x000f_03ff, 0), (0x20c, 0x0008_03ff, 0x000f_03ff, 0),
    (0x210, 0x0008_03ff, 0x000f_03ff, 0), (0x214, 0x0008_03ff, 0x000f_03ff, 0),
    (0x218, 0x3ff, 0x000f_03ff, 0), (0x21c, 0x3ff, 0x000f_03ff, 0), (0x220, 0x3ff, 0x000f_03ff, 0), (0x224, 0x3ff, 0x000f_03ff, 0),
    (0x294, 0, 0x0003_ffff, 0), (0x298, 0, 0x0003_ffff, 0), (0x29c, 0, 0x0003_ffff, 0), (0x2a0, 0, 0x0003_ffff, 0),
    (0x2a4, 0, 0, 0), (0x2a8, 0, 0x0000_0fff, 0), (0x2ac, 0, 0xffff_ffff, 0),
    (0x2b0, 0x003c_0015, 0x003f_ffff, 0), (0x2b4, 0x0000_0601, 0x0003_ffff, 0),
];

const CONTROL: u32 = 0x000;
const BURST: u32 = 0x034;
const MODE_STATUS: u32 = 0x054;
const TRAINING: u32 = 0x0b0;

/// Error bits of `reg_2c`.
const TRAINING_ERRORS: u32 = 0x0300_0000;
/// In `ddrc_ctrl`: out of reset.
const RUN: u32 = 1;
/// In `mode_sts_reg`: normal operation.
const NORMAL: u32 = 1;

/// A training of the PHY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Training {
    /// When write strobes leave.
    WriteLeveling,
    /// When read strobes are listened to.
    ReadGate,
    /// When read data are taken.
    DataEye,
}

impl Training {
    const ALL: [Self; 3] = [Self::WriteLeveling, Self::ReadGate, Self::DataEye];

    /// Bits of `reg_2c`: enabled, and timed out.
    const fn bits(self) -> (u32, u32) {
        match self {
            Self::WriteLeveling => (1 << 26, 1 << 24),
            Self::ReadGate => (1 << 27, 1 << 25),
            Self::DataEye => (1 << 28, 1 << 25),
        }
    }
}

/// The memory controller. Times are in nanoseconds.
#[derive(Debug)]
pub struct Ddrc {
    values: Vec<u32>,
    /// Rate of `ddr_3x` in Hz; 0 while the clock is off.
    clock: u64,
    /// When the initialization is over, if it runs.
    ready_at: Option<u64>,
    is_up: bool,
    broken: Vec<Training>,
    complaints: Complaints,
}

impl Default for Ddrc {
    fn default() -> Self {
        Self::new()
    }
}

impl Ddrc {
    /// The controller after a reset, without a clock.
    pub fn new() -> Self {
        Self {
            values: REGISTERS.iter().map(|(_, reset, ..)| *reset).collect(),
            clock: 0,
            ready_at: None,
            is_up: false,
            broken: Vec::new(),
            complaints: Complaints::new(),
        }
    }

    /// Resets it, as the system's reset does. What was broken stays broken.
    pub fn reset(&mut self) {
        *self = Self { broken: std::mem::take(&mut self.broken), clock: self.clock, ..Self::new() };
    }

    /// The rate of its clock `ddr_3x` in Hz, from the SLCR; 0 if it is off.
    pub fn set_clock(&mut self, clock: u64) {
        self.clock = clock;
    }

    /// From now on this training finds no answer: the chips are missing, or a line is.
    pub fn break_training(&mut self, training: Training) {
        self.broken.push(training);
    }

    /// Whether there is memory behind the ports.
    pub fn answers(&self) -> bool {
        self.is_up && self.clock != 0
    }

    fn index(offset: u32) -> Option<usize> {
        REGISTERS.iter().position(|(register, ..)| *register == offset)
    }

    fn value(&self, offset: u32) -> u32 {
        Self::index(offset).and_then(|index| self.values.get(index)).copied().unwrap_or(0)
    }

    /// Leaves the reset.
    fn start(&mut self, now: u64) {
        if self.clock == 0 {
            self.complaints.add(|| "ddrc: the reset is released without a clock".to_owned());
            return;
        }
        let burst = self.value(BURST);
        // Before CKE, after CKE, both in units of 1024 clocks.
        let mut units = u64::from(burst >> 4 & 0x3ff) + u64::from(burst >> 16 & 0x3ff);
        let training = self.value(TRAINING);
        for kind in Training::ALL {
            let (enabled, _) = kind.bits();
            let limit = if kind == Training::WriteLeveling { training & 0xfff } else { training >> 12 & 0xfff };
            if training & enabled != 0 {
                // A training that succeeds takes a small part of what it may.
                units += if self.broken.contains(&kind) { u64::from(limit) } else { 8.min(u64::from(limit)) };
            }
        }
        self.ready_at = Some(now + units * 1024 * 1_000_000_000 / self.clock);
    }

    fn finish(&mut self) {
        let training = self.value(TRAINING);
        let mut errors = 0;
        for kind in Training::ALL {
            let (enabled, error) = kind.bits();
            if training & enabled != 0 && self.broken.contains(&kind) {
                errors |= error;
            }
        }
        if let Some(slot) = Self::index(TRAINING).and_then(|index| self.values.get_mut(index)) {
            *slot |= errors;
        }
        self.is_up = true;
    }
}

impl Device for Ddrc {
    fn length(&self) -> u32 {
        0x1000
    }

    fn read(&mut self, offset: u32, width: Width, now: u64) -> u32 {
        if self.ready_at.is_some_and(|ready_at| ready_at <= now) {
            self.ready_at = None;
            self.finish();
        }
        let register = offset & !3;
        let value = match register {
            MODE_STATUS => u32::from(self.is_up) * NORMAL,
            _ => {
                if Self::index(register).is_none() {
                    self.complaints.no_register("ddrc", "read", offset);
                }
                self.value(register)
            }
        };
        width.lanes(offset, value)
    }

    fn write(&mut self, offset: u32, width: Width, value: u32, now: u64) {
        let Some((index, &(_, _, writable, dynamic))) =
            Self::index(offset).and_then(|index| REGISTERS.get(index).map(|register| (index, register)))
        else {
            self.complaints.no_register("ddrc", "write", offset);
            return;
        };
        if width != Width::Word {
            self.complaints.narrow("ddrc", format_args!("{offset:#05x}"), width);
            return;
        }
        let before = self.values.get(index).copied().unwrap_or(0);
        let mut after = before & !writable | value & writable;
        if offset == TRAINING {
            // Error bits are cleared by zeros and not set by ones.
            after &= value | !TRAINING_ERRORS;
        }
        let was_running = self.value(CONTROL) & RUN != 0;
        if was_running && (before ^ after) & writable & !dynamic != 0 {
            self.complaints.add(|| {
                format!(
                    "ddrc: {offset:#05x} = {value:#x} changes what may be changed only while the controller is in reset"
                )
            });
        }
        if let Some(slot) = self.values.get_mut(index) {
            *slot = after;
        }
        if offset == CONTROL {
            match (was_running, after & RUN != 0) {
                (false, true) => self.start(now),
                (true, false) => {
                    self.is_up = false;
                    self.ready_at = None;
                }
                _ => {}
            }
        }
    }

    fn interrupts(&self) -> u32 {
        0
    }

    fn next_event(&self) -> Option<u64> {
        self.ready_at
    }

    fn advance(&mut self, now: u64, _memory: &mut dyn Memory) {
        if self.ready_at.is_some_and(|ready_at| ready_at <= now) {
            self.ready_at = None;
            self.finish();
        }
    }

    fn complaints(&mut self) -> Vec<String> {
        self.complaints.take()
    }
}
