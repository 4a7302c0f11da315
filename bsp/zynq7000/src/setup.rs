//! Register values from a board's data.
//!
//! Pure functions from a [`Board`] to the writes that set it up. What has to be done in which order, and what has to be waited
//! for, is a matter of whoever applies them; each function tells.

use thiserror::Error;
use tock_registers::fields::FieldValue;

use crate::board::{Board, Function, Voltage};
use crate::clocks::Pll;
use crate::memory::SLCR;
use crate::mio::MIO_PIN;
use crate::slcr;

mod clocks;
mod ddr;

pub use clocks::{PllSetup, clocks, cpu_clock, memory_clocks, pll};
pub use ddr::{DDRC_WRITES, memory_controller, memory_pads, rate as memory_rate};

/// A write to some bits of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// The register.
    pub address: u32,
    /// The bits that are written; the others keep their value.
    pub mask: u32,
    /// What is written to them. No other bits are set.
    pub value: u32,
}

impl Write {
    const fn new(address: u32, mask: u32, value: u32) -> Self {
        Self { address, mask, value: value & mask }
    }

    const fn slcr(offset: usize, mask: u32, value: u32) -> Self {
        Self::new(SLCR.registers.base + offset as u32, mask, value)
    }

    /// What the register holds afterwards, if it held `before`.
    pub const fn apply(self, before: u32) -> u32 {
        before & !self.mask | self.value
    }
}

/// Why a board cannot be set up as its data say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SetupError {
    /// There is no setting of the loop filter for the divisor, or the rate is out of range (DS187: 780 to 1600 MHz).
    #[error("the {0:?} PLL cannot run at {1} times PS_CLK: choose a feedback divisor for 780 to 1600 MHz")]
    Pll(Pll, u8),
    /// A divisor is not possible.
    #[error("the clock `{clock}` cannot be divided by {divisor}")]
    Divisor {
        /// Which clock.
        clock: &'static str,
        /// The divisor.
        divisor: u32,
    },
    /// A value does not fit its field.
    #[error("`{field}` would be {value}, which its register cannot hold")]
    Field {
        /// The manual's name of the field.
        field: &'static str,
        /// The value.
        value: i64,
    },
    /// A value that no chip has.
    #[error("`{0}` of the memory is not one that DDR3 chips have")]
    Memory(&'static str),
}

/// The pins, in order: one write each, then which of them belong to the card slot.
///
/// The SLCR must be unlocked.
pub fn pins(board: &Board) -> impl Iterator<Item = Write> {
    let slot = board.card;
    // Where there is no write protect switch, the signal comes from the programmable logic and is low there: not protected.
    let select = u32::from(slot.detect) << 16 | u32::from(slot.protect.unwrap_or(55));
    let pins = board.pins;
    pins.groups
        .iter()
        .flat_map(move |group| {
            (group.first..=group.last).map(move |pin| {
                let voltage = if pin < 16 { pins.bank_0 } else { pins.bank_1 };
                let buffer = MIO_PIN::SPEED.val(group.fast.into())
                    + io_type(voltage)
                    + MIO_PIN::PULLUP.val(group.pull_up.into());
                let value = group.function.bits() | buffer.value;
                Write::slcr(slcr::MIO_PIN_00 + 4 * usize::from(pin), 0x3fff, value)
            })
        })
        .chain([Write::slcr(slcr::SD0_WP_CD_SEL, 0x003f_003f, select)])
}

fn io_type(voltage: Voltage) -> FieldValue<u32, MIO_PIN::Register> {
    match voltage {
        Voltage::V18 => MIO_PIN::IO_TYPE::Lvcmos18,
        Voltage::V25 => MIO_PIN::IO_TYPE::Lvcmos25,
        Voltage::V33 => MIO_PIN::IO_TYPE::Lvcmos33,
    }
}

/// Whether a pin is one that the board uses as GPIO.
pub fn is_gpio(board: &Board, pin: u8) -> bool {
    board.pins.groups.iter().any(|group| {
        (group.first..=group.last).contains(&pin) && matches!(group.function, Function::Gpio | Function::Input)
    })
}

/// `value` at bit `low`, if it fits `width` bits.
fn field(name: &'static str, value: i64, low: u32, width: u32) -> Result<u32, SetupError> {
    match u32::try_from(value) {
        Ok(bits) if bits >> width == 0 => Ok(bits << low),
        _ => Err(SetupError::Field { field: name, value }),
    }
}
