//! The AXI GPIO of the programmable logic (PG144).
//!
//! # How the hardware works
//!
//! One or two channels of up to 32 pins each, with a data and a direction register. A change of any input of a channel sets the channel's bit in the interrupt
//! status register; writing a one there *toggles* the bit.
//!
//! # What this module does
//!
//! Which pin has changed, and how, is found by comparing the levels with those seen last. So a pulse that is over before its
//! interrupt is handled is not noticed: the hardware does not say whose it was. Levels are compared when a trigger is set and when it is resumed, because then
//! there is no change that would interrupt.
//!
//! Outputs share a register, and a data register reads the pins and not what was written: what outputs are set to is kept here, where the only owner of the
//! registers is. A group in one channel changes at one moment.

use mmio::Registers;
use session::gpio::Trigger;
use tock_registers::interfaces::{Readable, Writeable};

use crate::controller::{BANKS, BITS, Controller, Place, Sets};
use crate::registers::{AxiBlock, GLOBAL_ENABLE};

const CHANNELS: usize = 2;

/// The controller behind a register block.
#[derive(Debug)]
pub struct Axi<B> {
    block: AxiBlock<B>,
    channels: [Channel; CHANNELS],
}

#[derive(Debug, Default)]
struct Channel {
    /// Its pins.
    all: u32,
    set: u32,
    outputs: u32,
    /// Levels as they were seen last.
    seen: u32,
    rising: u32,
    falling: u32,
    high: u32,
    low: u32,
}

impl Channel {
    /// The pins with a level trigger that is there, which rest from now on.
    fn levels(&mut self, mask: u32) -> u32 {
        let noticed = mask & (self.high & self.seen | self.low & !self.seen);
        self.high &= !noticed;
        self.low &= !noticed;
        noticed
    }
}

impl<B: Registers> Axi<B> {
    /// Takes the controller over: all pins are inputs. `widths` is the number of pins of each channel, 0 to 32.
    pub fn new(block: B, widths: [u32; CHANNELS]) -> Self {
        let block = AxiBlock::new(block);
        let mut channels = [Channel::default(), Channel::default()];
        let (mut exist, mut bit) = (0, 1);
        for (number, (channel, width)) in channels.iter_mut().zip(widths).enumerate() {
            channel.all = u32::MAX.checked_shr(BITS - width.min(BITS)).unwrap_or(0);
            if channel.all != 0 {
                exist |= bit;
                block.three_state(number).set(channel.all);
                block.data(number).set(0);
                channel.seen = block.data(number).get() & channel.all;
            }
            bit <<= 1;
        }
        let status = block.interrupt_status();
        status.clear(status.get() & exist);
        block.interrupt_enable().set(exist);
        block.global_enable().write(GLOBAL_ENABLE::ENABLE::SET);
        Self { block, channels }
    }

    fn channel(&self, bank: usize) -> Option<&Channel> {
        self.channels.get(bank).filter(|channel| channel.all != 0)
    }

    /// Looks at the levels of a channel, and returns the edges that pins have a trigger for.
    fn look(&mut self, bank: usize) -> u32 {
        let Some(channel) = self.channels.get_mut(bank).filter(|channel| channel.all != 0) else { return 0 };
        let levels = self.block.data(bank).get() & channel.all;
        let changed = core::mem::replace(&mut channel.seen, levels) ^ levels;
        changed & (channel.rising & levels | channel.falling & !levels)
    }
}

impl<B: Registers> Controller for Axi<B> {
    fn place(&self, number: u32) -> Option<Place> {
        let place = Place { bank: (number / BITS) as usize, bit: number % BITS };
        self.channel(place.bank).filter(|channel| channel.all & place.mask() != 0).map(|_| place)
    }

    fn inputs(&self) -> Sets {
        let [first, second] = &self.channels;
        [first.all, second.all, 0, 0]
    }

    fn outputs(&self) -> Sets {
        self.inputs()
    }

    fn levels(&self, bank: usize) -> u32 {
        self.channel(bank).map_or(0, |channel| self.block.data(bank).get() & channel.all)
    }

    fn set(&self, bank: usize) -> u32 {
        self.channel(bank).map_or(0, |channel| channel.set)
    }

    fn directions(&self, bank: usize) -> u32 {
        self.channel(bank).map_or(0, |channel| channel.outputs)
    }

    fn write(&mut self, bank: usize, mask: u32, levels: u32) {
        if let Some(channel) = self.channels.get_mut(bank).filter(|channel| channel.all != 0) {
            let mask = mask & channel.all;
            channel.set = channel.set & !mask | levels & mask;
            self.block.data(bank).set(channel.set);
        }
    }

    fn direct(&mut self, bank: usize, mask: u32, outputs: u32) {
        if let Some(channel) = self.channels.get_mut(bank).filter(|channel| channel.all != 0) {
            let mask = mask & channel.all;
            channel.outputs = channel.outputs & !mask | outputs & mask;
            self.block.three_state(bank).set(channel.all & !channel.outputs);
        }
    }

    fn arm(&mut self, bank: usize, mask: u32, trigger: Trigger) -> u32 {
        // Edges of other pins that this look finds have an interrupt pending, which must still find them.
        let Some(channel) = self.channels.get_mut(bank).filter(|channel| channel.all != 0) else { return 0 };
        let levels = self.block.data(bank).get();
        channel.seen = channel.seen & !mask | levels & mask & channel.all;
        for set in [&mut channel.rising, &mut channel.falling, &mut channel.high, &mut channel.low] {
            *set &= !mask;
        }
        let mask = mask & channel.all;
        match trigger {
            Trigger::Off => {}
            Trigger::Rising => channel.rising |= mask,
            Trigger::Falling => channel.falling |= mask,
            Trigger::Both => {
                channel.rising |= mask;
                channel.falling |= mask;
            }
            Trigger::High => channel.high |= mask,
            Trigger::Low => channel.low |= mask,
        }
        channel.levels(mask)
    }

    fn resume(&mut self, bank: usize, mask: u32, trigger: Trigger) -> u32 {
        self.arm(bank, mask, trigger)
    }

    fn take(&mut self) -> Sets {
        let status = self.block.interrupt_status();
        let pending = status.get();
        // Toggled before the levels are read: what changes afterwards interrupts again.
        status.clear(pending);
        let mut noticed = [0; BANKS];
        for (bank, noticed) in noticed.iter_mut().enumerate().take(CHANNELS) {
            *noticed = self.look(bank);
            if let Some(channel) = self.channels.get_mut(bank) {
                *noticed |= channel.levels(channel.all);
            }
        }
        noticed
    }
}
