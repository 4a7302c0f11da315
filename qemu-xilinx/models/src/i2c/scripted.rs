//! A slave for tests: it takes everything, sends what it was told, and answers to as many addresses as it is given.
//!
//! What goes wrong with it is said by [`super::Fault`]s, as for every slave.

use super::{Address, Direction, PropertyError, Reply, Sent, Slave, Value, unfit, unknown};

const PROPERTIES: &str = "reply (bytes, sent over and over), stretch-us (integer, before each answer)";

/// A slave for tests. Properties: `reply`, `stretch-us`.
#[derive(Debug)]
pub struct Scripted {
    reply: Vec<u8>,
    next: usize,
    received: Vec<u8>,
    starts: Vec<(Address, Direction)>,
    stops: u32,
    refused: u32,
    stretch: u64,
}

impl Default for Scripted {
    fn default() -> Self {
        Self::new()
    }
}

impl Scripted {
    /// A slave that sends 0, 1, 2, ... over and over.
    pub fn new() -> Self {
        Self {
            reply: (0..=0xFF).collect(),
            next: 0,
            received: Vec::new(),
            starts: Vec::new(),
            stops: 0,
            refused: 0,
            stretch: 0,
        }
    }

    /// What it sends, over and over, from the beginning at each START.
    #[must_use]
    pub fn replying(self, reply: &[u8]) -> Self {
        Self { reply: reply.into(), ..self }
    }

    /// How long it holds SCL low before each of its answers, in ns.
    #[must_use]
    pub fn stretching(self, stretch: u64) -> Self {
        Self { stretch, ..self }
    }

    /// Every byte it was sent.
    pub fn received(&self) -> &[u8] {
        &self.received
    }

    /// Every START for it, in order.
    pub fn starts(&self) -> &[(Address, Direction)] {
        &self.starts
    }

    /// Transactions that have come to their end.
    pub fn stops(&self) -> u32 {
        self.stops
    }

    /// Bytes it sent that the master did not acknowledge.
    pub fn refused(&self) -> u32 {
        self.refused
    }

    /// Forgets what happened.
    pub fn forget(&mut self) {
        self.received.clear();
        self.starts.clear();
        (self.stops, self.refused) = (0, 0);
    }
}

impl Slave for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn start(&mut self, address: Address, direction: Direction, _now: u64) -> Reply {
        self.starts.push((address, direction));
        self.next = 0;
        Reply { ack: true, stretch: self.stretch }
    }

    fn write(&mut self, byte: u8, _now: u64) -> Reply {
        self.received.push(byte);
        Reply { ack: true, stretch: self.stretch }
    }

    fn read(&mut self, _now: u64) -> Sent {
        let byte = self.reply.get(self.next % self.reply.len().max(1)).copied().unwrap_or(0xFF);
        self.next += 1;
        Sent { byte, stretch: self.stretch }
    }

    fn answered(&mut self, ack: bool, _now: u64) {
        self.refused += u32::from(!ack);
    }

    fn stop(&mut self, _now: u64) {
        self.stops += 1;
    }

    fn dump(&self) -> Vec<u8> {
        self.received.clone()
    }

    fn set(&mut self, property: &str, value: &Value, _now: u64) -> Result<(), PropertyError> {
        match property {
            "reply" => {
                let bytes = value.bytes().ok_or_else(|| unfit(self.name(), property, "bytes"))?;
                self.reply = bytes.to_vec();
            }
            "stretch-us" => {
                let time = value.integer().and_then(|time| u64::try_from(time).ok());
                let wanted = "a time in microseconds, at least 0";
                self.stretch = time.ok_or_else(|| unfit(self.name(), property, wanted))?.saturating_mul(1000);
            }
            _ => return Err(unknown(self.name(), property, PROPERTIES)),
        }
        Ok(())
    }
}
