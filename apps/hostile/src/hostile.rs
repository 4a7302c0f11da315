//! The one who does harm, or tries to.

use core::fmt;
use core::sync::atomic::Ordering;

use abi::{Info, slot};
use component::cap::{Capability, call, call_for_cap, call_words, load};
use component::{Account, Attached, Dataspace, Error, Open, Session, gate, open};
use fastrand::Rng;
use session::block::{BlockRequest, ENTER};
use session::core::{AccountInfo, WRITE};
use session::echo::ECHO;
use session::log::LogRequest;
use session::message::{TEXT, WORDS};
use session::{Message, Service};

use crate::{CHECK, GOING};

/// Messages between two looks of the witness.
const ROUND: u32 = 10_000;
/// Capabilities got from others that are kept to be used.
const POOL: usize = 12;
/// Slots that are guessed: those of the capability space. The kernel treats the use of any other as a fault.
const GUESSED_SLOTS: u32 = 128;
/// The buffer of the Block session.
const BUFFER: u32 = 4096;

/// Labels of requests to the parent: to close a session, and to end the component.
const CLOSE: u32 = 2;
const EXIT: u32 = 3;
/// A request to the domain that unmaps memory: the program's own, if the number is guessed.
const DETACH: u32 = 33;
/// A request to an account for an endpoint, on which nobody would answer.
const CREATE_ENDPOINT: u32 = 9;

/// Who is sent something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Parent,
    Domain,
    Account,
    Witness,
    Log,
    Timer,
    Block,
    Devices,
    /// Something that somebody has answered with.
    Pool,
}

impl Target {
    const ALL: [Self; 9] = [
        Self::Parent,
        Self::Domain,
        Self::Account,
        Self::Witness,
        Self::Log,
        Self::Timer,
        Self::Block,
        Self::Devices,
        Self::Pool,
    ];

    /// Labels that mean something to it.
    const fn labels(self) -> core::ops::Range<u32> {
        match self {
            Self::Parent => 1..24,
            Self::Domain => 32..52,
            Self::Account => 1..20,
            Self::Witness | Self::Log | Self::Timer | Self::Block | Self::Devices => 1..8,
            Self::Pool => 1..72,
        }
    }
}

/// Sessions with everybody.
struct Sessions {
    witness: Session,
    log: Session,
    timer: Session,
    block: Session,
    devices: Session,
}

fn open_all() -> Result<Sessions, Error> {
    let small = |service| open(&Open { ram: 8192, caps: 6, ..Open::new(service) });
    Ok(Sessions {
        witness: small(Service::Echo)?,
        log: small(Service::Log)?,
        timer: small(Service::Timer)?,
        block: open_block()?,
        devices: open(&Open { ram: 32 * 1024, caps: 10, ..Open::new(Service::Devices) })?,
    })
}

fn open_block() -> Result<Session, Error> {
    open(&Open { ram: BUFFER + 32 * 1024, caps: 10, argument: BUFFER, ..Open::new(Service::Block) })
}

struct Hostile {
    random: Rng,
    sessions: Sessions,
    rings: Option<Attached>,
    pool: heapless::Vec<Capability, POOL>,
    sent: [u32; Target::ALL.len()],
    answered: u32,
    refused: u32,
}

pub(crate) fn run(seed: u64, messages: u32) -> Result<(), Error> {
    let before = Account::own().info()?;
    let mut hostile = Hostile {
        random: Rng::with_seed(seed),
        sessions: open_all()?,
        rings: None,
        pool: heapless::Vec::new(),
        sent: [0; Target::ALL.len()],
        answered: 0,
        refused: 0,
    };
    hostile.say(format_args!("hostile, with seed {seed}"));
    let result = hostile.rage(messages, (before.ram, before.caps));
    match result {
        Ok(()) => hostile.say(format_args!("{hostile}")),
        Err(error) => hostile.say(format_args!("wrong: {error:?}, after {hostile}")),
    }
    result
}

impl Hostile {
    fn rage(&mut self, messages: u32, assigned: (u32, u32)) -> Result<(), Error> {
        for number in 0..messages {
            if number % ROUND == 0 {
                self.visit(CHECK)?;
                let AccountInfo { ram, caps, .. } = Account::own().info()?;
                if (ram, caps) != assigned {
                    self.say(format_args!("wrong: the account has {ram} bytes and {caps} capabilities now"));
                    return Err(Error::Kernel);
                }
            }
            self.send();
        }
        self.visit(GOING)
    }

    /// Calls the witness as it wants to be called.
    fn visit(&self, words: [u32; 4]) -> Result<(), Error> {
        let (label, answer) = call_words(self.slot(Target::Witness), ECHO, words, 4);
        Error::check(label)?;
        if answer == words { Ok(()) } else { Err(Error::Invalid) }
    }

    /// Writes a line, by the session that is also sent nonsense.
    fn say(&self, text: fmt::Arguments<'_>) {
        let mut line = heapless::String::<TEXT>::new();
        // What is too long is cut.
        let _ = fmt::write(&mut line, text);
        let mut message = LogRequest::Write { end: 1 }.encode();
        message.push_text(&line);
        let _ = call(self.slot(Target::Log), &message, &[]);
    }

    fn slot(&self, target: Target) -> u32 {
        let session = match target {
            Target::Parent => return slot::PARENT,
            Target::Domain => return slot::DOMAIN,
            Target::Account => return slot::ACCOUNT,
            Target::Pool => return self.pool_slot(self.answered),
            Target::Witness => &self.sessions.witness,
            Target::Log => &self.sessions.log,
            Target::Timer => &self.sessions.timer,
            Target::Block => &self.sessions.block,
            Target::Devices => &self.sessions.devices,
        };
        session.capability.as_ref().map_or(slot::ACCOUNT, Capability::slot)
    }

    /// Any slot of the pool, or that of the account if it is empty.
    fn pool_slot(&self, any: u32) -> u32 {
        let index = any as usize % self.pool.len().max(1);
        self.pool.get(index).map_or(slot::ACCOUNT, Capability::slot)
    }

    /// A number, often one that could mean something.
    fn word(&mut self) -> u32 {
        match self.random.u32(0..8) {
            0 => 0,
            1 | 2 => self.random.u32(0..16),
            3 => self.random.u32(0..256) * 4096,
            4 => 1 << self.random.u32(0..32),
            5 => (1 << self.random.u32(0..32)) - 1,
            6 => self.random.u32(0x1000_0000..0x1100_0000) & !0xfff,
            _ => self.random.u32(..),
        }
    }

    /// A capability to send along, or the number of a slot that may be empty.
    fn cap(&mut self) -> u32 {
        match self.random.u32(0..4) {
            0 => self.random.u32(1..9),
            1 => self.random.u32(0..GUESSED_SLOTS),
            _ => {
                let any = self.random.u32(..);
                self.pool_slot(any)
            }
        }
    }

    /// One message, or something else that nobody should do.
    fn send(&mut self) {
        match self.random.u32(0..100) {
            0 => self.scribble(),
            1 => {
                let slot = self.random.u32(..);
                gate::signal(slot);
            }
            2 => self.forge(),
            _ => {}
        }
        let index = self.random.usize(0..Target::ALL.len());
        let Some(&target) = Target::ALL.get(index) else { return };
        if let Some(sent) = self.sent.get_mut(index) {
            *sent += 1;
        }
        let label = if self.random.u32(0..4) == 0 { self.word() } else { self.random.u32(target.labels()) };
        let mut message = Message::new(label);
        for _ in 0..if self.random.bool() { self.random.usize(0..5) } else { self.random.usize(0..WORDS) } {
            // Text that is none keeps the log readable.
            let word = if target == Target::Log { self.random.u32(..) | 0x8080_8080 } else { self.word() };
            message.push(word);
        }
        let caps = [self.cap(), self.cap(), self.cap()];
        let count = if self.random.bool() { 0 } else { self.random.usize(0..4) };
        let Ok(receiver) = Capability::reserve() else {
            self.pool.clear();
            return;
        };
        gate::set_receive(receiver.slot());
        let mut registers = load(self.slot(target), &message, caps.get(..count).unwrap_or(&[]));
        if self.random.u32(0..8) == 0 {
            // A length that is not that of the message, and label bits that do not exist.
            registers.info = Info(self.random.u32(..) & !(3 << 7) | (count as u32) << 7);
        }
        let label = registers.info.label();
        if self.is_suicide(target, label, registers.words) {
            return;
        }
        let answer = gate::call(registers);
        if answer.info.label() == 0 {
            self.answered += 1;
        } else {
            self.refused += 1;
        }
        let brought = answer.info.caps() > 0 && answer.info.unwrapped() == 0;
        if brought && !(matches!(target, Target::Account | Target::Pool) && label == CREATE_ENDPOINT) {
            self.keep(receiver);
        }
    }

    /// Whether a message would only end this component, or its means to tell of it.
    fn is_suicide(&self, target: Target, label: u32, [first, ..]: [u32; 4]) -> bool {
        match (target, label) {
            (Target::Parent, EXIT) | (Target::Domain, DETACH) => true,
            (Target::Parent, CLOSE) => {
                [&self.sessions.witness, &self.sessions.log].map(Session::number).contains(&first)
            }
            _ => false,
        }
    }

    /// Puts a capability into the pool, in the place of another if it is full.
    fn keep(&mut self, capability: Capability) {
        if self.pool.is_full() {
            let index = self.random.usize(0..POOL);
            drop(self.pool.swap_remove(index));
        }
        // There is room now.
        let _ = self.pool.push(capability);
    }

    /// Writes nonsense to the rings of the Block session, and makes the driver look at them.
    fn scribble(&mut self) {
        let session = self.slot(Target::Block);
        let enter = |wait| call_words(session, ENTER, [wait, 0, 0, 0], 1).0;
        if enter(0) != 0 {
            // A guess has closed the session, and its memory is gone: to write there would be a fault.
            self.rings = None;
            if let Ok(block) = open_block() {
                self.sessions.block = block;
            }
            return;
        }
        if self.rings.is_none() {
            let Ok((_, Some(rings))) = call_for_cap(session, &BlockRequest::Rings.encode(), &[]) else { return };
            self.rings = Dataspace::from_capability(rings).and_then(|rings| Attached::new(&rings, WRITE, None)).ok();
        }
        for _ in 0..self.random.usize(1..64) {
            let value = self.word();
            let words = self.rings.as_ref().map_or(&[][..], Attached::words);
            let index = self.random.usize(0..words.len().max(1));
            if let Some(word) = words.get(index) {
                word.store(value, Ordering::SeqCst);
            }
        }
        enter(self.random.u32(0..2));
    }

    /// Tries to make other badges of what it has, and to take what is nowhere.
    fn forge(&mut self) {
        let source = if self.random.bool() { self.random.u32(1..GUESSED_SLOTS) } else { self.cap() };
        // Nobody would answer on the own endpoint, nor to a fault; with the others, a guess could end this component.
        if matches!(source, slot::SELF | slot::DOMAIN | slot::ENDPOINT | slot::PARENT | slot::FAULT) {
            return;
        }
        let badge = self.word();
        let forged = if self.random.bool() { Capability::mint(source, badge) } else { Capability::copy(source) };
        if let Ok(capability) = forged {
            self.keep(capability);
        }
    }
}

impl fmt::Display for Hostile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum: u32 = self.sent.iter().sum();
        write!(f, "hostile: {sum} messages, {} answered, {} refused:", self.answered, self.refused)?;
        Target::ALL.iter().zip(self.sent).try_for_each(|(target, sent)| write!(f, " {target:?} {sent}"))
    }
}
