//! System level control registers of the Zynq-7000: clocks, resets, pins.
//!
//! # How the hardware works
//!
//! One page of registers (UG585 appendix B.28) decides over the rest of the chip. Three PLLs make fast clocks out of the
//! board's oscillator; dividers and gates make the clocks of all blocks out of those. Each block has reset bits, each pin of
//! the multiplexed I/O (MIO) a register that selects its function and buffer. Everything is write protected until a key is
//! written, and ignores writes silently until then.
//!
//! # What this module does
//!
//! [`Slcr`] has each register that the manual publishes, with its reset value and its writable bits. PLLs take time to
//! lock, as does the calibration of the memory's I/O buffers. Writing the software reset asks the owner to reset the
//! system ([`Slcr::take_reset`]).
//!
//! Other models work only as far as the SLCR lets them; their owner asks here: whether a block answers ([`Slcr::gate`]),
//! how fast a clock runs ([`Slcr::frequency`], [`Slcr::reference`]), what a pin is ([`Slcr::pin`]), whether signals pass
//! between processing system and programmable logic ([`Slcr::level_shifters`]).
//!
//! `MIO_MST_TRI0` and `1` give parallel access to the tri-state bits of the pins' registers: it is the same bit.
//!
//! # What it does not do
//!
//! Counting clock pulses to the programmable logic (`FPGAn_THR_*`), whose status stays as after reset; the processors'
//! own resets and clock stops, trust zones and the memory controller's triggers, which keep what is written and no more.

mod clock;
mod mio;
mod table;

pub use clock::{Block, Clock, Gate};
pub use mio::Function;

use crate::complaints::Complaints;
use crate::{Device, Memory, Width};
use table::{PINS, REGISTERS};

/// Pins of the multiplexed I/O.
pub const MIO_PINS: u32 = 54;

/// Offsets of the registers that mean something to the model.
mod offset {
    pub(super) const SCL: u32 = 0x000;
    pub(super) const LOCK: u32 = 0x004;
    pub(super) const UNLOCK: u32 = 0x008;
    pub(super) const LOCK_STATUS: u32 = 0x00C;
    pub(super) const ARM_PLL_CTRL: u32 = 0x100;
    pub(super) const IO_PLL_CTRL: u32 = 0x108;
    pub(super) const PLL_STATUS: u32 = 0x10C;
    pub(super) const ARM_PLL_CFG: u32 = 0x110;
    pub(super) const ARM_CLK_CTRL: u32 = 0x120;
    pub(super) const DDR_CLK_CTRL: u32 = 0x124;
    pub(super) const DCI_CLK_CTRL: u32 = 0x128;
    pub(super) const APER_CLK_CTRL: u32 = 0x12C;
    pub(super) const GEM0_CLK_CTRL: u32 = 0x140;
    pub(super) const GEM1_CLK_CTRL: u32 = 0x144;
    pub(super) const SMC_CLK_CTRL: u32 = 0x148;
    pub(super) const QSPI_CLK_CTRL: u32 = 0x14C;
    pub(super) const SDIO_CLK_CTRL: u32 = 0x150;
    pub(super) const UART_CLK_CTRL: u32 = 0x154;
    pub(super) const SPI_CLK_CTRL: u32 = 0x158;
    pub(super) const CAN_CLK_CTRL: u32 = 0x15C;
    pub(super) const DBG_CLK_CTRL: u32 = 0x164;
    pub(super) const PCAP_CLK_CTRL: u32 = 0x168;
    pub(super) const FPGA0_CLK_CTRL: u32 = 0x170;
    pub(super) const CLK_621_TRUE: u32 = 0x1C4;
    pub(super) const PSS_RST_CTRL: u32 = 0x200;
    pub(super) const DMAC_RST_CTRL: u32 = 0x20C;
    pub(super) const USB_RST_CTRL: u32 = 0x210;
    pub(super) const GEM_RST_CTRL: u32 = 0x214;
    pub(super) const SDIO_RST_CTRL: u32 = 0x218;
    pub(super) const SPI_RST_CTRL: u32 = 0x21C;
    pub(super) const CAN_RST_CTRL: u32 = 0x220;
    pub(super) const I2C_RST_CTRL: u32 = 0x224;
    pub(super) const UART_RST_CTRL: u32 = 0x228;
    pub(super) const GPIO_RST_CTRL: u32 = 0x22C;
    pub(super) const QSPI_RST_CTRL: u32 = 0x230;
    pub(super) const SMC_RST_CTRL: u32 = 0x234;
    pub(super) const FPGA_RST_CTRL: u32 = 0x240;
    pub(super) const REBOOT_STATUS: u32 = 0x258;
    pub(super) const BOOT_MODE: u32 = 0x25C;
    pub(super) const APU_CTRL: u32 = 0x300;
    pub(super) const WDT_CLK_SEL: u32 = 0x304;
    pub(super) const PSS_IDCODE: u32 = 0x530;
    pub(super) const DDR_CAL_START: u32 = 0x60C;
    pub(super) const DDR_REF_START: u32 = 0x614;
    pub(super) const MIO_PIN_00: u32 = 0x700;
    pub(super) const MIO_MST_TRI0: u32 = 0x80C;
    pub(super) const MIO_MST_TRI1: u32 = 0x810;
    pub(super) const LVL_SHFTR_EN: u32 = 0x900;
    pub(super) const DDRIOB_DCI_CTRL: u32 = 0xB70;
    pub(super) const DDRIOB_DCI_STATUS: u32 = 0xB74;
}

const LOCK_KEY: u32 = 0x767B;
const UNLOCK_KEY: u32 = 0xDF0D;

const PLL_RESET: u32 = 1 << 0;
const PLL_POWER_DOWN: u32 = 1 << 1;
const PLL_BYPASS_QUAL: u32 = 1 << 3;
const PLL_BYPASS_FORCE: u32 = 1 << 4;
const PLL_FDIV: u32 = 0x7F << 12;

const PIN_TRISTATE: u32 = 1 << 0;
const PIN_PULL_UP: u32 = 1 << 12;
const PIN_RECEIVER_OFF: u32 = 1 << 13;
/// Bits of a pin's register.
const PIN_WRITABLE: u32 = 0x3FFF;

const BOOT_MODE_PLL_BYPASS: u32 = 1 << 4;

const DCI_RESET: u32 = 1 << 0;
const DCI_ENABLE: u32 = 1 << 1;
const DCI_DONE: u32 = 1 << 13 | 1 << 0;
/// Time that the calibration takes, in ns. The manual gives none.
const DCI_TIME: u64 = 10_000;

/// First offset behind the last register.
const END: u32 = 0xB78;
const WORDS: usize = (END / 4) as usize;

/// No register there, in the index.
const NONE: u8 = u8::MAX;
/// Index of `MIO_PIN_00`, behind all other registers.
const FIRST_PIN: u8 = REGISTERS.len() as u8;

/// Never, as a time.
const NEVER: u64 = u64::MAX;

/// How the chip is built and strapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Frequency of the board's oscillator (`PS_CLK`) in Hz.
    pub oscillator: u32,
    /// `PSS_IDCODE`.
    pub idcode: u32,
    /// `BOOT_MODE` bits 4 to 0: boot device, PLL bypass.
    pub boot_mode: u32,
}

impl Options {
    /// A 7z020 at 33.33 MHz that boots from the SD card.
    pub const ZEDBOARD: Self = Self { oscillator: 33_333_333, idcode: 0x2372_7093, boot_mode: 0b0_0101 };
}

/// Why the system is reset. Software finds it in `REBOOT_STATUS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// Power-on.
    PowerOn,
    /// The board's reset button.
    Button,
    /// Written to `PSS_RST_CTRL`.
    Software,
    /// The system watchdog.
    Watchdog,
}

/// The buffer of a pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standard {
    /// LVCMOS, 1.8 V.
    Lvcmos18,
    /// LVCMOS, 2.5 V.
    Lvcmos25,
    /// LVCMOS, 3.3 V.
    Lvcmos33,
    /// HSTL.
    Hstl,
    /// A reserved value.
    Reserved,
}

/// How a pin is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin {
    /// What it is connected to.
    pub function: Function,
    /// The output buffer is off, whatever the function does.
    pub tristate: bool,
    /// The pull-up is on.
    pub pull_up: bool,
    /// The input buffer is on.
    pub receiver: bool,
    /// Its levels.
    pub standard: Standard,
}

/// Which signals pass between processing system and programmable logic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelShifters {
    /// From the processing system to the programmable logic.
    pub to_logic: bool,
    /// From the programmable logic to the processing system.
    pub from_logic: bool,
}

/// The system level control registers.
#[derive(Debug)]
pub struct Slcr {
    options: Options,
    values: [u32; WORDS],
    /// For each word of the page, which register it is.
    index: [u8; WORDS],
    locked: bool,
    /// When each PLL has locked.
    lock_at: [u64; 3],
    dci_done_at: u64,
    reset_wanted: bool,
    complaints: Complaints,
}

/// Name, reset value and writable bits of the register at an index.
fn describe(index: u8) -> Option<(&'static str, u32, u32)> {
    match REGISTERS.get(usize::from(index)) {
        Some(register) => Some((register.name, register.reset, register.writable)),
        None => {
            let pin = index.checked_sub(FIRST_PIN)?;
            let name = PINS.get(usize::from(pin))?;
            // The strapping pins, which are outputs later, come up without pull-up.
            let reset = if (2..=8).contains(&pin) { 0x0601 } else { 0x1601 };
            Some((name, reset, PIN_WRITABLE))
        }
    }
}

/// Name of the register at an offset.
fn name(offset: u32) -> &'static str {
    REGISTERS.iter().find(|register| register.offset == offset).map_or("?", |register| register.name)
}

impl Slcr {
    /// The registers after power-on.
    pub fn new(options: Options) -> Self {
        let mut index = [NONE; WORDS];
        let offsets = REGISTERS.iter().map(|register| register.offset);
        let pins = (0..MIO_PINS).map(|pin| offset::MIO_PIN_00 + 4 * pin);
        for (number, offset) in (0..).zip(offsets.chain(pins)) {
            if let Some(slot) = index.get_mut(offset as usize / 4) {
                *slot = number;
            }
        }
        let mut slcr = Self {
            options,
            values: [0; WORDS],
            index,
            locked: true,
            lock_at: [0; 3],
            dci_done_at: NEVER,
            reset_wanted: false,
            complaints: Complaints::new(),
        };
        slcr.reset(Reset::PowerOn);
        slcr
    }

    /// Resets the registers as the given reset does, and leaves the reason in `REBOOT_STATUS` as the boot ROM does.
    ///
    /// What only a power-on resets stays otherwise: the secure lock and what it locks, `REBOOT_STATUS`, and the clock
    /// generator (`0x100` to `0x1C4`), which the software reset leaves alone.
    pub fn reset(&mut self, reset: Reset) {
        for (word, index) in self.index.iter().enumerate() {
            let offset = word as u32 * 4;
            let kept = matches!(offset, offset::SCL | offset::REBOOT_STATUS | offset::APU_CTRL)
                || (offset::ARM_PLL_CTRL..=offset::CLK_621_TRUE).contains(&offset);
            if kept && reset != Reset::PowerOn {
                continue;
            }
            if let Some(value) = self.values.get_mut(word) {
                *value = describe(*index).map_or(0, |(_, reset, _)| reset);
            }
        }
        self.set(offset::PSS_IDCODE, self.options.idcode);
        self.set(offset::BOOT_MODE, self.options.boot_mode & 0x1F);
        let reason = match reset {
            Reset::PowerOn => 1 << 22,
            Reset::Button => 1 << 21,
            Reset::Software => 1 << 19,
            Reset::Watchdog => 1 << 16,
        };
        self.set(offset::REBOOT_STATUS, self.register(offset::REBOOT_STATUS) & 0xFF00_FFFF | reason);
        if reset == Reset::PowerOn {
            // They have locked by the time that software runs, unless the pins bypass and disable them.
            let bypassed = self.options.boot_mode & BOOT_MODE_PLL_BYPASS != 0;
            self.lock_at = [if bypassed { NEVER } else { 0 }; 3];
        }
        self.locked = true;
        self.dci_done_at = NEVER;
        self.reset_wanted = false;
    }

    /// Sets a register as what ran before the software under test has left it, past lock and write protection. Offsets
    /// without a register are ignored. A PLL that runs has locked.
    pub fn preset(&mut self, offset: u32, value: u32) {
        if let Some((_, reset, writable)) = self.described(offset) {
            match offset {
                offset::LOCK | offset::UNLOCK => self.locked = offset == offset::LOCK,
                offset::MIO_MST_TRI0 | offset::MIO_MST_TRI1 => self.set_tristates(offset, value),
                _ => self.set(offset, reset & !writable | value & writable),
            }
            if let Some(pll) = offset.checked_sub(offset::ARM_PLL_CTRL)
                && let Some(lock_at) = self.lock_at.get_mut(pll as usize / 4)
            {
                *lock_at = if value & (PLL_RESET | PLL_POWER_DOWN) == 0 { 0 } else { NEVER };
            }
        }
    }

    /// What a register holds; 0 where there is none. Status bits that time sets are only in what [`Device::read`] gives.
    pub fn register(&self, offset: u32) -> u32 {
        self.values.get(offset as usize / 4).copied().unwrap_or_default()
    }

    /// Whether software has asked for a system reset since the last call.
    pub fn take_reset(&mut self) -> bool {
        std::mem::take(&mut self.reset_wanted)
    }

    /// How a pin is configured. `pin` is below [`MIO_PINS`].
    pub fn pin(&self, pin: u32) -> Pin {
        let register = self.register(offset::MIO_PIN_00 + 4 * pin.min(MIO_PINS - 1));
        Pin {
            function: mio::function(pin, register),
            tristate: register & PIN_TRISTATE != 0,
            pull_up: register & PIN_PULL_UP != 0,
            receiver: register & PIN_RECEIVER_OFF == 0,
            standard: match register >> 9 & 7 {
                1 => Standard::Lvcmos18,
                2 => Standard::Lvcmos25,
                3 => Standard::Lvcmos33,
                4 => Standard::Hstl,
                _ => Standard::Reserved,
            },
        }
    }

    /// Which signals pass between processing system and programmable logic (`LVL_SHFTR_EN`).
    pub fn level_shifters(&self) -> LevelShifters {
        let enabled = self.register(offset::LVL_SHFTR_EN) & 0xF;
        LevelShifters { to_logic: matches!(enabled, 0xA | 0xF), from_logic: enabled == 0xF }
    }

    /// Whether the reset to the programmable logic `FCLKRESETn` is asserted. `number` is 0 to 3.
    pub fn logic_reset(&self, number: u8) -> bool {
        self.register(offset::FPGA_RST_CTRL) >> (number & 3) & 1 != 0
    }

    fn described(&self, offset: u32) -> Option<(&'static str, u32, u32)> {
        describe(*self.index.get(offset as usize / 4)?)
    }

    fn set(&mut self, offset: u32, value: u32) {
        if let Some(slot) = self.values.get_mut(offset as usize / 4) {
            *slot = value;
        }
    }

    /// Output of a PLL in Hz: 0 is ARM, 1 DDR, 2 I/O.
    fn pll_output(&self, pll: u32) -> u64 {
        let control = self.register(offset::ARM_PLL_CTRL + 4 * pll);
        let input = u64::from(self.options.oscillator);
        if self.bypassed(control) {
            input
        } else if control & (PLL_RESET | PLL_POWER_DOWN) != 0 {
            0
        } else {
            input * u64::from((control & PLL_FDIV) >> 12)
        }
    }

    fn bypassed(&self, control: u32) -> bool {
        control & PLL_BYPASS_FORCE != 0
            || control & PLL_BYPASS_QUAL != 0 && self.options.boot_mode & BOOT_MODE_PLL_BYPASS != 0
    }

    fn pll_status(&self, now: u64) -> u32 {
        (0..3).zip(self.lock_at).fold(0, |status, (pll, lock_at)| {
            let locked = lock_at <= now;
            let stable = locked || self.bypassed(self.register(offset::ARM_PLL_CTRL + 4 * pll));
            status | u32::from(locked) << pll | u32::from(stable) << (3 + pll)
        })
    }

    fn write_pll(&mut self, offset: u32, value: u32, now: u64) {
        let pll = (offset - offset::ARM_PLL_CTRL) / 4;
        let before = self.register(offset);
        let stopped = PLL_RESET | PLL_POWER_DOWN;
        if (before ^ value) & PLL_FDIV != 0 && !(self.bypassed(before) && before & PLL_RESET != 0) {
            let name = name(offset);
            self.complaints
                .add(|| format!("slcr: {name}: PLL_FDIV changed while the PLL is not bypassed and in reset"));
        }
        let locked = self.lock_at.get(pll as usize).is_some_and(|lock_at| *lock_at <= now);
        self.set(offset, value);
        if self.bypassed(before) && !self.bypassed(value) && (!locked || value & stopped != 0) {
            let name = name(offset);
            self.complaints.add(|| format!("slcr: {name}: the bypass is switched off before the PLL has locked"));
        }
        let cycles = u64::from(self.register(offset::ARM_PLL_CFG + 4 * pll) >> 12 & 0x3FF);
        if let Some(lock_at) = self.lock_at.get_mut(pll as usize) {
            if value & stopped != 0 {
                *lock_at = NEVER;
            } else if *lock_at == NEVER {
                *lock_at = now + (cycles.max(1) * 1_000_000_000).div_ceil(u64::from(self.options.oscillator.max(1)));
            }
        }
    }

    fn tristates(&self, offset: u32) -> u32 {
        let (first, count) = if offset == offset::MIO_MST_TRI0 { (0, 32) } else { (32, MIO_PINS - 32) };
        (0..count)
            .fold(0, |bits, pin| bits | (self.register(offset::MIO_PIN_00 + 4 * (first + pin)) & PIN_TRISTATE) << pin)
    }

    fn set_tristates(&mut self, offset: u32, value: u32) {
        let (first, count) = if offset == offset::MIO_MST_TRI0 { (0, 32) } else { (32, MIO_PINS - 32) };
        for pin in 0..count {
            let register = offset::MIO_PIN_00 + 4 * (first + pin);
            self.set(register, self.register(register) & !PIN_TRISTATE | value >> pin & PIN_TRISTATE);
        }
    }

    fn write_pin(&mut self, offset: u32, value: u32) {
        let pin = (offset - offset::MIO_PIN_00) / 4;
        self.set(offset, value);
        let configured = self.pin(pin);
        if configured.function == Function::Reserved {
            self.complaints.add(|| format!("slcr: {} = {value:#x} selects a reserved function", name_of_pin(pin)));
        }
        if configured.standard == Standard::Reserved {
            self.complaints.add(|| format!("slcr: {} = {value:#x} selects a reserved IO_Type", name_of_pin(pin)));
        }
    }

    fn write_dci(&mut self, value: u32, now: u64) {
        let before = self.register(offset::DDRIOB_DCI_CTRL);
        self.set(offset::DDRIOB_DCI_CTRL, value);
        if value & DCI_ENABLE == 0 || value & DCI_RESET == 0 {
            self.dci_done_at = NEVER;
        } else if before & DCI_RESET == 0 && self.frequency(Clock::Dci) != 0 {
            self.dci_done_at = now + DCI_TIME;
        }
    }
}

fn name_of_pin(pin: u32) -> &'static str {
    PINS.get(pin as usize).copied().unwrap_or("?")
}

impl Device for Slcr {
    fn length(&self) -> u32 {
        0x1000
    }

    fn read(&mut self, offset: u32, width: Width, now: u64) -> u32 {
        let register = offset & !3;
        let value = match register {
            offset::LOCK | offset::UNLOCK | offset::PSS_RST_CTRL => 0,
            offset::LOCK_STATUS => u32::from(self.locked),
            offset::PLL_STATUS => self.pll_status(now),
            offset::MIO_MST_TRI0 | offset::MIO_MST_TRI1 => self.tristates(register),
            offset::DDRIOB_DCI_STATUS if self.dci_done_at <= now => DCI_DONE,
            _ => {
                if self.described(register).is_none() {
                    self.complaints.no_register("slcr", "read", offset);
                }
                self.register(register)
            }
        };
        width.lanes(offset, value)
    }

    fn write(&mut self, offset: u32, width: Width, value: u32, now: u64) {
        let Some((name, _, writable)) = self.described(offset) else {
            self.complaints.no_register("slcr", "write", offset);
            return;
        };
        if width != Width::Word {
            self.complaints.narrow("slcr", format_args!("{name}"), width);
            return;
        }
        match offset {
            offset::LOCK | offset::UNLOCK => {
                let key = if offset == offset::LOCK { LOCK_KEY } else { UNLOCK_KEY };
                if value & 0xFFFF == key {
                    self.locked = offset == offset::LOCK;
                } else {
                    self.complaints.add(|| format!("slcr: {value:#x} written to {name} is not its key"));
                }
                return;
            }
            _ if self.locked => {
                self.complaints.add(|| format!("slcr: {name} = {value:#x} ignored: the registers are locked"));
                return;
            }
            offset::SCL | offset::PSS_RST_CTRL | offset::APU_CTRL | offset::WDT_CLK_SEL
                if self.register(offset::SCL) & 1 != 0 =>
            {
                self.complaints.add(|| format!("slcr: {name} = {value:#x} ignored: SCL locks it until power-on"));
                return;
            }
            _ => {}
        }
        let before = self.register(offset);
        if writable == 0 {
            self.complaints.add(|| format!("slcr: {name} = {value:#x} ignored: it is read-only"));
            return;
        }
        if !matches!(offset, offset::MIO_MST_TRI0 | offset::MIO_MST_TRI1) && (before ^ value) & !writable != 0 {
            let bits = (before ^ value) & !writable;
            self.complaints.add(|| format!("slcr: {name} = {value:#x} changes reserved bits {bits:#x}"));
        }
        let value = before & !writable | value & writable;
        match offset {
            // Bits that can only be set.
            offset::SCL | offset::APU_CTRL => self.set(offset, before | value),
            offset::PSS_RST_CTRL => self.reset_wanted |= value & 1 != 0,
            offset::DDR_CAL_START | offset::DDR_REF_START => {}
            offset::ARM_PLL_CTRL..=offset::IO_PLL_CTRL => self.write_pll(offset, value, now),
            offset::MIO_PIN_00..offset::MIO_MST_TRI0 if offset < offset::MIO_PIN_00 + 4 * MIO_PINS => {
                self.write_pin(offset, value);
            }
            offset::MIO_MST_TRI0 | offset::MIO_MST_TRI1 => self.set_tristates(offset, value),
            offset::LVL_SHFTR_EN => {
                if !matches!(value & 0xF, 0 | 0xA | 0xF) {
                    self.complaints.add(|| format!("slcr: LVL_SHFTR_EN = {value:#x} is reserved"));
                }
                self.set(offset, value);
            }
            offset::DDRIOB_DCI_CTRL => self.write_dci(value, now),
            _ => self.set(offset, value),
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
