//! The PCA9548 multiplexer: one bus in front of eight.
//!
//! # How the hardware works
//!
//! The chip has one register. Each of its bits connects one of the eight buses behind it with the bus before it; of several
//! bytes written in one message the last counts. A bus is connected or disconnected at the STOP, so that it never sees half
//! a transaction (PCA9548A data sheet, "Control register"). After power-up and reset nothing is connected.

use super::{Address, Bus, Direction, PropertyError, Reply, Segment, Sent, Slave, Value, unfit, unknown};

const PROPERTIES: &str = "reset (flag)";

/// Buses behind the multiplexer.
const CHANNELS: usize = 8;

/// A multiplexer. Property: `reset`, the level of the reset pin's assertion.
#[derive(Debug)]
pub struct Pca9548 {
    control: u8,
    reset: bool,
    segments: [Segment; CHANNELS],
}

impl Default for Pca9548 {
    fn default() -> Self {
        Self::new()
    }
}

impl Pca9548 {
    /// A multiplexer with empty buses behind it.
    pub fn new() -> Self {
        let segments = std::array::from_fn(|_| Segment { bus: Bus::new(), connected: false });
        Self { control: 0, reset: false, segments }
    }

    /// The register.
    pub fn control(&self) -> u8 {
        self.control
    }

    /// A bus behind it, from 0 to 7.
    pub fn bus(&self, channel: usize) -> Option<&Bus> {
        Some(&self.segments.get(channel)?.bus)
    }

    /// A bus behind it, from 0 to 7.
    pub fn bus_mut(&mut self, channel: usize) -> Option<&mut Bus> {
        Some(&mut self.segments.get_mut(channel)?.bus)
    }

    fn connect(&mut self) {
        for (channel, segment) in self.segments.iter_mut().enumerate() {
            segment.connected = self.control >> channel & 1 != 0;
        }
    }
}

impl Slave for Pca9548 {
    fn name(&self) -> &'static str {
        "pca9548"
    }

    fn start(&mut self, _address: Address, _direction: Direction, _now: u64) -> Reply {
        Reply::new(!self.reset)
    }

    fn write(&mut self, byte: u8, _now: u64) -> Reply {
        self.control = byte;
        Reply::ACK
    }

    fn read(&mut self, _now: u64) -> Sent {
        self.control.into()
    }

    fn stop(&mut self, _now: u64) {
        self.connect();
    }

    fn dump(&self) -> Vec<u8> {
        vec![self.control]
    }

    fn set(&mut self, property: &str, value: &Value, _now: u64) -> Result<(), PropertyError> {
        if property != "reset" {
            return Err(unknown(self.name(), property, PROPERTIES));
        }
        self.reset = value.flag().ok_or_else(|| unfit(self.name(), property, "a flag"))?;
        if self.reset {
            self.control = 0;
            self.connect();
        }
        Ok(())
    }

    fn segments(&self) -> &[Segment] {
        &self.segments
    }

    fn segments_mut(&mut self) -> &mut [Segment] {
        &mut self.segments
    }
}
