//! The state machine that does transactions.
//!
//! # How the hardware works
//!
//! Bytes to send and bytes received lie in a FIFO of 16. Writing the address register sends START, or a repeated START if the clock is being held, and the
//! address; then the controller empties or fills the FIFO. With `HOLD` it does not end a message with STOP but holds the clock low: for more data, for
//! another address, or until `HOLD` is cleared, which sends the STOP. The transfer size register says how many bytes are still expected; it has 8 bits.
//!
//! Revision r1p10 has its own ways (UG585 chapter 20.4; Xilinx answer records 60695 and 61664):
//!
//! - The byte with which the transfer size reaches 0 is not acknowledged, whatever `HOLD` says. Longer messages must have the size raised before, and as it
//!   counts by itself, that is safe only while it stands still: when the FIFO is full and the clock is held.
//! - With `HOLD` set at that moment there is no interrupt at the end of a received message, so it must be clear by then, and a STOP follows.
//! - A byte that is received into a full FIFO without `HOLD` is lost.
//! - While another master is on the bus, holding the clock may spoil what that one does.
//!
//! # What this module does
//!
//! [`Driver`] never waits. Each call does what can be done now; [`Driver::deadline`] says when to call [`Driver::on_time`] if no interrupt comes first. Every wait
//! ends at a deadline: for a free bus, for progress of a message, for a full FIFO.
//!
//! - A message is sent in parts of 16 bytes, with `HOLD` until the last part is in the FIFO. To be sent without data, it is begun with `HOLD`, which is cleared when
//!   the address has been acknowledged.
//! - A message is received with `HOLD` as long as more is missing than the FIFO takes. When only 17 of the bytes that the controller knows of
//!   have not been taken out, the FIFO is left to fill up; then the size is raised, and it goes on.
//! - An error says at which byte. After one, `HOLD` is cleared and the FIFO emptied; if it is not sure that the bus is free then, the next transaction begins with
//!   [`Event::Recover`].
//! - A transaction that loses the arbitration in its first message, before it has received anything, is begun anew, a few times. (Of a single byte to be received
//!   the controller does not say whether it was lost with the address or with its acknowledgement.)
//!
//! # What it does not do
//!
//! **A repeated START after a received message** is impossible with this controller, and one between two messages that are sent would be taken for more
//! data. So a transaction is one message, or a message that is sent and one that is received; all others are [`Kind::Unsupported`], and nothing is sent. The
//! same holds for receiving no bytes, which the controller takes for 256.
//!
//! Slave mode, slave monitor mode, SMBus packet error checking.
//!
//! Times are in microseconds since any fixed moment and never go back.

use mmio::Registers;
use session::i2c::{Address, Failure, Kind, LENGTH, Message, Messages, Payload};
use thiserror::Error;
use tock_registers::interfaces::{Readable, Writeable};

use crate::registers::{Block, CONTROL, INTERRUPT, STATUS};
use crate::speed::{Divisors, Speed};

/// Bytes that the FIFO holds.
const FIFO: usize = 16;
/// Bytes that are asked for at once. The register takes 255; the distance keeps it from rolling over.
const CHUNK: usize = 252;
/// Bytes that have not been taken out when the FIFO is left to fill up: all it holds, and one that keeps the size from reaching 0.
const FILL: usize = FIFO + 1;
/// Times that a transaction is begun anew after it has lost the arbitration.
const ATTEMPTS: u8 = 4;

/// Times in microseconds.
mod time {
    /// No deadline.
    pub(super) const NEVER: u64 = u64::MAX;
    /// For a free bus. Another master's longest message, of a kilobyte or two.
    pub(super) const BUSY: u64 = 250_000;
    /// For a free bus after it was freed.
    pub(super) const FREED: u64 = 5_000;
    /// First and longest pause between two looks at the bus.
    pub(super) const LOOK: u64 = 20;
    pub(super) const LAST_LOOK: u64 = 1_000;
    /// That devices may hold the clock for altogether while the FIFO is emptied or filled once. SMBus allows a device 25 ms a message.
    pub(super) const STRETCH: u64 = 50_000;
}

/// A master's control register without direction and `HOLD`; its FIFO stays as it is.
const MASTER: u32 = CONTROL::MASTER::SET.value | CONTROL::ACKNOWLEDGE::SET.value;
const READ: u32 = CONTROL::READ::SET.value;
const HOLD: u32 = CONTROL::HOLD::SET.value;
const CLEAR_FIFO: u32 = CONTROL::CLEAR_FIFO::SET.value;

const COMPLETE: u32 = INTERRUPT::COMPLETE::SET.value;
const DATA: u32 = INTERRUPT::DATA::SET.value;
const NACK: u32 = INTERRUPT::NACK::SET.value;
const ARBITRATION_LOST: u32 = INTERRUPT::ARBITRATION_LOST::SET.value;
const OVERRUN: u32 = INTERRUPT::RECEIVE_OVERFLOW::SET.value
    | INTERRUPT::TRANSMIT_OVERFLOW::SET.value
    | INTERRUPT::RECEIVE_UNDERFLOW::SET.value;
/// The causes that interrupt, and that are ever cleared. The controller's own time-out is none: it also strikes when this driver is late.
const HANDLED: u32 = COMPLETE | DATA | NACK | ARBITRATION_LOST | OVERRUN;
/// All causes that there are.
const ALL: u32 = HANDLED | INTERRUPT::TIME_OUT::SET.value | INTERRUPT::SLAVE_READY::SET.value;

/// A transaction to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The device.
    pub address: Address,
    /// How fast.
    pub speed: Speed,
    /// What is sent and received. The data lie one behind the other, each message on a word of its own.
    pub messages: Messages,
}

/// What a call has to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Event {
    /// The transaction has ended. Comes exactly once for each. What was received lies in its data if it succeeded.
    Done(Result<(), Failure>),
    /// The bus may be held by a device: the controller is to be reset, the bus [freed](crate::recovery::free), and [`Driver::recovered`] called. Nothing of
    /// the transaction has been sent.
    Recover,
}

/// What the driver is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing.
    Idle,
    /// Waiting for a free bus.
    Waiting,
    /// Sending a message.
    Writing,
    /// Receiving a message.
    Reading,
    /// Waiting for a full FIFO, to ask for more.
    Filling,
    /// Waiting for [`Driver::recovered`].
    Recovering,
}

/// The input clock cannot be divided so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the controller's clock of {0} Hz cannot be divided to 90 kHz")]
pub struct TooFast(pub u32);

/// A transaction is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a transaction is under way")]
pub struct Busy;

/// A driver for one controller. See the [module documentation](self).
#[derive(Debug)]
pub struct Driver<B> {
    block: Block<B>,
    input_clock: u32,
    speeds: [Divisors; 2],
    state: State,
    /// When `on_time` has something to do.
    wake: u64,
    /// When the present wait has failed.
    expires: u64,
    /// Pause before the next look at the bus.
    pause: u64,
    transaction: Transaction,
    /// The message under way.
    message: usize,
    /// Where its data begin.
    place: usize,
    /// Bytes of it that were put into the FIFO, or taken out of it.
    done: usize,
    /// Bytes that the controller has been asked for and that have not been taken out.
    expected: usize,
    attempts: u8,
    /// The bus may be held.
    suspect: bool,
    /// It was freed for the present transaction.
    recovered: bool,
    control: u32,
}

impl<B: Registers> Driver<B> {
    /// Takes a controller over, whose input clock has `input_clock` Hz.
    ///
    /// # Errors
    /// [`TooFast`]
    pub fn new(block: B, input_clock: u32) -> Result<Self, TooFast> {
        let speed = |speed| Divisors::new(input_clock, speed).ok_or(TooFast(input_clock));
        let driver = Self {
            block: Block::new(block),
            input_clock,
            speeds: [speed(Speed::Standard)?, speed(Speed::Fast)?],
            state: State::Idle,
            wake: time::NEVER,
            expires: time::NEVER,
            pause: time::LOOK,
            transaction: Transaction { address: Address::Seven(0), speed: Speed::Standard, messages: Messages::new() },
            message: 0,
            place: 0,
            done: 0,
            expected: 0,
            attempts: 0,
            suspect: false,
            recovered: false,
            control: MASTER,
        };
        driver.set_up();
        Ok(driver)
    }

    fn set_up(&self) {
        self.block.interrupt_disable().set(ALL);
        self.block.control().set(MASTER | CLEAR_FIFO);
        self.block.interrupt_status().clear(ALL);
        self.block.time_out().set(0xff);
    }

    /// What the driver is doing.
    pub const fn state(&self) -> State {
        self.state
    }

    /// Whether a transaction can be submitted.
    pub fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// When [`on_time`](Self::on_time) has something to do.
    pub fn deadline(&self) -> Option<u64> {
        (self.wake != time::NEVER).then_some(self.wake)
    }

    /// The rate of the clock line for a speed, in Hz.
    pub fn rate(&self, speed: Speed) -> u32 {
        self.divisors(speed).rate(self.input_clock)
    }

    fn divisors(&self, speed: Speed) -> Divisors {
        let [standard, fast] = self.speeds;
        match speed {
            Speed::Standard => standard,
            Speed::Fast => fast,
        }
    }

    /// What a controller can do.
    ///
    /// # Errors
    /// The [`Failure`] of a transaction that it cannot do.
    pub fn check(messages: &[Message]) -> Result<(), Failure> {
        let impossible = match messages {
            [] => Some(0),
            [first, _, ..] if first.read => Some(1),
            [_, second, ..] if !second.read => Some(1),
            [_, _, _, ..] => Some(2),
            _ => messages.iter().position(|message| message.length > LENGTH || message.read && message.length == 0),
        };
        match impossible {
            None => Ok(()),
            Some(message) => Err(Failure { kind: Kind::Unsupported, message: message as u8, byte: 0 }),
        }
    }

    /// Begins a transaction, whose data lie in `data` for all calls until its end.
    ///
    /// # Errors
    /// [`Busy`]
    pub fn submit(&mut self, transaction: Transaction, data: Payload<'_>, now: u64) -> Result<Option<Event>, Busy> {
        if !self.is_idle() {
            return Err(Busy);
        }
        if let Err(failure) = Self::check(&transaction.messages) {
            return Ok(Some(Event::Done(Err(failure))));
        }
        self.transaction = transaction;
        self.attempts = ATTEMPTS;
        self.recovered = false;
        self.wait(now, time::BUSY);
        Ok(self.start(data, now))
    }

    /// Handles an interrupt. There may be none pending.
    pub fn on_interrupt(&mut self, data: Payload<'_>, now: u64) -> Option<Event> {
        let status = self.block.interrupt_status().get() & HANDLED;
        self.block.interrupt_status().clear(status);
        if !matches!(self.state, State::Writing | State::Reading | State::Filling) {
            return None;
        }
        if status & ARBITRATION_LOST != 0 {
            return self.lost(data, now);
        }
        if status & NACK != 0 {
            let sent = self.sent();
            let kind = if sent == 0 { Kind::NoDevice } else { Kind::NoAcknowledge };
            return Some(self.fail(kind, sent.saturating_sub(1)));
        }
        if status & OVERRUN != 0 {
            return Some(self.fail(Kind::Overrun, self.done));
        }
        match self.state {
            State::Writing if status & COMPLETE != 0 => self.sent_all(data, now),
            State::Reading | State::Filling => self.receive(status & COMPLETE != 0, data, now),
            _ => None,
        }
    }

    /// Does what is due at `now`.
    pub fn on_time(&mut self, data: Payload<'_>, now: u64) -> Option<Event> {
        if now < self.wake {
            return None;
        }
        match self.state {
            State::Idle | State::Recovering => None,
            State::Waiting => self.start(data, now),
            State::Writing | State::Reading | State::Filling => {
                // The interrupt may have come and not been told.
                if let Some(event) = self.on_interrupt(data, now) {
                    return Some(event);
                }
                if now < self.expires {
                    return None;
                }
                let byte = if self.state == State::Writing { self.sent().saturating_sub(1) } else { self.received() };
                Some(self.fail(Kind::Timeout, byte))
            }
        }
    }

    /// After [`Event::Recover`]: the controller was reset, and the bus is `free` as far as one can see.
    pub fn recovered(&mut self, free: bool, data: Payload<'_>, now: u64) -> Option<Event> {
        if self.state != State::Recovering {
            return None;
        }
        self.set_up();
        self.suspect = false;
        self.recovered = true;
        if !free {
            return Some(self.fail(Kind::Wedged, 0));
        }
        self.wait(now, time::FREED);
        self.start(data, now)
    }

    /// Waits for a free bus.
    fn wait(&mut self, now: u64, patience: u64) {
        self.message = 0;
        self.place = 0;
        self.done = 0;
        self.state = State::Waiting;
        self.expires = now.saturating_add(patience);
        self.pause = time::LOOK;
    }

    /// Begins the transaction if the bus is free.
    fn start(&mut self, data: Payload<'_>, now: u64) -> Option<Event> {
        if self.suspect {
            return Some(self.ask_for_recovery());
        }
        if self.block.status().is_set(STATUS::BUS_ACTIVE) {
            if now < self.expires {
                self.wake = now.saturating_add(self.pause).min(self.expires);
                self.pause = (2 * self.pause).min(time::LAST_LOOK);
                return None;
            }
            if self.recovered {
                return Some(self.fail(Kind::Wedged, 0));
            }
            return Some(self.ask_for_recovery());
        }
        let Divisors { a, b } = self.divisors(self.transaction.speed);
        self.control = MASTER | (CONTROL::DIVISOR_A.val(a - 1) + CONTROL::DIVISOR_B.val(b - 1)).value;
        if matches!(self.transaction.address, Address::Seven(_)) {
            self.control |= CONTROL::SEVEN_BIT::SET.value;
        }
        self.begin(data, now);
        None
    }

    fn ask_for_recovery(&mut self) -> Event {
        self.state = State::Recovering;
        self.wake = time::NEVER;
        Event::Recover
    }

    fn current(&self) -> Message {
        self.transaction.messages.get(self.message).copied().unwrap_or(Message { read: false, length: 0 })
    }

    fn is_last(&self) -> bool {
        self.message + 1 >= self.transaction.messages.len()
    }

    /// Sends START, or a repeated one behind another message, and begins the message.
    fn begin(&mut self, data: Payload<'_>, now: u64) {
        let message = self.current();
        let follows = self.message > 0;
        self.done = 0;
        let hold = message.length > FIFO || !self.is_last() || message.length == 0;
        // Behind another message, the clock is held until the address is written.
        self.control &= !(READ | HOLD);
        self.control |= if message.read { READ } else { 0 } | if hold { HOLD } else { 0 };
        self.block.control().set(self.control | CLEAR_FIFO | if follows { HOLD } else { 0 });
        self.block.interrupt_status().clear(HANDLED);
        if message.read {
            self.state = State::Reading;
            self.expected = message.length.min(CHUNK);
            self.block.transfer_size().set(self.expected as u32);
        } else {
            self.state = State::Writing;
            self.send(data);
        }
        self.progress(now);
        self.block.interrupt_enable().set(HANDLED);
        let address = match self.transaction.address {
            Address::Seven(address) => u32::from(address),
            Address::Ten(address) => u32::from(address),
        };
        self.block.address().set(address);
        if follows && !hold {
            self.block.control().set(self.control);
        }
    }

    /// There was progress: the deadline starts anew.
    fn progress(&mut self, now: u64) {
        let bits = 9 * (FIFO as u64 + 4);
        let nominal = bits * 1_000_000 / u64::from(self.rate(self.transaction.speed).max(1));
        self.expires = now.saturating_add(time::STRETCH + 2 * nominal);
        self.wake = self.expires;
    }

    fn release(&mut self) {
        if self.control & HOLD != 0 {
            self.control &= !HOLD;
            self.block.control().set(self.control);
        }
    }

    /// Fills the empty FIFO.
    fn send(&mut self, data: Payload<'_>) {
        let end = self.current().length.min(self.done + FIFO);
        for index in self.done..end {
            self.block.data().set(data.get(self.place + index).into());
        }
        self.done = end;
    }

    /// Bytes that were sent, including the one under way.
    fn sent(&self) -> usize {
        if self.state != State::Writing {
            return self.done;
        }
        self.done.saturating_sub(self.block.transfer_size().get() as usize)
    }

    /// Bytes that were received.
    fn received(&self) -> usize {
        self.done + self.expected.saturating_sub(self.block.transfer_size().get() as usize)
    }

    /// The FIFO is empty.
    fn sent_all(&mut self, data: Payload<'_>, now: u64) -> Option<Event> {
        let message = self.current();
        if self.done < message.length {
            self.send(data);
            if self.done == message.length && self.is_last() {
                self.release();
            }
            self.progress(now);
            return None;
        }
        if !self.is_last() {
            self.place += message.words() * 4;
            self.message += 1;
            self.begin(data, now);
            return None;
        }
        self.release();
        Some(self.end(Ok(())))
    }

    /// Takes what was received, and asks for more.
    fn receive(&mut self, complete: bool, data: Payload<'_>, now: u64) -> Option<Event> {
        let length = self.current().length;
        // Twice: a full FIFO goes on when more has been asked for.
        for _ in 0..2 {
            self.take(data, now);
            let is_short = length - self.done > self.expected;
            if !(is_short && self.expected == FILL) {
                break;
            }
            self.state = State::Filling;
            if self.block.transfer_size().get() as usize != FILL - FIFO {
                let byte = 9 * 1_000_000 / u64::from(self.rate(self.transaction.speed).max(1));
                self.wake = now.saturating_add(byte / 2 + 1).min(self.expires);
                break;
            }
            let more = (length - self.done - FIFO).min(CHUNK);
            self.block.transfer_size().set(more as u32);
            self.expected = FIFO + more;
            self.state = State::Reading;
            self.progress(now);
        }
        if !complete {
            return None;
        }
        Some(if self.done == length { self.end(Ok(())) } else { self.fail(Kind::Overrun, self.done) })
    }

    /// Takes bytes out of the FIFO, as far as that may be.
    fn take(&mut self, data: Payload<'_>, now: u64) {
        let length = self.current().length;
        let before = self.done;
        while self.done < length && self.block.status().is_set(STATUS::RECEIVE_VALID) {
            if self.expected == FILL && length - self.done > FILL {
                break;
            }
            data.set(self.place + self.done, self.block.data().get() as u8);
            self.done += 1;
            self.expected = self.expected.saturating_sub(1);
            if length - self.done <= FIFO {
                self.release();
            }
        }
        if self.done > before {
            self.progress(now);
        }
    }

    /// Another master has won the bus.
    fn lost(&mut self, data: Payload<'_>, now: u64) -> Option<Event> {
        let (byte, harmless) = match self.state {
            State::Writing => (self.sent().saturating_sub(1), self.message == 0),
            _ => (self.received(), self.message == 0 && self.received() == 0),
        };
        if !harmless || self.attempts == 0 {
            return Some(self.fail(Kind::ArbitrationLost, byte));
        }
        self.attempts -= 1;
        self.stop();
        self.wait(now, time::BUSY);
        self.start(data, now)
    }

    /// Leaves the bus alone.
    fn stop(&mut self) {
        self.block.interrupt_disable().set(HANDLED);
        self.control &= !HOLD;
        self.block.control().set(self.control | CLEAR_FIFO);
    }

    fn fail(&mut self, kind: Kind, byte: usize) -> Event {
        let failure = Failure { kind, message: self.message as u8, byte: byte.min(LENGTH) as u16 };
        self.suspect = !matches!(kind, Kind::NoDevice | Kind::NoAcknowledge);
        self.stop();
        self.end(Err(failure))
    }

    fn end(&mut self, result: Result<(), Failure>) -> Event {
        self.block.interrupt_disable().set(HANDLED);
        self.state = State::Idle;
        self.wake = time::NEVER;
        Event::Done(result)
    }
}
