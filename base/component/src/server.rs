//! The main loop of a server.
//!
//! # Theory of operation
//!
//! A server has one endpoint. Each session has a copy of it with a badge, made when the session opens and taken back
//! when it closes, so that the badge tells who calls and a closed session cannot call. The server's thread waits for
//! calls and signals at once. Requests of at most four words that [`Server::fast`] answers never touch
//! the message buffer, and answering and waiting is one system call: together they stay on the kernel's fast path.
//!
//! A server may hold one such call until a signal has brought what the caller wants: the right to answer stays where the kernel has put it, which
//! costs nothing, but is lost as soon as another call is taken. So none is; those of other clients wait in the endpoint's
//! queue, in the order in which they came. This is for work that ends by itself and soon, such as a transfer of a device.
//!
//! Places for sessions are limited. A client, with all that hangs below it in the tree, gets one only while it holds fewer than there are left: alone
//! it can take half of them, the next one half of the rest, and so on, so that none can shut the others out.
//!
//! Session requests of the parent come as a signal; the loop fetches and answers them. What a session needs is paid
//! by the session's account.

use abi::{ENDPOINT_BADGE, Info, PARENT_SIGNAL, slot};
use session::parent::ServerEvent;
use session::{Error, Label, Message, Service};

use crate::cap::{self, Capability, load, store};
use crate::env::{answer, end_session, next_request, yielded};
use crate::gate::{self, Registers};
use crate::platform::Account;

/// A request for a session.
#[derive(Debug)]
pub struct OpenRequest {
    /// Which of the server's services.
    pub service: Service,
    /// Who asks.
    pub label: Label,
    /// Donated RAM in bytes.
    pub ram: u32,
    /// Donated capabilities.
    pub caps: u32,
    /// Argument of the service.
    pub argument: u32,
    /// A notification that the client wants to be told of changes by; a server that wants it makes a copy.
    pub notification: Option<Capability>,
}

/// An answer to a session's request.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "an answer lives for one reply")]
pub enum Answer {
    /// Words, and the slot of a capability to go with them.
    Now(Message, Option<u32>),
    /// The server has [kept the right to answer](Capability::save_reply) and does so later.
    Later,
    /// The last answer of the session: it is closed as if the client had closed it, except that the client still has to.
    End(Message),
}

impl Answer {
    /// An answer of words only.
    pub fn words(words: &[u32]) -> Self {
        Self::Now(Message::from_words(0, words), None)
    }

    /// An answer with a capability, and words.
    pub fn capability(slot: u32, words: &[u32]) -> Self {
        Self::Now(Message::from_words(0, words), Some(slot))
    }
}

/// What becomes of a request that matters for speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fast {
    /// It is answered with these words.
    Answer([u32; 4]),
    /// Its caller waits, and with it everybody else's calls, until [`Server::held`] has an answer.
    Hold,
}

/// What a server does.
pub trait Server {
    /// State of a session.
    type Session;

    /// Opens a session for a client; `account` holds the donation. What is made from it vanishes with the session.
    fn open(&mut self, request: &OpenRequest, account: Account) -> Result<Self::Session, Error>;

    /// Closes a session: nothing of its account may be in use afterwards.
    fn close(&mut self, session: Self::Session);

    /// Answers a request; `received` is the capability that came with it.
    fn request(
        &mut self,
        session: &mut Self::Session,
        message: &Message,
        received: Option<Capability>,
    ) -> Result<Answer, Error>;

    /// Handles a request of at most four words without capabilities, if it is one that matters for speed.
    #[inline(always)]
    fn fast(&mut self, session: &mut Self::Session, label: u32, words: [u32; 4]) -> Option<Fast> {
        let _ = (session, label, words);
        None
    }

    /// The answer to the call of a session that is [held](Fast::Hold), if there is one by now; asked after every signal.
    #[inline(always)]
    fn held(&mut self, session: &mut Self::Session) -> Option<[u32; 4]> {
        let _ = session;
        Some([0; 4])
    }

    /// A client has donated more to a session.
    fn upgraded(&mut self, session: &mut Self::Session, ram: u32, caps: u32) {
        let _ = (session, ram, caps);
    }

    /// The parent wants so much of the server's own quota back: frees what can be spared. Sessions are paid by their clients.
    fn asked_to_yield(&mut self, ram: u32, caps: u32) {
        let _ = (ram, caps);
    }

    /// The server's own account has got more.
    fn granted(&mut self, ram: u32, caps: u32) {
        let _ = (ram, caps);
    }

    /// Handles signals other than the parent's.
    fn signal(&mut self, signals: u32, sessions: Sessions<'_, Self::Session>);
}

/// The open sessions of a server.
pub struct Sessions<'s, S>(&'s mut [Option<Open<S>>]);

impl<S> Sessions<'_, S> {
    /// All of them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut S> {
        self.0.iter_mut().flatten().map(|open| &mut open.session)
    }
}

struct Open<S> {
    request: u32,
    label: Label,
    session: S,
    endpoint: Capability,
}

/// Runs a server for at most `N` sessions at a time; never returns.
///
/// # Errors
/// Only if there is no room for the first capability to receive.
pub fn serve<S: Server, const N: usize>(server: &mut S) -> Result<(), Error> {
    let mut sessions: [Option<Open<S::Session>>; N] = [const { None }; N];
    let mut receiver = Capability::reserve()?;
    gate::set_receive(receiver.slot());
    // Requests that came before the first wait.
    handle_parent(server, &mut sessions);
    gate::set_receive(receiver.slot());
    let mut incoming = gate::recv(slot::ENDPOINT);
    loop {
        if incoming.slot & ENDPOINT_BADGE == 0 {
            handle_signals(server, &mut sessions, incoming.slot);
            gate::set_receive(receiver.slot());
            incoming = gate::recv(slot::ENDPOINT);
            continue;
        }
        let index = (incoming.slot & !ENDPOINT_BADGE) as usize;
        let open = sessions.get_mut(index).and_then(Option::as_mut);
        let plain = incoming.info.caps() == 0 && incoming.info.words() <= 4;
        if plain
            && let Some(open) = open
            && let Some(fast) = server.fast(&mut open.session, incoming.info.label(), incoming.words)
        {
            let words = match fast {
                Fast::Answer(words) => words,
                Fast::Hold => {
                    let words = hold(server, &mut sessions, index);
                    gate::set_receive(receiver.slot());
                    words
                }
            };
            incoming = gate::reply_recv(Registers { slot: slot::ENDPOINT, info: Info::new(0, 0, 4), words });
            continue;
        }
        let answer = any_request(server, &mut sessions, &mut receiver, incoming);
        gate::set_receive(receiver.slot());
        incoming = match answer {
            Some(registers) => gate::reply_recv(registers),
            None => gate::recv(slot::ENDPOINT),
        };
    }
}

/// Handles a request that does not matter for speed, and returns what is to be answered. Apart from the loop, so that the loop's registers are those of the
/// requests that do matter.
#[inline(never)]
fn any_request<S: Server>(
    server: &mut S,
    sessions: &mut [Option<Open<S::Session>>],
    receiver: &mut Capability,
    incoming: Registers,
) -> Option<Registers> {
    let index = (incoming.slot & !ENDPOINT_BADGE) as usize;
    let brought = incoming.info.caps() > 0 && incoming.info.unwrapped() == 0;
    let message = store(incoming);
    let received = if brought { receiver.take_received() } else { None };
    let result = match sessions.get_mut(index).and_then(Option::as_mut) {
        Some(open) => server.request(&mut open.session, &message, received).map_err(insufficient),
        None => Err(Error::Gone),
    };
    match result {
        Ok(Answer::Now(message, Some(slot))) => Some(load(slot::ENDPOINT, &message, &[slot])),
        Ok(Answer::Now(message, None)) => Some(load(slot::ENDPOINT, &message, &[])),
        Ok(Answer::End(last)) => {
            // First the answer: once the session is over, a client that waits for it learns that instead.
            if let Ok(reply) = Capability::save_reply() {
                reply.reply(&last, &[]);
            }
            if let Some(open) = sessions.get_mut(index).and_then(Option::take) {
                open.endpoint.revoke();
                server.close(open.session);
                // Refused only if the client closes the session at this moment: then that request is answered.
                let _ = end_session(open.request);
            }
            None
        }
        Ok(Answer::Later) => None,
        Err(error) => Some(load(slot::ENDPOINT, &Message::new(error as u32), &[])),
    }
}

/// Handles signals until the call of the session at `index` can be answered.
fn hold<S: Server>(server: &mut S, sessions: &mut [Option<Open<S::Session>>], index: usize) -> [u32; 4] {
    loop {
        handle_signals(server, sessions, gate::wait(slot::NOTIFICATION));
        // A session that has been closed has nobody left to be answered: then the words do not matter.
        match sessions.get_mut(index).and_then(Option::as_mut) {
            Some(open) => {
                if let Some(words) = server.held(&mut open.session) {
                    return words;
                }
            }
            None => return [0; 4],
        }
    }
}

#[inline]
fn handle_signals<S: Server>(server: &mut S, sessions: &mut [Option<Open<S::Session>>], signals: u32) {
    if signals & PARENT_SIGNAL != 0 {
        handle_parent(server, sessions);
    }
    if signals & !PARENT_SIGNAL != 0 {
        server.signal(signals & !PARENT_SIGNAL, Sessions(sessions));
    }
}

fn handle_parent<S: Server>(server: &mut S, sessions: &mut [Option<Open<S::Session>>]) {
    // Each event is taken out of the parent's queue or answered, so the queue shrinks with every round.
    while let Ok(Some((event, account))) = next_request() {
        let (request, result) = match event {
            ServerEvent::Open { request, service, ram, caps, argument, brought, label } => {
                let notification = if brought { crate::env::brought(request) } else { Ok(None) };
                let result = match (account, Label::new(&label), notification) {
                    (Some(account), Ok(label), Ok(notification)) => {
                        let open = OpenRequest { service, label, ram, caps, argument, notification };
                        open_session(server, sessions, request, &open, account).map(Some)
                    }
                    _ => Err(Error::Invalid),
                };
                (request, result)
            }
            ServerEvent::Close { request } => {
                let session =
                    sessions.iter_mut().find(|open| open.as_ref().is_some_and(|open| open.request == request));
                if let Some(open) = session.and_then(Option::take) {
                    open.endpoint.revoke();
                    server.close(open.session);
                }
                (request, Ok(None))
            }
            ServerEvent::Upgrade { request, ram, caps } => {
                if let Some(open) = sessions.iter_mut().flatten().find(|open| open.request == request) {
                    server.upgraded(&mut open.session, ram, caps);
                }
                continue;
            }
            ServerEvent::Granted { ram, caps } => {
                server.granted(ram, caps);
                continue;
            }
            ServerEvent::Yield { ram, caps } => {
                server.asked_to_yield(ram, caps);
                if yielded().is_err() {
                    return;
                }
                continue;
            }
        };
        if answer(request, result).is_err() {
            return;
        }
    }
}

fn open_session<S: Server>(
    server: &mut S,
    sessions: &mut [Option<Open<S::Session>>],
    request: u32,
    open: &OpenRequest,
    account: Account,
) -> Result<u32, Error> {
    let held = sessions.iter().flatten().filter(|other| other.label.shares_branch(&open.label)).count();
    let free = sessions.iter().filter(|place| place.is_none()).count();
    // Half of what is left at most: nobody can take the places of all others.
    if held >= free {
        return Err(Error::Busy);
    }
    let (index, place) = sessions.iter_mut().enumerate().find(|(_, place)| place.is_none()).ok_or(Error::Busy)?;
    let endpoint = Capability::mint(slot::ENDPOINT, ENDPOINT_BADGE | index as u32)?;
    let session = server.open(open, account).map_err(insufficient)?;
    let slot = endpoint.slot();
    *place = Some(Open { request, label: open.label.clone(), session, endpoint });
    Ok(slot)
}

/// What the session's account lacks, the client has donated too little of.
fn insufficient(error: Error) -> Error {
    match error {
        Error::OutOfRam => Error::InsufficientRam,
        Error::OutOfCaps => Error::InsufficientCaps,
        error => error,
    }
}

impl session::Transport for Capability {
    type Capability = Self;

    fn call(&self, message: &Message, caps: &[u32]) -> Result<Message, Error> {
        cap::call(self.slot(), message, caps)
    }

    fn call_for_cap(&self, message: &Message, caps: &[u32]) -> Result<(Message, Option<Self>), Error> {
        cap::call_for_cap(self.slot(), message, caps)
    }

    #[inline(always)]
    fn call_words(&self, label: u32, words: [u32; 4], count: u32) -> (u32, [u32; 4]) {
        cap::call_words(self.slot(), label, words, count)
    }
}
