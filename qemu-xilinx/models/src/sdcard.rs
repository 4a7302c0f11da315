//! An SD memory card.
//!
//! # How the hardware works
//!
//! A card is a state machine that commands drive (PHY chapter 4): idle, ready and identification until it has an address,
//! then stand-by, transfer, sending data, receiving data and programming. It answers what its state allows and stays
//! silent otherwise; the illegal command then shows in the status of the next answer. While it programs it holds DAT0
//! low, which is called busy.
//!
//! # What this module does
//!
//! [`Card`] speaks the protocol at the level of commands, answers and blocks. It knows SDSC and SDHC cards, version 1 and
//! 2 cards, one and four data lines, default and high speed. It is as strict as a card: without clock, with a clock above
//! 400 kHz before it has an address, or before its 74 clocks of power-up it does not answer; with lines or a speed that
//! host and card do not agree on, data arrives corrupt. [`Fault`]s make it misbehave.
//!
//! # What it does not do
//!
//! Erase, locking, passwords, SPI mode, UHS modes and block lengths other than 512 bytes. Cited as "PHY": *SD Physical
//! Layer Simplified Specification* 4.10.

use std::collections::BTreeMap;

/// Bytes in a block.
pub const BLOCK_SIZE: usize = 512;

/// What a card keeps its blocks in.
pub trait Media: Send {
    /// Number of blocks.
    fn blocks(&self) -> u64;

    /// Reads a block. `block` is below [`Media::blocks`].
    fn read(&mut self, block: u64) -> [u8; BLOCK_SIZE];

    /// Writes a block. `block` is below [`Media::blocks`].
    fn write(&mut self, block: u64, data: &[u8; BLOCK_SIZE]);
}

/// Blocks in memory; those never written are zero and take no space.
#[derive(Clone, Debug)]
pub struct SparseMedia {
    blocks: u64,
    written: BTreeMap<u64, [u8; BLOCK_SIZE]>,
}

impl SparseMedia {
    /// `blocks` blocks of zeros.
    pub const fn new(blocks: u64) -> Self {
        Self { blocks, written: BTreeMap::new() }
    }
}

impl Media for SparseMedia {
    fn blocks(&self) -> u64 {
        self.blocks
    }

    fn read(&mut self, block: u64) -> [u8; BLOCK_SIZE] {
        self.written.get(&block).copied().unwrap_or([0; BLOCK_SIZE])
    }

    fn write(&mut self, block: u64, data: &[u8; BLOCK_SIZE]) {
        self.written.insert(block, *data);
    }
}

/// What kind of card it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent feature of a card")]
pub struct Features {
    /// SDHC: addressed in blocks. Otherwise SDSC: addressed in bytes.
    pub high_capacity: bool,
    /// Knows CMD8. Every SDHC card does.
    pub version_2: bool,
    /// Has four data lines.
    pub four_bit: bool,
    /// Has high-speed mode, and with it CMD6.
    pub high_speed: bool,
    /// The CSD says write-protected.
    pub write_protected: bool,
    /// Reports "out of range" when CMD12 ends a read at the last block, as PHY 4.3.3 warns.
    pub looks_ahead: bool,
    /// The contacts of DAT1 to DAT3 are broken, whatever the registers say.
    pub broken_lines: bool,
    /// Voltages of the OCR, bits 23:15.
    pub voltages: u32,
    /// From the first ACMD41 until powered up, in ns.
    pub power_up: u64,
    /// From a read command to its first block, in ns.
    pub access: u64,
    /// Busy time for each written block, in ns.
    pub program: u64,
}

impl Features {
    /// A common SDSC card.
    pub const SDSC: Self = Self {
        high_capacity: false,
        version_2: true,
        four_bit: true,
        high_speed: true,
        write_protected: false,
        looks_ahead: false,
        broken_lines: false,
        voltages: 0x00FF_8000,
        power_up: 30_000_000,
        access: 100_000,
        program: 300_000,
    };

    /// A common SDHC card.
    pub const SDHC: Self = Self { high_capacity: true, ..Self::SDSC };
}

/// How a card may misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Does not answer this command. Application commands are numbered from 64 on: `64 + 41` is ACMD41.
    Mute(u8),
    /// Answers this command with a wrong CRC.
    CorruptResponse(u8),
    /// Answers this command with these error bits in its status, and moves no data.
    StatusError(u8, u32),
    /// A block is corrupt on the way, whichever way.
    CorruptData,
    /// Sends no data, or no CRC status for received data.
    SilentData,
    /// Stays busy for ever after the next block, or the next command with busy.
    StayBusy,
    /// Never finishes powering up.
    NeverReady,
}

/// The media's size cannot be told in a CSD.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no {kind} card has {blocks} blocks", kind = if *high_capacity { "SDHC" } else { "SDSC" })]
pub struct CapacityError {
    /// Blocks of the media.
    pub blocks: u64,
    /// SDHC.
    pub high_capacity: bool,
}

/// The electrical side of the host, as far as the card can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lines {
    /// Clock in Hz; 0 is off.
    pub clock: u32,
    /// Four data lines.
    pub four_bit: bool,
    /// High-speed timing.
    pub high_speed: bool,
}

/// A response, without start and end bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// 48 bits.
    Short {
        /// Index field.
        index: u8,
        /// Bits 39:8.
        payload: u32,
        /// The CRC field is right.
        crc: bool,
    },
    /// 136 bits, the CID or CSD.
    Long {
        /// Bits 127:0 with the register's own CRC in bits 7:1.
        payload: u128,
        /// The CRC field is right.
        crc: bool,
    },
}

/// A block from the card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// The bytes, as sent.
    pub bytes: Vec<u8>,
    /// Arrived with the right CRC and the right length.
    pub intact: bool,
}

/// What the card says to a block it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reception {
    /// Positive CRC status.
    Accepted,
    /// Negative CRC status.
    Rejected,
    /// Nothing.
    Silent,
}

/// The states of PHY figures 4-1 and 4-13, with their number in the card status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// After power-up or CMD0.
    Idle = 0,
    /// Powered up.
    Ready = 1,
    /// Has sent its CID.
    Identification = 2,
    /// Has an address.
    StandBy = 3,
    /// Selected.
    Transfer = 4,
    /// Sends data.
    SendingData = 5,
    /// Waits for data.
    ReceivingData = 6,
    /// Writes to the flash.
    Programming = 7,
}

/// What it sends in [`State::SendingData`].
#[derive(Clone, Debug)]
enum Source {
    Register(Vec<u8>),
    Blocks { next: u64, multiple: bool },
}

const OUT_OF_RANGE: u32 = 1 << 31;
const ADDRESS_ERROR: u32 = 1 << 30;
const BLOCK_LEN_ERROR: u32 = 1 << 29;
const WP_VIOLATION: u32 = 1 << 26;
const COM_CRC_ERROR: u32 = 1 << 23;
const ILLEGAL_COMMAND: u32 = 1 << 22;
const ERROR: u32 = 1 << 19;
const READY_FOR_DATA: u32 = 1 << 8;
const APP_CMD: u32 = 1 << 5;

/// Never, as a time.
const NEVER: u64 = u64::MAX;

/// Application commands are kept apart from commands by this offset.
const APPLICATION: u8 = 64;

/// Indices of the application commands that the card knows.
const APPLICATION_COMMANDS: [u8; 7] = [6, 13, 22, 23, 41, 42, 51];

/// A card.
#[expect(clippy::struct_excessive_bools, reason = "each is an independent setting of a card")]
pub struct Card {
    features: Features,
    media: Box<dyn Media>,
    faults: Vec<(Fault, u32)>,
    state: State,
    /// When the first clock after power-up came.
    clocked: Option<u64>,
    /// When the first ACMD41 came.
    asked: Option<u64>,
    high_capacity_host: bool,
    address: u16,
    application: bool,
    four_bit: bool,
    high_speed: bool,
    /// Status bits to be reported with the next R1.
    errors: u32,
    source: Option<Source>,
    /// Where the next received block goes.
    sink: u64,
    sink_multiple: bool,
    data_at: u64,
    busy_until: u64,
    written: u32,
}

impl std::fmt::Debug for Card {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Card").field("features", &self.features).field("state", &self.state).finish_non_exhaustive()
    }
}

impl Card {
    /// A card without power.
    pub fn new(features: Features, media: Box<dyn Media>) -> Result<Self, CapacityError> {
        let card = Self {
            features,
            media,
            faults: Vec::new(),
            state: State::Idle,
            clocked: None,
            asked: None,
            high_capacity_host: false,
            address: 0,
            application: false,
            four_bit: false,
            high_speed: false,
            errors: 0,
            source: None,
            sink: 0,
            sink_multiple: false,
            data_at: NEVER,
            busy_until: 0,
            written: 0,
        };
        match card.capacity_fields() {
            Some(_) => Ok(card),
            None => Err(CapacityError { blocks: card.media.blocks(), high_capacity: card.features.high_capacity }),
        }
    }

    /// Makes the card misbehave the next `times` times.
    pub fn inject(&mut self, fault: Fault, times: u32) {
        self.faults.push((fault, times));
    }

    /// Ends all misbehaviour.
    pub fn heal(&mut self) {
        self.faults.clear();
        if self.busy_until == NEVER {
            self.busy_until = 0;
        }
    }

    /// The blocks.
    pub fn media(&mut self) -> &mut dyn Media {
        &mut *self.media
    }

    /// The state, for tests.
    pub fn state(&self) -> State {
        self.state
    }

    /// The supply went away.
    pub fn power_off(&mut self) {
        self.clocked = None;
        self.reset();
    }

    /// The clock began to run.
    pub fn clock_on(&mut self, now: u64) {
        self.clocked.get_or_insert(now);
    }

    fn reset(&mut self) {
        self.state = State::Idle;
        self.asked = None;
        self.high_capacity_host = false;
        self.address = 0;
        self.application = false;
        self.four_bit = false;
        self.high_speed = false;
        self.errors = 0;
        self.source = None;
        if self.busy_until != NEVER {
            self.busy_until = 0;
        }
    }

    /// True once for each time that `fault` was injected.
    fn suffers(&mut self, wanted: impl Fn(Fault) -> bool) -> Option<Fault> {
        let (fault, times) = self.faults.iter_mut().find(|(fault, times)| *times > 0 && wanted(*fault))?;
        *times = times.saturating_sub(u32::from(*times != u32::MAX));
        Some(*fault)
    }

    /// The card sees a command that began at `begun` and is answered by `now`.
    ///
    /// Returns the response, or `None` if the card stays silent.
    pub fn command(&mut self, index: u8, argument: u32, lines: Lines, begun: u64, now: u64) -> Option<Response> {
        if !self.hears(lines, begun) {
            return None;
        }
        self.settle(now);
        // What is no application command is the command of that number (PHY 4.3.9.1).
        let application = self.application && APPLICATION_COMMANDS.contains(&index);
        self.application = false;
        let number = if application { APPLICATION | index } else { index };
        if self.suffers(|fault| fault == Fault::Mute(number)).is_some() {
            return None;
        }
        let corrupt = self.suffers(|fault| fault == Fault::CorruptResponse(number)).is_some();
        let response = self.obey(number, argument, now);
        match response {
            Some(Response::Short { index, payload, crc }) => {
                Some(Response::Short { index, payload, crc: crc && !corrupt })
            }
            Some(Response::Long { payload, crc }) => Some(Response::Long { payload, crc: crc && !corrupt }),
            None => None,
        }
    }

    /// Clock and supply are such that the card understands commands.
    fn hears(&self, lines: Lines, now: u64) -> bool {
        let limit = match self.state {
            State::Idle | State::Ready | State::Identification => 400_000,
            _ => 50_000_000,
        };
        let Some(clocked) = self.clocked else {
            return false;
        };
        let clocks = u128::from(now - clocked) * u128::from(lines.clock) / 1_000_000_000;
        lines.clock > 0 && lines.clock <= limit && clocks >= 74
    }

    /// Host and card agree on how data moves.
    fn understands(&self, lines: Lines) -> bool {
        let limit = if self.high_speed { 50_000_000 } else { 25_000_000 };
        lines.clock <= limit
            && lines.four_bit == self.four_bit
            && !(lines.four_bit && self.features.broken_lines)
            && (self.high_speed || !lines.high_speed)
    }

    /// Ends programming when its time has come.
    fn settle(&mut self, now: u64) {
        if self.state == State::Programming && now >= self.busy_until {
            self.state = State::Transfer;
        }
    }

    /// Until when the card holds DAT0 low; `u64::MAX` is for ever.
    pub fn busy_until(&self) -> u64 {
        self.busy_until
    }

    /// When the next block begins to arrive; `None` if there will be none.
    pub fn data_at(&self) -> Option<u64> {
        (self.state == State::SendingData && self.data_at != NEVER).then_some(self.data_at)
    }

    /// R1, with the state before the command.
    fn r1(&mut self, index: u8, state: State, application: bool, now: u64) -> Response {
        let mut status = (state as u32) << 9 | self.errors;
        if now >= self.busy_until {
            status |= READY_FOR_DATA;
        }
        if application {
            status |= APP_CMD;
        }
        self.errors = 0;
        Response::Short { index, payload: status, crc: true }
    }

    /// The state machine (PHY table 4-35). `number` is the command, plus 64 for an application command.
    #[expect(clippy::too_many_lines, reason = "one arm for each command reads best in one piece")]
    fn obey(&mut self, number: u8, argument: u32, now: u64) -> Option<Response> {
        let state = self.state;
        let index = number % APPLICATION;
        let application = number >= APPLICATION;
        let addressed = (argument >> 16) as u16 == self.address && self.address != 0;
        if let Some(Fault::StatusError(_, bits)) =
            self.suffers(|fault| matches!(fault, Fault::StatusError(which, _) if which == number))
        {
            self.errors |= bits;
            return Some(self.r1(index, state, application, now));
        }
        match (number, state) {
            (0, _) => {
                self.reset();
                return None;
            }
            (8, State::Idle) if self.features.version_2 => {
                // Only 2.7 V to 3.6 V is accepted.
                return (argument >> 8 & 0xF == 1).then_some(Response::Short {
                    index,
                    payload: argument & 0xFFF,
                    crc: true,
                });
            }
            (55, State::Idle) if argument >> 16 == 0 => {}
            (105, State::Idle) => return Some(self.operating_condition(argument, now)),
            (2, State::Ready) => {
                self.state = State::Identification;
                return Some(Response::Long { payload: self.cid(), crc: true });
            }
            (3, State::Identification | State::StandBy) => {
                self.address = self.address.wrapping_add(0x4567).max(1);
                self.state = State::StandBy;
                // R6: bits 23, 22, 19 and 12:0 of the status.
                let status = (state as u32) << 9 | READY_FOR_DATA;
                let payload = u32::from(self.address) << 16 | status;
                return Some(Response::Short { index, payload, crc: true });
            }
            (9, State::StandBy) if addressed => {
                return Some(Response::Long { payload: self.csd(), crc: true });
            }
            (10, State::StandBy) if addressed => {
                return Some(Response::Long { payload: self.cid(), crc: true });
            }
            (7, State::StandBy) if addressed => {
                self.state = State::Transfer;
                self.become_busy(now, 0);
            }
            (7, State::Transfer | State::SendingData) if !addressed => {
                self.state = State::StandBy;
                self.source = None;
                return None;
            }
            (13, State::Idle | State::Ready | State::Identification) => {
                self.errors |= ILLEGAL_COMMAND;
                return None;
            }
            (13 | 55, _) if addressed => {}
            (12, State::SendingData) => {
                if let Some(Source::Blocks { next, .. }) = self.source.take()
                    && (next > self.media.blocks() || next == self.media.blocks() && self.features.looks_ahead)
                {
                    self.errors |= OUT_OF_RANGE;
                }
                self.state = State::Transfer;
            }
            (12, State::ReceivingData) => {
                self.state = State::Programming;
                self.become_busy(now, 0);
            }
            (16, State::Transfer) => {
                if argument as usize != BLOCK_SIZE {
                    self.errors |= BLOCK_LEN_ERROR;
                }
            }
            (17 | 18, State::Transfer) => {
                if let Some(next) = self.locate(argument) {
                    self.send(Source::Blocks { next, multiple: index == 18 }, now);
                }
            }
            (24 | 25, State::Transfer) => {
                if let Some(block) = self.locate(argument) {
                    if self.features.write_protected {
                        self.errors |= WP_VIOLATION;
                    } else {
                        self.sink = block;
                        self.sink_multiple = index == 25;
                        self.written = 0;
                        self.state = State::ReceivingData;
                    }
                }
            }
            (6, State::Transfer) if self.features.high_speed => {
                let status = self.switch(argument);
                self.send(Source::Register(status), now);
            }
            (70, State::Transfer) => match argument & 3 {
                0 => self.four_bit = false,
                2 if self.features.four_bit => self.four_bit = true,
                _ => self.errors |= ERROR,
            },
            (77, State::Transfer) => {
                let mut status = vec![0; 64];
                if let Some(first) = status.first_mut() {
                    *first = if self.four_bit { 0x80 } else { 0 };
                }
                self.send(Source::Register(status), now);
            }
            (86, State::Transfer) => {
                self.send(Source::Register(self.written.to_be_bytes().to_vec()), now);
            }
            (87 | 106, State::Transfer) => {}
            (115, State::Transfer) => {
                self.send(Source::Register(self.scr().to_be_bytes().to_vec()), now);
            }
            _ => {
                self.errors |= ILLEGAL_COMMAND;
                return None;
            }
        }
        if number == 55 {
            self.application = true;
        }
        Some(self.r1(index, state, application || number == 55, now))
    }

    fn operating_condition(&mut self, argument: u32, now: u64) -> Response {
        let window = argument & 0x00FF_8000;
        let mut conditions = self.features.voltages;
        // Without a window it is an inquiry, which powers nothing up (PHY 4.2.3.1).
        if window & self.features.voltages != 0 {
            self.high_capacity_host |= argument & 1 << 30 != 0;
            let asked = *self.asked.get_or_insert(now);
            let able = self.high_capacity_host || !self.features.high_capacity;
            if able
                && now - asked >= self.features.power_up
                && self.suffers(|fault| fault == Fault::NeverReady).is_none()
            {
                self.state = State::Ready;
                conditions |= 1 << 31 | u32::from(self.features.high_capacity) << 30;
            }
        }
        // R3 has ones in place of index and CRC.
        Response::Short { index: 0x3F, payload: conditions, crc: false }
    }

    /// The block that the argument of a read or write command means, or the error bits.
    fn locate(&mut self, argument: u32) -> Option<u64> {
        let block = if self.features.high_capacity {
            u64::from(argument)
        } else if !(argument as usize).is_multiple_of(BLOCK_SIZE) {
            self.errors |= ADDRESS_ERROR;
            return None;
        } else {
            u64::from(argument) / BLOCK_SIZE as u64
        };
        if block < self.media.blocks() {
            Some(block)
        } else {
            self.errors |= OUT_OF_RANGE;
            None
        }
    }

    fn send(&mut self, source: Source, now: u64) {
        self.state = State::SendingData;
        self.source = Some(source);
        let silent = self.suffers(|fault| fault == Fault::SilentData).is_some();
        self.data_at = if silent { NEVER } else { now + self.features.access };
    }

    fn become_busy(&mut self, now: u64, time: u64) {
        if self.suffers(|fault| fault == Fault::StayBusy).is_some() {
            self.busy_until = NEVER;
        } else {
            self.busy_until = self.busy_until.max(now + time);
        }
    }

    /// The host has clocked in the next block, of `length` bytes as it believes, until `now`.
    pub fn send_block(&mut self, length: usize, lines: Lines, now: u64) -> Option<Data> {
        let at = self.data_at()?;
        if now < at || lines.clock == 0 {
            return None;
        }
        let bytes = match self.source.take()? {
            Source::Register(bytes) => {
                self.state = State::Transfer;
                bytes
            }
            Source::Blocks { next, multiple } => {
                if next >= self.media.blocks() {
                    // Beyond the end: no data, and CMD12 will tell.
                    self.source = Some(Source::Blocks { next: next + 1, multiple });
                    self.data_at = NEVER;
                    return None;
                }
                if multiple {
                    self.source = Some(Source::Blocks { next: next + 1, multiple });
                    self.data_at = now;
                } else {
                    self.state = State::Transfer;
                }
                self.media.read(next).to_vec()
            }
        };
        let mut intact = self.understands(lines) && bytes.len() == length;
        let mut bytes = bytes;
        if self.suffers(|fault| fault == Fault::CorruptData).is_some() {
            intact = false;
        }
        if !intact {
            for byte in &mut bytes {
                *byte ^= 0x55;
            }
            bytes.resize(length, 0xFF);
        }
        Some(Data { bytes, intact })
    }

    /// The host has sent a block.
    pub fn receive_block(&mut self, bytes: &[u8], lines: Lines, now: u64) -> Reception {
        if self.state != State::ReceivingData
            || lines.clock == 0
            || self.suffers(|fault| fault == Fault::SilentData).is_some()
        {
            return Reception::Silent;
        }
        if !self.understands(lines) || self.suffers(|fault| fault == Fault::CorruptData).is_some() {
            if !self.sink_multiple {
                self.state = State::Transfer;
            }
            self.errors |= COM_CRC_ERROR;
            return Reception::Rejected;
        }
        let Ok(block) = bytes.try_into() else {
            return Reception::Rejected;
        };
        if self.sink >= self.media.blocks() {
            self.errors |= OUT_OF_RANGE;
            return Reception::Silent;
        }
        self.media.write(self.sink, block);
        self.sink += 1;
        self.written += 1;
        if !self.sink_multiple {
            self.state = State::Programming;
        }
        self.become_busy(now, self.features.program);
        Reception::Accepted
    }

    /// CMD6 (PHY 4.3.10). Only group 1 has a function besides the default one.
    fn switch(&mut self, argument: u32) -> Vec<u8> {
        let mut status = vec![0; 64];
        let wanted = argument & 0xF;
        let other_groups = (1..6).all(|group| matches!(argument >> (4 * group) & 0xF, 0 | 0xF));
        let result = match wanted {
            0xF => u32::from(self.high_speed),
            0 | 1 => wanted,
            _ => 0xF,
        };
        let valid = result != 0xF && other_groups;
        if valid && argument >> 31 == 1 {
            self.high_speed = result == 1;
        }
        let mut put = |position: usize, value: u8| {
            if let Some(byte) = status.get_mut(position) {
                *byte = value;
            }
        };
        // 100 mA; 0 would be an error.
        put(1, if valid { 100 } else { 0 });
        for group in 0..5 {
            put(2 + 2 * group, 0x80);
            put(3 + 2 * group, 0x01);
        }
        put(12, 0x80);
        put(13, 0x03);
        put(16, result as u8);
        status
    }

    /// Fields of the CSD that tell the capacity: for SDSC `(READ_BL_LEN, C_SIZE_MULT, C_SIZE)`.
    fn capacity_fields(&self) -> Option<(u32, u32, u32)> {
        let blocks = self.media.blocks();
        if self.features.high_capacity {
            let units = blocks / 1024;
            let fits = blocks.is_multiple_of(1024) && (1..=1 << 22).contains(&units);
            return fits.then(|| (9, 0, (units - 1) as u32));
        }
        (9..=11).flat_map(|length| (0..8).map(move |factor| (length, factor))).find_map(|(length, factor)| {
            let unit = 1 << (length - 9 + factor + 2);
            let size = blocks / unit;
            let fits = blocks.is_multiple_of(unit) && (1..=4096).contains(&size);
            fits.then(|| (length, factor, (size - 1) as u32))
        })
    }

    /// The CSD (PHY 5.3).
    fn csd(&self) -> u128 {
        let (length, factor, size) = self.capacity_fields().unwrap_or_default();
        let classes: u128 = 0x175 | u128::from(self.features.high_speed) << 10;
        let speed = if self.high_speed { 0x5A } else { 0x32 };
        let mut csd = 0x0E << 112
            | speed << 96
            | classes << 84
            | u128::from(length) << 80
            | 1 << 46 // ERASE_BLK_EN
            | 0x7F << 39 // SECTOR_SIZE
            | 2 << 26 // R2W_FACTOR
            | 9 << 22 // WRITE_BL_LEN
            | u128::from(self.features.write_protected) << 12;
        if self.features.high_capacity {
            csd |= 1 << 126 | u128::from(size) << 48;
        } else {
            csd |= 1 << 79 | u128::from(size) << 62 | u128::from(factor) << 47;
        }
        with_crc(csd)
    }

    /// The CID (PHY 5.2).
    fn cid(&self) -> u128 {
        let name = if self.features.high_capacity { b"ZKMODHC" } else { b"ZKMODSC" };
        // Manufacturer, OEM and name, revision, serial number, date; the low byte is for the CRC.
        let mut cid = 0x5A;
        for byte in name.iter().chain(&[0x10, 0x12, 0x34, 0x56, 0x78, 0x01, 0x8A, 0]) {
            cid = cid << 8 | u128::from(*byte);
        }
        with_crc(cid)
    }

    /// The SCR (PHY 5.6).
    fn scr(&self) -> u64 {
        let version = match (self.features.version_2, self.features.high_speed) {
            (true, _) => 2,
            (false, true) => 1,
            (false, false) => 0,
        };
        version << 56 | if self.features.four_bit { 5 << 48 } else { 1 << 48 }
    }
}

/// Puts CRC7 and the end bit into the low byte of a 128 bit register (PHY 4.5).
fn with_crc(register: u128) -> u128 {
    let mut crc: u8 = 0;
    for bit in (8..128).rev() {
        let feedback = (register >> bit) as u8 & 1 ^ crc >> 6 & 1;
        crc = (crc << 1 & 0x7F) ^ if feedback == 1 { 0x09 } else { 0 };
    }
    register & !0xFF | u128::from(crc) << 1 | 1
}
