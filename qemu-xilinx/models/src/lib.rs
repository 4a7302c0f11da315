//! Device models in plain Rust.
//!
//! Models of the devices that the board has and the stock emulator lacks, or models too kindly. They are written from
//! the manuals and know neither the emulator nor our drivers: a driver's host tests run against the very models that the
//! emulator loads. A model enforces what hardware enforces, and complains ([`Device::complaints`]) about what software
//! must not do even where hardware would let it pass.
//!
//! A [`Device`] lives in simulated time. Whoever owns it passes register accesses in, calls [`Device::advance`] no later
//! than [`Device::next_event`] says, and forwards the interrupt line.
#![forbid(unsafe_code)]

pub mod memory;
pub mod sdcard;
pub mod sdhci;

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

    /// Level of the interrupt line.
    fn interrupt(&self) -> bool;

    /// When [`Device::advance`] has something to do; `None` is never, unless a register is written.
    fn next_event(&self) -> Option<u64>;

    /// Does everything that is due at `now`.
    fn advance(&mut self, now: u64, memory: &mut dyn Memory);

    /// Takes what software did wrong since the last call, oldest first.
    fn complaints(&mut self) -> Vec<String>;
}
