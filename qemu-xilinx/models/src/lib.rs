//! Device models in plain Rust.
//!
//! Models of the devices that the board has and the stock emulator lacks, or models too kindly. They are written from
//! the manuals and know neither the emulator nor our drivers: a driver's host tests run against the very models that the
//! emulator loads. A model enforces what hardware enforces, and complains ([`Device::complaints`]) about what software
//! must not do even where hardware would let it pass.
//!
//! A [`Device`] lives in simulated time. Whoever owns it passes register accesses in, calls [`Device::advance`] no later
//! than [`Device::next_event`] says, forwards the interrupt lines, and connects its signals (pins of a GPIO block, SCL and SDA of
//! an I2C controller) to whatever else is on the same net.
#![forbid(unsafe_code)]

pub mod axi_gpio;
pub mod bitstream;
pub mod board;
pub mod bootrom;
mod complaints;
pub mod ddrc;
pub mod devcfg;
pub mod frames;
pub mod gpio;
pub mod i2c;
pub mod l2cc;
pub mod memory;
pub mod scu;
pub mod sdcard;
pub mod sdhci;
pub mod slcr;
pub mod ttc;
pub mod vdma;
pub mod video;

/// Width of a register access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 8 bits.
    Byte,
    /// 16 bits.
    Half,
    /// 32 bits.
    Word,
}

impl Width {
    /// Width in bytes.
    pub const fn bytes(self) -> u32 {
        match self {
            Self::Byte => 1,
            Self::Half => 2,
            Self::Word => 4,
        }
    }

    /// What an access at `offset` gets of the word that holds it: the other lanes read as 0.
    pub(crate) const fn lanes(self, offset: u32, word: u32) -> u32 {
        match self {
            Self::Byte => word >> (offset % 4 * 8) & 0xFF,
            Self::Half => word >> (offset % 4 / 2 * 16) & 0xFFFF,
            Self::Word => word,
        }
    }
}

/// No memory answers at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no memory at bus address {address:#010x}")]
pub struct BusError {
    /// The address.
    pub address: u32,
}

/// Memory as a DMA engine sees it.
pub trait Memory {
    /// Reads `data.len()` bytes from `address` on.
    fn read(&mut self, address: u32, data: &mut [u8]) -> Result<(), BusError>;

    /// Writes `data` from `address` on.
    fn write(&mut self, address: u32, data: &[u8]) -> Result<(), BusError>;
}

/// What somebody does with a net that he is connected to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Drive {
    /// Nothing: an input, or an output that is switched off.
    #[default]
    Floating,
    /// Pulls it low.
    Low,
    /// Pulls it high.
    High,
}

/// A device behind a block of registers.
///
/// Times are in nanoseconds since any fixed moment and never go back.
pub trait Device {
    /// Length of the register block in bytes.
    fn length(&self) -> u32;

    /// Loads from a register. `offset` is below [`Device::length`].
    fn read(&mut self, offset: u32, width: Width, now: u64) -> u32;

    /// Stores to a register. Bits above `width` are ignored.
    fn write(&mut self, offset: u32, width: Width, value: u32, now: u64);

    /// Levels of the interrupt lines: bit n is line n. A device with one line has line 0.
    fn interrupts(&self) -> u32;

    /// When [`Device::advance`] has something to do; `None` is never, unless a register is written.
    fn next_event(&self) -> Option<u64>;

    /// Does everything that is due at `now`.
    fn advance(&mut self, now: u64, memory: &mut dyn Memory);

    /// Takes what software did wrong since the last call, oldest first.
    fn complaints(&mut self) -> Vec<String>;

    /// Number of signals that connect the device with the outside.
    fn signals(&self) -> u32 {
        0
    }

    /// What the device does with one of its signals. `signal` is below [`Device::signals`].
    fn drive(&self, signal: u32) -> Drive {
        let _ = signal;
        Drive::Floating
    }

    /// The level of the net that one of its signals is connected to, told whenever it changes, whoever changed it.
    fn sense(&mut self, signal: u32, level: bool, now: u64) {
        let _ = (signal, level, now);
    }
}
