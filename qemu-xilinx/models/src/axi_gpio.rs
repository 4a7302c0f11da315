//! AXI GPIO, a core for the programmable logic.
//!
//! # How the hardware works
//!
//! PG144, AXI GPIO v2.0. One or two channels of up to 32 pins. A 1 in the tri-state register makes a pin an input. A change at
//! any input of a channel sets the channel's bit in the interrupt status register. Writing a one *toggles* a bit
//! there: a driver that writes one for a bit that is not set makes an interrupt. The line is up while a status bit
//! is set whose enable bit is set, and the global enable is set too.
//!
//! # What this module does
//!
//! All of that, with widths and reset values as the core is built. Signals of channel 1 are numbered from 0 on, those of
//! channel 2 from 32 on. As the manual says, outputs read as 0 in the data register.
//!
//! # What it does not do
//!
//! Channels that are built with inputs or outputs only: they are a matter of the reset value of the tri-state register and of
//! software that does not change it.

use crate::complaints::Complaints;
use crate::{Device, Drive, Memory, Width};

/// First signal of channel 2.
pub const CHANNEL_2: u32 = 32;

const GIER: u32 = 0x11C;
const IP_ISR: u32 = 0x120;
const IP_IER: u32 = 0x128;

const GLOBAL_ENABLE: u32 = 1 << 31;

/// How a channel is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Pins, 1 to 32.
    pub width: u32,
    /// Reset value of the data register.
    pub data: u32,
    /// Reset value of the tri-state register: a 1 is an input.
    pub tri: u32,
}

impl Channel {
    /// All pins are inputs.
    pub const fn inputs(width: u32) -> Self {
        Self { width, data: 0, tri: u32::MAX }
    }

    /// All pins are outputs, and low.
    pub const fn outputs(width: u32) -> Self {
        Self { width, data: 0, tri: 0 }
    }

    const fn pins(self) -> u32 {
        match self.width {
            0 => 0,
            1..32 => (1 << self.width) - 1,
            _ => u32::MAX,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct State {
    built: Channel,
    pins: u32,
    data: u32,
    tri: u32,
    levels: u32,
}

impl State {
    const fn new(built: Channel) -> Self {
        let pins = built.pins();
        Self { built, pins, data: built.data & pins, tri: built.tri & pins, levels: 0 }
    }
}

/// The core.
#[derive(Debug)]
pub struct AxiGpio {
    channels: [Option<State>; 2],
    global_enable: bool,
    status: u32,
    enable: u32,
    complaints: Complaints,
}

/// What is at an offset.
enum Register {
    Data(usize),
    Tri(usize),
    GlobalEnable,
    Status,
    Enable,
}

impl AxiGpio {
    /// A core with one channel or two, after reset, with low levels on all pins.
    pub const fn new(channel_1: Channel, channel_2: Option<Channel>) -> Self {
        let second = match channel_2 {
            Some(channel) => Some(State::new(channel)),
            None => None,
        };
        Self {
            channels: [Some(State::new(channel_1)), second],
            global_enable: false,
            status: 0,
            enable: 0,
            complaints: Complaints::new(),
        }
    }

    /// Resets all registers. What is on the pins stays.
    pub fn reset(&mut self) {
        for channel in self.channels.iter_mut().flatten() {
            *channel = State { levels: channel.levels, ..State::new(channel.built) };
        }
        self.global_enable = false;
        self.status = 0;
        self.enable = 0;
    }

    fn decode(&self, offset: u32) -> Option<Register> {
        let register = match offset & !3 {
            0x00 => Register::Data(0),
            0x04 => Register::Tri(0),
            0x08 => Register::Data(1),
            0x0C => Register::Tri(1),
            GIER => Register::GlobalEnable,
            IP_ISR => Register::Status,
            IP_IER => Register::Enable,
            _ => return None,
        };
        match register {
            Register::Data(channel) | Register::Tri(channel) => self.state(channel).map(|_| register),
            _ => Some(register),
        }
    }

    fn state(&self, channel: usize) -> Option<&State> {
        self.channels.get(channel)?.as_ref()
    }

    fn state_mut(&mut self, channel: usize) -> Option<&mut State> {
        self.channels.get_mut(channel)?.as_mut()
    }

    /// Status and enable bits that exist.
    fn bits(&self) -> u32 {
        if self.state(1).is_some() { 3 } else { 1 }
    }
}

impl Device for AxiGpio {
    fn length(&self) -> u32 {
        0x1000
    }

    fn read(&mut self, offset: u32, width: Width, _now: u64) -> u32 {
        let value = match self.decode(offset) {
            Some(Register::Data(channel)) => self.state(channel).map_or(0, |state| state.levels & state.tri),
            Some(Register::Tri(channel)) => self.state(channel).map_or(0, |state| state.tri),
            Some(Register::GlobalEnable) => u32::from(self.global_enable) << 31,
            Some(Register::Status) => self.status,
            Some(Register::Enable) => self.enable,
            None => {
                self.complaints.no_register("axi_gpio", "read", offset);
                0
            }
        };
        width.lanes(offset, value)
    }

    fn write(&mut self, offset: u32, width: Width, value: u32, _now: u64) {
        let Some(register) = self.decode(offset) else {
            self.complaints.no_register("axi_gpio", "write", offset);
            return;
        };
        if width != Width::Word {
            self.complaints.narrow("axi_gpio", format_args!("register {offset:#05x}"), width);
            return;
        }
        let bits = self.bits();
        match register {
            Register::Data(channel) => {
                if let Some(state) = self.state_mut(channel) {
                    // The register behind an input keeps what it has.
                    state.data = state.data & state.tri | value & state.pins & !state.tri;
                }
            }
            Register::Tri(channel) => {
                if let Some(state) = self.state_mut(channel) {
                    state.tri = value & state.pins;
                }
            }
            Register::GlobalEnable => self.global_enable = value & GLOBAL_ENABLE != 0,
            Register::Status => {
                if value & !self.status & bits != 0 {
                    let status = self.status;
                    self.complaints.add(|| {
                        format!("axi_gpio: IP ISR = {value:#x} while it is {status:#x} sets bits: a write toggles")
                    });
                }
                self.status ^= value & bits;
            }
            Register::Enable => self.enable = value & bits,
        }
    }

    fn interrupts(&self) -> u32 {
        u32::from(self.global_enable && self.status & self.enable != 0)
    }

    fn next_event(&self) -> Option<u64> {
        None
    }

    fn advance(&mut self, _now: u64, _memory: &mut dyn Memory) {}

    fn complaints(&mut self) -> Vec<String> {
        self.complaints.take()
    }

    fn signals(&self) -> u32 {
        match (self.state(0), self.state(1)) {
            (_, Some(second)) => CHANNEL_2 + second.built.width.min(32),
            (Some(first), None) => first.built.width.min(32),
            (None, None) => 0,
        }
    }

    fn drive(&self, signal: u32) -> Drive {
        let bit = 1 << (signal % CHANNEL_2);
        match self.state((signal / CHANNEL_2) as usize) {
            Some(state) if state.pins & !state.tri & bit != 0 => {
                if state.data & bit != 0 {
                    Drive::High
                } else {
                    Drive::Low
                }
            }
            _ => Drive::Floating,
        }
    }

    fn sense(&mut self, signal: u32, level: bool, _now: u64) {
        let channel = (signal / CHANNEL_2) as usize;
        let Some(state) = self.state_mut(channel) else { return };
        let bit = 1 << (signal % CHANNEL_2) & state.pins;
        let before = state.levels;
        state.levels = if level { before | bit } else { before & !bit };
        if (before ^ state.levels) & state.tri != 0 {
            self.status |= 1 << channel;
        }
    }
}
