//! The state machine that brings a card up and moves blocks.
//!
//! # How the hardware works
//!
//! A host controller sends a command when its command register is written and reports the response, the end of a data
//! transfer and errors as interrupts. ADMA2 moves the data of a whole request by itself; with Auto-CMD12 the controller
//! also ends a multi-block transfer by itself, so that a request costs one interrupt. A card starts in identification
//! mode at 400 kHz at most on one data line. It tells its capacity, its bus widths and its speeds, and has to be asked for
//! anything faster.
//!
//! # What this module does
//!
//! [`Driver`] never waits. Each call does what can be done now and returns; [`Driver::deadline`] says when to call
//! [`Driver::on_time`] if no interrupt comes first. Every wait for the hardware ends at a deadline with an [`Error`] that
//! names the state, the command and the registers.
//!
//! Bringing a card up follows PHY 4.2.3 and SDHC chapter 3: reset, 400 kHz, CMD0, CMD8, ACMD41 until the card is powered
//! up, CMD2, CMD3, CMD9, CMD7, for SDSC cards CMD16, then ACMD51 for the SCR, ACMD6 if the card has four data lines, CMD6 if
//! card and host know high speed. A failure starts over; the last attempt leaves the card at one line and at default
//! speed, so that a slot with a broken line or a card with a lying register still works, slowly.
//!
//! A request that fails is recovered as SDHC chapter 3 has it: reset the command and data circuits, ask the card for its state
//! (CMD13), stop it (CMD12) if it still sends or receives, wait until it is back in the transfer state, then try
//! again, a bounded number of times. When even that fails, the request ends with an error and the driver stops until
//! [`Driver::start`] is called.
//!
//! # What it does not do
//!
//! UHS modes (they need 1.8 V), SDIO, MMC, SDUC cards, erase and locking. It does not queue requests, and it does
//! not maintain caches: the caller cleans or invalidates its buffers around [`Driver::submit`] and [`Event::Done`].

use mmio::Registers;
use tock_registers::interfaces::{Readable, Writeable};

use crate::adma::{DescriptorTable, Segment};
use crate::card::{
    Addressing, BLOCK_SIZE, Card, Configuration, Identification, OperationConditions, SpecificData, Status,
    SwitchStatus, card_state,
};
use crate::command;
use crate::error::{Cause, Error, Snapshot, SubmitError};
use crate::registers::{self, BLOCK, CAPABILITIES, CLOCK, COMMAND, HOST_CONTROL, INTERRUPT, PRESENT_STATE, bits};

/// The most blocks in one request; the block count register has 16 bits.
pub const MAX_BLOCKS: u32 = 0xFFFF;

/// Times in microseconds.
mod time {
    /// Between two looks at a bit that announces itself by no interrupt.
    pub(super) const POLL: u64 = 100;
    /// Software reset (the specification names no limit; it takes some clocks).
    pub(super) const RESET: u64 = 100_000;
    /// Internal clock stable (SDHC, clock control: within 150 ms).
    pub(super) const CLOCK_STABLE: u64 = 150_000;
    /// Supply ramp, 1 ms of settling and 74 clocks before the first command (PHY 6.4.1).
    pub(super) const POWER_UP: u64 = 2_000;
    /// A command with its response, or the short data of the initialisation (PHY 4.6.2.1: 100 ms for reading).
    pub(super) const COMMAND: u64 = 200_000;
    /// A command that leaves the card busy.
    pub(super) const BUSY: u64 = 1_000_000;
    /// From the first ACMD41 until the card is powered up (PHY 4.2.3: 1 s).
    pub(super) const OPERATING_CONDITION: u64 = 1_000_000;
    /// Between two ACMD41 (PHY 4.2.3: at most 50 ms).
    pub(super) const OPERATING_CONDITION_POLL: u64 = 10_000;
    /// After CMD6, before the clock is touched (PHY 4.3.10: 8 clocks).
    pub(super) const SWITCH: u64 = 1_000;
    /// After the card detect switch closes, before power is applied.
    pub(super) const DEBOUNCE: u64 = 100_000;
    /// A card that programs after a failed write (PHY 4.6.2.2: 500 ms for SDXC).
    pub(super) const PROGRAMMING: u64 = 1_000_000;
    /// Between two CMD13 to a card that programs.
    pub(super) const PROGRAMMING_POLL: u64 = 1_000;
    /// A request, apart from its blocks. More than the hardware's own time-out, which tells more.
    pub(super) const REQUEST: u64 = 2_000_000;
    /// Each block of a request. A card of the slowest speed class writes one in 256 us.
    pub(super) const REQUEST_BLOCK: u64 = 4_000;
    /// What the hardware's data time-out must at least allow (PHY 4.6.2.2: 500 ms for writing to an SDXC card).
    pub(super) const DATA: u64 = 500_000;
    /// No deadline.
    pub(super) const NEVER: u64 = u64::MAX;
}

/// How often a card is brought up before the driver gives in.
const START_ATTEMPTS: u8 = 3;
/// How often a request is tried.
const REQUEST_ATTEMPTS: u8 = 3;
/// How often the lines are reset for one try of a request.
const RECOVERY_ATTEMPTS: u8 = 4;

/// Highest clock during identification, in Hz (PHY chapter 6).
const IDENTIFICATION_CLOCK: u32 = 400_000;
/// Highest clock at default speed.
const DEFAULT_CLOCK: u32 = 25_000_000;
/// Highest clock in high-speed mode.
const HIGH_SPEED_CLOCK: u32 = 50_000_000;

const CHANGES: u32 = bits(&INTERRUPT::INSERTION::SET) | bits(&INTERRUPT::REMOVAL::SET);
const ERRORS: u32 = 0xF3FF_0000;
const COMMAND_COMPLETE: u32 = bits(&INTERRUPT::COMMAND_COMPLETE::SET);
const TRANSFER_COMPLETE: u32 = bits(&INTERRUPT::TRANSFER_COMPLETE::SET);
const BUFFER_READ_READY: u32 = bits(&INTERRUPT::BUFFER_READ_READY::SET);
/// Every cause this driver knows, and so every bit it ever clears.
const HANDLED: u32 = CHANGES | ERRORS | COMMAND_COMPLETE | TRANSFER_COMPLETE | BUFFER_READ_READY;
/// The causes that interrupt while blocks move: the response alone is not worth it.
const SIGNALS_TRANSFER: u32 = CHANGES | ERRORS | TRANSFER_COMPLETE;
/// What turns the end of a transfer into a case for the slow path. The error bit sums up the upper half.
const ABNORMAL: u32 = CHANGES | ERRORS | bits(&INTERRUPT::ERROR::SET);

const CARD_ENABLE: u32 = bits(&CLOCK::CARD_ENABLE::SET);
const INTERNAL_ENABLE: u32 = bits(&CLOCK::INTERNAL_ENABLE::SET);
const RESET_ALL: u32 = bits(&CLOCK::RESET_ALL::SET);
const RESET_LINES: u32 = bits(&CLOCK::RESET_COMMAND::SET) | bits(&CLOCK::RESET_DATA::SET);

/// What the driver is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing, until [`Driver::start`] is called or a card is inserted.
    Stopped,
    /// Stopping everything because the card is gone.
    Clearing,
    /// Waiting for a card.
    Absent,
    /// Waiting for the contacts of a fresh card.
    Settling,
    /// Resetting the host controller.
    Resetting,
    /// Waiting for a stable internal clock of at most 400 kHz.
    StartingClock,
    /// Giving the card power, clock and time.
    PoweringUp,
    /// CMD0: reset the card.
    GoingIdle,
    /// CMD8: tell the card the voltage; a card of version 1 stays silent.
    CheckingInterface,
    /// Resetting the command circuit after the silence.
    ClearingCommand,
    /// CMD55 before ACMD41.
    PrefixOperatingCondition,
    /// ACMD41: power up, and tell byte from block addressing.
    OperatingCondition,
    /// Time before the next ACMD41.
    AwaitingPowerUp,
    /// CMD2: read the CID.
    Identifying,
    /// CMD3: get the relative card address.
    Addressing,
    /// CMD9: read the CSD.
    ReadingSpecificData,
    /// CMD7: select the card.
    Selecting,
    /// CMD16: set the block length of an SDSC card.
    SettingBlockLength,
    /// CMD55 before ACMD51.
    PrefixConfiguration,
    /// ACMD51: read the SCR.
    ReadingConfiguration,
    /// CMD55 before ACMD6.
    PrefixBusWidth,
    /// ACMD6: use four data lines.
    SettingBusWidth,
    /// CMD6: ask whether the card has high speed.
    CheckingSwitch,
    /// CMD6: switch to high speed.
    Switching,
    /// Time for the card to switch.
    SettlingSwitch,
    /// Waiting for a stable internal clock of full speed.
    ChangingClock,
    /// Ready for requests.
    Ready,
    /// Reading blocks.
    Reading,
    /// Writing blocks.
    Writing,
    /// Resetting the command and data circuits after a failed request.
    ResettingLines,
    /// CMD13: ask the card for its state.
    CheckingStatus,
    /// Time before the next CMD13.
    AwaitingProgramming,
    /// CMD12: stop a transfer that the host no longer takes part in.
    StoppingTransmission,
}

impl State {
    const fn is_transfer(self) -> bool {
        matches!(self, Self::Reading | Self::Writing)
    }

    const fn is_recovery(self) -> bool {
        matches!(
            self,
            Self::ResettingLines | Self::CheckingStatus | Self::AwaitingProgramming | Self::StoppingTransmission
        )
    }
}

/// Which way data moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the card to memory.
    Read,
    /// From memory to the card.
    Write,
}

/// A request.
#[derive(Clone, Copy, Debug)]
pub struct Transfer<'a> {
    /// First block, in units of 512 bytes whatever the card's addressing.
    pub block: u32,
    /// Number of blocks, 1 to [`MAX_BLOCKS`].
    pub count: u32,
    /// Which way.
    pub direction: Direction,
    /// Where the data is: together exactly `count` times 512 bytes. Must not be touched until [`Event::Done`].
    pub segments: &'a [Segment],
}

/// What a call has to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Event {
    /// A card is up and takes requests.
    Ready(Card),
    /// The request in flight has ended. Comes exactly once for each one that [`Driver::submit`] accepted, unless
    /// [`Driver::start`] abandoned it. After an error the content of the buffer, or of the blocks, is undefined.
    Done(Result<(), Error>),
    /// There is no card. Insertion is noticed and leads to [`Event::Ready`] or [`Event::Failed`].
    NoCard,
    /// The card, or the host controller, cannot be brought up or is lost. [`Driver::start`] tries again.
    Failed(Error),
}

/// What the state machine waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// Nothing but requests and card changes.
    Nothing,
    /// The time `expires`.
    Pause,
    /// These reset bits of the clock register to read 0.
    Reset(u32),
    /// The internal clock to be stable.
    ClockStable,
    /// These bits of the interrupt status.
    Interrupt(u32),
}

/// What is needed to start a request again.
#[derive(Clone, Copy, Debug)]
struct Request {
    command: u32,
    argument: u32,
    block: u32,
    attempts: u8,
}

/// A driver for one slot. See the [module documentation](self).
///
/// Times are in microseconds since any fixed moment and never go back.
#[derive(Debug)]
pub struct Driver<'a, B> {
    registers: registers::Block<B>,
    table: DescriptorTable<'a>,
    base_clock: u32,

    state: State,
    wait: Wait,
    /// When `on_time` has something to do.
    wake: u64,
    /// When the present wait has failed, or for a pause, ended.
    expires: u64,
    /// An event to report next.
    next: Option<Event>,

    // What a transfer looks at.
    blocks: u64,
    address_shift: u8,
    read_only: bool,
    request: Request,

    /// The latest interrupt status that was cleared.
    status: u32,
    /// The last command sent and its argument, for errors; that of a transfer is in `request`.
    sent: (u32, u32),
    /// The error that made recovery necessary.
    error: Option<Error>,
    attempts: u8,
    recoveries: u8,
    /// When a repeated command must have succeeded.
    patience: u64,

    /// Clock register without reset bits.
    clock: u32,
    host_control: u32,
    timeout: u32,
    host_high_speed: bool,
    version_2: bool,
    relative_address: u32,
    specific_data: SpecificData,
    configuration: Configuration,
    card: Card,
    data: [u8; SwitchStatus::LENGTH as usize],
}

impl<'a, B: Registers> Driver<'a, B> {
    /// A driver for the controller behind `back_end`, with memory for descriptors in `table`.
    ///
    /// `base_clock` is the frequency in Hz of the clock that the controller divides, from the clock tree; 0 takes it
    /// from the capabilities register, where the Zynq-7000 has none.
    pub const fn new(back_end: B, table: DescriptorTable<'a>, base_clock: u32) -> Self {
        Self {
            registers: registers::Block::new(back_end),
            table,
            base_clock,
            state: State::Stopped,
            wait: Wait::Nothing,
            wake: time::NEVER,
            expires: time::NEVER,
            next: None,
            blocks: 0,
            address_shift: 0,
            read_only: true,
            request: Request { command: 0, argument: 0, block: 0, attempts: 0 },
            status: 0,
            sent: (0, 0),
            error: None,
            attempts: 0,
            recoveries: 0,
            patience: 0,
            clock: 0,
            host_control: 0,
            timeout: 0,
            host_high_speed: false,
            version_2: false,
            relative_address: 0,
            specific_data: SpecificData(0),
            configuration: Configuration(0),
            card: NO_CARD,
            data: [0; SwitchStatus::LENGTH as usize],
        }
    }

    /// Resets the controller and brings the card up. Call it once, and again after [`Event::Failed`].
    ///
    /// A request in flight is abandoned without an event; its memory may be reused once another event was returned.
    pub fn start(&mut self, now: u64) -> Option<Event> {
        self.next = None;
        self.error = None;
        self.attempts = START_ATTEMPTS - 1;
        self.enter(State::Resetting, now);
        self.run(now)
    }

    /// Starts a request. [`Event::Done`] tells its end.
    pub fn submit(&mut self, transfer: &Transfer<'_>, now: u64) -> Result<(), SubmitError> {
        if self.state != State::Ready {
            return Err(self.refusal());
        }
        let Transfer { block, count, direction, segments } = *transfer;
        if count.wrapping_sub(1) >= MAX_BLOCKS {
            return Err(SubmitError::Count { count });
        }
        if u64::from(block) + u64::from(count) > self.blocks {
            return Err(SubmitError::OutOfRange { block, count, blocks: self.blocks });
        }
        if direction == Direction::Write && self.read_only {
            return Err(SubmitError::ReadOnly);
        }
        self.table.fill(segments, count * BLOCK_SIZE)?;
        self.request = Request {
            command: match (direction, count) {
                (Direction::Read, 1) => command::READ_SINGLE_BLOCK,
                (Direction::Read, _) => command::READ_MULTIPLE_BLOCK,
                (Direction::Write, 1) => command::WRITE_BLOCK,
                (Direction::Write, _) => command::WRITE_MULTIPLE_BLOCK,
            },
            argument: block << self.address_shift,
            block: bits(&BLOCK::SIZE.val(BLOCK_SIZE)) | count << 16,
            attempts: REQUEST_ATTEMPTS - 1,
        };
        self.transfer(now);
        Ok(())
    }

    /// To be called when the controller's interrupt fired.
    #[inline]
    pub fn on_interrupt(&mut self, now: u64) -> Option<Event> {
        let status = self.registers.interrupt_status().get();
        if self.state.is_transfer() && status & (ABNORMAL | TRANSFER_COMPLETE) == TRANSFER_COMPLETE {
            self.registers.interrupt_status().clear(TRANSFER_COMPLETE | COMMAND_COMPLETE);
            if self.card_errors() == 0 {
                return Some(self.succeed());
            }
        }
        self.interrupt(status, now)
    }

    /// To be called when the time [`Driver::deadline`] has come. Calling it early or late does no harm.
    pub fn on_time(&mut self, now: u64) -> Option<Event> {
        if now < self.wake {
            return None;
        }
        // The interrupt may be on its way.
        let status = self.registers.interrupt_status().get();
        self.interrupt(status, now)
    }

    /// When to call [`Driver::on_time`] if there is no interrupt before; `None` is never.
    #[inline]
    pub const fn deadline(&self) -> Option<u64> {
        if self.wake == time::NEVER { None } else { Some(self.wake) }
    }

    /// What the driver is doing.
    pub const fn state(&self) -> State {
        self.state
    }

    /// The card, from [`Event::Ready`] on until it is lost.
    pub const fn card(&self) -> Option<&Card> {
        if self.is_up() { Some(&self.card) } else { None }
    }

    /// The most descriptors that a request may need; see [`crate::adma::needed`].
    pub const fn descriptors(&self) -> usize {
        self.table.capacity()
    }

    const fn is_up(&self) -> bool {
        matches!(self.state, State::Ready) || self.state.is_transfer() || self.state.is_recovery()
    }

    #[cold]
    const fn refusal(&self) -> SubmitError {
        if self.is_up() { SubmitError::Busy } else { SubmitError::NotReady }
    }

    /// Starts, or starts again, the request.
    #[inline]
    fn transfer(&mut self, now: u64) {
        let Request { command, argument, block, .. } = self.request;
        self.registers.synchronize();
        self.registers.adma_address().set(self.table.bus_address());
        self.registers.block().set(block);
        self.registers.argument().set(argument);
        self.registers.command().set(command);
        self.state = if command & bits(&COMMAND::READ::SET) == 0 { State::Writing } else { State::Reading };
        self.wait = Wait::Interrupt(TRANSFER_COMPLETE);
        self.expires = now + time::REQUEST + u64::from(block >> 16) * time::REQUEST_BLOCK;
        self.wake = self.expires;
    }

    /// The error bits of the status that the card gave with the command of the transfer and with Auto-CMD12.
    #[inline]
    fn card_errors(&self) -> u32 {
        let mut errors = self.registers.response0().get() & Status::ERRORS;
        if self.request.command & bits(&COMMAND::AUTO_CMD12::SET) != 0 {
            // A card may look ahead beyond its end while it waits for CMD12 (PHY 4.3.3); `submit` checked the range.
            errors |= self.registers.response3().get() & Status::ERRORS & !Status::OUT_OF_RANGE;
        }
        errors
    }

    /// Ends the request well.
    #[inline]
    fn succeed(&mut self) -> Event {
        self.registers.synchronize();
        self.state = State::Ready;
        self.wait = Wait::Nothing;
        self.wake = time::NEVER;
        Event::Done(Ok(()))
    }

    /// Handles `status` in the general case.
    #[cold]
    fn interrupt(&mut self, status: u32, now: u64) -> Option<Event> {
        if let Some(event) = self.next.take() {
            self.schedule(now);
            return Some(event);
        }
        let handled = status & HANDLED;
        if handled != 0 {
            self.registers.interrupt_status().clear(handled);
            self.status = status;
        }
        if handled & CHANGES != 0 {
            self.card_changed(handled, now);
        }
        if let Wait::Interrupt(missing) = self.wait {
            let mut errors = handled & ERRORS;
            // The data arrived in time after all (SDHC, transfer complete and data time-out error).
            if handled & TRANSFER_COMPLETE != 0 {
                errors &= !bits(&INTERRUPT::DATA_TIMEOUT::SET);
            }
            if errors != 0 {
                if let Some(event) = self.failed(cause(errors), now) {
                    self.schedule(now);
                    return Some(event);
                }
            } else {
                if handled & missing & BUFFER_READ_READY != 0 {
                    self.read_buffer();
                }
                self.wait = Wait::Interrupt(missing & !handled);
            }
        }
        self.run(now)
    }

    /// A card came or went.
    fn card_changed(&mut self, handled: u32, now: u64) {
        let in_flight = self.state.is_transfer() || self.state.is_recovery();
        let present = self.registers.present_state().is_set(PRESENT_STATE::CARD_INSERTED);
        let removed = handled & bits(&INTERRUPT::REMOVAL::SET) != 0 || !present;
        match self.state {
            State::Absent | State::Stopped if present => self.enter(State::Settling, now),
            State::Absent | State::Clearing => {}
            // Whatever sits in the slot now, the card that was set up is gone.
            _ if removed => {
                self.error = in_flight.then(|| self.error(Cause::Removed));
                self.enter(State::Clearing, now);
            }
            _ => {}
        }
    }

    /// Goes on for as long as nothing has to be waited for. Bounded: no command ends without an interrupt.
    fn run(&mut self, now: u64) -> Option<Event> {
        loop {
            let finished = match self.wait {
                Wait::Nothing => break,
                Wait::Pause => now >= self.expires,
                Wait::Reset(mask) => self.registers.clock().get() & mask == 0,
                Wait::ClockStable => self.registers.clock().is_set(CLOCK::INTERNAL_STABLE),
                Wait::Interrupt(missing) => missing == 0,
            };
            let event = if finished {
                self.finished(now)
            } else if now >= self.expires {
                self.failed(Cause::Deadline, now)
            } else {
                break;
            };
            if event.is_some() {
                self.schedule(now);
                return event;
            }
        }
        self.schedule(now);
        None
    }

    /// Sets the time of the next call of `on_time`.
    fn schedule(&mut self, now: u64) {
        self.wake = if self.next.is_some() {
            now
        } else {
            match self.wait {
                Wait::Nothing => time::NEVER,
                Wait::Pause | Wait::Interrupt(_) => self.expires,
                Wait::Reset(_) | Wait::ClockStable => self.expires.min(now + time::POLL),
            }
        };
    }

    /// Makes `state` the present one and starts what belongs to it.
    fn enter(&mut self, state: State, now: u64) {
        self.state = state;
        let address = self.relative_address;
        match state {
            State::Stopped | State::Absent => self.wait = Wait::Nothing,
            State::Ready => {
                self.registers.signal_enable().set(SIGNALS_TRANSFER);
                self.wait = Wait::Nothing;
            }
            State::Clearing | State::Resetting => {
                self.registers.clock().set(RESET_ALL);
                self.wait(Wait::Reset(RESET_ALL), now + time::RESET);
            }
            State::Settling => self.wait(Wait::Pause, now + time::DEBOUNCE),
            State::StartingClock | State::ChangingClock => {
                self.wait(Wait::ClockStable, now + time::CLOCK_STABLE);
            }
            State::PoweringUp => self.wait(Wait::Pause, now + time::POWER_UP),
            State::GoingIdle => self.send(command::GO_IDLE_STATE, 0, now),
            State::CheckingInterface => self.send(command::SEND_IF_COND, CHECK_PATTERN, now),
            State::ClearingCommand => {
                self.reset_lines(now);
            }
            State::PrefixOperatingCondition => self.send(command::APP_CMD, 0, now),
            State::OperatingCondition => {
                let capacity = if self.version_2 { OperationConditions::HIGH_CAPACITY_SUPPORT } else { 0 };
                self.send(command::SD_SEND_OP_COND, OperationConditions::V33 | capacity, now);
            }
            State::AwaitingPowerUp => {
                self.wait(Wait::Pause, now + time::OPERATING_CONDITION_POLL);
            }
            State::Identifying => self.send(command::ALL_SEND_CID, 0, now),
            State::Addressing => self.send(command::SEND_RELATIVE_ADDR, 0, now),
            State::ReadingSpecificData => self.send(command::SEND_CSD, address, now),
            State::Selecting => self.send(command::SELECT_CARD, address, now),
            State::SettingBlockLength => self.send(command::SET_BLOCKLEN, BLOCK_SIZE, now),
            State::PrefixConfiguration | State::PrefixBusWidth => {
                self.send(command::APP_CMD, address, now);
            }
            State::ReadingConfiguration => {
                self.read_short(command::SEND_SCR, 0, Configuration::LENGTH, now);
            }
            State::SettingBusWidth => self.send(command::SET_BUS_WIDTH, 2, now),
            State::CheckingSwitch => {
                self.read_short(command::SWITCH_FUNC, SwitchStatus::CHECK_HIGH_SPEED, SwitchStatus::LENGTH, now);
            }
            State::Switching => {
                self.read_short(command::SWITCH_FUNC, SwitchStatus::SET_HIGH_SPEED, SwitchStatus::LENGTH, now);
            }
            State::SettlingSwitch => self.wait(Wait::Pause, now + time::SWITCH),
            State::Reading | State::Writing => self.transfer(now),
            State::ResettingLines => {
                self.registers.signal_enable().set(HANDLED);
                self.reset_lines(now);
            }
            State::CheckingStatus => self.send(command::SEND_STATUS, address, now),
            State::AwaitingProgramming => self.wait(Wait::Pause, now + time::PROGRAMMING_POLL),
            State::StoppingTransmission => self.send(command::STOP_TRANSMISSION, 0, now),
        }
    }

    fn wait(&mut self, wait: Wait, until: u64) {
        self.wait = wait;
        self.expires = until;
    }

    fn reset_lines(&mut self, now: u64) {
        self.registers.clock().set(self.clock | RESET_LINES);
        self.wait(Wait::Reset(RESET_LINES), now + time::RESET);
    }

    /// Sends a command and waits for its response and for the end of busy.
    fn send(&mut self, command: u32, argument: u32, now: u64) {
        let busy = COMMAND::RESPONSE.read(command) == 3;
        let (interrupts, limit) =
            if busy { (COMMAND_COMPLETE | TRANSFER_COMPLETE, time::BUSY) } else { (COMMAND_COMPLETE, time::COMMAND) };
        self.registers.argument().set(argument);
        self.registers.command().set(command);
        self.sent = (command, argument);
        self.wait(Wait::Interrupt(interrupts), now + limit);
    }

    /// Sends a command that reads `length` bytes into `data` by way of the buffer port.
    fn read_short(&mut self, command: u32, argument: u32, length: u32, now: u64) {
        self.registers.block().set(bits(&BLOCK::SIZE.val(length)) | 1 << 16);
        self.send(command, argument, now);
        self.wait = Wait::Interrupt(COMMAND_COMPLETE | BUFFER_READ_READY | TRANSFER_COMPLETE);
    }

    fn read_buffer(&mut self) {
        let length = match self.state {
            State::ReadingConfiguration => Configuration::LENGTH,
            _ => SwitchStatus::LENGTH,
        };
        for bytes in self.data.chunks_exact_mut(4).take(length as usize / 4) {
            bytes.copy_from_slice(&self.registers.buffer_data().get().to_le_bytes());
        }
    }

    /// The present wait is over: looks at the outcome and enters the next state.
    #[expect(clippy::too_many_lines, reason = "one arm for each state reads best in one piece")]
    fn finished(&mut self, now: u64) -> Option<Event> {
        let response = self.registers.response0().get();
        let next = match self.state {
            State::Stopped | State::Absent | State::Ready => return None,
            State::Clearing => return Some(self.cleared(now)),
            State::Settling => {
                self.attempts = START_ATTEMPTS - 1;
                State::Resetting
            }
            State::Resetting => return self.set_up_host(now),
            State::StartingClock => {
                self.enable_card_clock();
                State::PoweringUp
            }
            State::PoweringUp => State::GoingIdle,
            State::GoingIdle => State::CheckingInterface,
            State::CheckingInterface => {
                if response & 0xFFF != CHECK_PATTERN {
                    return self.failed(Cause::Echo, now);
                }
                self.version_2 = true;
                self.patience = now + time::OPERATING_CONDITION;
                State::PrefixOperatingCondition
            }
            State::ClearingCommand => {
                self.version_2 = false;
                self.patience = now + time::OPERATING_CONDITION;
                State::PrefixOperatingCondition
            }
            State::PrefixOperatingCondition => State::OperatingCondition,
            State::OperatingCondition => {
                let conditions = OperationConditions(response);
                if !conditions.accepts_3v3() {
                    return self.failed(Cause::Voltage, now);
                }
                if conditions.powered_up() {
                    self.card.addressing = conditions.addressing();
                    State::Identifying
                } else if now >= self.patience {
                    return self.failed(Cause::NeverReady, now);
                } else {
                    State::AwaitingPowerUp
                }
            }
            State::AwaitingPowerUp => State::PrefixOperatingCondition,
            State::Identifying => {
                self.card.identification = Identification::new(self.long_response());
                State::Addressing
            }
            State::Addressing => {
                self.relative_address = response & 0xFFFF_0000;
                State::ReadingSpecificData
            }
            State::ReadingSpecificData => {
                self.specific_data = SpecificData(self.long_response());
                let Some(blocks) = self.specific_data.blocks() else {
                    return self.failed(Cause::UnknownCard, now);
                };
                self.card.blocks = blocks;
                State::Selecting
            }
            State::Selecting if self.card.addressing == Addressing::Bytes => State::SettingBlockLength,
            State::SettingBlockLength if response & Status::ERRORS != 0 => {
                return self.failed(Cause::Card(Status(response)), now);
            }
            State::Selecting | State::SettingBlockLength => State::PrefixConfiguration,
            State::PrefixConfiguration => State::ReadingConfiguration,
            State::ReadingConfiguration => {
                let (register, _) = self.data.split_first_chunk().unwrap_or((&[0; 8], &[]));
                self.configuration = Configuration(u64::from_be_bytes(*register));
                if self.configuration.has_four_bit() && !self.is_last_attempt() {
                    State::PrefixBusWidth
                } else {
                    self.after_bus_width()
                }
            }
            State::PrefixBusWidth => State::SettingBusWidth,
            State::SettingBusWidth => {
                if response & Status::ERRORS != 0 {
                    return self.failed(Cause::Card(Status(response)), now);
                }
                self.card.four_bit = true;
                self.host_control |= bits(&HOST_CONTROL::FOUR_BIT::SET);
                self.registers.host_control().set(self.host_control);
                self.after_bus_width()
            }
            State::CheckingSwitch if SwitchStatus::new(&self.data).high_speed() => State::Switching,
            State::Switching => {
                self.card.high_speed = SwitchStatus::new(&self.data).high_speed();
                State::SettlingSwitch
            }
            State::CheckingSwitch | State::SettlingSwitch => {
                self.change_clock();
                State::ChangingClock
            }
            State::ChangingClock => {
                self.enable_card_clock();
                self.enter(State::Ready, now);
                return Some(Event::Ready(self.settle_card()));
            }
            State::Reading | State::Writing => {
                let errors = self.card_errors();
                if errors == 0 {
                    return Some(self.succeed());
                }
                return self.failed(Cause::Card(Status(errors)), now);
            }
            State::ResettingLines => {
                // What the reset interrupted must not be taken for the end of what comes next.
                self.registers.interrupt_status().clear(HANDLED & !CHANGES);
                State::CheckingStatus
            }
            State::CheckingStatus => return self.judge_status(Status(response), now),
            State::AwaitingProgramming | State::StoppingTransmission => State::CheckingStatus,
        };
        self.enter(next, now);
        None
    }

    /// The present wait has failed.
    fn failed(&mut self, cause: Cause, now: u64) -> Option<Event> {
        let cause = self.refine(cause);
        let error = self.error(cause);
        let is_fatal =
            matches!(cause, Cause::NoAdma2 | Cause::BaseClockUnknown | Cause::BaseClockTooFast(_) | Cause::UnknownCard);
        match self.state {
            // A card of version 1 does not know CMD8 (PHY 4.3.13).
            State::CheckingInterface if cause == Cause::NoResponse => {
                self.enter(State::ClearingCommand, now);
                None
            }
            State::Reading | State::Writing => {
                self.error = Some(error);
                self.recoveries = RECOVERY_ATTEMPTS;
                self.patience = now + time::PROGRAMMING;
                if matches!(cause, Cause::Card(_)) {
                    // The card knows why; asking again would not change it.
                    self.request.attempts = 0;
                }
                self.enter(State::ResettingLines, now);
                None
            }
            State::CheckingStatus | State::StoppingTransmission if self.recoveries > 0 => {
                self.recoveries -= 1;
                self.enter(State::ResettingLines, now);
                None
            }
            state if state.is_recovery() => Some(self.give_up(now)),
            State::Clearing => {
                self.enter(State::Stopped, now);
                Some(self.after_request(Event::Failed(error)))
            }
            _ if self.attempts > 0 && !is_fatal => {
                self.attempts -= 1;
                self.enter(State::Resetting, now);
                None
            }
            _ => {
                self.enter(State::Stopped, now);
                Some(Event::Failed(error))
            }
        }
    }

    /// Data that never came may have been announced by an error in the response.
    fn refine(&self, cause: Cause) -> Cause {
        let answered = self.state.is_transfer() && self.status & COMMAND_COMPLETE != 0;
        let errors = self.registers.response0().get() & Status::ERRORS;
        if answered && errors != 0 && matches!(cause, Cause::DataTimeout | Cause::Deadline) {
            Cause::Card(Status(errors))
        } else {
            cause
        }
    }

    fn error(&self, cause: Cause) -> Error {
        let (command, argument) =
            if self.state.is_transfer() { (self.request.command, self.request.argument) } else { self.sent };
        Error {
            cause,
            state: self.state,
            command: COMMAND::INDEX.read(command) as u8,
            argument,
            registers: Snapshot {
                interrupt_status: self.status,
                present_state: self.registers.present_state().get(),
                clock: self.registers.clock().get(),
                response: self.registers.response0().get(),
                auto_command_error: self.registers.auto_command_error().get(),
                adma_error: self.registers.adma_error().get(),
            },
        }
    }

    /// The request and the card are lost.
    fn give_up(&mut self, now: u64) -> Event {
        let error = *self.error.get_or_insert(self.error(Cause::Deadline));
        self.enter(State::Stopped, now);
        self.after_request(Event::Failed(error))
    }

    /// The controller was reset because the card is gone, so DMA has stopped.
    fn cleared(&mut self, now: u64) -> Event {
        self.registers.status_enable().set(HANDLED);
        self.registers.signal_enable().set(HANDLED);
        let present = self.registers.present_state().is_set(PRESENT_STATE::CARD_INSERTED);
        self.enter(if present { State::Settling } else { State::Absent }, now);
        self.after_request(Event::NoCard)
    }

    /// Reports `event`, but first the end of the request if one was in flight.
    fn after_request(&mut self, event: Event) -> Event {
        match self.error.take() {
            Some(error) => {
                self.next = Some(event);
                Event::Done(Err(error))
            }
            None => event,
        }
    }

    /// After the reset: power, time-outs, interrupts and the clock for identification.
    fn set_up_host(&mut self, now: u64) -> Option<Event> {
        self.card = NO_CARD;
        self.blocks = 0;
        self.relative_address = 0;
        self.registers.status_enable().set(HANDLED);
        self.registers.signal_enable().set(HANDLED);

        let capabilities = self.registers.capabilities().extract();
        if !capabilities.is_set(CAPABILITIES::ADMA2) {
            return self.failed(Cause::NoAdma2, now);
        }
        let base_clock = match (self.base_clock, capabilities.read(CAPABILITIES::BASE_FREQUENCY)) {
            (0, 0) => return self.failed(Cause::BaseClockUnknown, now),
            (0, megahertz) => megahertz * 1_000_000,
            (hertz, _) => hertz,
        };
        self.base_clock = base_clock;
        let Some((divider, _)) = divide(base_clock, IDENTIFICATION_CLOCK) else {
            return self.failed(Cause::BaseClockTooFast(base_clock), now);
        };
        self.host_high_speed = capabilities.is_set(CAPABILITIES::HIGH_SPEED);
        let unit = if capabilities.is_set(CAPABILITIES::TIMEOUT_MEGAHERTZ) { 1_000_000 } else { 1_000 };
        let timeout_clock = match capabilities.read(CAPABILITIES::TIMEOUT_FREQUENCY) {
            0 => base_clock,
            frequency => frequency * unit,
        };
        self.timeout = bits(&CLOCK::TIMEOUT.val(timeout_exponent(timeout_clock)));

        if !self.registers.present_state().is_set(PRESENT_STATE::CARD_INSERTED) {
            self.enter(State::Absent, now);
            return Some(Event::NoCard);
        }
        self.host_control = bits(&HOST_CONTROL::POWER::SET)
            | bits(&HOST_CONTROL::VOLTAGE::V33)
            | bits(&HOST_CONTROL::DMA_SELECT::Adma2);
        self.registers.host_control().set(self.host_control);
        self.clock = INTERNAL_ENABLE | bits(&CLOCK::DIVIDER.val(divider)) | self.timeout;
        self.registers.clock().set(self.clock);
        self.enter(State::StartingClock, now);
        None
    }

    fn enable_card_clock(&mut self) {
        self.clock |= CARD_ENABLE;
        self.registers.clock().set(self.clock);
    }

    /// Stops the card's clock and programs the fastest that card and host agreed on.
    fn change_clock(&mut self) {
        let limit = if self.card.high_speed { HIGH_SPEED_CLOCK } else { DEFAULT_CLOCK };
        // A base clock that divides to 400 kHz divides to more, too.
        let (divider, clock) = divide(self.base_clock, limit).unwrap_or((0x80, self.base_clock >> 8));
        self.card.clock = clock;
        self.registers.clock().set(self.clock & !CARD_ENABLE);
        if self.card.high_speed {
            self.host_control |= bits(&HOST_CONTROL::HIGH_SPEED::SET);
            self.registers.host_control().set(self.host_control);
        }
        self.clock = INTERNAL_ENABLE | bits(&CLOCK::DIVIDER.val(divider)) | self.timeout;
        self.registers.clock().set(self.clock);
    }

    const fn is_last_attempt(&self) -> bool {
        self.attempts == 0
    }

    fn after_bus_width(&mut self) -> State {
        if self.host_high_speed
            && self.configuration.has_switch()
            && self.specific_data.has_switch()
            && !self.is_last_attempt()
        {
            State::CheckingSwitch
        } else {
            State::SettlingSwitch
        }
    }

    /// Prepares the fields that transfers look at.
    fn settle_card(&mut self) -> Card {
        let writable = self.registers.present_state().is_set(PRESENT_STATE::WRITE_ENABLED);
        self.card.read_only = !writable || self.specific_data.write_protected();
        self.read_only = self.card.read_only;
        self.blocks = self.card.blocks;
        self.address_shift = match self.card.addressing {
            Addressing::Bytes => BLOCK_SIZE.trailing_zeros() as u8,
            Addressing::Blocks => 0,
        };
        self.card
    }

    /// A 136 bit response in the places that PHY gives its bits. The controller keeps the CRC to itself.
    fn long_response(&self) -> u128 {
        let words = [
            self.registers.response3().get(),
            self.registers.response2().get(),
            self.registers.response1().get(),
            self.registers.response0().get(),
        ];
        words.iter().fold(0, |value, word| value << 32 | u128::from(*word)) << 8
    }

    /// Recovery: decides by the state of the card how to go on.
    fn judge_status(&mut self, status: Status, now: u64) -> Option<Event> {
        match status.state() {
            card_state::TRANSFER if status.ready_for_data() => {
                if self.request.attempts > 0 {
                    self.request.attempts -= 1;
                    self.registers.signal_enable().set(SIGNALS_TRANSFER);
                    self.transfer(now);
                    return None;
                }
                let error = self.error.take().unwrap_or_else(|| self.error(Cause::Deadline));
                self.enter(State::Ready, now);
                Some(Event::Done(Err(error)))
            }
            card_state::SENDING_DATA | card_state::RECEIVING_DATA if self.recoveries > 0 => {
                self.recoveries -= 1;
                self.enter(State::StoppingTransmission, now);
                None
            }
            card_state::TRANSFER | card_state::PROGRAMMING if now < self.patience => {
                self.enter(State::AwaitingProgramming, now);
                None
            }
            _ => Some(self.give_up(now)),
        }
    }
}

/// Argument of CMD8: 2.7 V to 3.6 V, and a pattern to mirror (PHY 4.3.13).
const CHECK_PATTERN: u32 = 0x1AA;

const NO_CARD: Card = Card {
    addressing: Addressing::Bytes,
    blocks: 0,
    read_only: true,
    four_bit: false,
    high_speed: false,
    clock: 0,
    identification: Identification::new(0),
};

/// The first cause among `errors`. Command errors come first: without a response there is no data.
fn cause(errors: u32) -> Cause {
    let has = |mask: u32| errors & mask != 0;
    if has(bits(&INTERRUPT::VENDOR::SET)) {
        Cause::HostBus
    } else if has(bits(&INTERRUPT::CURRENT_LIMIT::SET)) {
        Cause::CurrentLimit
    } else if has(bits(&INTERRUPT::ADMA::SET)) {
        Cause::Dma
    } else if has(bits(&INTERRUPT::COMMAND_CRC::SET)
        | bits(&INTERRUPT::COMMAND_END_BIT::SET)
        | bits(&INTERRUPT::COMMAND_INDEX::SET))
    {
        // With the time-out bit set as well this is a conflict on the CMD line (SDHC, error interrupt status).
        Cause::ResponseCorrupt
    } else if has(bits(&INTERRUPT::COMMAND_TIMEOUT::SET)) {
        Cause::NoResponse
    } else if has(bits(&INTERRUPT::DATA_CRC::SET) | bits(&INTERRUPT::DATA_END_BIT::SET)) {
        Cause::DataCorrupt
    } else if has(bits(&INTERRUPT::DATA_TIMEOUT::SET)) {
        Cause::DataTimeout
    } else {
        Cause::AutoStop
    }
}

/// The divider field for the fastest clock of at most `limit` Hz, and that clock.
///
/// The specification also has a divisor of 1. The Arasan core does not run with it.
fn divide(base: u32, limit: u32) -> Option<(u32, u32)> {
    (1..=8).map(|shift| (1 << (shift - 1), base >> shift)).find(|(_, clock)| *clock <= limit)
}

/// The time-out field for at least [`time::DATA`]: 2^(13 + field) clocks, at most 14.
fn timeout_exponent(clock: u32) -> u32 {
    let clocks = u64::from(clock) * time::DATA / 1_000_000;
    (0..14).find(|field| 1 << (13 + field) >= clocks).unwrap_or(14)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dividers() {
        assert_eq!(divide(100_000_000, IDENTIFICATION_CLOCK), Some((0x80, 390_625)));
        assert_eq!(divide(100_000_000, HIGH_SPEED_CLOCK), Some((0x01, 50_000_000)));
        assert_eq!(divide(100_000_000, DEFAULT_CLOCK), Some((0x02, 25_000_000)));
        assert_eq!(divide(50_000_000, DEFAULT_CLOCK), Some((0x01, 25_000_000)));
        assert_eq!(divide(102_400_000, IDENTIFICATION_CLOCK), Some((0x80, 400_000)));
        assert_eq!(divide(125_000_000, IDENTIFICATION_CLOCK), None);
    }

    #[test]
    fn time_outs() {
        // 2^25 / 50 MHz is 671 ms, half of it is too short.
        assert_eq!(timeout_exponent(50_000_000), 12);
        assert_eq!(timeout_exponent(1_000), 0);
        assert_eq!(timeout_exponent(u32::MAX), 14);
    }
}
