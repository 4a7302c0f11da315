//! The snoop control unit of the Zynq-7000's processors, as far as software sees it.
//!
//! # How the hardware works
//!
//! ARM DDI 0407, chapter 2.2; UG585 chapter 3.3. The unit keeps the processors' caches coherent. It also filters addresses: what lies in a
//! range of whole MiB goes to the level 2 cache and on to the main memory, the rest past it, to the on-chip memory. After a reset the range is 1 MiB
//! to 4 GiB less 1 MiB, so that the lowest MiB is not main memory; software that wants it to be sets the start to 0 (UG585 chapter 29.4).
//!
//! # What this module does
//!
//! The registers keep what they keep in hardware; [`Scu::lowest_is_memory`] says what the filter makes of the lowest MiB.
//!
//! # What it does not do
//!
//! Caches, access control, and filtering at other borders: a start above 1 MiB takes memory away, which is complained about.

use crate::complaints::Complaints;
use crate::{Device, Memory, Width};

mod offset {
    pub(super) const CONTROL: u32 = 0x00;
    pub(super) const CONFIGURATION: u32 = 0x04;
    pub(super) const POWER_STATUS: u32 = 0x08;
    pub(super) const INVALIDATE_ALL: u32 = 0x0C;
    pub(super) const FILTER_START: u32 = 0x40;
    pub(super) const FILTER_END: u32 = 0x44;
    pub(super) const ACCESS_CONTROL: u32 = 0x50;
    pub(super) const NON_SECURE_ACCESS_CONTROL: u32 = 0x54;
}

/// Offset, reset value, writable bits.
const REGISTERS: [(u32, u32, u32); 8] = [
    (offset::CONTROL, 0x2, 0x7F),
    // Two processors, tag memory of 32 KiB caches.
    (offset::CONFIGURATION, 0x501, 0),
    (offset::POWER_STATUS, 0, 0x0303),
    (offset::INVALIDATE_ALL, 0, 0),
    (offset::FILTER_START, 0x0010_0000, 0xFFF0_0000),
    (offset::FILTER_END, 0xFFE0_0000, 0xFFF0_0000),
    (offset::ACCESS_CONTROL, 0xF, 0xF),
    (offset::NON_SECURE_ACCESS_CONTROL, 0, 0xFFF),
];

/// In the control register: addresses are filtered.
const FILTERING: u32 = 1 << 1;

/// The unit.
#[derive(Debug)]
pub struct Scu {
    values: [u32; REGISTERS.len()],
    complaints: Complaints,
}

impl Default for Scu {
    fn default() -> Self {
        Self::new()
    }
}

impl Scu {
    /// The unit after a reset.
    pub fn new() -> Self {
        Self { values: REGISTERS.map(|(_, reset, _)| reset), complaints: Complaints::new() }
    }

    /// Resets it.
    pub fn reset(&mut self) {
        self.values = Self::new().values;
    }

    fn value(&self, offset: u32) -> u32 {
        let index = REGISTERS.iter().position(|(register, ..)| *register == offset);
        index.and_then(|index| self.values.get(index)).copied().unwrap_or_default()
    }

    /// Whether the processors find main memory in the lowest MiB.
    pub fn lowest_is_memory(&self) -> bool {
        self.value(offset::CONTROL) & FILTERING != 0 && self.value(offset::FILTER_START) == 0
    }
}

impl Device for Scu {
    fn length(&self) -> u32 {
        0x58
    }

    fn read(&mut self, offset: u32, width: Width, _now: u64) -> u32 {
        let register = offset & !3;
        if !REGISTERS.iter().any(|(known, ..)| *known == register) {
            self.complaints.no_register("scu", "read", offset);
        }
        width.lanes(offset, self.value(register))
    }

    fn write(&mut self, offset: u32, width: Width, value: u32, _now: u64) {
        let Some(index) = REGISTERS.iter().position(|(register, ..)| *register == offset) else {
            self.complaints.no_register("scu", "write", offset);
            return;
        };
        if width != Width::Word {
            self.complaints.narrow("scu", format_args!("{offset:#04x}"), width);
            return;
        }
        if let (Some(slot), Some((.., writable))) = (self.values.get_mut(index), REGISTERS.get(index)) {
            *slot = *slot & !writable | value & writable;
        }
        if offset == offset::FILTER_START && self.value(offset) > 0x0010_0000 {
            self.complaints.add(|| format!("scu: memory below {value:#010x} is filtered out, which is not modelled"));
        }
    }

    fn interrupts(&self) -> u32 {
        0
    }

    fn next_event(&self) -> Option<u64> {
        None
    }

    fn advance(&mut self, _now: u64, _memory: &mut dyn Memory) {}

    fn complaints(&mut self) -> Vec<String> {
        self.complaints.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_mib_is_memory_when_the_filter_starts_at_0() {
        let mut scu = Scu::new();
        assert!(!scu.lowest_is_memory());
        scu.write(0x40, Width::Word, 0, 0);
        assert!(scu.lowest_is_memory());
        // Without filtering it does not say.
        scu.write(0, Width::Word, 1, 0);
        assert!(!scu.lowest_is_memory());
        scu.write(0, Width::Word, 3, 0);
        assert!(scu.lowest_is_memory());
        scu.reset();
        assert_eq!((scu.read(0x40, Width::Word, 0), scu.read(0, Width::Word, 0)), (0x0010_0000, 2));
        assert!(scu.complaints().is_empty());
    }

    #[test]
    fn mistakes_are_complained_about() {
        let mut scu = Scu::new();
        scu.read(0x10, Width::Word, 0);
        scu.write(0x48, Width::Word, 0, 0);
        scu.write(0x40, Width::Byte, 0, 0);
        scu.write(0x40, Width::Word, 0x0020_0000, 0);
        assert_eq!(scu.complaints().len(), 4);
        // Read-only and reserved bits stay.
        scu.write(4, Width::Word, u32::MAX, 0);
        scu.write(0x44, Width::Word, u32::MAX, 0);
        assert_eq!((scu.read(4, Width::Word, 0), scu.read(0x44, Width::Word, 0)), (0x501, 0xFFF0_0000));
    }
}
