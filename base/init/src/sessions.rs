//! The sessions that init has arranged.
//!
//! init never waits for a server: a request is written down, the server's parent signal is raised, and the client is answered when the server
//! has answered. Closing works the same way, so that no server ever loses memory that it is still using.

use crate::description::Target;
use crate::platform::{Account, Capability, Domain, Error, log};
use session::parent::ServerEvent;
use session::{Message, Service};

use crate::children::Child;
use crate::lifecycle::State;
use crate::roms::OWN_SESSION;
use crate::{Init, Reply};

/// Most sessions at a time.
const SESSIONS: usize = 128;
/// Session number of sessions with core, which need no closing.
const CORE_SESSION: u32 = u32::MAX;

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The server has not fetched the request.
    Requested,
    /// The server has fetched it and not answered.
    Offered,
    /// In use.
    Open,
    /// To be closed; the server has not fetched that.
    Closing,
    /// The server has fetched the close and not answered.
    CloseOffered,
}

impl Phase {
    pub(crate) fn is_closing(self) -> bool {
        matches!(self, Self::Closing | Self::CloseOffered)
    }
}

/// A session.
pub(crate) struct Session {
    /// Index of the client.
    pub(crate) client: usize,
    /// Index of the server.
    pub(crate) server: usize,
    pub(crate) service: Service,
    /// Donation: RAM and capabilities.
    pub(crate) quota: [u32; 2],
    pub(crate) argument: u32,
    /// The account that holds the donation.
    pub(crate) account: Option<Account>,
    pub(crate) phase: Phase,
    /// The client's right to be answered, while it waits.
    pub(crate) reply: Option<Capability>,
}

/// All sessions, by number.
pub(crate) struct Sessions([Option<Session>; SESSIONS]);

impl Sessions {
    pub(crate) const fn new() -> Self {
        Self([const { None }; SESSIONS])
    }

    /// Enters a session, or gives it back if there is no place.
    pub(crate) fn insert(&mut self, session: Session) -> Result<(), Session> {
        match self.0.iter_mut().find(|place| place.is_none()) {
            Some(place) => {
                *place = Some(session);
                Ok(())
            }
            None => Err(session),
        }
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut Session> {
        self.0.get_mut(id as usize)?.as_mut()
    }

    pub(crate) fn take(&mut self, id: u32) -> Option<Session> {
        self.0.get_mut(id as usize)?.take()
    }

    pub(crate) fn take_first(&mut self, wanted: impl Fn(&Session) -> bool) -> Option<Session> {
        self.0.iter_mut().find(|place| place.as_ref().is_some_and(&wanted))?.take()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Session> {
        self.0.iter_mut().flatten()
    }

    /// The first request that a server has not fetched; closes first, because they free what others may wait for.
    pub(crate) fn next_for(&mut self, server: usize) -> Option<(u32, &mut Session)> {
        let position = |phase| {
            self.0.iter().position(|place| place.as_ref().is_some_and(|s| s.server == server && s.phase == phase))
        };
        let at = position(Phase::Closing).or_else(|| position(Phase::Requested))?;
        self.0.get_mut(at)?.as_mut().map(|session| (at as u32, session))
    }
}

impl Init {
    pub(crate) fn open(
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
        if !child.component.routes.iter().any(|route| route.service == service) {
            return Err(Error::Denied);
        }
        // The first that answers: who does not have what is asked for leaves it to the next one.
        let mut missing = Error::NotFound;
        let mut server = None;
        for index in 0.. {
            let Some(child) = self.children.get(client) else { break };
            let Some(route) = child.component.routes.iter().filter(|route| route.service == service).nth(index) else {
                break;
            };
            let answer = match &route.target {
                Target::Core => open_core(service, &name, notification.as_ref()).map(Some),
                Target::Parent => open_parent(service, &name),
                Target::Init => self.open_own(client, service, &name, [ram, caps, argument], notification.as_ref()),
                Target::Child(name) => match self.children.position(name) {
                    Some(found) => {
                        server = Some(found);
                        break;
                    }
                    None => Err(Error::Denied),
                },
            };
            match answer {
                Err(error @ Error::NotFound) => missing = error,
                answer => return answer,
            }
        }
        let server = server.ok_or(missing)?;
        if self.ending || !self.children.get(server).is_some_and(Child::serves) {
            return Err(Error::Gone);
        }
        let child = self.children.get(client).ok_or(Error::Invalid)?;
        let account = child.account()?.create_account(ram, caps)?;
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

    pub(crate) fn close(&mut self, client: usize, id: u32) -> Result<Reply, Error> {
        if id == CORE_SESSION {
            return Ok(Some((Message::new(0), None)));
        }
        if id & OWN_SESSION != 0 {
            return self.close_own(client, id);
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
    pub(crate) fn wake_or_settle(&mut self, server: usize) {
        match self.children.get(server).map(|server| server.state) {
            Some(State::Running) => self.children.wake(server),
            // Its devices may still write to the memory of its sessions: they are settled when it has let go of those.
            Some(State::Ending) => {}
            _ => self.settle_server(server, false),
        }
    }

    /// Ends the sessions that a component serves, without it. `keep`: those that it has not heard of wait for its next instance.
    pub(crate) fn settle_server(&mut self, server: usize, keep: bool) {
        let wanted = |session: &Session| session.server == server && !(keep && session.phase == Phase::Requested);
        while let Some(session) = self.sessions.take_first(wanted) {
            let result = if session.phase.is_closing() { Ok(()) } else { Err(Error::Gone) };
            self.settle(session, result);
        }
    }

    /// The next request for a server.
    pub(crate) fn next(&mut self, server: usize) -> (Message, Option<Capability>) {
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

    pub(crate) fn answer(
        &mut self,
        server: usize,
        id: u32,
        status: u32,
        capability: Option<Capability>,
    ) -> Result<Reply, Error> {
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
            && let Err(error) = client.account().and_then(|own| own.close(account))
        {
            log!("a session of {} cannot be settled: {error}", client.component.name);
        }
        if let Some(reply) = session.reply.take() {
            reply.reply(&Message::new(Error::label(&result)), &[]);
        }
    }

    /// Starts closing all sessions in which a component is the client.
    pub(crate) fn close_sessions_of(&mut self, client: usize) {
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
}

fn open_core(
    service: Service,
    name: &str,
    notification: Option<&Capability>,
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
        Service::Timer | Service::Block | Service::Devices | Service::Echo | Service::Report => {
            return Err(Error::Denied);
        }
    };
    Ok((Message::from_words(0, &[CORE_SESSION]), capability))
}

/// Hands a request for a boot module on to the parent, which answers it at once.
fn open_parent(service: Service, name: &str) -> Result<Reply, Error> {
    match service {
        Service::Log => Ok(Some((Message::from_words(0, &[CORE_SESSION]), None))),
        Service::Rom => {
            let session = component::open(&component::Open { name, ..component::Open::new(Service::Rom) })?;
            Ok(Some((Message::from_words(0, &[CORE_SESSION]), session.capability)))
        }
        _ => Err(Error::Denied),
    }
}
