//! Sessions as a state machine: who may do what when, and whose money is where.
//!
//! # Theory of operation
//!
//! A session is paid by an account of its own. While the client has it, that account is lent by the client's; opening, upgrading and closing are
//! transactions between the two, and the server can spend what is in it and nothing else. Everything else follows from the [`Phase`]:
//!
//! ```text
//!  open          fetched by the server      server: yes         close, or the client ends
//!    └─ Requested ──────────────── Offered ───────────── Open ─────────────── Closing ── CloseOffered ── over
//!                                     └─ server: no → over └─ server ends it → Dead ── close ── over
//! ```
//!
//! Nobody is waited for. What a server has to do is written down until it fetches it, and a client is answered when its server has answered.
//!
//! **The refund is enforced.** A server has [`PATIENCE`] ticks to let go of a session whose client has closed it or has ended. Then the account
//! changes hands: core makes the *server's* account the lender of what the session still uses, all of the donation is the client's again, and the
//! client is answered. Nothing is torn down under the server, so a device that still writes to a buffer harms nobody; the server has its own money back as soon
//! as it lets go. A server that cannot pay is bankrupt: [`tick`](Exchange::tick) names it, and its parent ends it like one that has failed.
//!
//! A session whose server is gone stays as [`Dead`](Phase::Dead) until its client has closed it: so the memory that the client has attached does not
//! vanish while the client looks at it, and a client never closes another session that got the same number.
//!
//! What this does not know: kernel objects, messages, names. It acts through [`World`], and the tests let it act on every order of events in a small world.

use alloc::vec::Vec;

use session::Error;

/// Ticks that a server has for letting go of a session.
pub(crate) const PATIENCE: u32 = 2;

/// RAM in bytes and capabilities.
pub(crate) type Quota = [u32; 2];

/// How things stand with a component as a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It answers.
    Up,
    /// It is about to go or to come back: [`server_ended`](Exchange::server_ended) is going to be called or has been.
    Away,
    /// It is gone for good.
    Gone,
}

/// What a waiting client is told.
#[derive(Debug)]
pub(crate) enum Outcome<C> {
    /// The session is open: its number, and what the server gave.
    Opened(u32, Option<C>),
    /// The session is over and the donation is back.
    Closed,
    /// There is no session, and the donation is back.
    Failed(Error),
}

/// What sessions are made of. Components have numbers.
pub(crate) trait World {
    /// An account that pays for a session.
    type Account;
    /// A client's right to be answered.
    type Reply;
    /// What a server gives a client.
    type Capability;

    /// Whether a component can still use its sessions.
    fn is_running(&self, component: usize) -> bool;
    /// How things stand with a server.
    fn standing(&self, server: usize) -> Standing;
    /// Lets a server know that something waits for it.
    fn wake(&mut self, server: usize);
    /// Lets those threads of a client go on that wait for a server that has gone.
    fn interrupt(&mut self, client: usize);
    /// Makes an account from a client's.
    fn create_account(&mut self, client: usize, quota: Quota) -> Result<Self::Account, Error>;
    /// Adds to an account from a client's.
    fn lend(&mut self, client: usize, account: &Self::Account, quota: Quota) -> Result<(), Error>;
    /// Destroys an account with all that was made from it; its lender has everything back.
    fn close_account(&mut self, lender: usize, account: Self::Account);
    /// Makes `server` the lender of what an account uses; `client` has everything back. The account comes back in any case.
    fn hand_over(
        &mut self,
        client: usize,
        account: Self::Account,
        server: usize,
    ) -> Result<Self::Account, (Self::Account, Error)>;
    /// Keeps the right to answer a client, the caller of the present request.
    fn keep_reply(&mut self, client: usize) -> Result<Self::Reply, Error>;
    /// Answers a client.
    fn answer(&mut self, reply: Self::Reply, outcome: Outcome<Self::Capability>);
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// The server has let go or is gone; the client has not closed it.
    Dead,
}

/// What a client has asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Wish {
    /// Which service, as on the wire.
    pub(crate) service: u32,
    /// Donation.
    pub(crate) quota: Quota,
    /// Argument of the service.
    pub(crate) argument: u32,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Session<A, R, C> {
    /// `None`: the client has its money back, and the server pays.
    pub(crate) client: Option<usize>,
    pub(crate) server: usize,
    pub(crate) wish: Wish,
    /// The account that pays for it, unless it is dead.
    pub(crate) account: Option<A>,
    pub(crate) phase: Phase,
    /// The client's right to be answered, while it waits.
    reply: Option<R>,
    /// What the client has brought for the server, until the server has answered.
    pub(crate) brought: Option<C>,
    /// Upgrades that the server has not heard of.
    upgrade: Option<Quota>,
    /// When the server was first expected to let go.
    since: u32,
}

/// What waits for a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A session to open; it is the number of the session.
    Open(u32),
    /// More quota for a session.
    Upgrade(u32, Quota),
    /// A session to close.
    Close(u32),
}

/// When a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// At once.
    Now,
    /// Through [`World::answer`], perhaps already.
    Later,
}

/// All sessions, by number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Exchange<A, R, C> {
    places: Vec<Option<Session<A, R, C>>>,
    free: Vec<u32>,
    now: u32,
}

impl<A, R, C> Exchange<A, R, C> {
    /// No sessions.
    pub(crate) const fn new() -> Self {
        Self { places: Vec::new(), free: Vec::new(), now: 0 }
    }

    /// The session of that number.
    pub(crate) fn get(&self, id: u32) -> Option<&Session<A, R, C>> {
        self.places.get(id as usize)?.as_ref()
    }

    /// All sessions with their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Session<A, R, C>)> {
        (0..).zip(&self.places).filter_map(|(id, place)| Some((id, place.as_ref()?)))
    }

    /// Whether servers still hold money of that client.
    pub(crate) fn is_client(&self, client: usize) -> bool {
        self.iter().any(|(_, session)| session.client == Some(client))
    }

    fn get_mut(&mut self, id: u32) -> Option<&mut Session<A, R, C>> {
        self.places.get_mut(id as usize)?.as_mut()
    }

    /// Makes sure that there is a place for one more.
    fn reserve(&mut self) -> Result<(), Error> {
        if self.free.is_empty() {
            self.places.try_reserve(1).map_err(|_| Error::Busy)?;
            // Room to note each number as free, so that ending a session needs no memory.
            self.free.try_reserve(self.places.len() + 1).map_err(|_| Error::Busy)?;
        }
        Ok(())
    }

    fn insert(&mut self, session: Session<A, R, C>) {
        match self.free.pop() {
            Some(id) => {
                if let Some(place) = self.places.get_mut(id as usize) {
                    *place = Some(session);
                }
            }
            None => self.places.push(Some(session)),
        }
    }

    fn remove(&mut self, id: u32) -> Option<Session<A, R, C>> {
        let session = self.places.get_mut(id as usize)?.take()?;
        self.free.push(id);
        Some(session)
    }

    /// Numbers of the sessions that satisfy `wanted` now.
    fn find(&self, from: u32, wanted: impl Fn(&Session<A, R, C>) -> bool) -> Option<u32> {
        (from..).zip(self.places.get(from as usize..)?).find_map(|(id, place)| {
            let session = place.as_ref()?;
            wanted(session).then_some(id)
        })
    }

    /// Asks for a session. The client is answered later.
    pub(crate) fn open<W>(
        &mut self,
        world: &mut W,
        [client, server]: [usize; 2],
        wish: Wish,
        brought: Option<C>,
    ) -> Result<(), Error>
    where
        W: World<Account = A, Reply = R, Capability = C>,
    {
        if world.standing(server) == Standing::Gone {
            return Err(Error::Gone);
        }
        self.reserve()?;
        let account = world.create_account(client, wish.quota)?;
        let reply = match world.keep_reply(client) {
            Ok(reply) => reply,
            Err(error) => {
                world.close_account(client, account);
                return Err(error);
            }
        };
        self.insert(Session {
            client: Some(client),
            server,
            wish,
            account: Some(account),
            phase: Phase::Requested,
            reply: Some(reply),
            brought,
            upgrade: None,
            since: 0,
        });
        world.wake(server);
        Ok(())
    }

    /// Donates more to an open session. The money is there when this returns; the server is told that it is.
    ///
    /// # Errors
    /// [`Error::Gone`] if the session is being closed or its server is gone.
    pub(crate) fn upgrade<W>(&mut self, world: &mut W, client: usize, id: u32, quota: Quota) -> Result<(), Error>
    where
        W: World<Account = A, Reply = R, Capability = C>,
    {
        let session = self.get_mut(id).filter(|session| session.client == Some(client)).ok_or(Error::Invalid)?;
        let account = match (session.phase, &session.account) {
            (Phase::Open, Some(account)) => account,
            (Phase::Closing | Phase::CloseOffered | Phase::Dead, _) => return Err(Error::Gone),
            _ => return Err(Error::Invalid),
        };
        world.lend(client, account, quota)?;
        let [ram, caps] = session.upgrade.unwrap_or_default();
        // Both are parts of what there is, so the sums fit.
        session.upgrade = Some([ram.saturating_add(quota[0]), caps.saturating_add(quota[1])]);
        if world.standing(session.server) == Standing::Up {
            world.wake(session.server);
        }
        Ok(())
    }

    /// Closes a session for its client.
    pub(crate) fn close<W>(&mut self, world: &mut W, client: usize, id: u32) -> Result<When, Error>
    where
        W: World<Account = A, Reply = R, Capability = C>,
    {
        let now = self.now;
        let session = self.get_mut(id).filter(|session| session.client == Some(client)).ok_or(Error::Invalid)?;
        match session.phase {
            Phase::Dead => {
                self.finish(world, id, Outcome::Closed);
                return Ok(When::Now);
            }
            Phase::Open => {}
            _ => return Err(Error::Invalid),
        }
        session.reply = Some(world.keep_reply(client)?);
        session.phase = Phase::Closing;
        session.since = now;
        self.expect_close(world, id);
        Ok(When::Later)
    }

    /// Lets the server of a closing session know, or does without it.
    fn expect_close<W>(&mut self, world: &mut W, id: u32)
    where
        W: World<Account = A, Reply = R, Capability = C>,
    {
        let Some(server) = self.get(id).map(|session| session.server) else { return };
        match world.standing(server) {
            Standing::Up => world.wake(server),
            Standing::Away => {}
            Standing::Gone => self.finish(world, id, Outcome::Closed),
        }
    }

    /// Ends a session for everybody: its lender has the money, and whoever waits is answered.
    fn finish<W>(&mut self, world: &mut W, id: u32, outcome: Outcome<C>)
    where
        W: World<Account = A, Reply = R, Capability = C>,
    {
        let Some(session) = self.remove(id) else { return };
        if let Some(account) = session.account {
            world.close_account(session.client.unwrap_or(session.server), account);
        }
        if let Some(reply) = session.reply {
            world.answer(reply, outcome);
        }
    }

    /// Fetches what waits for a server: closes first, because they free what others may wait for.
    pub(crate) fn next(&mut self, server: usize) -> Option<Event> {
        let found = |phase| self.find(0, |session| session.server == server && session.phase == phase);
        if let Some(id) = found(Phase::Closing) {
            self.get_mut(id)?.phase = Phase::CloseOffered;
            return Some(Event::Close(id));
        }
        let upgraded = |session: &Session<A, R, C>| {
            session.server == server && session.phase == Phase::Open && session.upgrade.is_some()
        };
        if let Some(id) = self.find(0, upgraded) {
            let quota = self.get_mut(id)?.upgrade.take()?;
            return Some(Event::Upgrade(id, quota));
        }
        let id = found(Phase::Requested)?;
        self.get_mut(id)?.phase = Phase::Offered;
        Some(Event::Open(id))
    }

    /// Takes a server's answer to what it has fetched.
    pub(crate) fn answer<W>(
        &mut self,
        world: &mut W,
        server: usize,
        id: u32,
        result: Result<Option<C>, Error>,
    ) -> Result<(), Error>
    where
        W: World<Account = A, Reply = R, Capability = C>,
    {
        let now = self.now;
        let session = self.get_mut(id).filter(|session| session.server == server).ok_or(Error::Invalid)?;
        session.brought = None;
        match (session.phase, result) {
            (Phase::Offered, Err(error)) => self.finish(world, id, Outcome::Failed(error)),
            (Phase::Offered, Ok(capability)) => {
                if session.client.is_some_and(|client| world.is_running(client)) {
                    session.phase = Phase::Open;
                    if let Some(reply) = session.reply.take() {
                        world.answer(reply, Outcome::Opened(id, capability));
                    }
                } else {
                    // Nobody is there any more to use it.
                    session.phase = Phase::Closing;
                    session.since = now;
                    self.expect_close(world, id);
                }
            }
            (Phase::CloseOffered, _) => self.finish(world, id, Outcome::Closed),
            _ => return Err(Error::Invalid),
        }
        Ok(())
    }

    /// A server ends a session on its own: it has let go of everything already.
    pub(crate) fn end<W>(&mut self, world: &mut W, server: usize, id: u32) -> Result<(), Error>
    where
        W: World<Account = A, Reply = R, Capability = C>,
    {
        let session = self.get(id).filter(|session| session.server == server).ok_or(Error::Invalid)?;
        match session.phase {
            Phase::Open => self.bury(world, id),
            Phase::Closing | Phase::CloseOffered => self.finish(world, id, Outcome::Closed),
            Phase::Requested | Phase::Offered | Phase::Dead => return Err(Error::Invalid),
        }
        Ok(())
    }

    /// The server of an open session is gone. The client keeps number and memory until it closes the session: it may be looking at the memory.
    fn bury<W>(&mut self, world: &mut W, id: u32)
    where
        W: World<Account = A, Reply = R, Capability = C>,
    {
        let Some(session) = self.get_mut(id) else { return };
        session.phase = Phase::Dead;
        session.upgrade = None;
        if let Some(client) = session.client {
            world.interrupt(client);
        }
    }

    /// A component has ended as a client: starts closing its sessions.
    pub(crate) fn client_ended<W>(&mut self, world: &mut W, client: usize)
    where
        W: World<Account = A, Reply = R, Capability = C>,
    {
        let now = self.now;
        let mut from = 0;
        while let Some(id) = self.find(from, |session| session.client == Some(client)) {
            from = id + 1;
            let Some(session) = self.get_mut(id) else { return };
            match session.phase {
                // What no server has seen yet needs no server to end.
                Phase::Requested => self.finish(world, id, Outcome::Failed(Error::Gone)),
                Phase::Offered => session.since = now,
                Phase::Open => {
                    session.phase = Phase::Closing;
                    session.since = now;
                    self.expect_close(world, id);
                }
                Phase::Closing | Phase::CloseOffered => {}
                Phase::Dead => self.finish(world, id, Outcome::Closed),
            }
        }
    }

    /// A component has ended as a server: its sessions go on without it. `comes_back`: requests that it has not seen wait for its next
    /// instance.
    ///
    /// To be called when nothing that it had can touch the memory of its sessions any more.
    pub(crate) fn server_ended<W>(&mut self, world: &mut W, server: usize, comes_back: bool)
    where
        W: World<Account = A, Reply = R, Capability = C>,
    {
        let mut from = 0;
        while let Some(id) = self.find(from, |session| session.server == server) {
            from = id + 1;
            let Some(phase) = self.get(id).map(|session| session.phase) else { return };
            match phase {
                Phase::Requested if comes_back => {}
                Phase::Requested | Phase::Offered => self.finish(world, id, Outcome::Failed(Error::Gone)),
                Phase::Open => self.bury(world, id),
                Phase::Closing | Phase::CloseOffered => self.finish(world, id, Outcome::Closed),
                Phase::Dead => {}
            }
        }
    }

    /// Time has passed: takes their donations back for the clients of those servers that do not let go, and names a server that cannot
    /// pay for what it keeps. Its parent ends it then.
    pub(crate) fn tick<W>(&mut self, world: &mut W) -> Option<usize>
    where
        W: World<Account = A, Reply = R, Capability = C>,
    {
        self.now = self.now.wrapping_add(1);
        let now = self.now;
        let mut bankrupt = None;
        let mut from = 0;
        loop {
            let overdue = |session: &Session<A, R, C>| {
                let expected = match session.phase {
                    Phase::Closing | Phase::CloseOffered => true,
                    Phase::Offered => session.client.is_some_and(|client| !world.is_running(client)),
                    Phase::Requested | Phase::Open | Phase::Dead => false,
                };
                expected
                    && session.client.is_some()
                    && now.wrapping_sub(session.since) >= PATIENCE
                    && world.standing(session.server) == Standing::Up
            };
            let Some(id) = self.find(from, overdue) else { return bankrupt };
            from = id + 1;
            let Some(session) = self.get_mut(id) else { return bankrupt };
            let (Some(client), Some(account)) = (session.client, session.account.take()) else { continue };
            match world.hand_over(client, account, session.server) {
                Ok(account) => {
                    session.account = Some(account);
                    session.client = None;
                    if let Some(reply) = session.reply.take() {
                        world.answer(reply, Outcome::Closed);
                    }
                }
                Err((account, _)) => {
                    session.account = Some(account);
                    bankrupt = bankrupt.or(Some(session.server));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
