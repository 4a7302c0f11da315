//! One channel of the engine.

use super::{Fault, Options, STORES};
use crate::frames::Piece;
use crate::{BusError, Memory};

/// Bits of the control register (PG020 tables 2-6 and 2-11).
mod control {
    pub(super) const RUN: u32 = 1 << 0;
    pub(super) const CIRCULAR: u32 = 1 << 1;
    pub(super) const RESET: u32 = 1 << 2;
    pub(super) const GENLOCK: u32 = 1 << 3;
    pub(super) const FRAME_COUNT_ENABLE: u32 = 1 << 4;
    pub(super) const GENLOCK_INTERNAL: u32 = 1 << 7;
    pub(super) const REPEAT: u32 = 1 << 15;
    /// Bits that keep what is written.
    pub(super) const KEPT: u32 = 0xFFFF_FF9B;
    /// Circular, internal genlock, one frame an interrupt.
    pub(super) const AFTER_RESET: u32 = 0x0001_0082;
}

/// Bits of the status register (PG020 tables 2-7 and 2-12).
mod status {
    pub(super) const HALTED: u32 = 1 << 0;
    pub(super) const INTERNAL: u32 = 1 << 4;
    pub(super) const SLAVE: u32 = 1 << 5;
    pub(super) const DECODE: u32 = 1 << 6;
    pub(super) const SOF_EARLY: u32 = 1 << 7;
    pub(super) const EOL_EARLY: u32 = 1 << 8;
    pub(super) const SOF_LATE: u32 = 1 << 11;
    pub(super) const FRAME_COUNT: u32 = 1 << 12;
    pub(super) const DELAY: u32 = 1 << 13;
    pub(super) const ERROR: u32 = 1 << 14;
    pub(super) const EOL_LATE: u32 = 1 << 15;
    /// What a one clears in MM2S.
    pub(super) const CLEARED_READ: u32 = INTERNAL | SOF_EARLY | FRAME_COUNT | DELAY | ERROR;
    /// What a one clears in S2MM.
    pub(super) const CLEARED_WRITE: u32 = CLEARED_READ | EOL_EARLY | SOF_LATE | EOL_LATE;
    /// What raises the interrupt line, if the same bit of the control register is set.
    pub(super) const INTERRUPTS: u32 = FRAME_COUNT | DELAY | ERROR;
}

/// Errors that S2MM_VDMA_IRQ_MASK can keep from interrupting: bit n masks entry n.
const MASKABLE: [u32; 4] = [status::SOF_EARLY, status::EOL_EARLY, status::SOF_LATE, status::EOL_LATE];

/// Never, as a time.
const NEVER: u64 = u64::MAX;

/// What begins a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameSync {
    /// The vertical sync of the display (mm2s_fsync).
    External,
    /// The end of the frame before (free run).
    FreeRun,
}

/// How a channel chooses its frame stores if genlock is enabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Genlock {
    /// One after the other.
    Master,
    /// A number of frames behind the master.
    Slave,
    /// One after the other, except where the slave is.
    DynamicMaster,
    /// Where the master was before.
    DynamicSlave,
}

/// Which channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Read,
    Write,
}

/// A register of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Register {
    Control,
    Status,
    Index,
    ErrorMask,
    VerticalSize,
    HorizontalSize,
    Stride,
    /// 0 to 15.
    Address(u8),
    HorizontalStatus,
    VerticalStatus,
}

/// The register at an offset (PG020 table 2-5).
pub(super) fn locate(offset: u32) -> Option<(Direction, Register)> {
    let address = |first: u32| Register::Address(((offset - first) / 4) as u8);
    Some(match offset {
        0x00 => (Direction::Read, Register::Control),
        0x04 => (Direction::Read, Register::Status),
        0x14 => (Direction::Read, Register::Index),
        0x30 => (Direction::Write, Register::Control),
        0x34 => (Direction::Write, Register::Status),
        0x3C => (Direction::Write, Register::ErrorMask),
        0x44 => (Direction::Write, Register::Index),
        0x50 => (Direction::Read, Register::VerticalSize),
        0x54 => (Direction::Read, Register::HorizontalSize),
        0x58 => (Direction::Read, Register::Stride),
        0x5C..=0x98 => (Direction::Read, address(0x5C)),
        0xA0 => (Direction::Write, Register::VerticalSize),
        0xA4 => (Direction::Write, Register::HorizontalSize),
        0xA8 => (Direction::Write, Register::Stride),
        0xAC..=0xE8 => (Direction::Write, address(0xAC)),
        0xF0 => (Direction::Write, Register::HorizontalStatus),
        0xF4 => (Direction::Write, Register::VerticalStatus),
        _ => return None,
    })
}

/// What a write of VSIZE commits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameters {
    lines: u32,
    line_bytes: u32,
    stride: u32,
    delay: u32,
    addresses: [u32; STORES],
}

impl Parameters {
    pub(super) fn address(&self, store: u8) -> u32 {
        self.addresses.get(usize::from(store)).copied().unwrap_or(0)
    }

    /// From the first byte of a frame to the one behind its last.
    pub(super) fn bytes(&self) -> u32 {
        self.lines.saturating_sub(1).wrapping_mul(self.stride).wrapping_add(self.line_bytes)
    }
}

/// What a channel tells the other one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pointers {
    current: u8,
    done: Option<u8>,
    running: bool,
}

/// Whether a channel runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Halted,
    /// Halted by an error: until a reset.
    Failed,
    Running,
}

/// What is to go wrong.
#[derive(Clone, Copy, Debug, Default)]
struct Faults {
    /// With the next line that is moved.
    line: Option<Fault>,
    /// The next reset does not end.
    reset: bool,
}

/// A channel.
#[derive(Debug)]
pub(super) struct Channel {
    direction: Direction,
    options: Options,
    control: u32,
    /// Sticky bits.
    status: u32,
    state: State,
    /// When the reset that is under way ends.
    resetting: Option<u64>,
    /// A reset lets the transfers that are under way end.
    draining: bool,
    /// Bank of the start address registers.
    index: u8,
    mask: u32,
    registers: Parameters,
    committed: Option<Parameters>,
    active: Option<Parameters>,
    /// The next line of the frame that is moved.
    line: Option<u32>,
    store: Option<u8>,
    done: Option<u8>,
    /// All lines have been moved since the last sync.
    finished: bool,
    /// Something was wrong with the last frame.
    erroneous: bool,
    frames_left: u8,
    delay_since: Option<u64>,
    failed_bytes: u32,
    failed_lines: u32,
    faults: Faults,
    complaint: Option<String>,
}

impl Channel {
    pub(super) fn new(direction: Direction, options: Options) -> Self {
        Self {
            direction,
            options,
            control: control::AFTER_RESET,
            status: 0,
            state: State::Halted,
            resetting: None,
            draining: false,
            index: 0,
            mask: 0,
            registers: Parameters { lines: 0, line_bytes: 0, stride: 0, delay: 0, addresses: [0; STORES] },
            committed: None,
            active: None,
            line: None,
            store: None,
            done: None,
            finished: false,
            erroneous: false,
            frames_left: 1,
            delay_since: None,
            failed_bytes: 0,
            failed_lines: 0,
            faults: Faults::default(),
            complaint: None,
        }
    }

    pub(super) fn inject(&mut self, fault: Fault) {
        match fault {
            Fault::Reset => self.faults.reset = true,
            Fault::Slave | Fault::Decode | Fault::Internal => self.faults.line = Some(fault),
        }
    }

    /// Ends every fault; a reset that is stuck ends now.
    pub(super) fn clear_faults(&mut self, now: u64) {
        self.faults = Faults::default();
        if self.resetting == Some(NEVER) {
            self.resetting = Some(now);
        }
    }

    pub(super) fn take_complaint(&mut self) -> Option<String> {
        self.complaint.take()
    }

    fn complain(&mut self, text: impl AsRef<str>) {
        let name = match self.direction {
            Direction::Read => "MM2S",
            Direction::Write => "S2MM",
        };
        self.complaint.get_or_insert_with(|| format!("VDMA {name}: {}", text.as_ref()));
    }

    /// The frame store in use, or the last one that was.
    pub(super) fn store(&self) -> u8 {
        self.store.unwrap_or(0)
    }

    pub(super) fn pointers(&self) -> Pointers {
        Pointers { current: self.store(), done: self.done, running: self.is_running() }
    }

    pub(super) fn is_running(&self) -> bool {
        self.state == State::Running && self.resetting.is_none()
    }

    /// Memory may still be touched.
    pub(super) fn is_in_frame(&self) -> bool {
        self.line.is_some() || self.draining
    }

    /// The memory that it may touch without being told anything else, in no order and maybe more than once.
    pub(super) fn pointed(&self) -> Vec<Piece> {
        if !self.is_running() && !self.draining {
            return Vec::new();
        }
        let committed = self.committed.as_ref().filter(|_| !self.draining);
        let piece =
            |parameters: &Parameters, store| Piece { address: parameters.address(store), bytes: parameters.bytes() };
        let all = |parameters| (0..self.stores()).map(move |store| piece(parameters, store));
        self.active.iter().chain(committed).flat_map(all).filter(|piece| piece.bytes != 0).collect()
    }

    pub(super) fn interrupt(&self) -> bool {
        self.status & self.control & status::INTERRUPTS != 0
    }

    fn frame_count(&self) -> u8 {
        ((self.control >> 16) as u8).max(1)
    }

    fn stores(&self) -> u8 {
        self.options.stores.clamp(1, STORES as u8)
    }

    pub(super) fn register(&mut self, register: Register, now: u64) -> u32 {
        match register {
            Register::Control => self.control | if self.resetting.is_some() { control::RESET } else { 0 },
            Register::Status => {
                let halted = if self.state == State::Running { 0 } else { status::HALTED };
                let elapsed = self.delay_since.map_or(0, |since| now.saturating_sub(since));
                let delay = (elapsed / self.options.delay_resolution.max(1)).min(0xFF) as u32;
                halted | self.status | u32::from(self.frames_left) << 16 | delay << 24
            }
            Register::Index => self.index.into(),
            Register::ErrorMask => self.mask,
            Register::VerticalSize => self.registers.lines,
            Register::HorizontalSize => self.registers.line_bytes,
            Register::Stride => self.registers.delay << 24 | self.registers.stride,
            Register::Address(number) => self.registers.address(self.slot(number)),
            Register::HorizontalStatus => self.failed_bytes,
            Register::VerticalStatus => self.failed_lines,
        }
    }

    /// The frame store that an address register means.
    fn slot(&self, number: u8) -> u8 {
        number + 16 * self.index
    }

    pub(super) fn set_register(&mut self, register: Register, value: u32, now: u64) {
        if self.resetting.is_some() {
            self.complain("register written during a reset");
            return;
        }
        match register {
            Register::Control => self.set_control(value, now),
            Register::Status => self.clear_status(value),
            // Exists only if there is something to choose (PG020 table 2-8).
            Register::Index => self.index = if self.stores() > 16 { value as u8 & 1 } else { 0 },
            Register::ErrorMask => self.mask = value & 0xF,
            Register::VerticalSize => {
                self.registers.lines = value & 0x1FFF;
                self.commit();
            }
            Register::HorizontalSize => self.registers.line_bytes = value & 0xFFFF,
            Register::Stride => {
                self.registers.stride = value & 0xFFFF;
                self.registers.delay = value >> 24 & 0x1F;
            }
            Register::Address(number) => {
                let slot = self.slot(number);
                if slot >= self.stores() {
                    self.complain(format!("start address {} of {}", slot + 1, self.stores()));
                } else if let Some(address) = self.registers.addresses.get_mut(usize::from(slot)) {
                    *address = value;
                }
            }
            Register::HorizontalStatus | Register::VerticalStatus => self.complain("write of a read-only register"),
        }
    }

    fn set_control(&mut self, value: u32, now: u64) {
        if value & control::RESET != 0 {
            let sticks = std::mem::take(&mut self.faults.reset);
            self.resetting = Some(if sticks { NEVER } else { now + self.options.reset_time });
            self.draining = self.line.take().is_some();
            self.delay_since = None;
            return;
        }
        let before = self.control;
        self.control = value & control::KEPT;
        if self.control & 0x00FF_0000 == 0 {
            self.control |= 1 << 16;
        }
        if (before ^ self.control) & 0x00FF_0000 != 0 {
            self.frames_left = self.frame_count();
        }
        if (before ^ self.control) & 0xFF00_0000 != 0 {
            self.delay_since = self.delay_since.map(|_| now);
        }
        if value & control::RUN == 0 {
            if self.line.is_none() {
                self.halt();
            }
        } else if self.state == State::Failed {
            self.control &= !control::RUN;
            self.complain("set running after an error without a reset");
        } else {
            self.state = State::Running;
        }
    }

    fn clear_status(&mut self, value: u32) {
        let cleared = match self.direction {
            Direction::Read => status::CLEARED_READ,
            Direction::Write => status::CLEARED_WRITE,
        };
        self.status &= !(value & cleared);
        if self.status & status::SOF_EARLY == 0 {
            self.failed_lines = 0;
        }
        if self.status & (status::EOL_EARLY | status::EOL_LATE) == 0 {
            self.failed_bytes = 0;
        }
    }

    fn commit(&mut self) {
        if self.control & control::RUN == 0 {
            self.complain("VSIZE written while the channel does not run: it commits nothing");
            return;
        }
        let mut parameters = self.registers;
        let low = self.options.alignment.max(1) - 1;
        if !self.options.realignment {
            let stores = usize::from(self.stores());
            let addresses = parameters.addresses.iter().take(stores);
            let odd = addresses.fold(parameters.line_bytes | parameters.stride, |odd, address| odd | address) & low;
            if odd != 0 {
                self.complain(format!("addresses, line length and stride must be multiples of {}", low + 1));
            }
            parameters.line_bytes &= !low;
            parameters.stride &= !low;
            parameters.addresses.iter_mut().for_each(|address| *address &= !low);
        }
        self.committed = Some(parameters);
    }

    fn halt(&mut self) {
        if self.state == State::Running {
            self.state = State::Halted;
        }
        self.control &= !control::RUN;
        self.delay_since = None;
    }

    /// An error of the memory side: the channel halts.
    fn fail(&mut self, bit: u32) {
        self.status |= bit | status::ERROR;
        self.line = None;
        self.halt();
        self.state = State::Failed;
    }

    /// An error of the stream side: the channel goes on (PG020, "Line and Frame Errors").
    fn mismatch(&mut self, bit: u32) {
        self.status |= bit;
        self.erroneous = true;
        let masked =
            MASKABLE.iter().enumerate().any(|(position, error)| *error == bit && self.mask >> position & 1 != 0);
        if !masked {
            self.status |= status::ERROR;
        }
    }

    /// A frame sync. Answers the frame store and what to move, if a frame begins.
    pub(super) fn sync(&mut self, park: u8, other: Pointers, now: u64) -> Option<(u8, Parameters)> {
        if !self.is_running() {
            return None;
        }
        if let Some(line) = self.line.take() {
            if self.failed_lines == 0 {
                self.failed_lines = line;
            }
            self.mismatch(status::SOF_EARLY);
            if self.control & control::RUN == 0 {
                self.halt();
            }
            return None;
        }
        self.active = self.committed.take().or(self.active);
        let active = self.active?;
        if active.lines == 0 || active.line_bytes == 0 {
            self.fail(status::INTERNAL);
            return None;
        }
        let store = self.choose(park, other, active.delay);
        self.store = Some(store);
        self.erroneous = false;
        self.finished = false;
        self.line = Some(0);
        if self.control >> 24 != 0 {
            self.delay_since = Some(now);
        }
        Some((store, active))
    }

    fn choose(&mut self, park: u8, other: Pointers, delay: u32) -> u8 {
        let stores = self.stores();
        if self.control & control::CIRCULAR == 0 {
            if park < stores {
                return park;
            }
            self.complain(format!("parked on frame store {park} of {stores}"));
            return 0;
        }
        let genlock = match self.direction {
            Direction::Read => self.options.read_genlock,
            Direction::Write => self.options.write_genlock,
        };
        let locked = self.control & control::GENLOCK != 0;
        if locked && self.control & control::GENLOCK_INTERNAL == 0 {
            self.complain("genlock to external frame pointers, which nothing is connected to");
        }
        let follow = |number: u8| (number + 1) % stores;
        let next = match self.store {
            None => 0,
            // Masters may show a frame once more instead of a new one that may be damaged.
            Some(store) if self.erroneous && self.control & control::REPEAT != 0 => store,
            Some(store) => follow(store),
        };
        match genlock {
            Genlock::Slave if locked => {
                let behind = (delay % u32::from(stores)) as u8;
                (other.current + stores - behind) % stores
            }
            Genlock::DynamicSlave if locked => other.done.unwrap_or(0),
            Genlock::DynamicMaster if locked && other.running && next == other.current => follow(next),
            _ => next,
        }
    }

    /// Moves the next line from memory to the stream. `false`: there is none.
    pub(super) fn read_line(&mut self, memory: &mut dyn Memory, line: &mut Vec<u8>, now: u64) -> bool {
        line.clear();
        let Some((address, parameters)) = self.next_line() else { return false };
        line.resize(parameters.line_bytes as usize, 0);
        if let Err(BusError { .. }) = memory.read(address, line) {
            self.fail(status::DECODE);
            return false;
        }
        self.line_moved(&parameters, now);
        true
    }

    /// Moves a line from the stream to memory.
    pub(super) fn write_line(&mut self, memory: &mut dyn Memory, line: &[u8], now: u64) {
        if self.line.is_none() {
            if self.is_running() && self.finished && self.status & status::SOF_LATE == 0 {
                self.mismatch(status::SOF_LATE);
            }
            return;
        }
        let Some((address, parameters)) = self.next_line() else { return };
        let wanted = parameters.line_bytes as usize;
        if line.len() != wanted {
            if self.failed_bytes == 0 {
                self.failed_bytes = line.len() as u32;
            }
            self.mismatch(if line.len() < wanted { status::EOL_EARLY } else { status::EOL_LATE });
        }
        if let Err(BusError { .. }) = memory.write(address, line.get(..wanted).unwrap_or(line)) {
            self.fail(status::DECODE);
            return;
        }
        self.line_moved(&parameters, now);
    }

    /// Address of the next line.
    fn next_line(&mut self) -> Option<(u32, Parameters)> {
        let line = self.line?;
        self.delay_since = None;
        match self.faults.line.take() {
            Some(Fault::Slave) => self.fail(status::SLAVE),
            Some(Fault::Decode) => self.fail(status::DECODE),
            Some(Fault::Internal) => self.fail(status::INTERNAL),
            Some(Fault::Reset) | None => {
                let parameters = self.active?;
                let address = parameters.address(self.store());
                return Some((address.wrapping_add(line.wrapping_mul(parameters.stride)), parameters));
            }
        }
        None
    }

    fn line_moved(&mut self, parameters: &Parameters, now: u64) {
        let Some(line) = &mut self.line else { return };
        *line += 1;
        if *line < parameters.lines {
            return;
        }
        self.line = None;
        self.finished = true;
        self.done = self.store;
        if self.options.read_sync == FrameSync::FreeRun && self.direction == Direction::Read && self.control >> 24 != 0
        {
            self.delay_since = Some(now);
        }
        self.frames_left = self.frames_left.saturating_sub(1);
        if self.frames_left == 0 {
            self.frames_left = self.frame_count();
            self.status |= status::FRAME_COUNT;
            if self.control & control::FRAME_COUNT_ENABLE != 0 {
                self.halt();
            }
        }
        if self.control & control::RUN == 0 {
            self.halt();
        }
    }

    fn delay_due(&self) -> Option<u64> {
        let delay = u64::from(self.control >> 24);
        (delay != 0).then_some(self.delay_since? + delay * self.options.delay_resolution)
    }

    pub(super) fn due(&self) -> Option<u64> {
        [self.resetting.filter(|ends| *ends != NEVER), self.delay_due()].into_iter().flatten().min()
    }

    /// Does what is due. Answers whether a reset has ended.
    pub(super) fn tick(&mut self, now: u64) -> bool {
        if self.delay_due().is_some_and(|due| due <= now) {
            self.delay_since = None;
            self.status |= status::DELAY;
        }
        if self.resetting.is_some_and(|ends| ends <= now) {
            *self = Self { faults: self.faults, ..Self::new(self.direction, self.options) };
            return true;
        }
        false
    }
}
