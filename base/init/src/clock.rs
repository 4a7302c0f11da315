//! init's sense of time.
//!
//! init never waits for a child, so it cannot ask a timer server what time it is. Instead it opens a session like everybody else, but without waiting for
//! the answer: the request carries a notification and a period, and from then on the timer raises a signal of init's. If the server ends, the session is
//! opened anew with its next instance. Without a timer in the system description no time passes, and nothing is enforced by deadlines.

use session::Service;

use crate::Init;
use crate::exchange::{Phase, Wish};
use crate::lifecycle::{End, State};
use crate::platform::log;
use crate::sessions::INIT;

/// Number of the signal.
pub(crate) const TICK_SIGNAL: u32 = 2;
/// Microseconds between two ticks.
const PERIOD: u32 = 100_000;
/// The same in milliseconds.
const TICK: u32 = PERIOD / 1000;

impl Init {
    /// Opens the session with the timer, if there is a timer and no session with it; closes one whose timer is gone.
    pub(crate) fn start_clock(&mut self) {
        let server = self.timer.as_deref().and_then(|name| self.children.position(name));
        let running = |server: &usize| self.children.get(*server).is_some_and(|child| child.state == State::Running);
        let server = server.filter(running);
        let own = self.sessions.iter().find(|(_, session)| session.client == Some(INIT));
        if let Some((id, phase, old)) = own.map(|(id, session)| (id, session.phase, session.server)) {
            if phase != Phase::Dead && server.is_none_or(|server| server == old) {
                return;
            }
            // Closing a session with another server is answered when that has let go; nobody waits for it here.
            let _ = self.sessions.close(&mut self.children, INIT, id);
        }
        let Some(server) = server else { return };
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
        self.count_down();
        self.listen_for_hearts();
    }

    /// Brings the starts nearer that wait for their time.
    fn count_down(&mut self) {
        for index in 0..self.children.len() {
            let Some(child) = self.children.get_mut(index).filter(|child| child.delay > 0) else { continue };
            child.delay = child.delay.saturating_sub(TICK);
            self.waiting |= child.delay == 0;
        }
    }

    /// Asks components for a sign of life, and ends those that give none.
    ///
    /// Any request counts as one. A component that has none to make is woken by its parent signal, which it answers by asking what there is; servers
    /// do that by themselves.
    fn listen_for_hearts(&mut self) {
        for index in 0..self.children.len() {
            let Some(child) = self.children.get_mut(index).filter(|child| child.state == State::Running) else {
                continue;
            };
            let Some(limit) = child.component.heartbeat else { continue };
            // The first tick after a sign of life is anywhere between nothing and a whole one.
            if child.silent >= limit.saturating_add(TICK) {
                log!("{} has not answered for {limit} ms and is stopped", child.component.name);
                self.end(index, End::Silent);
                continue;
            }
            child.silent = child.silent.saturating_add(TICK);
            child.wake();
        }
    }
}
