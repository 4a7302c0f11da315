//! The two lines, who pulls them, and who listens.
//!
//! # Theory of operation
//!
//! A line is high unless somebody pulls it low: the controller, a driver from outside (GPIO pins), a slave, or another master.
//! Whenever one of them changes, the new levels are worked out, every edge is shown to every slave's [`Port`], and what the
//! ports do about it is worked out again, until nothing changes. A port shifts bits in on rising and out on falling edges of
//! SCL and calls its slave byte by byte. So a slave whose master has gone away in the middle of a read goes on pulling SDA
//! for a zero until it has been clocked to a one, as real ones do.
//!
//! Buses behind a multiplexer share the levels of their parent while they are connected.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;

use super::description::BuildError;
use super::fault::{Fault, FaultError, Faults, Kind};
use super::{Address, Direction, PropertyError, Slave, Value};
use crate::Drive;

/// Transactions that a bus remembers.
const HISTORY: usize = 4096;

/// How long a master that has won the arbitration keeps the bus, in ns.
const RIVAL_TIME: u64 = 200_000;

/// For ever, as a time.
const NEVER: u64 = u64::MAX;

/// Levels of the lines, or what somebody does with them: `true` is high, or released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lines {
    /// The clock.
    pub scl: bool,
    /// The data.
    pub sda: bool,
}

impl Lines {
    /// Both high: an idle bus.
    pub const HIGH: Self = Self { scl: true, sda: true };

    fn and(self, other: Self) -> Self {
        Self { scl: self.scl && other.scl, sda: self.sda && other.sda }
    }
}

/// A byte as it went over the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Byte {
    /// The byte.
    pub value: u8,
    /// Its ninth bit: acknowledged.
    pub ack: bool,
}

/// What followed one START.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Message {
    /// Every complete byte, the address first.
    pub bytes: Vec<Byte>,
}

impl Message {
    /// The direction, if the address was complete.
    pub fn direction(&self) -> Option<Direction> {
        self.bytes.first().map(|byte| if byte.value & 1 == 0 { Direction::Write } else { Direction::Read })
    }

    /// The 7-bit address, if it was complete.
    pub fn address(&self) -> Option<u8> {
        self.bytes.first().map(|byte| byte.value >> 1)
    }

    /// The bytes behind the first.
    pub fn data(&self) -> Vec<u8> {
        self.bytes.iter().skip(1).map(|byte| byte.value).collect()
    }
}

/// What happened from a START to its STOP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// When it began, in ns.
    pub begun: u64,
    /// When its STOP came, in ns; `None` while it lasts.
    pub ended: Option<u64>,
    /// Its messages; all but the first began with a repeated START.
    pub messages: Vec<Message>,
}

impl fmt::Display for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, message) in self.messages.iter().enumerate() {
            f.write_str(if index == 0 { "S" } else { " Sr" })?;
            for byte in &message.bytes {
                write!(f, " {:02x}{}", byte.value, if byte.ack { '+' } else { '-' })?;
            }
        }
        f.write_str(if self.ended.is_some() { " P" } else { " ..." })
    }
}

/// A bus behind a slave.
#[derive(Debug)]
pub struct Segment {
    /// The bus.
    pub bus: Bus,
    /// It shares the lines of the bus before the slave.
    pub connected: bool,
}

/// What a port expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A START.
    Deaf,
    /// Bits of an address.
    Address,
    /// Bits of the lower half of a 10-bit address.
    AddressLow,
    /// The clock of its own acknowledgement.
    Ack(Next),
    /// Bits from the master.
    Write,
    /// Clocks for its bits.
    Read,
    /// The master's acknowledgement.
    Answer,
}

/// What follows an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    AddressLow,
    Write,
    Read,
}

/// A slave and its connection to the lines.
#[derive(Debug)]
struct Port {
    label: String,
    addresses: Vec<Address>,
    slave: Box<dyn Slave>,
    state: State,
    shift: u8,
    bits: u8,
    /// Bytes of this message, the address included.
    byte: u32,
    /// The slave is in the transaction.
    selected: bool,
    /// Upper bits of a 10-bit address that has begun.
    high: u16,
    /// The 10-bit address that it was selected by.
    ten: Option<u16>,
    answer: Option<bool>,
    sda: bool,
    /// Holds SCL low until then.
    stretch: Option<u64>,
    /// Clocks until it lets go of SDA.
    wedged: Option<u32>,
}

impl Port {
    fn new(label: String, addresses: Vec<Address>, slave: Box<dyn Slave>) -> Self {
        Self {
            label,
            addresses,
            slave,
            state: State::Deaf,
            shift: 0,
            bits: 0,
            byte: 0,
            selected: false,
            high: 0,
            ten: None,
            answer: None,
            sda: true,
            stretch: None,
            wedged: None,
        }
    }

    fn pulls(&self) -> Lines {
        Lines { scl: self.stretch.is_none(), sda: self.sda && self.wedged.is_none() }
    }

    fn start(&mut self) {
        self.state = State::Address;
        (self.bits, self.shift, self.byte, self.sda, self.answer) = (0, 0, 0, true, None);
    }

    fn stop(&mut self, now: u64) {
        self.state = State::Deaf;
        self.sda = true;
        self.leave(now);
    }

    /// The transaction is no longer the slave's.
    fn leave(&mut self, now: u64) {
        self.ten = None;
        if std::mem::take(&mut self.selected) {
            self.slave.stop(now);
        }
    }

    fn rise(&mut self, sda: bool) {
        match self.state {
            State::Address | State::AddressLow | State::Write => {
                self.shift = self.shift << 1 | u8::from(sda);
                self.bits += 1;
            }
            State::Read | State::Ack(_) => self.bits += 1,
            State::Answer => self.answer = Some(!sda),
            State::Deaf => {}
        }
    }

    fn fall(&mut self, now: u64, faults: &mut Faults) {
        if let Some(clocks) = self.wedged {
            self.wedged = clocks.checked_sub(1).filter(|clocks| *clocks > 0);
            return;
        }
        match self.state {
            State::Address if self.bits == 8 => self.addressed(now, faults),
            State::AddressLow if self.bits == 8 => self.addressed_low(now, faults),
            State::Write if self.bits == 8 => self.written(now, faults),
            State::Ack(next) if self.bits == 9 => {
                self.sda = true;
                self.byte = self.byte.saturating_add(u32::from(next != Next::AddressLow));
                (self.bits, self.shift) = (0, 0);
                match next {
                    Next::AddressLow => self.state = State::AddressLow,
                    Next::Write => self.state = State::Write,
                    Next::Read => self.load(now, faults),
                }
            }
            State::Read if self.bits < 8 => self.put(),
            State::Read => {
                self.sda = true;
                self.state = State::Answer;
            }
            State::Answer => {
                if let Some(ack) = self.answer.take() {
                    self.slave.answered(ack, now);
                    self.byte = self.byte.saturating_add(1);
                    if ack {
                        self.load(now, faults);
                    } else {
                        self.state = State::Deaf;
                    }
                }
            }
            _ => {}
        }
    }

    /// The first byte after a START is complete.
    fn addressed(&mut self, now: u64, faults: &mut Faults) {
        let direction = if self.shift & 1 == 0 { Direction::Write } else { Direction::Read };
        if self.shift & 0xF8 == 0xF0 {
            let high = u16::from(self.shift >> 1 & 3);
            let begun = |address: &Address| matches!(address, Address::Ten(ten) if ten >> 8 == high);
            if direction == Direction::Read {
                match self.ten {
                    Some(ten) if self.selected && ten >> 8 == high => {
                        self.select(Address::Ten(ten), direction, now, faults);
                    }
                    _ => self.ignore(now),
                }
            } else if self.addresses.iter().any(begun) {
                self.high = high;
                self.acknowledge(true, Next::AddressLow);
            } else {
                self.ignore(now);
            }
            return;
        }
        let seven = Address::Seven(self.shift >> 1);
        if self.addresses.contains(&seven) {
            self.select(seven, direction, now, faults);
        } else {
            self.ignore(now);
        }
    }

    fn addressed_low(&mut self, now: u64, faults: &mut Faults) {
        let ten = self.high << 8 | u16::from(self.shift);
        if self.addresses.contains(&Address::Ten(ten)) {
            self.ten = Some(ten);
            self.select(Address::Ten(ten), Direction::Write, now, faults);
        } else {
            self.ignore(now);
        }
    }

    fn ignore(&mut self, now: u64) {
        self.state = State::Deaf;
        self.leave(now);
    }

    fn select(&mut self, address: Address, direction: Direction, now: u64, faults: &mut Faults) {
        let next = if direction == Direction::Read { Next::Read } else { Next::Write };
        match self.strike(now, faults) {
            Some(Kind::Nack) => return self.ignore(now),
            Some(Kind::Wedge { .. }) => return,
            _ => {}
        }
        let reply = self.slave.start(address, direction, now);
        self.selected = reply.ack;
        self.hold(reply.stretch, now);
        self.acknowledge(reply.ack, next);
    }

    fn written(&mut self, now: u64, faults: &mut Faults) {
        match self.strike(now, faults) {
            Some(Kind::Nack) => {
                self.state = State::Deaf;
                return;
            }
            Some(Kind::Wedge { .. }) => return,
            Some(Kind::Flip { mask }) => self.shift ^= mask,
            _ => {}
        }
        let reply = self.slave.write(self.shift, now);
        self.hold(reply.stretch, now);
        self.acknowledge(reply.ack, Next::Write);
    }

    fn acknowledge(&mut self, ack: bool, next: Next) {
        self.sda = !ack;
        self.state = if ack { State::Ack(next) } else { State::Deaf };
    }

    /// The slave's next byte.
    fn load(&mut self, now: u64, faults: &mut Faults) {
        self.bits = 0;
        self.state = State::Read;
        let mask = match self.strike(now, faults) {
            Some(Kind::Nack) => {
                self.state = State::Deaf;
                self.sda = true;
                return;
            }
            Some(Kind::Wedge { .. }) => return,
            Some(Kind::Flip { mask }) => mask,
            _ => 0,
        };
        let sent = self.slave.read(now);
        self.shift = sent.byte ^ mask;
        self.hold(sent.stretch, now);
        self.put();
    }

    /// Puts the next bit on SDA.
    fn put(&mut self) {
        self.sda = self.shift << self.bits & 0x80 != 0;
    }

    fn hold(&mut self, stretch: u64, now: u64) {
        if stretch > 0 {
            let until = now.saturating_add(stretch);
            self.stretch = Some(self.stretch.map_or(until, |other| other.max(until)));
        }
    }

    /// A fault at this byte; what concerns the lines is done.
    fn strike(&mut self, now: u64, faults: &mut Faults) -> Option<Kind> {
        let kind = faults.strike(&self.label, self.byte, |kind| kind != Kind::LoseArbitration)?;
        match kind {
            Kind::Wedge { clocks } => {
                self.wedged = Some(clocks);
                self.state = State::Deaf;
                self.sda = true;
            }
            Kind::Stretch { ns } => self.hold(ns, now),
            Kind::Hang => self.stretch = Some(NEVER),
            _ => {}
        }
        Some(kind)
    }
}

/// Follows the bus for the history, and knows whose turn it is.
#[derive(Debug, Default)]
struct Watch {
    busy: bool,
    bits: u8,
    shift: u8,
    /// Complete bytes of this message.
    bytes: u32,
    reading: bool,
    /// The byte at which another master has been thought of.
    asked: Option<u32>,
}

/// A bus with its slaves.
#[derive(Debug)]
pub struct Bus {
    lines: Lines,
    /// What the controller does.
    master: Lines,
    /// What drivers from outside do.
    foreign: Lines,
    ports: Vec<Port>,
    faults: Faults,
    /// Another master holds SDA low until then.
    rival: Option<u64>,
    /// Somebody unknown holds SDA low for so many clocks.
    stuck: Option<u32>,
    watch: Watch,
    history: VecDeque<Transaction>,
}

impl Default for Bus {
    fn default() -> Self {
        Self::new()
    }
}

impl Bus {
    /// A bus with nobody on it.
    pub fn new() -> Self {
        Self {
            lines: Lines::HIGH,
            master: Lines::HIGH,
            foreign: Lines::HIGH,
            ports: Vec::new(),
            faults: Faults::default(),
            rival: None,
            stuck: None,
            watch: Watch::default(),
            history: VecDeque::new(),
        }
    }

    /// Puts a slave on the bus, under `label`, answering to all of `addresses`. Several slaves may have the same address: then
    /// both answer, as they would.
    pub fn attach(
        &mut self,
        label: impl Into<String>,
        addresses: Vec<Address>,
        slave: Box<dyn Slave>,
    ) -> Result<(), BuildError> {
        let label = label.into();
        if self.port(&label).is_some() {
            return Err(BuildError::Label { label });
        }
        self.ports.push(Port::new(label, addresses, slave));
        Ok(())
    }

    /// Takes a slave off the bus.
    pub fn detach(&mut self, label: &str, now: u64) -> Option<Box<dyn Slave>> {
        let index = self.ports.iter().position(|port| port.label == label)?;
        let port = self.ports.remove(index);
        self.settle(now);
        Some(port.slave)
    }

    /// Levels of the lines.
    pub fn lines(&self) -> Lines {
        self.lines
    }

    /// A START has been seen and no STOP since.
    pub fn is_busy(&self) -> bool {
        self.watch.busy
    }

    /// A driver from outside, such as a GPIO pin, pulls SCL low or releases it.
    pub fn drive_scl(&mut self, level: bool, now: u64) {
        self.advance(now);
        self.foreign.scl = level;
        self.settle(now);
    }

    /// A driver from outside, such as a GPIO pin, pulls SDA low or releases it.
    pub fn drive_sda(&mut self, level: bool, now: u64) {
        self.advance(now);
        self.foreign.sda = level;
        self.settle(now);
    }

    /// What everybody on the bus does with the lines, without drivers from outside.
    pub fn pulls(&self) -> Lines {
        let others = Lines { scl: true, sda: self.rival.is_none() && self.stuck.is_none() };
        self.master.and(self.slave_pulls()).and(others)
    }

    /// A slave that nobody knows of has lost count and holds SDA low until it has seen `clocks` clocks.
    pub fn wedge(&mut self, clocks: u32, now: u64) {
        self.stuck = (clocks > 0).then_some(clocks);
        self.settle(now);
    }

    /// The label of the slave at `path`: its address, or the address of a multiplexer, a channel, and so on.
    pub fn label_at(&self, path: &[u16]) -> Option<&str> {
        let (address, rest) = path.split_first()?;
        let here = |port: &&Port| {
            port.addresses.iter().any(|candidate| match candidate {
                Address::Seven(seven) => u16::from(*seven) == *address,
                Address::Ten(ten) => ten == address,
            })
        };
        let port = self.ports.iter().find(here)?;
        match rest.split_first() {
            None => Some(&port.label),
            Some((channel, rest)) => port.slave.segments().get(usize::from(*channel))?.bus.label_at(rest),
        }
    }

    /// Somebody else than the controller holds SCL low.
    pub(super) fn is_clock_held(&self) -> bool {
        !self.foreign.scl || !self.slave_pulls().scl
    }

    /// The controller is no longer connected: whatever it did to the lines ends.
    pub fn disconnect(&mut self, now: u64) {
        self.master = Lines::HIGH;
        self.settle(now);
    }

    /// The controller pulls SCL low or releases it.
    pub(super) fn master_scl(&mut self, level: bool, now: u64) {
        self.master.scl = level;
        self.settle(now);
    }

    /// The controller pulls SDA low or releases it.
    pub(super) fn master_sda(&mut self, level: bool, now: u64) {
        self.master.sda = level;
        self.settle(now);
    }

    /// Labels and slaves, those behind multiplexers included.
    pub fn slaves(&self) -> Vec<(&str, &dyn Slave)> {
        let mut all = Vec::new();
        for port in &self.ports {
            all.push((port.label.as_str(), &*port.slave));
            for segment in port.slave.segments() {
                all.extend(segment.bus.slaves());
            }
        }
        all
    }

    /// The slave of that label and type.
    pub fn slave<S: Slave>(&self, label: &str) -> Option<&S> {
        let slave: &dyn Any = &*self.port(label)?.slave;
        slave.downcast_ref()
    }

    /// The slave of that label and type.
    pub fn slave_mut<S: Slave>(&mut self, label: &str) -> Option<&mut S> {
        let slave: &mut dyn Any = &mut *self.port_mut(label)?.slave;
        slave.downcast_mut()
    }

    /// Sets a property of a slave.
    pub fn set(&mut self, label: &str, property: &str, value: &Value, now: u64) -> Result<(), PropertyError> {
        match self.port_mut(label) {
            Some(port) => port.slave.set(property, value, now),
            None => Err(PropertyError::NoSlave { slave: label.into(), known: self.labels() }),
        }
    }

    /// What a slave does with one of its pins; `None` if there is no such slave or pin.
    pub fn output(&self, label: &str, pin: &str) -> Option<Drive> {
        let slave = &self.port(label)?.slave;
        slave.outputs().contains(&pin).then(|| slave.output(pin))
    }

    /// Lets something go wrong.
    pub fn inject(&mut self, fault: Fault) -> Result<(), FaultError> {
        fault.check()?;
        let Some(label) = &fault.slave else {
            self.inject_everywhere(&fault);
            return Ok(());
        };
        match self.home(label) {
            // Another master sits on the main bus, wherever the slave is.
            Some(_) if fault.kind == Kind::LoseArbitration => self.faults.add(fault),
            Some(bus) => bus.faults.add(fault),
            None => return Err(FaultError::NoSlave { slave: label.clone(), known: self.labels() }),
        }
        Ok(())
    }

    fn inject_everywhere(&mut self, fault: &Fault) {
        self.faults.add(fault.clone());
        if fault.kind != Kind::LoseArbitration {
            for segment in self.ports.iter_mut().flat_map(|port| port.slave.segments_mut()) {
                segment.bus.inject_everywhere(fault);
            }
        }
    }

    /// Removes every fault; whoever hangs or is wedged lets go, as after a power cycle.
    pub fn clear_faults(&mut self, now: u64) {
        self.release_faults();
        self.settle(now);
    }

    fn release_faults(&mut self) {
        self.faults.clear();
        self.stuck = None;
        for port in &mut self.ports {
            port.wedged = None;
            port.stretch = port.stretch.filter(|until| *until != NEVER);
            for segment in port.slave.segments_mut() {
                segment.bus.release_faults();
            }
        }
    }

    /// What went over this bus, oldest first; the last 4096 transactions.
    pub fn history(&self) -> &VecDeque<Transaction> {
        &self.history
    }

    /// Forgets the history.
    pub fn clear_history(&mut self) {
        self.history.retain(|transaction| transaction.ended.is_none());
    }

    /// Takes the slaves' complaints, with their labels.
    pub fn complaints(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        for port in &mut self.ports {
            all.extend(port.slave.complaints().into_iter().map(|text| format!("{}: {text}", port.label)));
            for segment in port.slave.segments_mut() {
                all.extend(segment.bus.complaints());
            }
        }
        all
    }

    /// When [`Bus::advance`] has something to do.
    pub fn next_event(&self) -> Option<u64> {
        let ports = self.ports.iter().flat_map(|port| {
            let stretch = port.stretch.filter(|until| *until != NEVER);
            let behind = port.slave.segments().iter().filter_map(|segment| segment.bus.next_event());
            [stretch, port.slave.next_event()].into_iter().flatten().chain(behind)
        });
        ports.chain(self.rival).min()
    }

    /// Does everything that is due at `now`, each thing at its own time.
    pub fn advance(&mut self, now: u64) {
        while let Some(due) = self.next_event().filter(|due| *due <= now) {
            self.expire(due);
            self.settle(due);
            if self.next_event().is_some_and(|next| next <= due) {
                // A slave that is never done at one moment must not stop the world.
                self.expire(now);
                self.settle(now);
                break;
            }
        }
    }

    fn expire(&mut self, now: u64) {
        self.rival = self.rival.filter(|until| *until > now);
        for port in &mut self.ports {
            port.stretch = port.stretch.filter(|until| *until > now);
            port.slave.advance(now);
            for segment in port.slave.segments_mut() {
                segment.bus.expire(now);
            }
        }
    }

    fn port(&self, label: &str) -> Option<&Port> {
        self.ports.iter().find_map(|port| {
            if port.label == label {
                return Some(port);
            }
            port.slave.segments().iter().find_map(|segment| segment.bus.port(label))
        })
    }

    fn port_mut(&mut self, label: &str) -> Option<&mut Port> {
        let bus = self.home(label)?;
        bus.ports.iter_mut().find(|port| port.label == label)
    }

    /// The bus that a slave is on.
    fn home(&mut self, label: &str) -> Option<&mut Bus> {
        if self.ports.iter().any(|port| port.label == label) {
            return Some(self);
        }
        self.ports.iter_mut().flat_map(|port| port.slave.segments_mut()).find_map(|segment| segment.bus.home(label))
    }

    fn labels(&self) -> String {
        self.slaves().iter().map(|(label, _)| *label).collect::<Vec<_>>().join(", ")
    }

    /// The label of the slave that answers to the address byte of the current message.
    fn current(&self) -> Option<&str> {
        let address = Address::Seven(self.history.back()?.messages.last()?.address()?);
        self.ports.iter().find(|port| port.addresses.contains(&address)).map(|port| port.label.as_str())
    }

    /// What the slaves do, those behind multiplexers included.
    fn slave_pulls(&self) -> Lines {
        self.ports.iter().fold(Lines::HIGH, |lines, port| {
            let connected = port.slave.segments().iter().filter(|segment| segment.connected);
            connected.fold(lines.and(port.pulls()), |lines, segment| lines.and(segment.bus.slave_pulls()))
        })
    }

    fn level(&self) -> Lines {
        self.pulls().and(self.foreign)
    }

    /// Works the levels out until nothing changes.
    fn settle(&mut self, now: u64) {
        loop {
            let mut level = self.level();
            if level.scl && !self.lines.scl && self.is_taken(level.sda) {
                self.rival = Some(now.saturating_add(RIVAL_TIME));
                level = self.level();
            }
            if level == self.lines {
                break;
            }
            self.follow(level, now);
        }
    }

    /// Another master takes the bus at this rising edge.
    fn is_taken(&mut self, sda: bool) -> bool {
        let sending = if self.watch.reading { self.watch.bits == 8 } else { self.watch.bits < 8 };
        if !self.watch.busy || !sending || !sda || self.watch.asked == Some(self.watch.bytes) {
            return false;
        }
        let byte = self.watch.bytes;
        self.watch.asked = Some(byte);
        let mut faults = std::mem::take(&mut self.faults);
        let wanted = |kind| kind == Kind::LoseArbitration;
        // Nobody knows yet to whom an address will be.
        let struck = if byte == 0 {
            faults.strike_any(byte, wanted)
        } else {
            faults.strike(self.current().unwrap_or_default(), byte, wanted)
        };
        self.faults = faults;
        struck.is_some()
    }

    /// The lines are at new levels.
    fn follow(&mut self, lines: Lines, now: u64) {
        let before = std::mem::replace(&mut self.lines, lines);
        if before.scl && !lines.scl {
            self.stuck = self.stuck.and_then(|clocks| clocks.checked_sub(1)).filter(|clocks| *clocks > 0);
            for port in &mut self.ports {
                port.fall(now, &mut self.faults);
            }
        } else if !before.scl && lines.scl {
            self.watch_rise(lines.sda);
            for port in &mut self.ports {
                port.rise(lines.sda);
            }
        } else if lines.scl && before.sda && !lines.sda {
            self.watch_start(now);
            for port in &mut self.ports {
                port.start();
            }
        } else if lines.scl && !before.sda && lines.sda {
            self.watch_stop(now);
            for port in &mut self.ports {
                port.stop(now);
            }
        }
        for segment in self.ports.iter_mut().flat_map(|port| port.slave.segments_mut()) {
            if segment.connected {
                if segment.bus.lines != lines {
                    segment.bus.follow(lines, now);
                }
            } else {
                segment.bus.settle(now);
            }
        }
    }

    fn watch_start(&mut self, now: u64) {
        if !self.watch.busy {
            if self.history.len() == HISTORY {
                self.history.pop_front();
            }
            self.history.push_back(Transaction { begun: now, ended: None, messages: Vec::new() });
        }
        if let Some(transaction) = self.history.back_mut() {
            transaction.messages.push(Message::default());
        }
        self.watch = Watch { busy: true, ..Watch::default() };
    }

    fn watch_stop(&mut self, now: u64) {
        if self.watch.busy
            && let Some(transaction) = self.history.back_mut()
        {
            transaction.ended = Some(now);
        }
        self.watch = Watch::default();
    }

    fn watch_rise(&mut self, sda: bool) {
        if !self.watch.busy {
            return;
        }
        if self.watch.bits < 8 {
            self.watch.shift = self.watch.shift << 1 | u8::from(sda);
            self.watch.bits += 1;
            return;
        }
        let byte = Byte { value: self.watch.shift, ack: !sda };
        if let Some(message) = self.history.back_mut().and_then(|transaction| transaction.messages.last_mut()) {
            message.bytes.push(byte);
        }
        if self.watch.bytes == 0 {
            self.watch.reading = byte.value & 1 == 1;
        }
        self.watch.bytes = self.watch.bytes.saturating_add(1);
        (self.watch.bits, self.watch.shift) = (0, 0);
    }
}
