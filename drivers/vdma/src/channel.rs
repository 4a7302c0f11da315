//! The state machine of one channel.
//!
//! # How the hardware works
//!
//! A channel that runs moves one frame after the other between memory and its stream. It decides which frame store a frame uses when the frame begins, and keeps to
//! it until the frame's last line. Errors of the memory side halt it, and only a reset gets it going again; errors of the stream side are told, and it goes on.
//!
//! # What this module does
//!
//! [`Channel`] never waits: its owner calls [`on_interrupt`](Channel::on_interrupt) when the channel's line is raised, and
//! [`on_time`](Channel::on_time) when [`deadline`](Channel::deadline) is over. A reset takes a few clocks, so its end is awaited with a bounded number of looks at the register
//! first; only if that is not enough does it become a state with a deadline.
//!
//! **Flipping without tearing.** A parked channel is told its next frame store by [`flip`](Channel::flip). The interrupt at the end of the frame that is being moved says that
//! the old frame store is free: no line of it is read any more, and the next frame will use the new one. That holds only if the pointer was
//! written before the frame ended; so after writing, the driver looks whether an end is already pending, and if so, that interrupt does not count,
//! unless the engine itself says that it is on the new frame store. So two buffers are enough to show a new picture with each frame.
//!
//! **Recovering.** After an error that halts, and when no frame ends for [`STALL`] µs, the channel is reset, set up as before, and goes on where it was parked. Each cause is
//! counted. When that happens [`ATTEMPTS`] times without a frame in between, the channel has [failed](State::Failed).
//!
//! **Stopping.** [`stop`](Channel::stop) resets the channel: PG020 promises that transfers to memory are complete when the reset is. Only then may memory be given to
//! others. If the reset does not end by its deadline, the channel has failed, and the memory must be kept.
//!
//! **A reset that does not end** usually waits for a clock: the engine resets what is in the domains of the stream and of memory, too. So the channel, which
//! [has failed](Failure::Reset) when the deadline is over, goes on looking, every [`RESET_RETRY`] µs, and when the reset has ended after all, it does what it was reset for.
//! Meanwhile the register says what it said: a second request would add nothing.
//!
//! # What it does not do
//!
//! Genlock: which frame store comes next is decided by software. Caches: whoever hands memory over cleans or invalidates them.

use mmio::Registers;
use tock_registers::interfaces::{Readable, Writeable};

use crate::registers::{BANK, Block, CONTROL, Direction, STATUS, STRIDE, VERSION};

/// Most frame stores.
pub const STORES: usize = 32;
/// A reset takes at most so long, in µs.
pub const RESET_TIME: u64 = 20_000;
/// Time between two looks whether a reset is over, in µs.
const RESET_POLL: u64 = 1_000;
/// The same once the reset is overdue.
pub const RESET_RETRY: u64 = 100_000;
/// Looks at once: a reset usually takes a few clocks.
const RESET_LOOKS: u32 = 50;
/// A frame ends at least so often, in µs; the slowest mode has 24 frames a second.
pub const STALL: u64 = 200_000;
/// Recoveries without a frame in between.
pub const ATTEMPTS: u32 = 3;

/// How the engine is built into the PL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hardware {
    /// Frame stores, 1 to 32.
    pub stores: u8,
    /// Bytes of the memory-mapped data path, a power of two.
    pub alignment: u32,
    /// A data realignment engine: nothing need be aligned.
    pub realignment: bool,
}

/// The form of a picture in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Bytes of a line, 1 to 65,535.
    pub line_bytes: u32,
    /// Lines, 1 to 8,191.
    pub lines: u32,
    /// Bytes from the start of a line to that of the next, `line_bytes` to 65,535.
    pub stride: u32,
}

impl Picture {
    /// Bytes from the first to the one behind the last.
    pub fn bytes(&self) -> Option<u32> {
        self.lines.checked_sub(1)?.checked_mul(self.stride)?.checked_add(self.line_bytes)
    }
}

/// How frame stores follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// All in turn.
    Circular,
    /// As [`Channel::flip`] says, from this one on.
    Parked(u8),
}

/// Why a channel cannot be set up as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// There are more pictures than frame stores, or none.
    #[error("{wanted} pictures for {stores} frame stores")]
    Stores {
        /// Pictures.
        wanted: usize,
        /// Frame stores of the engine.
        stores: u8,
    },
    /// The number of frame stores is no multiple of the number of pictures, so they cannot be taken in turn.
    #[error("{stores} frame stores cannot go through {wanted} pictures in turn")]
    Circular {
        /// Pictures.
        wanted: usize,
        /// Frame stores of the engine.
        stores: u8,
    },
    /// It is to park where no picture is.
    #[error("parked on picture {store} of {wanted}")]
    Park {
        /// Where.
        store: u8,
        /// Pictures.
        wanted: usize,
    },
    /// A size is 0 or too large for its register, or the stride is less than a line.
    #[error("{0:?} does not fit the engine's registers")]
    Size(Picture),
    /// Without realignment engine, sizes and addresses must be multiples of the data path's width.
    #[error("{value:#x} is no multiple of the data path's {alignment} bytes")]
    Alignment {
        /// The size or address.
        value: u32,
        /// Bytes of the data path.
        alignment: u32,
    },
    /// A picture would reach beyond the end of the address space.
    #[error("a picture at {0:#010x} reaches beyond the end of the address space")]
    Address(u32),
}

/// Why a channel does not flip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlipError {
    /// It does not run, or takes its pictures in turn.
    #[error("the channel is not parked on a picture")]
    NotParked,
    /// There is no such picture.
    #[error("there is no picture {0}")]
    NoPicture(u8),
    /// The last flip is not over.
    #[error("the last flip is under way")]
    Pending,
    /// The engine cannot read the picture.
    #[error(transparent)]
    Picture(#[from] SetupError),
}

/// Why a channel has failed for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// A reset did not end within [`RESET_TIME`]. The engine may still use memory. Should it end later, the channel [recovers](Change::Recovered), or does what
    /// else it was reset for.
    #[error("the reset did not end in {RESET_TIME} µs: is the stream's clock running?")]
    Reset,
    /// Errors came again and again.
    #[error("{ATTEMPTS} times halted by errors without a frame in between")]
    Errors,
    /// No frame ended.
    #[error("no frame in {STALL} µs, {ATTEMPTS} times: is anything connected to the stream?")]
    Stalled,
}

/// What a channel does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing. Memory is not touched.
    Stopped,
    /// A reset is under way.
    Resetting,
    /// It moves frames.
    Running,
    /// It does nothing any more until it is started again, or until a reset [ends after all](Failure::Reset).
    Failed(Failure),
}

/// How often what has happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Interrupts at the end of frames.
    pub frames: u64,
    /// Internal errors of the data mover; each halts.
    pub internal: u32,
    /// Errors answered by memory; each halts.
    pub slave: u32,
    /// Addresses that nobody decoded; each halts.
    pub decode: u32,
    /// Frames that began too early.
    pub sof_early: u32,
    /// Lines that were too short.
    pub eol_early: u32,
    /// Frames that were too long.
    pub sof_late: u32,
    /// Lines that were too long.
    pub eol_late: u32,
    /// Times that no frame ended for too long.
    pub stalls: u32,
    /// Resets to recover.
    pub recoveries: u32,
    /// Resets that did not end in time.
    pub overdue: u32,
}

/// What an interrupt, or the lapse of time, has brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// A frame has ended.
    pub frame: bool,
    /// A flip is over: what was shown before is free.
    pub flipped: Option<u8>,
    /// The frame that ended, or was under way, is damaged.
    pub damaged: bool,
    /// What has become of the channel.
    pub change: Option<Change>,
}

/// What has become of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It has been reset because of an error, or had failed because its reset did not end, and runs again.
    Recovered,
    /// It has stopped, as [`Channel::stop`] asked.
    Stopped,
    /// It has failed.
    Failed(Failure),
}

impl From<Change> for Outcome {
    fn from(change: Change) -> Self {
        Self { change: Some(change), ..Self::default() }
    }
}

/// What to do after a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Start,
    Recover,
    Stop,
    GiveUp(Failure),
}

#[derive(Clone, Copy, Debug)]
struct Reset {
    after: After,
    /// Must be over then; `None`: it is overdue.
    ends: Option<u64>,
    look: u64,
}

#[derive(Clone, Copy, Debug)]
struct Setup {
    picture: Picture,
    addresses: [u32; STORES],
    pictures: usize,
    mode: Mode,
}

#[derive(Clone, Copy, Debug)]
struct Flip {
    store: u8,
    /// The end of a frame that was already pending when the pointer was written says nothing.
    stale: bool,
}

/// One channel.
#[derive(Debug)]
pub struct Channel<B> {
    block: Block<B>,
    hardware: Hardware,
    state: State,
    setup: Option<Setup>,
    reset: Option<Reset>,
    flip: Option<Flip>,
    /// When the last frame ended, or the channel began to run.
    last_frame: u64,
    /// Recoveries since the last frame.
    attempts: u32,
    counters: Counters,
}

impl<B: Registers> Channel<B> {
    /// A channel that has not been touched since power-up, or since its last owner.
    pub fn new(back_end: B, direction: Direction, hardware: Hardware) -> Self {
        Self {
            block: Block::new(back_end, direction),
            hardware,
            state: State::Stopped,
            setup: None,
            reset: None,
            flip: None,
            last_frame: 0,
            attempts: 0,
            counters: Counters::default(),
        }
    }

    /// The registers.
    pub fn block(&self) -> &Block<B> {
        &self.block
    }

    /// Major and minor version of the engine.
    pub fn version(&self) -> [u32; 2] {
        let version = self.block.version().get();
        [VERSION::MAJOR.read(version), VERSION::MINOR.read(version)]
    }

    /// How the engine is built.
    pub fn hardware(&self) -> Hardware {
        self.hardware
    }

    /// What it does.
    pub fn state(&self) -> State {
        self.state
    }

    /// How often what has happened.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The picture that the engine is moving, or moved last.
    pub fn current(&self) -> u8 {
        let store = self.block.store();
        match self.setup {
            Some(Setup { pictures, mode: Mode::Circular, .. }) => (usize::from(store) % pictures.max(1)) as u8,
            _ => store,
        }
    }

    /// The picture that has been parked on last, whether the engine is there yet or not.
    pub fn parked(&self) -> Option<u8> {
        match self.setup?.mode {
            Mode::Parked(store) => Some(store),
            Mode::Circular => None,
        }
    }

    /// Sets the channel running on pictures at bus addresses. It is reset before; `now` is a time in µs.
    ///
    /// # Errors
    /// [`SetupError`]; then the channel goes on with what it did.
    pub fn start(&mut self, picture: Picture, addresses: &[u32], mode: Mode, now: u64) -> Result<Outcome, SetupError> {
        self.setup = Some(self.check(picture, addresses, mode)?);
        self.flip = None;
        self.attempts = 0;
        Ok(self.begin_reset(After::Start, now))
    }

    /// Stops the channel. When it is [stopped](State::Stopped), now or after [`on_time`](Self::on_time), no memory is touched any more.
    pub fn stop(&mut self, now: u64) -> Outcome {
        self.setup = None;
        self.flip = None;
        self.begin_reset(After::Stop, now)
    }

    /// Lets the frames from the next one on use picture `store`. [`Outcome::flipped`] says when what was shown before is free.
    ///
    /// A channel whose reset is [overdue](Failure::Reset) begins with that picture should it recover. Until then it can be told another one.
    ///
    /// # Errors
    /// [`FlipError`]; then nothing changes.
    pub fn flip(&mut self, store: u8) -> Result<(), FlipError> {
        if self.is_flipping() {
            return Err(FlipError::Pending);
        }
        let running = matches!(self.state, State::Running | State::Resetting | State::Failed(Failure::Reset));
        let Some(setup) = self.setup.as_mut().filter(|_| running) else { return Err(FlipError::NotParked) };
        if !matches!(setup.mode, Mode::Parked(_)) {
            return Err(FlipError::NotParked);
        }
        if usize::from(store) >= setup.pictures {
            return Err(FlipError::NoPicture(store));
        }
        setup.mode = Mode::Parked(store);
        // What the client drew is in memory before the engine is told to read it.
        self.block.synchronize();
        if self.state == State::Running {
            self.block.park(store);
        }
        let stale = self.block.status().is_set(STATUS::FRAME);
        self.flip = Some(Flip { store, stale });
        Ok(())
    }

    /// The last flip is not over, and will be.
    fn is_flipping(&self) -> bool {
        self.flip.is_some() && self.state != State::Failed(Failure::Reset)
    }

    /// Lets the frames from the next one on use another picture of the same form at `address`. It takes the place of one that is not shown.
    ///
    /// # Errors
    /// [`FlipError`]; then nothing changes.
    pub fn flip_to(&mut self, address: u32) -> Result<(), FlipError> {
        if self.is_flipping() {
            return Err(FlipError::Pending);
        }
        let Some(Setup { pictures, mode: Mode::Parked(shown), .. }) = self.setup else {
            return Err(FlipError::NotParked);
        };
        let next = ((usize::from(shown) + 1) % pictures.max(1)) as u8;
        if next == shown {
            return Err(FlipError::NoPicture(1));
        }
        self.replace(next, address)?;
        self.flip(next)
    }

    /// Puts another picture of the same form at `address` into the place of picture `store`, from the next frame that begins on.
    ///
    /// # Errors
    /// [`SetupError`]; then nothing changes.
    pub fn replace(&mut self, store: u8, address: u32) -> Result<(), SetupError> {
        let wanted = self.setup.map_or(0, |setup| setup.pictures);
        let Some(mut setup) = self.setup.filter(|setup| usize::from(store) < setup.pictures) else {
            return Err(SetupError::Park { store, wanted });
        };
        self.check(setup.picture, &[address], Mode::Parked(0))?;
        for place in setup.addresses.iter_mut().skip(usize::from(store)).step_by(wanted.max(1)) {
            *place = address;
        }
        self.setup = Some(setup);
        if self.state == State::Running {
            self.write_addresses(&setup);
            self.commit(&setup);
        }
        Ok(())
    }

    /// When [`on_time`](Self::on_time) has something to do, in µs.
    pub fn deadline(&self) -> Option<u64> {
        match (self.reset, self.state) {
            (Some(reset), _) => Some(reset.look),
            (None, State::Running) => Some(self.last_frame + STALL),
            (None, _) => None,
        }
    }

    /// The channel's interrupt line is raised.
    pub fn on_interrupt(&mut self, now: u64) -> Outcome {
        let status = self.block.status().get();
        // Exactly what has been seen; what comes after this raises the line again.
        self.block.status().clear(status & CLEARABLE);
        if self.state != State::Running {
            return Outcome::default();
        }
        let mut outcome = Outcome::default();
        self.count_errors(status, &mut outcome);
        if STATUS::FRAME.is_set(status) {
            outcome.frame = true;
            self.counters.frames += 1;
            self.last_frame = now;
            self.attempts = 0;
            outcome.flipped = self.flip_over();
        }
        if status & HALTING != 0 || STATUS::HALTED.is_set(status) {
            outcome.damaged = true;
            return self.recover(Failure::Errors, outcome, now);
        }
        outcome
    }

    /// The time is at [`deadline`](Self::deadline) or later.
    pub fn on_time(&mut self, now: u64) -> Outcome {
        if let Some(reset) = self.reset {
            return self.look(reset, now);
        }
        if self.state == State::Running && now >= self.last_frame + STALL {
            // An interrupt that has not been handled yet is not a stall.
            if self.block.status().is_set(STATUS::FRAME) {
                return self.on_interrupt(now);
            }
            self.counters.stalls += 1;
            return self.recover(Failure::Stalled, Outcome::default(), now);
        }
        Outcome::default()
    }

    fn count_errors(&mut self, status: u32, outcome: &mut Outcome) {
        let counters = &mut self.counters;
        for (field, counter) in [
            (STATUS::INTERNAL, &mut counters.internal),
            (STATUS::SLAVE, &mut counters.slave),
            (STATUS::DECODE, &mut counters.decode),
            (STATUS::SOF_EARLY, &mut counters.sof_early),
            (STATUS::EOL_EARLY, &mut counters.eol_early),
            (STATUS::SOF_LATE, &mut counters.sof_late),
            (STATUS::EOL_LATE, &mut counters.eol_late),
        ] {
            if field.is_set(status) {
                *counter = counter.saturating_add(1);
                outcome.damaged = true;
            }
        }
    }

    /// A frame has ended: whether that ends the flip.
    fn flip_over(&mut self) -> Option<u8> {
        let flip = self.flip.as_mut()?;
        if flip.stale && self.block.store() != flip.store {
            flip.stale = false;
            return None;
        }
        self.flip.take().map(|flip| flip.store)
    }

    fn recover(&mut self, failure: Failure, outcome: Outcome, now: u64) -> Outcome {
        self.attempts += 1;
        self.counters.recoveries = self.counters.recoveries.saturating_add(1);
        if self.attempts > ATTEMPTS {
            // It must not go on with memory that may be taken away.
            let change = self.begin_reset(After::GiveUp(failure), now).change;
            return Outcome { change, ..outcome };
        }
        let reset = self.begin_reset(After::Recover, now);
        Outcome { change: reset.change, flipped: outcome.flipped.or(reset.flipped), ..outcome }
    }

    fn begin_reset(&mut self, after: After, now: u64) -> Outcome {
        let under_way = self.reset.replace(Reset { after, ends: Some(now + RESET_TIME), look: now + RESET_POLL });
        if under_way.is_none() {
            self.block.control().write(CONTROL::RESET::SET);
        }
        self.state = State::Resetting;
        for _ in 0..RESET_LOOKS {
            if !self.block.control().is_set(CONTROL::RESET) {
                return self.reset_over(after, now);
            }
        }
        Outcome::default()
    }

    /// Whether the reset is over.
    fn look(&mut self, reset: Reset, now: u64) -> Outcome {
        if !self.block.control().is_set(CONTROL::RESET) {
            return self.reset_over(reset.after, now);
        }
        let Some(ends) = reset.ends else {
            self.reset = Some(Reset { look: now + RESET_RETRY, ..reset });
            return Outcome::default();
        };
        if now < ends {
            self.reset = Some(Reset { look: ends.min(now + RESET_POLL), ..reset });
            return Outcome::default();
        }
        self.counters.overdue = self.counters.overdue.saturating_add(1);
        self.state = State::Failed(Failure::Reset);
        // Who hears of the failure must hear when it is over.
        let after = if reset.after == After::Start { After::Recover } else { reset.after };
        self.reset = Some(Reset { after, ends: None, look: now + RESET_RETRY });
        Change::Failed(Failure::Reset).into()
    }

    fn reset_over(&mut self, after: After, now: u64) -> Outcome {
        self.reset = None;
        let setup = match after {
            After::Start | After::Recover => self.setup,
            After::Stop => None,
            After::GiveUp(failure) => {
                self.state = State::Failed(failure);
                return Change::Failed(failure).into();
            }
        };
        let Some(setup) = setup else {
            self.state = State::Stopped;
            return Change::Stopped.into();
        };
        self.program(&setup);
        self.state = State::Running;
        self.last_frame = now;
        if after == After::Start {
            return Outcome::default();
        }
        // No frame is under way, and the next one is on the new picture.
        let flipped = self.flip.take().map(|flip| flip.store);
        Outcome { flipped, ..Change::Recovered.into() }
    }

    /// Writes everything, in the order that PG020 demands ("Programming Sequence"): running first, VSIZE last.
    fn program(&self, setup: &Setup) {
        let circular = match setup.mode {
            Mode::Circular => CONTROL::CIRCULAR::SET,
            Mode::Parked(store) => {
                self.block.park(store);
                CONTROL::CIRCULAR::CLEAR
            }
        };
        self.block.control().write(
            CONTROL::RUN::SET
                + circular
                + CONTROL::GENLOCK_INTERNAL::SET
                + CONTROL::FRAME_INTERRUPT::SET
                + CONTROL::ERROR_INTERRUPT::SET
                + CONTROL::FRAME_COUNT.val(1),
        );
        self.write_addresses(setup);
        self.block.stride().write(STRIDE::BYTES.val(setup.picture.stride));
        self.block.line_bytes().set(setup.picture.line_bytes);
        self.commit(setup);
    }

    fn write_addresses(&self, setup: &Setup) {
        let stores = usize::from(self.hardware.stores);
        for (bank, addresses) in setup.addresses.chunks(BANK).enumerate() {
            if bank * BANK >= stores {
                break;
            }
            if stores > BANK {
                self.block.index().set(bank as u32);
            }
            for (number, address) in addresses.iter().enumerate().take(stores - bank * BANK) {
                if let Some(register) = self.block.address(number) {
                    register.set(*address);
                }
            }
        }
    }

    /// Writes VSIZE, which makes the other registers hold from the next frame on.
    fn commit(&self, setup: &Setup) {
        // What is in memory is there before the engine begins.
        self.block.synchronize();
        self.block.lines().set(setup.picture.lines);
    }

    fn check(&self, picture: Picture, pictures: &[u32], mode: Mode) -> Result<Setup, SetupError> {
        let Hardware { stores, alignment, realignment } = self.hardware;
        let wanted = pictures.len();
        if wanted == 0 || wanted > usize::from(stores) || wanted > STORES {
            return Err(SetupError::Stores { wanted, stores });
        }
        match mode {
            Mode::Circular if !usize::from(stores).is_multiple_of(wanted) => {
                return Err(SetupError::Circular { wanted, stores });
            }
            Mode::Parked(store) if usize::from(store) >= wanted => return Err(SetupError::Park { store, wanted }),
            _ => {}
        }
        let Picture { line_bytes, lines, stride } = picture;
        let fits = (1..=0xFFFF).contains(&line_bytes) && (1..=0x1FFF).contains(&lines);
        if !fits || stride < line_bytes || stride > 0xFFFF {
            return Err(SetupError::Size(picture));
        }
        let sizes = [line_bytes, stride];
        let odd = |value: &&u32| !value.is_multiple_of(alignment.max(1));
        if !realignment && let Some(value) = sizes.iter().chain(pictures).find(odd) {
            return Err(SetupError::Alignment { value: *value, alignment });
        }
        let bytes = picture.bytes().ok_or(SetupError::Size(picture))?;
        // Frame stores that are not used point to pictures as well: none is left that points to memory of others.
        let mut addresses = [0; STORES];
        for (address, picture) in addresses.iter_mut().zip(pictures.iter().cycle()) {
            picture.checked_add(bytes - 1).ok_or(SetupError::Address(*picture))?;
            *address = *picture;
        }
        Ok(Setup { picture, addresses, pictures: wanted, mode })
    }
}

/// Bits that a one clears. The write channel's do not exist in the read channel, where writing them does nothing.
const CLEARABLE: u32 = STATUS::INTERNAL::SET.value
    | STATUS::SOF_EARLY::SET.value
    | STATUS::EOL_EARLY::SET.value
    | STATUS::SOF_LATE::SET.value
    | STATUS::FRAME::SET.value
    | STATUS::DELAY::SET.value
    | STATUS::ERROR::SET.value
    | STATUS::EOL_LATE::SET.value;

/// Errors that halt.
const HALTING: u32 = STATUS::INTERNAL::SET.value | STATUS::SLAVE::SET.value | STATUS::DECODE::SET.value;
