//! A master that moves the lines itself.
#![allow(dead_code, reason = "each test uses a part")]

use zelkova_models::i2c::{Bus, Description};

/// A quarter of a bit time in ns.
const QUARTER: u64 = 2_500;

/// A master of two open-drain outputs and two inputs.
pub(crate) struct Pins {
    pub(crate) bus: Bus,
    pub(crate) now: u64,
}

impl Pins {
    pub(crate) fn new(slaves: &[Description]) -> Self {
        Self { bus: Bus::build(slaves, 0).unwrap(), now: 1_000 }
    }

    pub(crate) fn scl(&mut self, level: bool) {
        self.now += QUARTER;
        self.bus.drive_scl(level, self.now);
        // A slave may hold it.
        for _ in 0..1000 {
            if !level || self.bus.lines().scl {
                return;
            }
            self.now += QUARTER;
            self.bus.advance(self.now);
        }
        panic!("SCL is held for ever");
    }

    pub(crate) fn sda(&mut self, level: bool) {
        self.now += QUARTER;
        self.bus.drive_sda(level, self.now);
    }

    pub(crate) fn start(&mut self) {
        self.sda(true);
        self.scl(true);
        self.sda(false);
        self.scl(false);
    }

    pub(crate) fn stop(&mut self) {
        self.sda(false);
        self.scl(true);
        self.sda(true);
    }

    pub(crate) fn clock(&mut self, out: bool) -> bool {
        self.sda(out);
        self.scl(true);
        let level = self.bus.lines().sda;
        self.scl(false);
        level
    }

    pub(crate) fn put(&mut self, byte: u8) -> bool {
        (0..8).rev().for_each(|bit| {
            self.clock(byte >> bit & 1 != 0);
        });
        !self.clock(true)
    }

    pub(crate) fn get(&mut self, ack: bool) -> u8 {
        let byte = (0..8).fold(0, |byte, _| byte << 1 | u8::from(self.clock(true)));
        self.clock(!ack);
        byte
    }

    /// A write; the number of bytes that were acknowledged, the address included.
    pub(crate) fn write(&mut self, address: u8, bytes: &[u8]) -> usize {
        self.start();
        let all: Vec<u8> = [address << 1].iter().chain(bytes).copied().collect();
        let acknowledged = all.iter().take_while(|byte| self.put(**byte)).count();
        self.stop();
        acknowledged
    }

    pub(crate) fn read(&mut self, address: u8, length: usize) -> Option<Vec<u8>> {
        self.start();
        let ack = self.put(address << 1 | 1);
        let bytes = ack.then(|| (1..=length).map(|index| self.get(index < length)).collect());
        self.stop();
        bytes
    }

    /// A write, a repeated START, a read.
    pub(crate) fn write_read(&mut self, address: u8, bytes: &[u8], length: usize) -> Option<Vec<u8>> {
        self.start();
        let acknowledged = self.put(address << 1) && bytes.iter().all(|byte| self.put(*byte));
        if !acknowledged {
            self.stop();
            return None;
        }
        self.read(address, length)
    }

    /// Time passes.
    pub(crate) fn wait(&mut self, ns: u64) {
        self.now += ns;
        self.bus.advance(self.now);
    }

    pub(crate) fn last(&self) -> String {
        self.bus.history().back().unwrap().to_string()
    }
}
