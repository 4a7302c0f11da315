//! A standard SD host controller, as in the Zynq-7000.
//!
//! # How the hardware works
//!
//! Software programs block size and count, argument and transfer mode, and starts a command by writing the upper byte of
//! the command register. The controller sends the command with the card's clock, checks the response, then moves blocks
//! between the card and its buffer or, by descriptors, memory. It tells the end as status bits, which exist only where
//! they are enabled, clear when a one is written, and raise the interrupt line only where that is enabled too.
//!
//! # What this module does
//!
//! [`Sdhci`] follows the *SD Host Controller Simplified Specification* 2.00 (cited as "SDHC") with the reset values of the
//! Arasan core (UG585 appendix B.27), in simulated time: commands and blocks take as long as the card's clock makes them.
//! Registers may be accessed in any width. A command does not end without a running clock; after a failed command the
//! command line stays inhibited until it is reset; resets and clocks take time; without a card, power and clock go off.
//!
//! # What it does not do
//!
//! SDMA (not offered in the capabilities), ADMA1, SDIO interrupts and read wait, stop at block gap, suspend and resume,
//! wake-up and the force event registers; writing those is a complaint.

use std::collections::VecDeque;

use crate::memory::NoMemory;
use crate::sdcard::{Card, Lines, Reception, Response};
use crate::{Device, Memory, Width};

/// Register offsets.
mod offset {
    pub(super) const BLOCK_SIZE: u32 = 0x04;
    pub(super) const ARGUMENT: u32 = 0x08;
    pub(super) const TRANSFER_MODE: u32 = 0x0C;
    pub(super) const RESPONSE: u32 = 0x10;
    pub(super) const BUFFER_DATA: u32 = 0x20;
    pub(super) const PRESENT_STATE: u32 = 0x24;
    pub(super) const HOST_CONTROL: u32 = 0x28;
    pub(super) const CLOCK_CONTROL: u32 = 0x2C;
    pub(super) const INTERRUPT_STATUS: u32 = 0x30;
    pub(super) const STATUS_ENABLE: u32 = 0x34;
    pub(super) const SIGNAL_ENABLE: u32 = 0x38;
    pub(super) const AUTO_CMD12_ERROR: u32 = 0x3C;
    pub(super) const CAPABILITIES: u32 = 0x40;
    pub(super) const MAXIMUM_CURRENT: u32 = 0x48;
    pub(super) const ADMA_ERROR: u32 = 0x54;
    pub(super) const ADMA_ADDRESS: u32 = 0x58;
    pub(super) const SLOT_STATUS: u32 = 0xFC;
}

/// Bits of the interrupt status, the error half above bit 16.
mod status {
    pub(super) const COMMAND_COMPLETE: u32 = 1 << 0;
    pub(super) const TRANSFER_COMPLETE: u32 = 1 << 1;
    pub(super) const DMA: u32 = 1 << 3;
    pub(super) const BUFFER_WRITE_READY: u32 = 1 << 4;
    pub(super) const BUFFER_READ_READY: u32 = 1 << 5;
    pub(super) const INSERTION: u32 = 1 << 6;
    pub(super) const REMOVAL: u32 = 1 << 7;
    pub(super) const ERROR: u32 = 1 << 15;
    pub(super) const COMMAND_TIMEOUT: u32 = 1 << 16;
    pub(super) const COMMAND_CRC: u32 = 1 << 17;
    pub(super) const COMMAND_END_BIT: u32 = 1 << 18;
    pub(super) const COMMAND_INDEX: u32 = 1 << 19;
    pub(super) const DATA_TIMEOUT: u32 = 1 << 20;
    pub(super) const DATA_CRC: u32 = 1 << 21;
    pub(super) const AUTO_CMD12: u32 = 1 << 24;
    pub(super) const ADMA: u32 = 1 << 25;
    pub(super) const TARGET_RESPONSE: u32 = 1 << 28;
    /// What exists.
    pub(super) const ALL: u32 = 0xF3FF_01FF;
}

const MODE_DMA: u16 = 1 << 0;
const MODE_BLOCK_COUNT: u16 = 1 << 1;
const MODE_AUTO_CMD12: u16 = 1 << 2;
const MODE_READ: u16 = 1 << 4;
const MODE_MULTIPLE: u16 = 1 << 5;

const COMMAND_CHECK_CRC: u16 = 1 << 3;
const COMMAND_CHECK_INDEX: u16 = 1 << 4;
const COMMAND_DATA: u16 = 1 << 5;
const COMMAND_ABORT: u16 = 3 << 6;

const CLOCK_INTERNAL: u16 = 1 << 0;
const CLOCK_STABLE: u16 = 1 << 1;
const CLOCK_CARD: u16 = 1 << 2;

const RESET_ALL: u8 = 1 << 0;
const RESET_COMMAND: u8 = 1 << 1;
const RESET_DATA: u8 = 1 << 2;

const HOST_FOUR_BIT: u8 = 1 << 1;
const HOST_HIGH_SPEED: u8 = 1 << 2;

const POWER_ON: u8 = 1 << 0;

/// Never, as a time.
const NEVER: u64 = u64::MAX;

/// Descriptors that ADMA follows without moving data before the model calls it a loop.
const EMPTY_DESCRIPTORS_MAX: u32 = 1 << 16;

/// How this controller is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Frequency of the base clock in Hz.
    pub base_clock: u32,
    /// Reset value of the capabilities register.
    pub capabilities: u32,
    /// Time from a reset request until its bit reads 0, in ns.
    pub reset_time: u64,
    /// Time until the internal clock is stable, in ns.
    pub clock_time: u64,
    /// Reports data time-outs. The emulator's stock controller does not.
    pub data_timeout: bool,
}

impl Options {
    /// The controller of the Zynq-7000 with a base clock of 100 MHz: ADMA2, high speed, 3.3 V, no frequencies.
    pub const ZYNQ7000: Self = Self {
        base_clock: 100_000_000,
        capabilities: 0x69AC_0080,
        reset_time: 1_000,
        clock_time: 20_000,
        data_timeout: true,
    };
}

/// A command on its way.
#[derive(Clone, Copy, Debug)]
struct Sending {
    begun: u64,
    ends: u64,
    command: u16,
    mode: u16,
    argument: u32,
}

/// What the DAT lines do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activity {
    /// The next block arrives from the card.
    Read,
    /// Software empties the buffer.
    Drain,
    /// Software fills the buffer.
    Fill,
    /// The next block goes to the card.
    Write,
    /// The card is busy after the last block or a command.
    Busy,
    /// It failed; only a reset ends it.
    Stuck,
}

#[derive(Clone, Copy, Debug)]
struct Transfer {
    activity: Activity,
    /// When the activity ends, unless software ends it.
    ends: u64,
    /// At its end the time-out is over, not the activity.
    timed_out: bool,
    mode: u16,
    /// Blocks left; `None` is as many as the descriptors hold.
    left: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Adma {
    address: u32,
    length: u32,
    end: bool,
}

/// What stops ADMA.
enum AdmaFault {
    Descriptor,
    Length,
    Bus,
}

/// A host controller with one slot.
#[derive(Debug)]
pub struct Sdhci {
    options: Options,
    card: Option<Card>,
    writable: bool,
    complaints: Vec<String>,
    line_trouble: bool,

    block_size: u16,
    block_count: u16,
    argument: u32,
    mode: u16,
    command: u16,
    response: [u32; 4],
    host_control: u8,
    power: u8,
    gap: u8,
    wakeup: u8,
    clock: u16,
    timeout: u8,
    status: u32,
    status_enable: u32,
    signal_enable: u32,
    auto_error: u32,
    adma_error: u32,
    adma_address: u32,

    resetting: u8,
    reset_ends: u64,
    stable_at: u64,
    sending: Option<Sending>,
    transfer: Option<Transfer>,
    adma: Adma,
    buffer: VecDeque<u8>,
}

impl Sdhci {
    /// A controller after power-up, with an empty slot.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            card: None,
            writable: true,
            complaints: Vec::new(),
            line_trouble: false,
            block_size: 0,
            block_count: 0,
            argument: 0,
            mode: 0,
            command: 0,
            response: [0; 4],
            host_control: 0,
            power: 0,
            gap: 0,
            wakeup: 0,
            clock: 0,
            timeout: 0,
            status: 0,
            status_enable: 0,
            signal_enable: 0,
            auto_error: 0,
            adma_error: 0,
            adma_address: 0,
            resetting: 0,
            reset_ends: 0,
            stable_at: NEVER,
            sending: None,
            transfer: None,
            adma: Adma::default(),
            buffer: VecDeque::new(),
        }
    }

    /// Puts a card into the slot. `writable` is the position of its write protect switch.
    pub fn insert(&mut self, mut card: Card, writable: bool) {
        card.power_off();
        self.card = Some(card);
        self.writable = writable;
        self.raise(status::INSERTION);
    }

    /// Takes the card out. Power and clock of the slot go off (SDHC, power control and clock control).
    pub fn remove(&mut self, now: u64) -> Option<Card> {
        let mut card = self.card.take()?;
        card.power_off();
        self.power &= !POWER_ON;
        self.clock &= !CLOCK_CARD;
        self.raise(status::REMOVAL);
        // What was to come from the card never comes.
        if self.sending.is_some() {
            self.sending = self.sending.map(|sending| Sending { ends: NEVER, ..sending });
        }
        if let Some(activity) = self.transfer.as_ref().map(|transfer| transfer.activity)
            && matches!(activity, Activity::Read | Activity::Write | Activity::Busy)
        {
            self.await_until(activity, NEVER, now);
        }
        Some(card)
    }

    /// Resets the controller as the system's reset does. The card stays in the slot and loses its power for a moment.
    pub fn power_on_reset(&mut self) {
        let card = self.card.take();
        let (writable, complaints) = (self.writable, std::mem::take(&mut self.complaints));
        *self = Self { complaints, ..Self::new(self.options) };
        match card {
            Some(card) => self.insert(card, writable),
            None => self.writable = writable,
        }
    }

    /// The base clock's frequency in Hz, from the SLCR; 0 if it is off.
    pub fn set_base_clock(&mut self, frequency: u32) {
        self.options.base_clock = frequency;
    }

    /// The card in the slot.
    pub fn card(&mut self) -> Option<&mut Card> {
        self.card.as_mut()
    }

    /// Makes the next Auto CMD12 find the CMD line in trouble.
    pub fn disturb_auto_cmd12(&mut self) {
        self.line_trouble = true;
    }

    fn complain(&mut self, text: impl Into<String>) {
        self.complaints.push(text.into());
    }

    fn raise(&mut self, bits: u32) {
        self.status |= bits & self.status_enable;
    }

    fn lines(&self, now: u64) -> Lines {
        Lines {
            clock: if self.clock_runs(now) { self.card_clock() } else { 0 },
            four_bit: self.host_control & HOST_FOUR_BIT != 0,
            high_speed: self.host_control & HOST_HIGH_SPEED != 0,
        }
    }

    /// The card gets power and clock.
    fn clock_runs(&self, now: u64) -> bool {
        let wanted = CLOCK_INTERNAL | CLOCK_CARD;
        self.clock & wanted == wanted && now >= self.stable_at && self.power & POWER_ON != 0
    }

    fn card_clock(&self) -> u32 {
        match u32::from(self.clock >> 8) {
            0 => self.options.base_clock,
            divider => self.options.base_clock / (2 * divider),
        }
    }

    /// The time of `clocks` periods of the card's clock, at least 1 ns.
    fn clocks(&self, clocks: u64) -> u64 {
        (clocks * 1_000_000_000 / u64::from(self.card_clock().max(1))).max(1)
    }

    fn block_time(&self) -> u64 {
        let lines = if self.host_control & HOST_FOUR_BIT != 0 { 4 } else { 1 };
        // Start bit, data, CRC and end bit.
        self.clocks(u64::from(self.length()) * 8 / lines + 18)
    }

    fn timeout_time(&self) -> u64 {
        let frequency = self.options.capabilities & 0x3F;
        let unit = if self.options.capabilities & 1 << 7 != 0 { 1_000_000 } else { 1_000 };
        let clock = if frequency == 0 { self.options.base_clock } else { frequency * unit };
        (1_000_000_000 << (13 + (self.timeout & 0xF))) / u64::from(clock.max(1))
    }

    fn length(&self) -> u32 {
        u32::from(self.block_size & 0x0FFF)
    }

    /// The DAT lines do `activity` until `ends`, or fail when that takes longer than the time-out.
    fn await_until(&mut self, activity: Activity, ends: u64, now: u64) {
        // Software may take its time with the buffer.
        let paced_by_card = matches!(activity, Activity::Read | Activity::Write | Activity::Busy);
        let limit = if self.options.data_timeout && paced_by_card { now + self.timeout_time() } else { NEVER };
        if let Some(transfer) = &mut self.transfer {
            transfer.activity = activity;
            transfer.timed_out = ends > limit;
            transfer.ends = ends.min(limit);
        }
    }

    fn stuck(&mut self, error: u32) {
        self.raise(error);
        if let Some(transfer) = &mut self.transfer {
            transfer.activity = Activity::Stuck;
            transfer.ends = NEVER;
        }
    }

    fn start_command(&mut self, now: u64) {
        if self.resetting != 0 {
            self.complain(format!("CMD{} started during a reset", self.command >> 8 & 0x3F));
            return;
        }
        let command = self.command;
        let abort = command & COMMAND_ABORT == COMMAND_ABORT;
        let uses_data = command & COMMAND_DATA != 0 || command & 3 == 3;
        if self.sending.is_some() || uses_data && !abort && self.transfer.is_some() {
            self.complain(format!("CMD{} started while inhibited", command >> 8 & 0x3F));
            return;
        }
        let ends = if self.clock_runs(now) {
            let response = match command & 3 {
                0 => 8,
                1 => 64 + 136,
                _ => 64 + 48,
            };
            now + self.clocks(48 + response)
        } else {
            self.complain(format!("CMD{} started without a running card clock", command >> 8 & 0x3F));
            NEVER
        };
        self.sending = Some(Sending { begun: now, ends, command, mode: self.mode, argument: self.argument });
    }

    /// The response has arrived, or has not.
    fn end_command(&mut self, sending: Sending, now: u64) {
        let index = (sending.command >> 8 & 0x3F) as u8;
        let lines = self.lines(now);
        let answer =
            self.card.as_mut().and_then(|card| card.command(index, sending.argument, lines, sending.begun, now));
        let expected = sending.command & 3;
        let errors = match answer {
            _ if expected == 0 => 0,
            None => status::COMMAND_TIMEOUT,
            Some(response) => self.take_response(response, sending.command),
        };
        if errors & status::COMMAND_TIMEOUT == 0 {
            self.raise(status::COMMAND_COMPLETE);
        }
        if errors != 0 {
            // The line stays inhibited until software resets it.
            self.sending = Some(Sending { ends: NEVER, ..sending });
            self.raise(errors);
            return;
        }
        self.sending = None;
        if sending.command & COMMAND_DATA != 0 {
            self.start_transfer(sending.mode, now);
        } else if expected == 3 {
            self.transfer =
                Some(Transfer { activity: Activity::Busy, ends: NEVER, timed_out: false, mode: 0, left: Some(0) });
            self.await_busy(now);
        }
    }

    /// Checks a response and puts it into the registers. Returns the errors.
    fn take_response(&mut self, response: Response, command: u16) -> u32 {
        let long_expected = command & 3 == 1;
        let index = (command >> 8 & 0x3F) as u8;
        let mut errors = 0;
        let (long, answered, right) = match response {
            Response::Short { index, payload, crc } => {
                self.response[0] = payload;
                (false, index, crc)
            }
            Response::Long { payload, crc } => {
                // Bits 127:8 go to 119:0 of the response registers.
                let bits = payload >> 8;
                self.response = [bits as u32, (bits >> 32) as u32, (bits >> 64) as u32, (bits >> 96) as u32];
                (true, 0x3F, crc)
            }
        };
        if long != long_expected {
            return status::COMMAND_END_BIT | status::COMMAND_CRC;
        }
        if command & COMMAND_CHECK_CRC != 0 && !right {
            errors |= status::COMMAND_CRC;
        }
        if command & COMMAND_CHECK_INDEX != 0 && answered != index {
            errors |= status::COMMAND_INDEX;
        }
        errors
    }

    fn start_transfer(&mut self, mode: u16, now: u64) {
        let multiple = mode & MODE_MULTIPLE != 0;
        let left = match (multiple, mode & MODE_BLOCK_COUNT != 0) {
            (false, _) => Some(1),
            (true, true) => Some(u32::from(self.block_count)),
            (true, false) => None,
        };
        self.adma = Adma::default();
        self.buffer.clear();
        self.transfer = Some(Transfer { activity: Activity::Stuck, ends: NEVER, timed_out: false, mode, left });
        if left == Some(0) {
            self.complain("a multi-block transfer of 0 blocks");
            return;
        }
        if mode & MODE_DMA != 0 && self.host_control >> 3 & 3 != 2 {
            self.complain("DMA without ADMA2 selected");
            return;
        }
        self.next_block(now);
    }

    /// Gets the next block moving.
    fn next_block(&mut self, now: u64) {
        let Some(transfer) = self.transfer else {
            return;
        };
        if transfer.mode & MODE_READ != 0 {
            let begins = self.card.as_ref().and_then(Card::data_at).unwrap_or(NEVER);
            let ends = begins.max(now).saturating_add(self.block_time());
            self.await_until(Activity::Read, ends, now);
        } else if transfer.mode & MODE_DMA != 0 {
            self.await_write(now);
        } else {
            self.await_until(Activity::Fill, NEVER, now);
            self.raise(status::BUFFER_WRITE_READY);
        }
    }

    /// The card takes the next block when it is no longer busy.
    fn await_write(&mut self, now: u64) {
        let begins = self.card.as_ref().map_or(NEVER, Card::busy_until);
        let ends = begins.max(now).saturating_add(self.block_time());
        self.await_until(Activity::Write, ends, now);
    }

    fn await_busy(&mut self, now: u64) {
        let ends = self.card.as_ref().map_or(NEVER, Card::busy_until);
        self.await_until(Activity::Busy, ends.max(now), now);
    }

    /// What the DAT lines did is done.
    fn end_activity(&mut self, transfer: Transfer, now: u64, memory: &mut dyn Memory) {
        if transfer.timed_out {
            self.stuck(status::DATA_TIMEOUT);
            return;
        }
        match transfer.activity {
            Activity::Read => self.end_read(transfer, now, memory),
            Activity::Write => self.end_write(transfer, now, memory),
            Activity::Busy => {
                self.transfer = None;
                self.raise(status::TRANSFER_COMPLETE);
            }
            Activity::Drain | Activity::Fill | Activity::Stuck => {}
        }
    }

    fn end_read(&mut self, transfer: Transfer, now: u64, memory: &mut dyn Memory) {
        let length = self.length() as usize;
        let lines = self.lines(now);
        let Some(data) = self.card.as_mut().and_then(|card| card.send_block(length, lines, now)) else {
            // The card has changed its mind: wait for the time-out.
            self.await_until(Activity::Read, NEVER, now);
            return;
        };
        if !data.intact {
            self.stuck(status::DATA_CRC);
            return;
        }
        if transfer.mode & MODE_DMA == 0 {
            self.buffer.extend(data.bytes);
            self.await_until(Activity::Drain, NEVER, now);
            self.raise(status::BUFFER_READ_READY);
            return;
        }
        match self.scatter(&data.bytes, memory) {
            Ok(()) => self.block_done(now, memory),
            Err(fault) => self.adma_failed(&fault),
        }
    }

    fn end_write(&mut self, transfer: Transfer, now: u64, memory: &mut dyn Memory) {
        let length = self.length() as usize;
        let bytes = if transfer.mode & MODE_DMA == 0 {
            self.buffer.drain(..).collect()
        } else {
            match self.gather(length, memory) {
                Ok(bytes) => bytes,
                Err(fault) => {
                    self.adma_failed(&fault);
                    return;
                }
            }
        };
        let lines = self.lines(now);
        match self.card.as_mut().map(|card| card.receive_block(&bytes, lines, now)) {
            Some(Reception::Accepted) => self.block_done(now, memory),
            Some(Reception::Rejected) => self.stuck(status::DATA_CRC),
            Some(Reception::Silent) | None => self.await_until(Activity::Write, NEVER, now),
        }
    }

    /// A block has moved: go on, or end the transfer.
    fn block_done(&mut self, now: u64, memory: &mut dyn Memory) {
        let Some(transfer) = &mut self.transfer else {
            return;
        };
        let mode = transfer.mode;
        if let Some(left) = &mut transfer.left {
            *left -= 1;
        }
        let left = transfer.left;
        if mode & MODE_MULTIPLE != 0 && mode & MODE_BLOCK_COUNT != 0 {
            self.block_count = left.unwrap_or_default() as u16;
        }
        let last = match left {
            Some(left) => left == 0,
            None => mode & MODE_DMA != 0 && self.adma.end && self.adma.length == 0,
        };
        if !last {
            self.next_block(now);
            return;
        }
        if mode & MODE_DMA != 0
            && let Err(fault) = self.finish_descriptors(memory)
        {
            self.adma_failed(&fault);
            return;
        }
        if mode & MODE_AUTO_CMD12 != 0 && mode & MODE_MULTIPLE != 0 && !self.auto_cmd12(now) {
            return;
        }
        if mode & MODE_READ == 0 {
            self.await_busy(now);
        } else {
            self.transfer = None;
            self.raise(status::TRANSFER_COMPLETE);
        }
    }

    /// Sends CMD12. False if that failed.
    fn auto_cmd12(&mut self, now: u64) -> bool {
        const NOT_EXECUTED: u32 = 1 << 0;
        const TIMEOUT: u32 = 1 << 1;
        const CRC: u32 = 1 << 2;
        let lines = self.lines(now);
        let trouble = std::mem::take(&mut self.line_trouble);
        self.auto_error = if self.sending.is_some() {
            NOT_EXECUTED
        } else {
            match self.card.as_mut().and_then(|card| card.command(12, 0, lines, now, now)) {
                Some(Response::Short { payload, crc: true, .. }) if !trouble => {
                    self.response[3] = payload;
                    0
                }
                Some(_) => CRC,
                None => TIMEOUT,
            }
        };
        if self.auto_error != 0 {
            self.stuck(status::AUTO_CMD12);
        }
        self.auto_error == 0
    }

    fn adma_failed(&mut self, fault: &AdmaFault) {
        const FETCH: u32 = 1;
        const TRANSFER: u32 = 3;
        const LENGTH_MISMATCH: u32 = 1 << 2;
        let (state, error) = match fault {
            AdmaFault::Descriptor => (FETCH, status::ADMA),
            AdmaFault::Length => (LENGTH_MISMATCH, status::ADMA),
            AdmaFault::Bus => (TRANSFER, status::ADMA | status::TARGET_RESPONSE),
        };
        self.adma_error = state;
        self.stuck(error);
    }

    /// Fetches the next descriptor that moves data, or the end.
    fn fetch(&mut self, memory: &mut dyn Memory) -> Result<(), AdmaFault> {
        for _ in 0..EMPTY_DESCRIPTORS_MAX {
            if self.adma.end {
                return Err(AdmaFault::Length);
            }
            let at = self.adma_address & !3;
            let mut bytes = [0; 8];
            memory.read(at, &mut bytes).map_err(|_| AdmaFault::Bus)?;
            let descriptor = u64::from_le_bytes(bytes);
            if descriptor & 1 == 0 {
                return Err(AdmaFault::Descriptor);
            }
            self.adma_address = at.wrapping_add(8);
            let address = (descriptor >> 32) as u32;
            if descriptor & 1 << 2 != 0 {
                self.raise(status::DMA);
            }
            self.adma.end = descriptor & 1 << 1 != 0;
            match descriptor >> 4 & 3 {
                2 => {
                    if address & 3 != 0 {
                        self.complain(format!("ADMA data address {address:#010x} is not aligned"));
                    }
                    let length = (descriptor >> 16 & 0xFFFF) as u32;
                    self.adma.address = address & !3;
                    self.adma.length = if length == 0 { 0x1_0000 } else { length };
                    return Ok(());
                }
                3 => self.adma_address = address & !3,
                _ if self.adma.end => return Ok(()),
                _ => {}
            }
        }
        self.complain("the descriptor table is a loop without data");
        Err(AdmaFault::Descriptor)
    }

    /// The next stretch of memory of at most `most` bytes.
    fn stretch(&mut self, most: usize, memory: &mut dyn Memory) -> Result<(u32, usize), AdmaFault> {
        while self.adma.length == 0 {
            self.fetch(memory)?;
        }
        let length = (self.adma.length as usize).min(most);
        let address = self.adma.address;
        self.adma.address = address.wrapping_add(length as u32);
        self.adma.length -= length as u32;
        Ok((address, length))
    }

    fn scatter(&mut self, mut bytes: &[u8], memory: &mut dyn Memory) -> Result<(), AdmaFault> {
        while !bytes.is_empty() {
            let (address, length) = self.stretch(bytes.len(), memory)?;
            let (piece, rest) = bytes.split_at(length);
            memory.write(address, piece).map_err(|_| AdmaFault::Bus)?;
            bytes = rest;
        }
        Ok(())
    }

    fn gather(&mut self, length: usize, memory: &mut dyn Memory) -> Result<Vec<u8>, AdmaFault> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let (address, piece) = self.stretch(length - bytes.len(), memory)?;
            let start = bytes.len();
            bytes.resize(start + piece, 0);
            let target = bytes.get_mut(start..).unwrap_or_default();
            memory.read(address, target).map_err(|_| AdmaFault::Bus)?;
        }
        Ok(bytes)
    }

    /// After the last block the descriptors must have ended, too.
    fn finish_descriptors(&mut self, memory: &mut dyn Memory) -> Result<(), AdmaFault> {
        while self.adma.length == 0 && !self.adma.end {
            self.fetch(memory)?;
        }
        if self.adma.length == 0 { Ok(()) } else { Err(AdmaFault::Length) }
    }

    fn reset(&mut self, bits: u8, now: u64) {
        if bits & RESET_ALL != 0 {
            let card = self.card.take();
            let writable = self.writable;
            let complaints = std::mem::take(&mut self.complaints);
            *self = Self { card, writable, complaints, ..Self::new(self.options) };
            if let Some(card) = &mut self.card {
                card.power_off();
            }
        }
        if bits & RESET_COMMAND != 0 {
            self.sending = None;
            self.status &= !status::COMMAND_COMPLETE;
        }
        if bits & RESET_DATA != 0 {
            self.transfer = None;
            self.buffer.clear();
            self.adma = Adma::default();
            self.status &=
                !(status::TRANSFER_COMPLETE | status::DMA | status::BUFFER_READ_READY | status::BUFFER_WRITE_READY);
        }
        if bits != 0 {
            self.resetting |= bits;
            self.reset_ends = now + self.options.reset_time;
        }
    }

    fn set_clock(&mut self, byte: u32, value: u8, now: u64) {
        let before = self.clock;
        if byte == 0 {
            self.clock = before & 0xFF00 | u16::from(value) & (CLOCK_INTERNAL | CLOCK_CARD);
        } else {
            self.clock = before & 0x00FF | u16::from(value) << 8;
            if !value.is_power_of_two() && value != 0 {
                self.complain(format!("clock divider {value:#04x} is no power of two"));
            }
        }
        let changed = self.clock ^ before;
        if changed & 0xFF00 != 0 && before & CLOCK_CARD != 0 {
            self.complain("the divider was changed while the card's clock was on");
        }
        if self.clock & CLOCK_INTERNAL == 0 {
            self.stable_at = NEVER;
        } else if changed & (0xFF00 | CLOCK_INTERNAL) != 0 {
            self.stable_at = now + self.options.clock_time;
        }
        if changed & self.clock & CLOCK_CARD != 0 && now < self.stable_at {
            self.complain("the card's clock was enabled before the internal clock was stable");
            self.clock &= !CLOCK_CARD;
        }
        self.no_card_no_power();
        self.tell_card(now);
    }

    fn no_card_no_power(&mut self) {
        if self.card.is_none() {
            self.power &= !POWER_ON;
            self.clock &= !CLOCK_CARD;
        }
    }

    /// The card feels power and clock.
    fn tell_card(&mut self, now: u64) {
        let powered = self.power & POWER_ON != 0;
        let runs = self.clock_runs(now);
        if let Some(card) = &mut self.card {
            if !powered {
                card.power_off();
            } else if runs {
                card.clock_on(now);
            }
        }
    }

    fn present_state(&self) -> u32 {
        let mut state = 0;
        if self.sending.is_some() {
            state |= 1 << 0;
        }
        if let Some(transfer) = &self.transfer {
            state |= 1 << 1;
            state |= match transfer.activity {
                Activity::Read => 1 << 2 | 1 << 9,
                Activity::Write => 1 << 2 | 1 << 8,
                Activity::Drain => 1 << 9 | 1 << 11,
                Activity::Fill => 1 << 8 | 1 << 10,
                Activity::Busy => 1 << 2,
                Activity::Stuck => 0,
            };
        }
        if self.card.is_some() {
            state |= 1 << 16 | 1 << 18;
        }
        if self.writable {
            state |= 1 << 19;
        }
        let busy = self.transfer.is_some_and(|transfer| {
            transfer.activity == Activity::Busy || self.card.as_ref().is_some_and(|card| card.busy_until() == NEVER)
        });
        let levels = if busy { 0xE } else { 0xF };
        state | 1 << 17 | levels << 20 | 1 << 24
    }

    fn word(&self, offset: u32, now: u64) -> u32 {
        match offset {
            offset::BLOCK_SIZE => u32::from(self.block_count) << 16 | u32::from(self.block_size),
            offset::ARGUMENT => self.argument,
            offset::TRANSFER_MODE => u32::from(self.command) << 16 | u32::from(self.mode),
            offset::PRESENT_STATE => self.present_state(),
            offset::HOST_CONTROL => u32::from_le_bytes([self.host_control, self.power, self.gap, self.wakeup]),
            offset::CLOCK_CONTROL => {
                let stable = if now >= self.stable_at { CLOCK_STABLE } else { 0 };
                let resetting = if now >= self.reset_ends { 0 } else { self.resetting };
                let [low, high] = (self.clock | stable).to_le_bytes();
                u32::from_le_bytes([low, high, self.timeout, resetting])
            }
            offset::INTERRUPT_STATUS => {
                let error = if self.status >> 16 == 0 { 0 } else { status::ERROR };
                self.status | error
            }
            offset::STATUS_ENABLE => self.status_enable,
            offset::SIGNAL_ENABLE => self.signal_enable,
            offset::AUTO_CMD12_ERROR => self.auto_error,
            offset::CAPABILITIES => self.options.capabilities,
            offset::MAXIMUM_CURRENT => 1,
            offset::ADMA_ERROR => self.adma_error,
            offset::ADMA_ADDRESS => self.adma_address,
            // Specification 2.00, the vendor's version as read from silicon.
            offset::SLOT_STATUS => 0x8901_0000 | self.interrupts(),
            _ => {
                let index = offset.wrapping_sub(offset::RESPONSE) as usize / 4;
                self.response.get(index).copied().unwrap_or_default()
            }
        }
    }

    /// Stores one byte, in the way that all wider stores are made of.
    fn store(&mut self, address: u32, value: u8, now: u64) {
        let (word, byte) = (address & !3, address % 4);
        let shift = 8 * byte;
        let put = |register: u32| register & !(0xFF << shift) | u32::from(value) << shift;
        match word {
            offset::BLOCK_SIZE if self.transfer.is_some() => {
                self.complain("block size or count written during a transfer");
            }
            offset::BLOCK_SIZE => {
                let merged = put(self.word(word, now));
                self.block_size = merged as u16 & 0x7FFF;
                self.block_count = (merged >> 16) as u16;
            }
            offset::ARGUMENT => self.argument = put(self.argument),
            offset::TRANSFER_MODE => {
                let merged = put(self.word(word, now));
                if merged & !0x3FFB_0037 != 0 {
                    self.complain(format!("reserved bits of transfer mode or command: {merged:#010x}"));
                }
                self.mode = merged as u16 & 0x0037;
                self.command = (merged >> 16) as u16 & 0x3FFB;
                if byte == 3 {
                    self.start_command(now);
                }
            }
            offset::HOST_CONTROL => {
                match byte {
                    0 => self.host_control = value,
                    1 => self.power = value & 0x0F,
                    2 => self.gap = value,
                    _ => self.wakeup = value,
                }
                if byte >= 2 && value != 0 {
                    self.complain("block gap and wake-up control are not modelled");
                }
                if self.power & POWER_ON != 0 && self.power >> 1 != 7 {
                    self.complain("the slot has 3.3 V only");
                    self.power &= !POWER_ON;
                }
                self.no_card_no_power();
                self.tell_card(now);
            }
            offset::CLOCK_CONTROL => match byte {
                0 | 1 => self.set_clock(byte, value, now),
                2 => {
                    if value > 14 {
                        self.complain(format!("time-out {value:#04x} is reserved"));
                    }
                    self.timeout = value & 0xF;
                }
                _ => {
                    if value & !7 != 0 {
                        self.complain(format!("reserved reset bits: {value:#04x}"));
                    }
                    self.reset(value & 7, now);
                }
            },
            offset::INTERRUPT_STATUS => self.status &= !(u32::from(value) << shift),
            offset::STATUS_ENABLE => self.status_enable = put(self.status_enable) & status::ALL,
            offset::SIGNAL_ENABLE => self.signal_enable = put(self.signal_enable) & status::ALL,
            offset::ADMA_ADDRESS => self.adma_address = put(self.adma_address),
            // SDMA address and the upper half of the ADMA address: writing 0 is harmless.
            0x00 | 0x5C if value == 0 => {}
            _ => self.complain(format!("write of {value:#04x} to offset {address:#04x}")),
        }
    }

    fn pop_buffer(&mut self, width: Width, now: u64) -> u32 {
        if self.transfer.is_none_or(|transfer| transfer.activity != Activity::Drain) {
            self.complain("the buffer was read while it was empty");
            return 0;
        }
        let value = (0..width.bytes())
            .filter_map(|byte| self.buffer.pop_front().map(|value| u32::from(value) << (8 * byte)))
            .sum();
        if self.buffer.is_empty() {
            // Without DMA no memory is needed to go on.
            self.block_done(now, &mut NoMemory);
        }
        value
    }

    fn push_buffer(&mut self, width: Width, value: u32, now: u64) {
        if self.transfer.is_none_or(|transfer| transfer.activity != Activity::Fill) {
            self.complain("the buffer was written while it was full");
            return;
        }
        self.buffer.extend(value.to_le_bytes().iter().take(width.bytes() as usize));
        if self.buffer.len() >= self.length() as usize {
            self.await_write(now);
        }
    }
}

impl Device for Sdhci {
    fn length(&self) -> u32 {
        0x100
    }

    fn read(&mut self, offset: u32, width: Width, now: u64) -> u32 {
        if !offset.is_multiple_of(width.bytes()) {
            self.complain(format!("misaligned read at {offset:#04x}"));
            return 0;
        }
        if now >= self.reset_ends {
            self.resetting = 0;
        }
        if offset & !3 == offset::BUFFER_DATA {
            return self.pop_buffer(width, now);
        }
        let word = self.word(offset & !3, now) >> (offset % 4 * 8);
        match width {
            Width::Byte => word & 0xFF,
            Width::Half => word & 0xFFFF,
            Width::Word => word,
        }
    }

    fn write(&mut self, offset: u32, width: Width, value: u32, now: u64) {
        if !offset.is_multiple_of(width.bytes()) {
            self.complain(format!("misaligned write at {offset:#04x}"));
            return;
        }
        if now >= self.reset_ends {
            self.resetting = 0;
        }
        if offset & !3 == offset::BUFFER_DATA {
            self.push_buffer(width, value, now);
            return;
        }
        for (byte, address) in value.to_le_bytes().into_iter().zip(offset..offset + width.bytes()) {
            self.store(address, byte, now);
        }
    }

    fn interrupts(&self) -> u32 {
        u32::from(self.status & self.signal_enable != 0)
    }

    fn next_event(&self) -> Option<u64> {
        let command = self.sending.map_or(NEVER, |sending| sending.ends);
        let data = self.transfer.map_or(NEVER, |transfer| transfer.ends);
        let next = command.min(data);
        (next != NEVER).then_some(next)
    }

    fn advance(&mut self, now: u64, memory: &mut dyn Memory) {
        while let Some(at) = self.next_event().filter(|at| *at <= now) {
            match (self.sending, self.transfer) {
                (Some(sending), _) if sending.ends == at => self.end_command(sending, at),
                (_, Some(transfer)) => self.end_activity(transfer, at, memory),
                _ => return,
            }
        }
    }

    fn complaints(&mut self) -> Vec<String> {
        std::mem::take(&mut self.complaints)
    }
}
