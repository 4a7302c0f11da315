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
#![cfg_attr(target_os = "none", no_std, no_main)]

mod children;
mod program;
mod report;
mod sessions;

use abi::{ENDPOINT_BADGE, slot};
use component::cap::{load, store};
use component::gate;
use component::signal::Signal;
use component::{Attached, Capability, Domain, Env, Error, log};
use session::parent::{ParentRequest, ServerEvent};
use session::{Message, Service};
use zelkova_init::description::{Description, OnExit, Target};

use crate::children::{Child, Children, State};
use crate::sessions::{Phase, Session, Sessions};

component::entry!(run);

/// Signal of a child's fault.
const CHILD_SIGNAL: u32 = 1;
/// Session number of sessions with core, which need no closing.
const CORE_SESSION: u32 = u32::MAX;

struct Init {
    children: Children,
    sessions: Sessions,
    ending: bool,
    failures: u32,
}

/// What to answer a child at once; `None`: it is answered later or never.
type Reply = Option<(Message, Option<Capability>)>;

fn run(_: Env) -> Result<(), Error> {
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

    fn open(
        &mut self,
        client: usize,
        service: u32,
        [ram, caps, argument]: [u32; 3],
        message: &Message,
        text: usize,
        notification: Option<Capability>,
    ) -> Result<Reply, Error> {
        let service = Service::from_wire(service).ok_or(Error::Invalid)?;
        let name = message.text(text).ok_or(Error::Invalid)?;
        let child = self.children.get(client).ok_or(Error::Invalid)?;
        let route = child.component.routes.iter().find(|route| route.service == service).ok_or(Error::Denied)?;
        let server = match &route.target {
            Target::Core => return open_core(service, &name, notification).map(Some),
            Target::Child(name) => self.children.position(name).ok_or(Error::Denied)?,
        };
        if self.ending || self.children.get(server).is_none_or(|server| server.state != State::Running) {
            return Err(Error::Gone);
        }
        let child = self.children.get(client).ok_or(Error::Invalid)?;
        let account = child.account.create_account(ram, caps)?;
        let session = Session {
            client,
            server,
            service,
            quota: [ram, caps],
            argument,
            account: Some(account),
            phase: Phase::Requested,
            reply: Some(Capability::save_reply()?),
        };
        match self.sessions.insert(session) {
            Ok(()) => {
                self.children.wake(server);
                Ok(None)
            }
            Err(session) => {
                // The caller is answered the usual way no longer: its right to be answered was kept.
                self.settle(session, Err(Error::Busy));
                Ok(None)
            }
        }
    }

    fn close(&mut self, client: usize, id: u32) -> Result<Reply, Error> {
        if id == CORE_SESSION {
            return Ok(Some((Message::new(0), None)));
        }
        let session = self.sessions.get_mut(id).filter(|session| session.client == client).ok_or(Error::Invalid)?;
        if session.phase != Phase::Open {
            return Err(Error::Invalid);
        }
        session.phase = Phase::Closing;
        session.reply = Some(Capability::save_reply()?);
        let server = session.server;
        self.wake_or_settle(server);
        Ok(None)
    }

    /// Lets a server know of requests, or does without it if it has ended.
    fn wake_or_settle(&mut self, server: usize) {
        if self.children.get(server).is_some_and(|server| server.state == State::Running) {
            self.children.wake(server);
            return;
        }
        while let Some(session) = self.sessions.take_first(|session| session.server == server) {
            let result = if session.phase.is_closing() { Ok(()) } else { Err(Error::Gone) };
            self.settle(session, result);
        }
    }

    /// The next request for a server.
    fn next(&mut self, server: usize) -> (Message, Option<Capability>) {
        let Some((id, session)) = self.sessions.next_for(server) else { return (ServerEvent::encode(None), None) };
        if session.phase == Phase::Closing {
            session.phase = Phase::CloseOffered;
            return (ServerEvent::encode(Some(&ServerEvent::Close { request: id })), None);
        }
        session.phase = Phase::Offered;
        let (client, service, [ram, caps], argument) =
            (session.client, session.service, session.quota, session.argument);
        let account = session.account.as_ref().and_then(|account| Capability::copy(account.slot()).ok());
        let label = self.children.label(client);
        let event = ServerEvent::Open { request: id, service, ram, caps, argument, label };
        (ServerEvent::encode(Some(&event)), account)
    }

    fn answer(&mut self, server: usize, id: u32, status: u32, capability: Option<Capability>) -> Result<Reply, Error> {
        let session = self.sessions.get_mut(id).filter(|session| session.server == server).ok_or(Error::Invalid)?;
        match session.phase {
            Phase::Offered => match Error::check(status) {
                Ok(()) => {
                    session.phase = Phase::Open;
                    if let Some(reply) = session.reply.take() {
                        let message = Message::from_words(0, &[id]);
                        match &capability {
                            Some(capability) => reply.reply(&message, &[capability.slot()]),
                            None => reply.reply(&message, &[]),
                        }
                    }
                    // A client that ended meanwhile does not keep the session open.
                    let client = session.client;
                    if self.children.get(client).is_none_or(|client| client.state != State::Running) {
                        self.close_sessions_of(client);
                    }
                }
                Err(error) => {
                    if let Some(session) = self.sessions.take(id) {
                        self.settle(session, Err(error));
                    }
                }
            },
            Phase::CloseOffered => {
                if let Some(session) = self.sessions.take(id) {
                    self.settle(session, Ok(()));
                }
            }
            _ => return Err(Error::Invalid),
        }
        Ok(Some((Message::new(0), None)))
    }

    /// Ends a session: its account goes back to the client, and whoever waits is answered.
    fn settle(&mut self, mut session: Session, result: Result<(), Error>) {
        if let (Some(account), Some(client)) = (session.account.take(), self.children.get(session.client))
            && let Err(error) = client.account.close(account)
        {
            log!("a session of {} cannot be settled: {error}", client.component.name);
        }
        if let Some(reply) = session.reply.take() {
            reply.reply(&Message::new(Error::label(&result)), &[]);
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

    /// Starts closing all sessions in which a component is the client.
    fn close_sessions_of(&mut self, client: usize) {
        for server in 0..self.children.len() {
            let mut any = false;
            for session in self.sessions.iter_mut().filter(|s| s.client == client && s.server == server) {
                if session.phase == Phase::Open {
                    session.phase = Phase::Closing;
                    any = true;
                }
            }
            if any {
                self.wake_or_settle(server);
            }
        }
        // What no server has seen yet needs no server to end.
        while let Some(session) = self.sessions.take_first(|s| s.client == client && s.phase == Phase::Requested) {
            self.settle(session, Err(Error::Gone));
        }
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

fn open_core(
    service: Service,
    name: &str,
    notification: Option<Capability>,
) -> Result<(Message, Option<Capability>), Error> {
    let capability = match service {
        Service::Log => None,
        Service::Rom => {
            let (rom, _) = Domain::own().rom(name)?;
            if let Some(notification) = notification {
                Domain::own().on_log(notification.slot())?;
            }
            Some(rom.into_capability())
        }
        Service::Hardware => Some(Domain::own().hardware()?),
        Service::Timer | Service::Block | Service::Devices | Service::Echo => return Err(Error::Denied),
    };
    Ok((Message::from_words(0, &[CORE_SESSION]), capability))
}
