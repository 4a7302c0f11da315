//! The services that components offer each other.

use serde::{Deserialize, Serialize};

/// A service: what a session is opened to.
///
/// The names are those of the `provides` and `route` keys of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Service {
    /// Text output, labelled by whoever routes the session.
    Log = 0,
    /// Monotonic time and timeouts.
    Timer = 1,
    /// Block storage through a shared ring.
    Block = 2,
    /// Devices by name: registers, interrupts, DMA buffers, clocks and resets.
    Devices = 3,
    /// A named read-only dataspace.
    Rom = 4,
    /// Physical registers and interrupts. Offered by core alone, for a device manager.
    Hardware = 5,
    /// Answers what it is sent; for measurements and tests.
    Echo = 6,
    /// Publishes a dataspace that others read as a ROM. Offered by init.
    Report = 7,
    /// Memory whose pages the server puts in when they are touched.
    Memory = 8,
    /// Pins: levels, directions, events.
    Gpio = 9,
    /// Transactions on an I2C bus.
    I2c = 10,
    /// A screen, and pictures to show on it.
    Framebuffer = 11,
    /// Pictures from a camera.
    Capture = 12,
}

impl Service {
    /// Every service, in the order of its wire value.
    pub const ALL: [Self; 13] = [
        Self::Log,
        Self::Timer,
        Self::Block,
        Self::Devices,
        Self::Rom,
        Self::Hardware,
        Self::Echo,
        Self::Report,
        Self::Memory,
        Self::Gpio,
        Self::I2c,
        Self::Framebuffer,
        Self::Capture,
    ];

    /// The service with the wire value `value`.
    pub fn from_wire(value: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|service| *service as u32 == value)
    }
}
