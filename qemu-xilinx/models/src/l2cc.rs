//! The level 2 cache controller of the Zynq-7000, as far as software sees it without a cache behind it.
//!
//! # How the hardware works
//!
//! ARM DDI 0246, L2C-310 (PL310), built as UG585 appendix B.25 says: 512 KiB in 8 ways. Configuration may only change while the
//! cache is off. Maintenance by address takes effect with the write; maintenance by way runs in the background, and the
//! register reads as the ways that are not done yet.
//!
//! # What this module does
//!
//! The emulated memory is coherent by itself, so maintenance is over at once and moves nothing; all other registers keep
//! what they keep in hardware. It is cheap, as the kernel synchronises this cache with each of its own maintenance
//! operations.
//!
//! # What it does not do
//!
//! Count events, find parity errors or raise interrupts; tell secure accesses from others.

use crate::complaints::Complaints;
use crate::{Device, Memory, Width};

mod offset {
    pub(super) const CACHE_ID: u32 = 0x000;
    pub(super) const CACHE_TYPE: u32 = 0x004;
    pub(super) const CONTROL: u32 = 0x100;
    pub(super) const AUX_CONTROL: u32 = 0x104;
    pub(super) const TAG_RAM_CONTROL: u32 = 0x108;
    pub(super) const DATA_RAM_CONTROL: u32 = 0x10C;
    pub(super) const EVENT_CONTROL: u32 = 0x200;
    pub(super) const EVENT_1_CONFIG: u32 = 0x204;
    pub(super) const EVENT_0_CONFIG: u32 = 0x208;
    pub(super) const EVENT_1: u32 = 0x20C;
    pub(super) const EVENT_0: u32 = 0x210;
    pub(super) const INT_MASK: u32 = 0x214;
    pub(super) const INT_MASKED_STATUS: u32 = 0x218;
    pub(super) const INT_RAW_STATUS: u32 = 0x21C;
    pub(super) const INT_CLEAR: u32 = 0x220;
    pub(super) const CACHE_SYNC: u32 = 0x730;
    /// Where the errata's workaround writes instead of `CACHE_SYNC`.
    pub(super) const DUMMY_SYNC: u32 = 0x740;
    pub(super) const INVALIDATE_ADDRESS: u32 = 0x770;
    pub(super) const INVALIDATE_WAY: u32 = 0x77C;
    pub(super) const CLEAN_ADDRESS: u32 = 0x7B0;
    pub(super) const CLEAN_INDEX: u32 = 0x7B8;
    pub(super) const CLEAN_WAY: u32 = 0x7BC;
    pub(super) const CLEAN_INVALIDATE_ADDRESS: u32 = 0x7F0;
    pub(super) const CLEAN_INVALIDATE_INDEX: u32 = 0x7F8;
    pub(super) const CLEAN_INVALIDATE_WAY: u32 = 0x7FC;
    pub(super) const LOCKDOWN: u32 = 0x900;
    pub(super) const LOCKDOWN_LAST: u32 = 0x93C;
    pub(super) const LOCK_LINE: u32 = 0x950;
    pub(super) const UNLOCK_WAY: u32 = 0x954;
    pub(super) const FILTER_START: u32 = 0xC00;
    pub(super) const FILTER_END: u32 = 0xC04;
    pub(super) const DEBUG: u32 = 0xF40;
    pub(super) const PREFETCH: u32 = 0xF60;
    pub(super) const POWER: u32 = 0xF80;
}

const CACHE_ID: u32 = 0x4100_00C8;
/// Data banking, lockdown by master and by line.
const CACHE_TYPE: u32 = 0x9E00_0000;
/// Prefetch enable bits, which auxiliary and prefetch control share.
const PREFETCH_ENABLE: u32 = 3 << 28;
const WORDS: usize = 0x400;

/// The controller.
#[derive(Debug)]
pub struct L2cc {
    /// The page as it reads, but for what is put together on reading.
    values: Box<[u32; WORDS]>,
    complaints: Complaints,
}

impl Default for L2cc {
    fn default() -> Self {
        Self::new()
    }
}

/// Bits of a register that keep what is written; `None` if there is no register that can be written.
const fn writable(offset: u32) -> Option<u32> {
    Some(match offset {
        offset::CONTROL | offset::EVENT_CONTROL | offset::LOCK_LINE => 0x1,
        offset::AUX_CONTROL => 0x7FFF_3C01,
        offset::TAG_RAM_CONTROL | offset::DATA_RAM_CONTROL => 0x777,
        offset::EVENT_1_CONFIG | offset::EVENT_0_CONFIG => 0x3F,
        offset::EVENT_1 | offset::EVENT_0 => u32::MAX,
        offset::INT_MASK => 0x1FF,
        offset::LOCKDOWN..=offset::LOCKDOWN_LAST => 0xFFFF,
        offset::FILTER_START => 0xFFF0_0001,
        offset::FILTER_END => 0xFFF0_0000,
        offset::DEBUG => 0x7,
        offset::PREFETCH => 0x79A0_001F,
        offset::POWER => 0x3,
        // They are done at once, and read as such.
        offset::INT_CLEAR
        | offset::CACHE_SYNC
        | offset::DUMMY_SYNC
        | offset::INVALIDATE_ADDRESS
        | offset::INVALIDATE_WAY
        | offset::CLEAN_ADDRESS
        | offset::CLEAN_INDEX
        | offset::CLEAN_WAY
        | offset::CLEAN_INVALIDATE_ADDRESS
        | offset::CLEAN_INVALIDATE_INDEX
        | offset::CLEAN_INVALIDATE_WAY
        | offset::UNLOCK_WAY => 0,
        _ => return None,
    })
}

impl L2cc {
    /// The controller after reset.
    pub fn new() -> Self {
        let mut controller = Self { values: Box::new([0; WORDS]), complaints: Complaints::new() };
        controller.reset();
        controller
    }

    /// Resets all registers.
    pub fn reset(&mut self) {
        self.values.fill(0);
        for (offset, value) in [
            (offset::CACHE_ID, CACHE_ID),
            (offset::AUX_CONTROL, 0x0206_0000),
            (offset::TAG_RAM_CONTROL, 0x777),
            (offset::DATA_RAM_CONTROL, 0x777),
            (offset::FILTER_START, 0x4000_0001),
            (offset::FILTER_END, 0xFFF0_0000),
        ] {
            self.set(offset, value);
        }
    }

    fn get(&self, offset: u32) -> u32 {
        self.values.get(offset as usize / 4).copied().unwrap_or_default()
    }

    fn set(&mut self, offset: u32, value: u32) {
        if let Some(slot) = self.values.get_mut(offset as usize / 4) {
            *slot = value;
        }
    }

    /// Way size and associativity are told as they are configured.
    fn cache_type(&self) -> u32 {
        let configured = self.get(offset::AUX_CONTROL);
        let (way, ways) = (configured >> 17 & 7, configured >> 16 & 1);
        CACHE_TYPE | way << 20 | way << 8 | ways << 18 | ways << 6
    }

    #[cold]
    fn refused(&mut self, offset: u32, value: u32) {
        let reason = match offset {
            offset::CACHE_ID | offset::CACHE_TYPE | offset::INT_MASKED_STATUS | offset::INT_RAW_STATUS => {
                "it is read-only"
            }
            offset::AUX_CONTROL | offset::TAG_RAM_CONTROL | offset::DATA_RAM_CONTROL => "the cache is on",
            _ => "there is no register",
        };
        self.complaints.add(|| format!("l2cc: {offset:#05x} = {value:#x} ignored: {reason}"));
    }
}

impl Device for L2cc {
    fn length(&self) -> u32 {
        0x1000
    }

    fn read(&mut self, offset: u32, width: Width, _now: u64) -> u32 {
        let register = offset & !3;
        let value = match register {
            offset::CACHE_TYPE => self.cache_type(),
            _ => {
                if writable(register).is_none()
                    && !matches!(register, offset::CACHE_ID | offset::INT_MASKED_STATUS | offset::INT_RAW_STATUS)
                {
                    self.complaints.no_register("l2cc", "read", offset);
                }
                self.get(register)
            }
        };
        width.lanes(offset, value)
    }

    fn write(&mut self, offset: u32, width: Width, value: u32, _now: u64) {
        let (Some(bits), Width::Word) = (writable(offset), width) else {
            if width == Width::Word {
                self.refused(offset, value);
            } else {
                self.complaints.add(|| format!("l2cc: {offset:#05x} written in part; it takes words only"));
            }
            return;
        };
        match offset {
            offset::AUX_CONTROL | offset::TAG_RAM_CONTROL | offset::DATA_RAM_CONTROL
                if self.get(offset::CONTROL) != 0 =>
            {
                self.refused(offset, value);
            }
            offset::AUX_CONTROL | offset::PREFETCH => {
                let other = if offset == offset::PREFETCH { offset::AUX_CONTROL } else { offset::PREFETCH };
                self.set(offset, value & bits);
                self.set(other, self.get(other) & !PREFETCH_ENABLE | value & PREFETCH_ENABLE);
            }
            offset::EVENT_CONTROL => {
                if value & 2 != 0 {
                    self.set(offset::EVENT_0, 0);
                }
                if value & 4 != 0 {
                    self.set(offset::EVENT_1, 0);
                }
                self.set(offset, value & bits);
            }
            _ => self.set(offset, value & bits),
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
