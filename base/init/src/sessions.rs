//! The sessions that init has arranged.

use component::{Account, Capability};
use session::Service;

/// Most sessions at a time.
const SESSIONS: usize = 128;

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
