//! The I2C controller of the Zynq-7000 (Cadence r1p10; UG585 chapter 20 and the register appendix, section "I2C").
//!
//! # How the hardware works
//!
//! Software sets divisors, direction and HOLD in the control register, fills the 16 byte FIFO (to send) or writes how many bytes
//! it wants (to receive), and writes the slave's address: that sends START and the address. The controller then empties or
//! fills the FIFO on its own. When it has nothing left to send it sends STOP, or, with HOLD, keeps SCL low until software
//! adds data, clears HOLD (STOP follows) or writes an address (a repeated START follows). When it receives into a full
//! FIFO it keeps SCL low with HOLD, and loses the byte without. Interrupts are status bits, cleared by writing ones; a mask
//! decides which of them raise the line. fSCL = input clock / (22 * (DIV_A + 1) * (DIV_B + 1)).
//!
//! # Where silicon differs from what one would expect, and so does this
//!
//! - The last expected byte is not acknowledged once the transfer size has come down to 0, whatever HOLD says.
//! - With HOLD set at that moment no COMP comes, and the transfer size rolls over to 255.
//! - HOLD keeping SCL low counts as SCL being low: the time-out interrupt comes for it too.
//! - Above 90 kHz in standard mode and above 384.6 kHz in fast mode SCL is low for too short; such divisors are a complaint.
//! - CLR_FIFO clears the transfer size, but not in master receive mode (UG585, register CR).
//! - Reading 0 bytes reads 256.
//!
//! # What this module decides where the manual is silent
//!
//! COMP comes with the last acknowledgement, NACK with the missing one, both before the STOP; no second COMP comes with the
//! STOP that clearing HOLD sends. A missing acknowledgement sends STOP whatever HOLD says and leaves the FIFO as it is. With a
//! STOP that SDA does not rise for, the arbitration is lost. An address that is written while a STOP is under way is sent
//! after it; one that is written while the bus is not free waits for it, without an interrupt. An empty message (address,
//! no data) is possible.
//!
//! # What it does not do
//!
//! Slave mode: writing an address without MS is a complaint. Divisors, addressing mode and MS that change during a transfer
//! are a complaint and take effect at once.

use std::collections::VecDeque;

use super::Bus;
use crate::complaints::Complaints;
use crate::{Device, Drive, Memory, Width};

/// Bytes that the FIFO holds.
pub const FIFO_DEPTH: usize = 16;

/// The signal of the clock.
pub const SCL: u32 = 0;

/// The signal of the data.
pub const SDA: u32 = 1;

/// Length of the register block in bytes.
const LENGTH: u32 = 0x1000;

/// Bytes in the FIFO at which a receiver raises DATA.
const RECEIVE_MARK: usize = FIFO_DEPTH - 2;

/// Bytes in the FIFO at which a transmitter raises DATA.
const TRANSMIT_MARK: usize = 2;

/// Highest SCL frequency for standard mode that keeps SCL low for 4.7 us, in Hz.
const STANDARD_MAX: u64 = 90_000;

/// Up to here software means standard mode, in Hz.
const STANDARD: u64 = 100_000;

/// Highest SCL frequency for fast mode that keeps SCL low for 1.3 us, in Hz.
const FAST_MAX: u64 = 384_616;

/// Register offsets.
mod offset {
    pub(super) const CONTROL: u32 = 0x00;
    pub(super) const STATUS: u32 = 0x04;
    pub(super) const ADDRESS: u32 = 0x08;
    pub(super) const DATA: u32 = 0x0C;
    pub(super) const INTERRUPT_STATUS: u32 = 0x10;
    pub(super) const TRANSFER_SIZE: u32 = 0x14;
    pub(super) const SLAVE_PAUSE: u32 = 0x18;
    pub(super) const TIME_OUT: u32 = 0x1C;
    pub(super) const INTERRUPT_MASK: u32 = 0x20;
    pub(super) const INTERRUPT_ENABLE: u32 = 0x24;
    pub(super) const INTERRUPT_DISABLE: u32 = 0x28;
}

/// Bits of the control register.
mod control {
    pub(super) const READ: u32 = 1 << 0;
    pub(super) const MASTER: u32 = 1 << 1;
    pub(super) const SEVEN_BIT: u32 = 1 << 2;
    pub(super) const ACKNOWLEDGE: u32 = 1 << 3;
    pub(super) const HOLD: u32 = 1 << 4;
    pub(super) const MONITOR: u32 = 1 << 5;
    pub(super) const CLEAR_FIFO: u32 = 1 << 6;
    pub(super) const DIVISORS: u32 = 0xFF00;
    pub(super) const ALL: u32 = 0xFF7F;
}

/// Bits of the status register.
mod status {
    pub(super) const RECEIVE_VALID: u32 = 1 << 5;
    pub(super) const TRANSMIT_VALID: u32 = 1 << 6;
    pub(super) const RECEIVE_OVERFLOW: u32 = 1 << 7;
    pub(super) const BUS_ACTIVE: u32 = 1 << 8;
}

/// Bits of the interrupt registers.
mod interrupt {
    pub(super) const COMPLETE: u32 = 1 << 0;
    pub(super) const DATA: u32 = 1 << 1;
    pub(super) const NACK: u32 = 1 << 2;
    pub(super) const TIME_OUT: u32 = 1 << 3;
    pub(super) const SLAVE_READY: u32 = 1 << 4;
    pub(super) const RECEIVE_OVERFLOW: u32 = 1 << 5;
    pub(super) const TRANSMIT_OVERFLOW: u32 = 1 << 6;
    pub(super) const RECEIVE_UNDERFLOW: u32 = 1 << 7;
    pub(super) const ARBITRATION_LOST: u32 = 1 << 9;
    pub(super) const ALL: u32 = 0x2FF;
}

/// Which byte is on the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The address, or the upper part of a 10-bit one.
    Address,
    /// The lower part of a 10-bit address.
    AddressLow,
    /// The upper part of a 10-bit address once more, behind a repeated START, to read.
    AddressAgain,
    /// Data to the slave.
    Transmit,
    /// Data from the slave.
    Receive,
}

/// Why SCL is held low.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// Nothing is left to send.
    Dry,
    /// The FIFO is full.
    Full,
    /// Everything has been received.
    Received,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    /// Until the bus is free.
    Waiting,
    /// Until START.
    Start,
    /// Until a repeated START; `again` is the second one of a 10-bit read.
    Restart {
        again: bool,
    },
    /// A byte and its acknowledgement; `bit` is the next of its nine bits.
    Shift {
        part: Part,
        byte: u8,
        bit: u8,
    },
    /// SCL is held low until software does something.
    Held(Held),
    /// Until STOP.
    Stop,
    /// Until the next attempt of slave monitor mode.
    Pause,
}

/// An I2C controller and the bus on its pins.
///
/// Signals: [`SCL`] and [`SDA`], what the controller and the slaves do with the lines. Whoever connects the signals tells
/// [`Device::sense`] the level of the net whenever it or what the controller drives has changed. Alone, without anybody
/// who calls that, the lines are as the controller and the slaves leave them.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "flags of the hardware")]
pub struct Controller {
    bus: Bus,
    /// Input clock in Hz; 0 is off.
    clock: u32,
    complaints: Complaints,

    control: u32,
    address: u16,
    transfer_size: u8,
    slave_pause: u8,
    time_out: u8,
    interrupt_status: u32,
    interrupt_mask: u32,
    fifo: VecDeque<u8>,
    receive_overflow: bool,

    phase: Phase,
    /// The direction of the message, from its START on.
    reading: bool,
    /// An address that waits for the STOP.
    pending: bool,
    /// The address was written in slave monitor mode.
    monitoring: bool,
    /// The slave that is monitored has answered.
    answered: bool,
    /// When the phase ends; `None` while something else must happen first.
    due: Option<u64>,
    /// Bit times until then, when they began.
    bits: u64,
    /// SCL has been released and somebody else holds it low.
    stretched: bool,
    /// SCL has been low since then.
    low_since: Option<u64>,
    /// The divisors that have been complained about.
    complained: Option<u32>,
}

impl Controller {
    /// A controller after reset, with `bus` on its pins and an input clock (CPU_1x) of `clock` Hz.
    pub fn new(clock: u32, bus: Bus) -> Self {
        Self {
            bus,
            clock,
            complaints: Complaints::new(),
            control: 0,
            address: 0,
            transfer_size: 0,
            slave_pause: 0,
            time_out: 0x1F,
            interrupt_status: 0,
            interrupt_mask: interrupt::ALL,
            fifo: VecDeque::with_capacity(FIFO_DEPTH),
            receive_overflow: false,
            phase: Phase::Idle,
            reading: false,
            pending: false,
            monitoring: false,
            answered: false,
            due: None,
            bits: 0,
            stretched: false,
            low_since: None,
            complained: None,
        }
    }

    /// The bus on the pins.
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    /// The bus on the pins. After moving lines or clearing faults call [`Device::advance`].
    pub fn bus_mut(&mut self) -> &mut Bus {
        &mut self.bus
    }

    /// Resets the controller, as the SLCR's I2C_RST_CTRL does. The lines are let go in the middle of whatever went on; the
    /// slaves notice nothing.
    pub fn reset(&mut self, now: u64) {
        let bus = std::mem::take(&mut self.bus);
        let complaints = std::mem::replace(&mut self.complaints, Complaints::new());
        *self = Self::new(self.clock, bus);
        self.complaints = complaints;
        self.release(now);
    }

    /// The input clock changes to `clock` Hz; 0 stops the controller where it is.
    pub fn set_clock(&mut self, clock: u32, now: u64) {
        if clock != self.clock {
            self.clock = clock;
            self.complained = None;
            if self.due.is_some() || (self.bits > 0 && !self.stretched) {
                self.schedule(self.bits, now);
            }
        }
    }

    fn divisor(&self) -> u64 {
        u64::from((self.control >> 14 & 3) + 1) * u64::from((self.control >> 8 & 0x3F) + 1)
    }

    /// Length of a period of SCL in ns, with a clock.
    fn period(&self) -> Option<u64> {
        (self.clock > 0).then(|| (22 * self.divisor() * 1_000_000_000).div_ceil(u64::from(self.clock)))
    }

    /// The phase ends in `bits` periods.
    fn schedule(&mut self, bits: u64, now: u64) {
        self.bits = bits;
        self.due = self.period().map(|period| now.saturating_add(bits * period));
    }

    fn enter(&mut self, phase: Phase, bits: u64, now: u64) {
        self.phase = phase;
        self.stretched = false;
        self.low_since = None;
        self.schedule(bits, now);
    }

    /// The phase ends when something else happens.
    fn rest(&mut self, phase: Phase) {
        self.phase = phase;
        self.stretched = false;
        self.low_since = None;
        (self.due, self.bits) = (None, 0);
    }

    fn release(&mut self, now: u64) {
        self.bus.master_sda(true, now);
        self.bus.master_scl(true, now);
    }

    fn has(&self, bit: u32) -> bool {
        self.control & bit != 0
    }

    fn raise(&mut self, bits: u32) {
        self.interrupt_status |= bits;
    }

    fn is_free(&self) -> bool {
        let lines = self.bus.lines();
        lines.scl && lines.sda && !self.bus.is_busy()
    }

    fn status(&self) -> u32 {
        let transmitting = !self.fifo.is_empty() || matches!(self.phase, Phase::Shift { part: Part::Transmit, .. });
        let receiving = self.has(control::READ);
        let mut value = 0;
        if receiving && !self.fifo.is_empty() {
            value |= status::RECEIVE_VALID;
        }
        if !receiving && transmitting {
            value |= status::TRANSMIT_VALID;
        }
        if self.receive_overflow {
            value |= status::RECEIVE_OVERFLOW;
        }
        if self.phase != Phase::Idle || !self.is_free() {
            value |= status::BUS_ACTIVE;
        }
        value
    }

    fn write_control(&mut self, value: u32, now: u64) {
        if value & !control::ALL != 0 {
            self.complaints.add(|| format!("Control_reg0: reserved bits written: {value:#06x}"));
        }
        let value = value & control::ALL;
        let constant = control::DIVISORS | control::SEVEN_BIT | control::MASTER;
        if self.phase != Phase::Idle && (self.control ^ value) & constant != 0 {
            let before = self.control;
            self.complaints.add(|| {
                format!(
                    "Control_reg0: divisors, NEA or MS change during a transfer, from {before:#06x} to {value:#06x}"
                )
            });
        }
        self.control = value & !control::CLEAR_FIFO;
        if value & control::CLEAR_FIFO != 0 {
            self.fifo.clear();
            self.receive_overflow = false;
            if !(self.has(control::MASTER) && self.has(control::READ)) {
                self.transfer_size = 0;
            }
        }
        if let Phase::Held(held) = self.phase {
            if held == Held::Full {
                self.receive_more(now);
            } else if !self.has(control::HOLD) {
                self.enter(Phase::Stop, 1, now);
            }
        }
        let between = matches!(self.phase, Phase::Pause | Phase::Waiting | Phase::Start);
        if self.monitoring && between && !self.has(control::MONITOR) {
            self.rest(Phase::Idle);
        }
    }

    fn write_address(&mut self, value: u32, now: u64) {
        if value & !0x3FF != 0 {
            self.complaints.add(|| format!("I2C_address_reg0: reserved bits written: {value:#06x}"));
        }
        self.address = (value & 0x3FF) as u16;
        if !self.has(control::MASTER) {
            self.complaints
                .add(|| format!("I2C_address_reg0: {value:#05x} written with MS clear: slave mode is not modelled"));
            return;
        }
        self.check_start(value);
        self.monitoring = self.has(control::MONITOR);
        match self.phase {
            Phase::Idle | Phase::Pause | Phase::Waiting => {
                self.rest(Phase::Waiting);
                self.step(now);
            }
            Phase::Stop => self.pending = true,
            Phase::Held(Held::Dry | Held::Received) => self.enter(Phase::Restart { again: false }, 1, now),
            _ => self.complaints.add(|| format!("I2C_address_reg0: {value:#05x} written while a transfer runs")),
        }
    }

    /// Complains about what is wrong when a transfer starts.
    fn check_start(&mut self, value: u32) {
        let (fifo, size) = (self.fifo.len(), self.transfer_size);
        let complaints = &mut self.complaints;
        if self.control & control::SEVEN_BIT != 0 && value & 0x380 != 0 {
            complaints.add(|| format!("I2C_address_reg0: {value:#05x} has more than 7 bits, but NEA is set"));
        }
        if self.control & control::ACKNOWLEDGE == 0 {
            complaints.add(|| "Control_reg0: a transfer starts with ACK_EN clear".into());
        }
        if self.control & control::READ != 0 {
            if fifo > 0 {
                complaints.add(|| format!("a read starts with {fifo} old bytes in the FIFO: set CLR_FIFO first"));
            }
            if size == 0 {
                complaints.add(|| "a read starts with Transfer_Size_reg0 = 0: it will read 256 bytes".into());
            }
            if self.control & control::MONITOR != 0 {
                complaints.add(|| "Control_reg0: slave monitor mode with RW set".into());
            }
        } else if fifo == 0 && self.control & (control::HOLD | control::MONITOR) == 0 {
            complaints.add(|| "a write starts with an empty FIFO and HOLD clear".into());
        }
        if self.complained == Some(self.control & control::DIVISORS) {
            return;
        }
        let scaled = |limit| limit * 22 * self.divisor();
        let clock = u64::from(self.clock);
        let control = self.control;
        let frequency = clock / (22 * self.divisor());
        let standard = clock > scaled(STANDARD_MAX) && clock <= scaled(STANDARD);
        if standard || clock > scaled(FAST_MAX) {
            self.complained = Some(control & control::DIVISORS);
            let limit = if standard { "90 kHz in standard mode" } else { "384.6 kHz in fast mode" };
            self.complaints.add(|| {
                format!(
                    "Control_reg0: {control:#06x} makes an SCL of {frequency} Hz: above {limit} it is low for too short"
                )
            });
        }
    }

    fn write_data(&mut self, value: u32, now: u64) {
        if value & !0xFF != 0 {
            self.complaints.add(|| format!("I2C_data_reg0: reserved bits written: {value:#06x}"));
        }
        if self.has(control::READ) {
            self.complaints.add(|| format!("I2C_data_reg0: {value:#04x} written in receive mode"));
        }
        if self.fifo.len() >= FIFO_DEPTH {
            self.raise(interrupt::TRANSMIT_OVERFLOW);
            self.complaints.add(|| format!("I2C_data_reg0: {value:#04x} written to a full FIFO, and lost"));
            return;
        }
        self.fifo.push_back(value as u8);
        if self.phase == Phase::Held(Held::Dry) {
            self.transmit_more(now);
        }
    }

    fn read_data(&mut self, now: u64) -> u32 {
        let Some(byte) = self.fifo.pop_front() else {
            self.raise(interrupt::RECEIVE_UNDERFLOW);
            self.complaints.add(|| "I2C_data_reg0: read from an empty FIFO".into());
            return 0;
        };
        if self.phase == Phase::Held(Held::Full) {
            self.receive_more(now);
        }
        byte.into()
    }

    fn write_transfer_size(&mut self, value: u32) {
        if value & !0xFF != 0 {
            self.complaints.add(|| format!("Transfer_Size_reg0: {value:#x} does not fit 8 bits"));
        }
        if self.reading && !matches!(self.phase, Phase::Idle | Phase::Stop | Phase::Held(_)) {
            self.complaints.add(|| {
                format!(
                    "Transfer_Size_reg0: {value} written while bytes arrive: only a full FIFO with HOLD keeps it still"
                )
            });
        }
        self.transfer_size = value as u8;
    }

    /// The first byte of a message.
    fn address_byte(&mut self, again: bool) -> (Part, u8) {
        let read = u8::from(self.reading);
        if self.has(control::SEVEN_BIT) {
            return (Part::Address, (self.address as u8 & 0x7F) << 1 | read);
        }
        let high = 0xF0 | (self.address >> 7) as u8 & 6;
        if again { (Part::AddressAgain, high | 1) } else { (Part::Address, high) }
    }

    fn send(&mut self, part: Part, byte: u8, now: u64) {
        self.enter(Phase::Shift { part, byte, bit: 0 }, 9, now);
        // Whoever holds SCL already will have let go when the byte is looked at, at its end.
        if self.bus.is_clock_held() {
            self.bus.master_sda(part == Part::Receive || byte & 0x80 != 0, now);
            self.raise_clock(now);
        }
    }

    /// Sends the next byte, or has none.
    fn transmit_more(&mut self, now: u64) {
        if let Some(byte) = self.fifo.pop_front() {
            if self.fifo.len() == TRANSMIT_MARK {
                self.raise(interrupt::DATA);
            }
            self.send(Part::Transmit, byte, now);
            return;
        }
        self.raise(interrupt::COMPLETE);
        if self.has(control::HOLD) { self.hold(Held::Dry, now) } else { self.enter(Phase::Stop, 1, now) }
    }

    /// Receives the next byte, if there is room.
    fn receive_more(&mut self, now: u64) {
        if self.fifo.len() >= FIFO_DEPTH && self.has(control::HOLD) {
            if self.phase != Phase::Held(Held::Full) {
                self.hold(Held::Full, now);
            }
        } else {
            self.send(Part::Receive, 0, now);
        }
    }

    fn hold(&mut self, held: Held, now: u64) {
        self.rest(Phase::Held(held));
        self.low_since = Some(now);
    }

    fn lose(&mut self, now: u64) {
        self.raise(interrupt::ARBITRATION_LOST);
        self.release(now);
        self.rest(Phase::Idle);
        self.pending = false;
    }

    /// Whether the byte that is being received will be acknowledged.
    fn acknowledges(&self) -> bool {
        self.has(control::ACKNOWLEDGE) && self.transfer_size != 1 && self.fifo.len() < FIFO_DEPTH
    }

    /// Releases SCL. `false` if somebody holds it.
    fn raise_clock(&mut self, now: u64) -> bool {
        self.bus.advance(now);
        self.bus.master_scl(true, now);
        let high = self.bus.lines().scl;
        if !high {
            self.stretched = true;
            self.low_since = Some(now);
            self.due = None;
        }
        high
    }

    /// Moves the bits of a byte. `ended` is when its last one ends, or, after a pause, when SCL has risen.
    fn shift(&mut self, part: Part, mut byte: u8, first: u8, ended: u64, resumed: bool) {
        let period = self.period().unwrap_or(0);
        let receiving = part == Part::Receive;
        let mut level = true;
        for bit in first..9 {
            let left = u64::from(9 - bit) * period;
            let begun = if resumed { ended } else { ended.saturating_sub(left) };
            let out = match (receiving, bit) {
                (true, 8) => !self.acknowledges(),
                (true, _) | (false, 8) => true,
                (false, _) => byte << bit & 0x80 != 0,
            };
            if !(resumed && bit == first) {
                self.bus.master_sda(out, begun);
                if !self.raise_clock(begun.saturating_add(period / 2)) {
                    self.phase = Phase::Shift { part, byte, bit };
                    self.bits = u64::from(9 - bit);
                    return;
                }
            }
            level = self.bus.lines().sda;
            let sends = receiving == (bit == 8);
            if sends && out && !level {
                self.lose(begun.saturating_add(period / 2));
                return;
            }
            if receiving && bit < 8 {
                byte = byte << 1 | u8::from(level);
            }
            self.bus.master_scl(false, if resumed { ended } else { begun.saturating_add(period) });
            if resumed {
                // What is left takes its time from here on.
                self.stretched = false;
                self.low_since = None;
                if bit < 8 {
                    self.enter(Phase::Shift { part, byte, bit: bit + 1 }, u64::from(8 - bit), ended);
                    return;
                }
            }
        }
        self.byte_ends(part, byte, !level, ended);
    }

    fn byte_ends(&mut self, part: Part, byte: u8, low: bool, now: u64) {
        if part == Part::Receive {
            self.received(byte, low, now);
            return;
        }
        if self.monitoring && (part == Part::AddressLow || self.has(control::SEVEN_BIT) || !low) {
            if low {
                self.raise(interrupt::SLAVE_READY);
                self.answered = true;
            }
            self.enter(Phase::Stop, 1, now);
            return;
        }
        if !low {
            self.raise(interrupt::NACK);
            self.enter(Phase::Stop, 1, now);
            return;
        }
        match part {
            Part::Address if !self.has(control::SEVEN_BIT) => self.send(Part::AddressLow, self.address as u8, now),
            Part::AddressLow if self.reading => self.enter(Phase::Restart { again: true }, 1, now),
            _ if self.reading => self.receive_more(now),
            _ => self.transmit_more(now),
        }
    }

    fn received(&mut self, byte: u8, acknowledged: bool, now: u64) {
        if self.fifo.len() >= FIFO_DEPTH {
            self.receive_overflow = true;
            self.raise(interrupt::RECEIVE_OVERFLOW);
            self.complaints.add(|| format!("a byte ({byte:#04x}) arrived at a full FIFO with HOLD clear, and is lost"));
            self.enter(Phase::Stop, 1, now);
            return;
        }
        self.fifo.push_back(byte);
        if self.fifo.len() >= RECEIVE_MARK {
            self.raise(interrupt::DATA);
        }
        self.transfer_size = self.transfer_size.wrapping_sub(1);
        if acknowledged {
            self.receive_more(now);
        } else if self.transfer_size == 0 && self.has(control::HOLD) {
            self.transfer_size = 0xFF;
            self.complaints.add(|| "Transfer_Size_reg0 reached 0 with HOLD set: no COMP will come".into());
            self.hold(Held::Received, now);
        } else {
            if self.transfer_size == 0 {
                self.raise(interrupt::COMPLETE);
            }
            self.enter(Phase::Stop, 1, now);
        }
    }

    /// START or a repeated START is on the lines at `now`.
    fn started(&mut self, again: bool, now: u64) {
        self.reading = self.has(control::READ) && !self.monitoring;
        self.bus.master_sda(false, now);
        self.bus.master_scl(false, now);
        let (part, byte) = self.address_byte(again);
        self.send(part, byte, now);
    }

    fn stopped(&mut self, now: u64) {
        self.bus.master_sda(true, now);
        if !self.bus.lines().sda {
            self.lose(now);
        } else if std::mem::take(&mut self.pending) {
            self.rest(Phase::Waiting);
        } else if self.monitoring && self.has(control::MONITOR) && !std::mem::take(&mut self.answered) {
            self.enter(Phase::Pause, u64::from(self.slave_pause) + 1, now);
        } else {
            self.rest(Phase::Idle);
        }
    }

    /// The phase has come to its end, or, with `resumed`, SCL has risen that somebody else held.
    fn phase_ends(&mut self, now: u64, resumed: bool) {
        match self.phase {
            Phase::Start if self.is_free() => self.started(false, now),
            Phase::Start | Phase::Pause => self.rest(Phase::Waiting),
            Phase::Restart { again } => {
                if !resumed {
                    self.bus.master_sda(true, now);
                    if !self.raise_clock(now) {
                        return;
                    }
                }
                if self.bus.lines().sda { self.started(again, now) } else { self.lose(now) }
            }
            Phase::Shift { part, byte, bit } => self.shift(part, byte, bit, now, resumed),
            Phase::Stop => {
                if !resumed {
                    self.bus.master_sda(false, now);
                    if !self.raise_clock(now) {
                        return;
                    }
                }
                self.stopped(now);
            }
            Phase::Idle | Phase::Waiting | Phase::Held(_) => self.due = None,
        }
    }

    fn time_out_due(&self) -> Option<u64> {
        Some(self.low_since?.saturating_add(self.period()? * (u64::from(self.time_out) + 1)))
    }

    /// What can happen at `now` without time passing.
    fn step(&mut self, now: u64) {
        if self.phase == Phase::Waiting && self.is_free() {
            self.enter(Phase::Start, 1, now);
        }
        if self.stretched && self.bus.lines().scl && self.clock > 0 {
            self.stretched = false;
            self.low_since = None;
            self.phase_ends(now, true);
        }
    }

    /// Does everything up to `now`.
    fn run(&mut self, now: u64) {
        loop {
            self.step(now.min(self.next_event().unwrap_or(now)));
            let Some(next) = self.next_event().filter(|next| *next <= now) else { break };
            self.bus.advance(next);
            self.step(next);
            if self.time_out_due().is_some_and(|due| due <= next) {
                self.raise(interrupt::TIME_OUT);
                self.low_since = None;
            }
            if self.due.is_some_and(|due| due <= next) {
                self.due = None;
                self.phase_ends(next, false);
            }
        }
        self.bus.advance(now);
    }
}

impl Device for Controller {
    fn length(&self) -> u32 {
        LENGTH
    }

    fn read(&mut self, offset: u32, width: Width, now: u64) -> u32 {
        self.run(now);
        let value = match offset & !3 {
            offset::CONTROL => self.control,
            offset::STATUS => self.status(),
            offset::ADDRESS => self.address.into(),
            offset::DATA => self.read_data(now),
            offset::INTERRUPT_STATUS => self.interrupt_status,
            offset::TRANSFER_SIZE if self.has(control::READ) => self.transfer_size.into(),
            offset::TRANSFER_SIZE => self.fifo.len() as u32,
            offset::SLAVE_PAUSE => self.slave_pause.into(),
            offset::TIME_OUT => self.time_out.into(),
            offset::INTERRUPT_MASK => self.interrupt_mask,
            offset::INTERRUPT_ENABLE | offset::INTERRUPT_DISABLE => {
                self.complaints.add(|| format!("register {offset:#04x} is write-only, and was read"));
                0
            }
            _ => {
                self.complaints.add(|| format!("there is no register {offset:#05x}, and it was read"));
                0
            }
        };
        let shifted = value >> (offset % 4 * 8);
        match width {
            Width::Byte => shifted & 0xFF,
            Width::Half => shifted & 0xFFFF,
            Width::Word => shifted,
        }
    }

    fn write(&mut self, offset: u32, width: Width, value: u32, now: u64) {
        self.run(now);
        if width == Width::Byte || !offset.is_multiple_of(4) {
            self.complaints.add(|| format!("register {offset:#05x}: written with {} bytes", width.bytes()));
        }
        let value = match width {
            Width::Byte => value & 0xFF,
            Width::Half => value & 0xFFFF,
            Width::Word => value,
        };
        match offset {
            offset::CONTROL => self.write_control(value, now),
            offset::ADDRESS => self.write_address(value, now),
            offset::DATA => self.write_data(value, now),
            offset::INTERRUPT_STATUS => self.interrupt_status &= !value,
            offset::TRANSFER_SIZE => self.write_transfer_size(value),
            offset::SLAVE_PAUSE => self.slave_pause = (value & 0xF) as u8,
            offset::TIME_OUT => self.time_out = value as u8,
            offset::INTERRUPT_ENABLE => self.interrupt_mask &= !value,
            offset::INTERRUPT_DISABLE => self.interrupt_mask |= value & interrupt::ALL,
            offset::STATUS | offset::INTERRUPT_MASK => {
                self.complaints.add(|| format!("register {offset:#04x} is read-only: {value:#06x} written"));
            }
            _ => self.complaints.add(|| format!("there is no register {offset:#05x}: {value:#06x} written")),
        }
        self.step(now);
    }

    fn interrupts(&self) -> u32 {
        u32::from(self.interrupt_status & !self.interrupt_mask != 0)
    }

    fn next_event(&self) -> Option<u64> {
        [self.due, self.time_out_due(), self.bus.next_event()].into_iter().flatten().min()
    }

    fn advance(&mut self, now: u64, _memory: &mut dyn Memory) {
        self.run(now);
    }

    fn complaints(&mut self) -> Vec<String> {
        let mut all = self.complaints.take();
        all.extend(self.bus.complaints());
        all
    }

    fn signals(&self) -> u32 {
        2
    }

    fn drive(&self, signal: u32) -> Drive {
        let pulls = self.bus.pulls();
        let released = if signal == SCL { pulls.scl } else { pulls.sda };
        if released { Drive::Floating } else { Drive::Low }
    }

    fn sense(&mut self, signal: u32, level: bool, now: u64) {
        self.run(now);
        let pulls = self.bus.pulls();
        // A net that is low because of the controller or a slave says nothing about others.
        if signal == SCL && (level || pulls.scl) {
            self.bus.drive_scl(level, now);
        } else if signal == SDA && (level || pulls.sda) {
            self.bus.drive_sda(level, now);
        }
        self.step(now);
    }
}
