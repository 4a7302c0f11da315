//! The sessions that init has arranged.
//!
//! What happens when is decided in [`exchange`]; here it meets components, messages and capabilities.

use session::parent::ServerEvent;
use session::{Message, Service, Text};

use crate::children::{Child, Children};
use crate::description::Target;
use crate::exchange::{Event, Exchange, Outcome, Phase, Quota, Standing, When, Wish, World};
use crate::lifecycle::{End, State};
use crate::platform::{Account, Capability, Domain, Error, log};
use crate::roms::OWN_SESSION;
use crate::{Init, Reply};

/// Session number of sessions with core, which need no closing.
const CORE_SESSION: u32 = u32::MAX;
/// Number of init itself as a client.
pub(crate) const INIT: usize = usize::MAX;

/// All sessions.
pub(crate) type Sessions = Exchange<Account, Waiting, Capability>;

/// Who waits for an answer.
#[derive(Debug)]
pub(crate) enum Waiting {
    /// A component, with its right to be answered.
    Child(Capability),
    /// init never waits.
    Init,
}

impl Children {
    /// The account that a component pays from.
    fn purse(&self, component: usize) -> Result<&Account, Error> {
        static OWN: Account = Account::own();
        if component == INIT {
            return Ok(&OWN);
        }
        self.get(component).ok_or(Error::Gone)?.account()
    }
}

impl World for Children {
    type Account = Account;
    type Reply = Waiting;
    type Capability = Capability;

    fn is_running(&self, component: usize) -> bool {
        component == INIT || self.get(component).is_some_and(|child| child.state == State::Running)
    }

    fn standing(&self, server: usize) -> Standing {
        match self.get(server).map(|server| server.state) {
            Some(State::Running) => Standing::Up,
            Some(State::Ending | State::Waiting) => Standing::Away,
            Some(State::Ended) | None => Standing::Gone,
        }
    }

    fn wake(&mut self, server: usize) {
        self.wake(server);
    }

    fn interrupt(&mut self, client: usize) {
        let instance = self.get(client).filter(|child| child.state == State::Running).and_then(|c| c.instance.as_ref());
        if let Some(instance) = instance
            && let Err(error) = instance.domain.wake()
        {
            log!("a client of a server that is gone may wait for ever: {error}");
        }
    }

    fn create_account(&mut self, client: usize, [ram, caps]: Quota) -> Result<Account, Error> {
        self.purse(client)?.create_account(ram, caps)
    }

    fn lend(&mut self, client: usize, account: &Account, [ram, caps]: Quota) -> Result<(), Error> {
        self.purse(client)?.lend(account, ram, caps)
    }

    fn close_account(&mut self, lender: usize, account: Account) {
        if let Err(error) = self.purse(lender).and_then(|purse| purse.close(account)) {
            let name = self.get(lender).map_or("init", |child| child.component.name.as_str());
            log!("a session account of {name} cannot be closed: {error}");
        }
    }

    fn hand_over(&mut self, client: usize, account: Account, server: usize) -> Result<Account, (Account, Error)> {
        match (self.purse(client), self.purse(server)) {
            (Ok(from), Ok(to)) => from.hand_over(account, to),
            (Err(error), _) | (_, Err(error)) => Err((account, error)),
        }
    }

    fn keep_reply(&mut self, client: usize) -> Result<Waiting, Error> {
        if client == INIT { Ok(Waiting::Init) } else { Capability::save_reply().map(Waiting::Child) }
    }

    fn answer(&mut self, reply: Waiting, outcome: Outcome<Capability>) {
        let Waiting::Child(reply) = reply else { return };
        match outcome {
            Outcome::Opened(id, Some(capability)) => {
                reply.reply(&Message::from_words(0, &[id]), &[capability.slot()]);
            }
            Outcome::Opened(id, None) => reply.reply(&Message::from_words(0, &[id]), &[]),
            Outcome::Closed => reply.reply(&Message::new(0), &[]),
            Outcome::Failed(error) => reply.reply(&Message::new(error as u32), &[]),
        }
    }
}

/// The answer that something has been done.
fn done() -> (Message, Option<Capability>) {
    (Message::new(0), None)
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
        let wish = Wish { service: service as u32, quota: [ram, caps], argument };
        self.sessions.open(&mut self.children, [client, server], wish, notification)?;
        Ok(None)
    }

    pub(crate) fn close(&mut self, client: usize, id: u32) -> Result<Reply, Error> {
        if id == CORE_SESSION {
            return Ok(Some(done()));
        }
        if id & OWN_SESSION != 0 {
            return self.close_own(client, id);
        }
        match self.sessions.close(&mut self.children, client, id)? {
            When::Now => Ok(Some(done())),
            When::Later => Ok(None),
        }
    }

    pub(crate) fn upgrade(&mut self, client: usize, id: u32, quota: Quota) -> Result<Reply, Error> {
        self.sessions.upgrade(&mut self.children, client, id, quota)?;
        Ok(Some(done()))
    }

    /// Ends a session for its server.
    pub(crate) fn end_session(&mut self, server: usize, id: u32) -> Result<Reply, Error> {
        self.sessions.end(&mut self.children, server, id)?;
        Ok(Some(done()))
    }

    /// The notification that a client has brought for a server that has not answered yet.
    pub(crate) fn brought(&mut self, server: usize, id: u32) -> Result<Reply, Error> {
        let session =
            self.sessions.get(id).filter(|session| session.server == server && session.phase == Phase::Offered);
        let brought = session.ok_or(Error::Invalid)?.brought.as_ref().ok_or(Error::NotFound)?;
        Ok(Some((Message::new(0), Some(Capability::copy(brought.slot())?))))
    }

    /// What waits for a component.
    pub(crate) fn next(&mut self, server: usize) -> (Message, Option<Capability>) {
        let event = match self.sessions.next(server) {
            None => self.next_about_quota(server),
            Some(Event::Close(request)) => Some(ServerEvent::Close { request }),
            Some(Event::Upgrade(request, [ram, caps])) => Some(ServerEvent::Upgrade { request, ram, caps }),
            Some(Event::Open(request)) => return self.offer(request),
        };
        (ServerEvent::encode(event.as_ref()), None)
    }

    fn offer(&self, request: u32) -> (Message, Option<Capability>) {
        let Some(session) = self.sessions.get(request) else { return (ServerEvent::encode(None), None) };
        let Wish { service, quota: [ram, caps], argument } = session.wish;
        let account = session.account.as_ref().and_then(|account| Capability::copy(account.slot()).ok());
        // The service was decoded when the request came.
        let Some(service) = Service::from_wire(service) else { return (ServerEvent::encode(None), None) };
        let label = match session.client {
            Some(INIT) => Text::try_from("init").unwrap_or_default(),
            Some(client) => self.children.label(client),
            // The client has ended while nobody looked; the answer is going to be in vain.
            None => self.children.label(session.server),
        };
        let event =
            ServerEvent::Open { request, service, ram, caps, argument, brought: session.brought.is_some(), label };
        (ServerEvent::encode(Some(&event)), account)
    }

    pub(crate) fn answer(
        &mut self,
        server: usize,
        id: u32,
        status: u32,
        capability: Option<Capability>,
    ) -> Result<Reply, Error> {
        let result = Error::check(status).map(|()| capability);
        self.sessions.answer(&mut self.children, server, id, result)?;
        Ok(Some(done()))
    }

    /// Starts closing all sessions in which a component is the client.
    pub(crate) fn close_sessions_of(&mut self, client: usize) {
        self.sessions.client_ended(&mut self.children, client);
    }

    /// Ends the sessions that a component serves, without it. `keep`: those that it has not heard of wait for its next instance.
    pub(crate) fn settle_server(&mut self, server: usize, keep: bool) {
        self.sessions.server_ended(&mut self.children, server, keep);
        // init itself has nothing of that server's to look at any more.
        let own = self.sessions.iter().find(|(_, session)| session.client == Some(INIT));
        let dead = own.filter(|(_, session)| session.phase == Phase::Dead).map(|(id, _)| id);
        if let Some(id) = dead {
            // A dead session is closed at once.
            let _ = self.sessions.close(&mut self.children, INIT, id);
        }
    }

    /// Lets all who call a server that has ended know: their calls fail.
    pub(crate) fn hang_up(&mut self, server: usize) {
        let Some(instance) = self.children.get(server).and_then(|server| server.instance.as_ref()) else { return };
        if let Err(error) = instance.domain.hang_up() {
            log!("the endpoint of a server that has ended cannot be destroyed: {error}");
        }
        for (_, session) in self.sessions.iter().filter(|(_, session)| session.server == server) {
            if let Some(client) = session.client {
                self.children.interrupt(client);
            }
        }
    }

    /// Time has passed: enforces refunds. A server that keeps what it cannot pay is ended.
    pub(crate) fn enforce_refunds(&mut self) {
        if let Some(server) = self.sessions.tick(&mut self.children) {
            if let Some(child) = self.children.get(server) {
                log!(
                    "{} keeps the donation of a closed session, cannot pay for it, and is ended",
                    child.component.name
                );
            }
            self.end(server, End::Bankrupt);
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
        // Whatever else there is, core does not offer it.
        _ => return Err(Error::Denied),
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
