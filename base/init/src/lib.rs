//! The init component.
//!
//! # Theory of operation
//!
//! init is the first component and the parent of the others. It reads the system description, starts the children, each from an account of
//! its own, and then only reacts: to requests of its children, and to signals that one of them has faulted. It holds all policy: who has how
//! much, who may talk to whom.
//!
//! It never waits for a child. A session request for a server is written down, the server's parent signal is raised, and
//! the client is answered when the server has answered; a server that does not answer stalls that one request. Closing works
//! the same way, so that no server ever loses memory that it is still using.
//!
//! A component that ends, by itself, by a fault, or because init ends it, is stopped at once. Then its servers let go of what they do for it, the device manager
//! among them; only after that its own clients' sessions end, and its account is closed. What comes next says its policy (`lifecycle`): it stays
//! ended, is started again, or is removed. Its clients get a typed error and open their sessions anew; requests for sessions wait for the next instance.
//!
//! When every component whose end matters has ended, init prints what each has used, ends the others, clients before their servers, and
//! lets core compare the free memory with that of the start. An init can be a component of another one (a *nested* init): its configuration names
//! the boot module with its description, its exit code is that of its first component that failed, and what it cannot have from its own children it
//! asks its parent for, which is boot modules and core's log.
//!
//! - `apply` puts descriptions into force, `exchange` and `sessions` are about sessions, `quota` about who is given more and who gives back,
//!   `roms` about reports and ROMs that change, `clock` about pauses and signs of life;
//! - [`description`], [`state`] and [`manage`] are for those who manage a system.
//!
//! What can be decided without a kernel (`exchange`, [`lifecycle`], [`description`], [`state`]) is in modules that know none, and tested on the host. The
//! others reach what they drive through one module, `platform`.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod apply;
mod children;
mod clock;
pub mod description;
mod exchange;
mod faults;
pub mod lifecycle;
pub mod manage;
mod program;
mod quota;
mod report;
mod roms;
mod sessions;
mod starving;
pub mod state;

/// What init drives.
mod platform {
    pub(crate) use component::cap::{load, store};
    pub(crate) use component::gate;
    pub(crate) use component::mark;
    pub(crate) use component::signal::Signal;
    pub(crate) use component::{
        Account, Attach, Attached, Capability, Dataspace, Domain, Error, Figures, NewThread, Rom, ask, log, next_event,
        yielded,
    };
}

use abi::{ENDPOINT_BADGE, PARENT_SIGNAL, slot};
use component::Env;
use session::Message;
use session::parent::ParentRequest;

use crate::children::{Child, Children};
use crate::description::{Name, OnExit};
use crate::lifecycle::{End, Next, State};
use crate::platform::{Capability, Domain, Error, Figures, Rom, Signal, gate, load, log, mark, store};
use crate::program::Programs;
use crate::roms::OwnSessions;
use crate::sessions::Sessions;

/// Signal of a child's fault.
const CHILD_SIGNAL: u32 = 1;
/// Faults of a component that are written down with all registers.
const REPORTS: u32 = 5;
/// Module with the description of the first init.
const SYSTEM: &str = "system";

#[allow(clippy::struct_excessive_bools, reason = "each is something to be done or a fact of its own")]
struct Init {
    children: Children,
    sessions: Sessions,
    own: OwnSessions,
    programs: Programs,
    /// What faults of children raise.
    faults: Capability,
    /// Whether there is a parent to report the end to.
    nested: bool,
    /// What the timer raises.
    tick_signal: Signal,
    /// Who is asked for the time.
    timer: Option<Name>,
    /// Whose report is the next description.
    manager: Option<Name>,
    /// Who is believed when it says that others do not get the processor.
    watchdog: Option<Name>,
    /// Number of the description in force.
    description: u32,
    /// The system is being taken down.
    ending: bool,
    /// Something has ended since it was last looked for the end of all.
    look_for_end: bool,
    /// Number of components whose servers have not let go yet.
    leaving: usize,
    /// Some component waits for its start.
    waiting: bool,
    /// Instances destroyed so far: what cannot be started is tried again when there is more memory.
    destroyed: u32,
    failures: u32,
    /// Exit code of the system: that of the first failure.
    code: u32,
    /// What core had free after the first end of a component that is audited.
    audit: Option<Figures>,
}

/// What to answer a child at once; `None`: it is answered later or never.
type Reply = Option<(Message, Option<Capability>)>;

/// Runs init: never returns, unless it cannot start or, as a nested init, its system has ended.
///
/// # Errors
/// The system description cannot be read.
pub fn run(env: Env) -> Result<(), Error> {
    let name = core::str::from_utf8(env.config_text()).map_err(|_| Error::Invalid)?;
    let nested = !name.is_empty();
    if !nested {
        component::log::use_core();
        log!("started");
        mark::end::<{ mark::interval::BOOT }>();
        Domain::own().free_memory()?;
    }
    let rom = Rom::open(if nested { name } else { SYSTEM })?;
    let signal = Signal::new(CHILD_SIGNAL).ok_or(Error::Invalid)?;
    let mut init = Init {
        children: Children::new(),
        sessions: Sessions::new(),
        own: OwnSessions::new(),
        programs: Programs::new(),
        faults: signal.capability()?,
        nested,
        tick_signal: Signal::new(clock::TICK_SIGNAL).ok_or(Error::Invalid)?,
        timer: None,
        manager: None,
        watchdog: None,
        description: 0,
        ending: false,
        look_for_end: true,
        leaving: 0,
        waiting: false,
        destroyed: 0,
        failures: 0,
        code: 0,
        audit: None,
    };
    init.apply(rom.content());
    drop(rom);
    log!("{} components started", init.children.iter().filter(|(_, child)| child.state == State::Running).count());
    if init.children.is_empty() {
        log!("there is nothing to start");
        return Err(Error::Invalid);
    }
    match init.serve(signal)? {
        0 => Ok(()),
        code => component::exit(code, ""),
    }
}

impl Init {
    /// Answers requests until the system has ended; returns its exit code.
    fn serve(&mut self, signal: Signal) -> Result<u32, Error> {
        let mut receiver = Capability::reserve()?;
        let mut answer = None;
        loop {
            if self.advance() && self.nested {
                return Ok(self.code);
            }
            let registers = answer.take().map(|(message, capability): (Message, Option<Capability>)| {
                let registers = match &capability {
                    Some(capability) => load(slot::ENDPOINT, &message, &[capability.slot()]),
                    None => load(slot::ENDPOINT, &message, &[]),
                };
                (registers, capability)
            });
            gate::set_receive(receiver.slot());
            let incoming = match registers {
                Some((registers, capability)) => {
                    let incoming = gate::reply_recv(registers);
                    drop(capability);
                    incoming
                }
                None => gate::recv(slot::ENDPOINT),
            };
            if incoming.slot & ENDPOINT_BADGE == 0 {
                if incoming.slot & signal.bit() != 0 {
                    self.look_for_faults();
                }
                if incoming.slot & self.tick_signal.bit() != 0 {
                    self.tick();
                }
                if self.nested && incoming.slot & PARENT_SIGNAL != 0 {
                    self.hear_parent();
                }
                continue;
            }
            let brought = incoming.info.caps() > 0 && incoming.info.unwrapped() == 0;
            let message = store(incoming);
            let received = if brought { receiver.take_received() } else { None };
            answer = self.request((incoming.slot & !ENDPOINT_BADGE) as usize, &message, received);
        }
    }

    fn request(&mut self, child: usize, message: &Message, received: Option<Capability>) -> Reply {
        if let Some(child) = self.children.get_mut(child) {
            child.silent = 0;
        }
        let result = match ParentRequest::decode(message) {
            Some((ParentRequest::Open { service, ram, caps, argument }, text)) => {
                self.open(child, service, [ram, caps, argument], message, text, received)
            }
            Some((ParentRequest::Close { session }, _)) => self.close(child, session),
            Some((ParentRequest::Upgrade { session, ram, caps }, _)) => self.upgrade(child, session, [ram, caps]),
            Some((ParentRequest::End { session }, _)) => self.end_session(child, session),
            Some((ParentRequest::Ask { ram, caps }, _)) => self.ask(child, [ram, caps]),
            Some((ParentRequest::Yielded, _)) => self.yielded(child),
            Some((ParentRequest::Brought { request }, _)) => self.brought(child, request),
            Some((ParentRequest::Exit { code }, text)) => {
                let word = message.text(text).unwrap_or_default();
                self.exit(child, code, &word);
                return None;
            }
            Some((ParentRequest::Next, _)) => Ok(Some(self.next(child))),
            Some((ParentRequest::Answer { request, status }, _)) => self.answer(child, request, status, received),
            Some((ParentRequest::Starving { priority }, _)) => self.starving(child, priority),
            Some((ParentRequest::Submit { session, bytes }, _)) => self.submit(child, session, bytes),
            Some((ParentRequest::Update { session }, _)) => self.update(child, session),
            None => Err(Error::Invalid),
        };
        match result {
            Ok(reply) => reply,
            Err(error) => Some((Message::new(error as u32), None)),
        }
    }

    fn exit(&mut self, child: usize, code: u32, word: &str) {
        let Some(ended) = self.children.get(child).filter(|child| child.state == State::Running) else { return };
        // Whoever is started again and again does not fill the log, and neither do whole trees of inits.
        let quiet = self.nested || ended.component.restart.is_some_and(|restart| restart.always);
        if code != 0 {
            log!("{} has exited with code {code} {word}", ended.component.name);
        } else if !quiet {
            log!("{} has finished", ended.component.name);
        }
        self.end(child, End::Exit(code));
    }

    fn look_for_faults(&mut self) {
        for index in 0..self.children.len() {
            let Some(child) = self.children.get(index).filter(|child| child.state == State::Running) else { continue };
            let Some(domain) = child.instance.as_ref().map(|instance| &instance.domain) else { continue };
            let Ok(status) = domain.status() else { continue };
            if status.faults > 0 {
                log!("{} has faulted and is stopped", child.component.name);
                // Whoever faults again and again does not fill the log.
                if child.restarts < REPORTS {
                    faults::print(&child.component.name, &child.component.binary, domain, &status);
                }
                if let Some(child) = self.children.get_mut(index) {
                    child.fault = Some([status.fault, status.instruction, status.address, status.thread]);
                }
                self.end(index, End::Fault);
            }
        }
    }

    /// Notes the end of a component, and lets its servers know. What comes next happens when they have let go: see [`retire`](Self::retire).
    fn end(&mut self, index: usize, end: End) {
        let Some(child) = self.children.get_mut(index) else { return };
        if child.state == State::Ending {
            // A removal goes before whatever should have come next.
            if matches!(end, End::Removed | End::Over) {
                child.next = Next::Remove;
            }
            return;
        }
        child.next = lifecycle::next(child.component.restart, child.restarts, end);
        if !matches!(end, End::Over) {
            child.end = Some(end);
        }
        if matches!(child.next, Next::Restart(_)) && end != End::Changed {
            child.restarts += 1;
        }
        if child.next == Next::Stay && end.is_failure() && child.component.on_exit != OnExit::Ignore {
            self.failures += 1;
            if self.code == 0 {
                self.code = if let End::Exit(code) = end { code } else { 1 };
            }
        }
        let over = child.next == Next::Stay && child.component.on_exit == OnExit::End;
        let ran = child.state == State::Running;
        if ran {
            child.stop();
        }
        child.state = State::Ending;
        child.requested = [0; 2];
        if ran {
            self.hang_up(index);
        }
        self.leaving += 1;
        self.close_sessions_of(index);
        self.retire(index);
        if over {
            self.take_down();
        }
    }

    /// Does what comes after the end of a component, once its servers have let go.
    ///
    /// The order matters where devices write to memory: the device manager resets a device when the session of its driver closes. Only after that
    /// the sessions that the driver served give their memory back.
    fn retire(&mut self, index: usize) {
        if self.sessions.is_client(index) {
            return;
        }
        let Some(next) = self.children.get(index).map(|child| child.next) else { return };
        self.leaving = self.leaving.saturating_sub(1);
        self.settle_server(index, matches!(next, Next::Restart(_)));
        if self.timer.is_some() {
            self.start_clock();
        }
        self.close_own_of(index);
        self.look_for_end = true;
        self.own.notify_state();
        let Some(child) = self.children.get_mut(index) else { return };
        // Whoever kept what was not his own does not keep it for the books.
        let kept = matches!(child.end, Some(End::Bankrupt | End::Unyielding));
        if next == Next::Stay && !kept {
            child.state = State::Ended;
            return;
        }
        self.destroyed = self.destroyed.wrapping_add(u32::from(child.instance.is_some()));
        if let Err(error) = child.destroy() {
            log!("{} cannot be destroyed: {error}", child.component.name);
        }
        if next == Next::Stay {
            child.state = State::Ended;
            self.grant_waiting();
            return;
        }
        if next == Next::Remove {
            self.children.remove(index);
            self.waiting = true;
            self.grant_waiting();
            return;
        }
        child.state = State::Waiting;
        if let (Next::Restart(delay), true) = (next, self.timer.is_some()) {
            child.delay = delay;
        }
        self.waiting = true;
        let audit = child.component.restart.is_some_and(|restart| restart.audit);
        self.grant_waiting();
        if audit {
            self.compare_figures(index);
        }
    }

    /// Starts a component that waits for that.
    fn start(&mut self, index: usize) {
        let Some(child) = self.children.get_mut(index).filter(|child| child.state == State::Waiting) else { return };
        mark::begin::<{ mark::interval::COMPONENT }>();
        let started = child.start(index as u32, &self.faults, &mut self.programs);
        mark::end::<{ mark::interval::COMPONENT }>();
        match started {
            Ok(()) => {
                child.unstartable = None;
                self.own.notify_state();
                if self.timer.is_some() {
                    self.start_clock();
                }
            }
            Err(error) => {
                child.unstartable = Some(self.destroyed);
                log!("{} cannot be started: {error}", child.component.name);
                self.end(index, End::Unstartable);
            }
        }
    }

    /// Starts what waits for that, unless it could not be started and nothing has changed since.
    fn start_waiting(&mut self) {
        for index in 0..self.children.len() {
            let ready = |child: &Child| child.delay == 0 && child.unstartable != Some(self.destroyed);
            if self.children.get(index).is_some_and(ready) {
                self.start(index);
            }
        }
    }

    /// Compares what core has free with what it had the first time.
    fn compare_figures(&mut self, index: usize) {
        let Some(child) = self.children.get(index) else { return };
        let (name, restarts) = (&child.component.name, child.restarts);
        let Ok(figures) = Domain::own().figures() else { return };
        let Figures { bytes, slots, caps } = figures;
        let first = *self.audit.get_or_insert(figures);
        let verdict = if first == figures { "as after the first" } else { "some are LOST" };
        log!("{name}: after round {restarts} {bytes} bytes, {slots} slots and {caps} capabilities are free, {verdict}");
    }

    /// Starts taking the system down.
    fn take_down(&mut self) {
        if !self.ending {
            self.ending = true;
            if !self.nested {
                report::print(&self.children);
            }
        }
    }

    /// Whether every component whose end matters has ended, and there is one.
    fn all_finished(&self) -> bool {
        let mut wanted = self.children.iter().filter(|(_, child)| child.component.on_exit == OnExit::Finish).peekable();
        wanted.peek().is_some() && wanted.all(|(_, child)| child.state == State::Ended)
    }

    /// Does what has become possible. `true`: the system has ended, and nothing is left.
    fn advance(&mut self) -> bool {
        if self.leaving > 0 {
            for index in 0..self.children.len() {
                if self.children.get(index).is_some_and(|child| child.state == State::Ending) {
                    self.retire(index);
                }
            }
        }
        if !self.ending {
            if core::mem::take(&mut self.waiting) {
                self.start_waiting();
            }
            if !core::mem::take(&mut self.look_for_end) || !self.all_finished() {
                return false;
            }
            self.take_down();
        }
        // From the last to the first, one at a time: clients before their servers.
        while let Some((index, child)) = self.children.iter().max_by_key(|(_, child)| child.sequence) {
            if child.state == State::Ending && child.next == Next::Remove {
                return false;
            }
            self.end(index, End::Over);
        }
        self.programs = Programs::new();
        // init's own session with the timer is over with its server; nobody but init can close it.
        self.close_sessions_of(sessions::INIT);
        if !self.nested {
            log!("finished: {} failed", self.failures);
            let _ = Domain::own().free_memory();
        }
        true
    }
}
