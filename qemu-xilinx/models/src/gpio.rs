//! The general purpose I/O controller of the Zynq-7000's processing system.
//!
//! # How the hardware works
//!
//! UG585 chapter 14 and appendix B.19. Four banks of pins: 0 and 1 are on the chip's multiplexed I/O (MIO 0 to 31 and 32
//! to 53), 2 and 3 go to the programmable logic (EMIO 0 to 31 and 32 to 63). A pin is driven if its bits in `DIRM` and
//! `OEN` are both set. `DATA` holds what outputs drive; `MASK_DATA_LSW` and `MASK_DATA_MSW` change halves of it bit by bit,
//! where the mask is 0. `DATA_RO` is what is on the pins.
//!
//! Each input is watched, whether it is an interrupt source or not: `INT_TYPE`, `INT_POLARITY` and `INT_ANY` say what for.
//! What was found is latched in `INT_STAT` until a one is written there; a level that is still there is found again at once.
//! Found and not masked in any bank, the one interrupt line is up. Masks change by `INT_EN` and `INT_DIS` only. After reset
//! nothing is masked, and falling edges are watched.
//!
//! # What this module does
//!
//! All of that. Signals 0 to 53 are the MIO pins, 54 to 117 the EMIO pins. MIO 7 and 8 can only be outputs: their inputs
//! read 0.
//!
//! # What it does not do
//!
//! The time that inputs take to get through the synchronisers, and the multiplexer in front of the pins, which belongs to
//! the [SLCR](crate::slcr).

use crate::complaints::Complaints;
use crate::{Device, Drive, Memory, Width};

/// First signal of the pins that go to the programmable logic.
pub const EMIO: u32 = 54;
/// Pins, and therefore signals.
pub const PINS: u32 = 118;

/// Pins of bank 0 that cannot be inputs.
const OUTPUT_ONLY: u32 = 1 << 7 | 1 << 8;

/// Registers of a bank from 0x204 on, one word each. The banks are 0x40 apart.
mod offset {
    pub(super) const DATA: u32 = 0x40;
    pub(super) const DATA_RO: u32 = 0x60;
    pub(super) const BANKS: u32 = 0x200;
    pub(super) const BANK_SIZE: u32 = 0x40;
    pub(super) const DIRM: u32 = 0x04;
    pub(super) const OEN: u32 = 0x08;
    pub(super) const INT_MASK: u32 = 0x0C;
    pub(super) const INT_EN: u32 = 0x10;
    pub(super) const INT_DIS: u32 = 0x14;
    pub(super) const INT_STAT: u32 = 0x18;
    pub(super) const INT_TYPE: u32 = 0x1C;
    pub(super) const INT_POLARITY: u32 = 0x20;
    pub(super) const INT_ANY: u32 = 0x24;
}

/// What is at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Register {
    MaskData { upper: bool },
    Data,
    DataRo,
    Direction,
    OutputEnable,
    Mask,
    Enable,
    Disable,
    Status,
    Type,
    Polarity,
    Any,
}

impl Register {
    /// Its name in the manual, without the bank.
    const fn name(self) -> &'static str {
        match self {
            Self::MaskData { upper: false } => "MASK_DATA_LSW",
            Self::MaskData { upper: true } => "MASK_DATA_MSW",
            Self::Data => "DATA",
            Self::DataRo => "DATA_RO",
            Self::Direction => "DIRM",
            Self::OutputEnable => "OEN",
            Self::Mask => "INT_MASK",
            Self::Enable => "INT_EN",
            Self::Disable => "INT_DIS",
            Self::Status => "INT_STAT",
            Self::Type => "INT_TYPE",
            Self::Polarity => "INT_POLARITY",
            Self::Any => "INT_ANY",
        }
    }
}

/// Bank and register at an offset.
fn decode(offset: u32) -> Option<(usize, Register)> {
    let bank = |offset: u32| (offset / 4 % 4) as usize;
    match offset {
        0x00..=0x1F => Some(((offset / 8) as usize, Register::MaskData { upper: offset & 4 != 0 })),
        offset::DATA..=0x4F => Some((bank(offset), Register::Data)),
        offset::DATA_RO..=0x6F => Some((bank(offset), Register::DataRo)),
        offset::BANKS..=0x2FF => {
            let register = match ((offset - offset::BANKS) % offset::BANK_SIZE) & !3 {
                offset::DIRM => Register::Direction,
                offset::OEN => Register::OutputEnable,
                offset::INT_MASK => Register::Mask,
                offset::INT_EN => Register::Enable,
                offset::INT_DIS => Register::Disable,
                offset::INT_STAT => Register::Status,
                offset::INT_TYPE => Register::Type,
                offset::INT_POLARITY => Register::Polarity,
                offset::INT_ANY => Register::Any,
                _ => return None,
            };
            Some((((offset - offset::BANKS) / offset::BANK_SIZE) as usize, register))
        }
        _ => None,
    }
}

/// Bank and pin in it of a signal.
const fn pin(signal: u32) -> (usize, u32) {
    match signal {
        0..32 => (0, signal),
        32..54 => (1, signal - 32),
        54..86 => (2, signal - 54),
        _ => (3, signal - 86),
    }
}

#[derive(Clone, Copy, Debug)]
struct Bank {
    /// Pins that exist.
    pins: u32,
    /// Pins that can be inputs.
    inputs: u32,
    data: u32,
    direction: u32,
    output_enable: u32,
    mask: u32,
    status: u32,
    edge: u32,
    polarity: u32,
    any: u32,
    /// What is on the pins.
    levels: u32,
}

impl Bank {
    const fn new(pins: u32, inputs: u32) -> Self {
        Self {
            pins,
            inputs,
            data: 0,
            direction: 0,
            output_enable: 0,
            mask: 0,
            status: 0,
            edge: pins,
            polarity: 0,
            any: 0,
            levels: 0,
        }
    }

    /// Finds the levels that are watched for.
    fn watch(&mut self) {
        self.status |= !(self.levels ^ self.polarity) & !self.edge & self.pins;
    }

    fn sense(&mut self, pin: u32, level: bool) {
        let bit = 1 << pin & self.inputs;
        let before = self.levels;
        self.levels = if level { before | bit } else { before & !bit };
        let changed = before ^ self.levels;
        let wanted = self.any | !(self.levels ^ self.polarity);
        self.status |= changed & wanted & self.edge;
        self.watch();
    }
}

/// The controller.
#[derive(Debug)]
pub struct Gpio {
    banks: [Bank; 4],
    complaints: Complaints,
}

impl Default for Gpio {
    fn default() -> Self {
        Self::new()
    }
}

impl Gpio {
    /// A controller after reset, with low levels on all pins.
    pub const fn new() -> Self {
        let bank = Bank::new(u32::MAX, u32::MAX);
        Self {
            banks: [
                Bank::new(u32::MAX, !OUTPUT_ONLY),
                Bank::new((1 << (EMIO - 32)) - 1, (1 << (EMIO - 32)) - 1),
                bank,
                bank,
            ],
            complaints: Complaints::new(),
        }
    }

    /// Resets all registers. What is on the pins stays.
    pub fn reset(&mut self) {
        for bank in &mut self.banks {
            *bank = Bank { levels: bank.levels, ..Bank::new(bank.pins, bank.inputs) };
        }
    }

    fn write_register(&mut self, number: usize, register: Register, value: u32) {
        let Some(bank) = self.banks.get_mut(number) else { return };
        let name = register.name();
        let plain = matches!(
            register,
            Register::Data
                | Register::Direction
                | Register::OutputEnable
                | Register::Type
                | Register::Polarity
                | Register::Any
        );
        if plain && value & !bank.pins != 0 {
            self.complaints.add(|| format!("gpio: {name} of bank {number} = {value:#x}: there are no such pins"));
        }
        let pins = value & bank.pins;
        match register {
            Register::MaskData { upper } => {
                let shift = if upper { 16 } else { 0 };
                let chosen = (!(value >> 16) & 0xFFFF) << shift & bank.pins;
                bank.data = bank.data & !chosen | (value & 0xFFFF) << shift & chosen;
            }
            Register::Data => bank.data = pins,
            Register::Direction => bank.direction = pins,
            Register::OutputEnable => bank.output_enable = pins,
            Register::Enable => bank.mask &= !pins,
            Register::Disable => bank.mask |= pins,
            Register::Status => bank.status &= !pins,
            Register::Type => bank.edge = pins,
            Register::Polarity => bank.polarity = pins,
            Register::Any => bank.any = pins,
            Register::DataRo | Register::Mask => {
                self.complaints.add(|| format!("gpio: {name} of bank {number} = {value:#x} ignored: it is read-only"));
            }
        }
        bank.watch();
    }
}

impl Device for Gpio {
    fn length(&self) -> u32 {
        0x1000
    }

    fn read(&mut self, offset: u32, width: Width, _now: u64) -> u32 {
        let Some((number, register)) = decode(offset) else {
            self.complaints.no_register("gpio", "read", offset);
            return 0;
        };
        let Some(bank) = self.banks.get(number) else { return 0 };
        let value = match register {
            Register::MaskData { upper: false } => bank.data & 0xFFFF,
            Register::MaskData { upper: true } => bank.data >> 16,
            Register::Data => bank.data,
            Register::DataRo => bank.levels,
            Register::Direction => bank.direction,
            Register::OutputEnable => bank.output_enable,
            Register::Mask => bank.mask,
            Register::Status => bank.status,
            Register::Type => bank.edge,
            Register::Polarity => bank.polarity,
            Register::Any => bank.any,
            Register::Enable | Register::Disable => {
                let name = register.name();
                self.complaints.add(|| format!("gpio: {name} of bank {number} read: what comes back is unpredictable"));
                0
            }
        };
        width.lanes(offset, value)
    }

    fn write(&mut self, offset: u32, width: Width, value: u32, _now: u64) {
        match decode(offset) {
            None => self.complaints.no_register("gpio", "write", offset),
            Some((number, register)) if width != Width::Word => {
                let name = register.name();
                self.complaints.narrow("gpio", format_args!("{name} of bank {number}"), width);
            }
            Some((number, register)) => self.write_register(number, register, value),
        }
    }

    fn interrupts(&self) -> u32 {
        u32::from(self.banks.iter().any(|bank| bank.status & !bank.mask != 0))
    }

    fn next_event(&self) -> Option<u64> {
        None
    }

    fn advance(&mut self, _now: u64, _memory: &mut dyn Memory) {}

    fn complaints(&mut self) -> Vec<String> {
        self.complaints.take()
    }

    fn signals(&self) -> u32 {
        PINS
    }

    fn drive(&self, signal: u32) -> Drive {
        let (number, pin) = pin(signal);
        match self.banks.get(number) {
            Some(bank) if bank.direction & bank.output_enable & bank.pins & 1 << pin != 0 => {
                if bank.data >> pin & 1 != 0 { Drive::High } else { Drive::Low }
            }
            _ => Drive::Floating,
        }
    }

    fn sense(&mut self, signal: u32, level: bool, _now: u64) {
        let (number, pin) = pin(signal);
        if let Some(bank) = self.banks.get_mut(number) {
            bank.sense(pin, level);
        }
    }
}
