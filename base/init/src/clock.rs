//! init's sense of time.
//!
//! init never waits for a child, so it cannot ask a timer server what time it is. Instead it opens a session like everybody else, but without waiting for
//! the answer: the request carries a notification and a period, and from then on the timer raises a signal of init's. If the server ends, the session is
//! opened anew with its next instance. Without a timer in the system description no time passes, and nothing is enforced by deadlines.

use session::Service;

use crate::Init;
use crate::exchange::{Phase, Wish};
use crate::lifecycle::State;
use crate::platform::log;
use crate::sessions::INIT;

/// Number of the signal.
pub(crate) const TICK_SIGNAL: u32 = 2;
/// Microseconds between two ticks.
const PERIOD: u32 = 100_000;

impl Init {
    /// Opens the session with the timer, if there is a timer and no session with it.
    pub(crate) fn start_clock(&mut self) {
        let server = self.timer.as_deref().and_then(|name| self.children.position(name));
        let running = |server: &usize| self.children.get(*server).is_some_and(|child| child.state == State::Running);
        let Some(server) = server.filter(running) else { return };
        let own = self.sessions.iter().find(|(_, session)| session.client == Some(INIT));
        if let Some((id, phase, old)) = own.map(|(id, session)| (id, session.phase, session.server)) {
            if phase != Phase::Dead && old == server {
                return;
            }
            // Closing a session with another server is answered when that has let go; nobody waits for it here.
            let _ = self.sessions.close(&mut self.children, INIT, id);
        }
        let wish = Wish { service: Service::Timer as u32, quota: [0, 0], argument: PERIOD };
        let opened = self
            .tick_signal
            .capability()
            .and_then(|signal| self.sessions.open(&mut self.children, [INIT, server], wish, Some(signal)));
        if let Err(error) = opened {
            log!("there is no clock: {error}");
        }
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self) {
        self.enforce_refunds();
        self.enforce_yields();
    }
}
