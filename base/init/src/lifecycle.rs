//! When a component is started again, and what a changed description means for it. Pure, so that it can be tested by itself.

use crate::description::{Component, Restart};

/// What a component is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It runs.
    Running,
    /// It is stopped, and its servers are letting go of what they do for it.
    Ending,
    /// It waits to be started again.
    Waiting,
    /// It has ended for good.
    Ended,
}

/// Why a component has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with an exit code.
    Exit(u32),
    /// A thread of it has faulted.
    Fault,
    /// It has not answered in time that it is alive.
    Silent,
    /// It keeps what the client of a closed session has paid, and cannot pay for it itself.
    Bankrupt,
    /// It must yield what it was asked for, and does not.
    Unyielding,
    /// It kept the processor from others.
    Hog,
    /// It could not be started.
    Unstartable,
    /// A new description needs another instance of it.
    Changed,
    /// A new description does not name it any more.
    Removed,
    /// The whole system ends.
    Over,
}

impl End {
    /// Whether it counts as a failure of the component.
    pub fn is_failure(self) -> bool {
        match self {
            Self::Exit(code) => code != 0,
            Self::Fault | Self::Silent | Self::Bankrupt | Self::Unyielding | Self::Hog | Self::Unstartable => true,
            Self::Changed | Self::Removed | Self::Over => false,
        }
    }
}

/// What comes after an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It stays ended; its account is kept for the books.
    Stay,
    /// It is started again after that many milliseconds.
    Restart(u32),
    /// It vanishes.
    Remove,
}

/// What comes after an end, for a component that has been restarted by its policy `restarts` times so far.
pub fn next(policy: Option<Restart>, restarts: u32, end: End) -> Next {
    match end {
        End::Changed => Next::Restart(0),
        End::Removed | End::Over => Next::Remove,
        _ => match policy {
            Some(policy) if restarts < policy.limit && (policy.always || end.is_failure()) => {
                Next::Restart(policy.backoff.saturating_mul(1 << restarts.min(6)))
            }
            _ => Next::Stay,
        },
    }
}

/// What a new description changes about a component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// It needs another instance.
    pub restart: bool,
    /// Its routes: whether that needs another instance depends on the sessions that it has.
    pub routes: bool,
    /// Its quota.
    pub quota: bool,
}

/// Compares the old and the new description of a component.
pub fn compare(old: &Component, new: &Component) -> Change {
    Change {
        restart: old.binary != new.binary
            || old.version != new.version
            || old.provides != new.provides
            || old.stack != new.stack
            || old.priority != new.priority,
        routes: old.routes != new.routes,
        quota: (old.ram, old.caps) != (new.ram, new.caps),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::description::{Name, OnExit};

    const POLICY: Restart = Restart { limit: 3, backoff: 100, always: false, audit: false };

    #[test]
    fn failures_are_restarted_up_to_the_limit_with_growing_pauses() {
        let after = |restarts| next(Some(POLICY), restarts, End::Fault);
        assert_eq!([0, 1, 2, 3].map(after), [Next::Restart(100), Next::Restart(200), Next::Restart(400), Next::Stay]);
        let tireless = Restart { limit: u32::MAX, ..POLICY };
        assert_eq!(next(Some(tireless), 1000, End::Silent), Next::Restart(6400));
    }

    #[test]
    fn success_is_restarted_only_on_request() {
        assert_eq!(next(Some(POLICY), 0, End::Exit(0)), Next::Stay);
        assert_eq!(next(Some(POLICY), 0, End::Exit(1)), Next::Restart(100));
        assert_eq!(next(Some(Restart { always: true, ..POLICY }), 0, End::Exit(0)), Next::Restart(100));
        assert_eq!(next(None, 0, End::Fault), Next::Stay);
    }

    #[test]
    fn the_description_goes_before_the_policy() {
        assert_eq!(next(None, 7, End::Changed), Next::Restart(0));
        assert_eq!(next(Some(POLICY), 0, End::Removed), Next::Remove);
        assert_eq!(next(Some(Restart { always: true, ..POLICY }), 0, End::Over), Next::Remove);
    }

    #[test]
    fn only_what_needs_it_restarts() {
        let old = Component {
            name: Name::try_from("a").unwrap(),
            binary: Name::try_from("a").unwrap(),
            version: 0,
            ram: 4096,
            caps: 10,
            priority: 1,
            stack: 4096,
            provides: heapless::Vec::new(),
            routes: heapless::Vec::new(),
            on_exit: OnExit::Ignore,
            restart: None,
            grant: None,
            heartbeat: None,
        };
        assert_eq!(compare(&old, &old), Change::default());
        let more = Component { ram: 8192, ..old.clone() };
        assert_eq!(compare(&old, &more), Change { quota: true, ..Change::default() });
        let newer = Component { version: 1, ..old.clone() };
        assert!(compare(&old, &newer).restart);
        let other = Component { on_exit: OnExit::End, restart: Some(POLICY), ..old.clone() };
        assert_eq!(compare(&old, &other), Change::default());
    }
}
