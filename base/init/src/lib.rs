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
//! When every component whose end matters has ended, init prints what each has used, ends the others, clients before their servers, and
//! lets core compare the free memory with that of the start.
//!
//! Everything that init drives is reached through one module, `platform`: on the target it is the component runtime, in the tests a stand-in with
//! accounts, servers and clients that can fail wherever the test wants.
#![no_std]

mod children;
pub mod description;
mod program;
mod report;
mod sessions;

/// What init drives.
mod platform {
    pub(crate) use component::cap::{call, load, store};
    pub(crate) use component::gate;
    pub(crate) use component::signal::Signal;
    pub(crate) use component::{Account, Attach, Attached, Capability, Dataspace, Domain, Error, NewThread, log};
}

use crate::description::{Description, OnExit};
use abi::{ENDPOINT_BADGE, slot};
use component::Env;
use session::Message;
use session::parent::ParentRequest;

use crate::children::{Child, Children, State};
use crate::platform::{Attached, Capability, Domain, Error, Signal, gate, load, log, store};
use crate::sessions::Sessions;

/// Signal of a child's fault.
const CHILD_SIGNAL: u32 = 1;

struct Init {
    children: Children,
    sessions: Sessions,
    ending: bool,
    failures: u32,
}

/// What to answer a child at once; `None`: it is answered later or never.
type Reply = Option<(Message, Option<Capability>)>;

/// Runs init: never returns, unless it cannot start.
///
/// # Errors
/// The system description cannot be read, or a component cannot be started.
pub fn run(_: Env) -> Result<(), Error> {
    component::log::use_core();
    log!("started");
    component::mark::end::<{ component::mark::interval::BOOT }>();
    Domain::own().free_memory()?;
    let (rom, bytes) = Domain::own().rom("system")?;
    let attached = Attached::new(&rom, 0, None)?;
    // SAFETY: `system` is a boot module.
    let content = unsafe { attached.content() };
    let content = content.get(..bytes as usize).unwrap_or(content);
    let description = match postcard::from_bytes::<Description>(content) {
        Ok(description) => description,
        Err(error) => {
            log!("the system description cannot be read: {error}");
            return Err(Error::Invalid);
        }
    };
    drop((attached, rom));
    let mut init = Init { children: Children::new(), sessions: Sessions::new(), ending: false, failures: 0 };
    let signal = Signal::new(CHILD_SIGNAL).ok_or(Error::Invalid)?;
    let faults = signal.capability()?;
    for component in description.components {
        let name = component.name.clone();
        let index = init.children.len() as u32;
        match Child::start(component, index, &faults) {
            Ok(child) => init.children.push(child)?,
            Err(error) => {
                log!("{name} cannot be started: {error}");
                return Err(error);
            }
        }
    }
    init.serve(signal)
}

impl Init {
    fn serve(&mut self, signal: Signal) -> Result<(), Error> {
        let mut receiver = Capability::reserve()?;
        gate::set_receive(receiver.slot());
        let mut incoming = gate::recv(slot::ENDPOINT);
        loop {
            let reply = if incoming.slot & ENDPOINT_BADGE == 0 {
                if incoming.slot & signal.bit() != 0 {
                    self.look_for_faults();
                }
                None
            } else {
                let brought = incoming.info.caps() > 0 && incoming.info.unwrapped() == 0;
                let message = store(incoming);
                let received = if brought { receiver.take_received() } else { None };
                self.request((incoming.slot & !ENDPOINT_BADGE) as usize, &message, received)
            };
            self.advance_ending();
            incoming = match reply {
                Some((message, capability)) => {
                    let caps: &[u32] = match &capability {
                        Some(capability) => &[capability.slot()],
                        None => &[],
                    };
                    let registers = load(slot::ENDPOINT, &message, caps);
                    gate::set_receive(receiver.slot());
                    let next = gate::reply_recv(registers);
                    drop(capability);
                    next
                }
                None => {
                    gate::set_receive(receiver.slot());
                    gate::recv(slot::ENDPOINT)
                }
            };
        }
    }

    fn request(&mut self, child: usize, message: &Message, received: Option<Capability>) -> Reply {
        let result = match ParentRequest::decode(message) {
            Some((ParentRequest::Open { service, ram, caps, argument }, text)) => {
                self.open(child, service, [ram, caps, argument], message, text, received)
            }
            Some((ParentRequest::Close { session }, _)) => self.close(child, session),
            Some((ParentRequest::Exit { code }, text)) => {
                let word = message.text(text).unwrap_or_default();
                self.exit(child, code, &word);
                return None;
            }
            Some((ParentRequest::Next, _)) => Ok(Some(self.next(child))),
            Some((ParentRequest::Answer { request, status }, _)) => self.answer(child, request, status, received),
            None => Err(Error::Invalid),
        };
        match result {
            Ok(reply) => reply,
            Err(error) => Some((Message::new(error as u32), None)),
        }
    }

    fn exit(&mut self, child: usize, code: u32, word: &str) {
        let Some(ended) = self.children.get_mut(child) else { return };
        ended.state = State::Exited(code);
        if code == 0 {
            log!("{} has finished", ended.component.name);
        } else {
            log!("{} has exited with code {code} {word}", ended.component.name);
        }
        self.ended(child, code != 0);
    }

    fn look_for_faults(&mut self) {
        for index in 0..self.children.len() {
            let Some(child) = self.children.get_mut(index) else { continue };
            if child.state == State::Running && child.domain.status().is_ok_and(|status| status.faults > 0) {
                child.state = State::Faulted;
                log!("{} has faulted and is stopped", child.component.name);
                self.ended(index, true);
            }
        }
    }

    fn ended(&mut self, child: usize, failed: bool) {
        self.failures +=
            u32::from(failed && self.children.get(child).is_some_and(|c| c.component.on_exit == OnExit::Finish));
        self.close_sessions_of(child);
        self.wake_or_settle(child);
    }

    /// Once all that matter have ended: reports, and ends the others from the last to the first.
    fn advance_ending(&mut self) {
        if !self.ending {
            if !self.children.all_finished() {
                return;
            }
            self.ending = true;
            report::print(&self.children);
        }
        while let Some(last) = self.children.len().checked_sub(1) {
            if let Some(child) = self.children.get_mut(last)
                && child.state == State::Running
            {
                child.stop();
                self.close_sessions_of(last);
            }
            self.wake_or_settle(last);
            if self.sessions.iter_mut().any(|session| session.client == last) {
                // Its servers have not let go yet.
                return;
            }
            if let Some(child) = self.children.pop() {
                let name = child.component.name.clone();
                if let Err(error) = child.destroy() {
                    log!("{name} cannot be destroyed: {error}");
                }
            }
            if self.children.len() == 0 {
                log!("finished: {} failed", self.failures);
                let _ = Domain::own().free_memory();
                return;
            }
        }
    }
}
