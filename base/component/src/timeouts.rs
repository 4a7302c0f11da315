//! Timeouts in any number, over one Timer session.
//!
//! # Theory of operation
//!
//! A session with the timer has one timeout. Whoever needs more has a queue of its own, in its own memory: a binary heap of numbers, and for each
//! number its place in the heap, so that a timeout can be moved or cancelled as cheaply as it is set. Everything but
//! [`earliest`](Timeouts::earliest), which is immediate, takes at most about two times log2 of the number of pending timeouts steps.
//! [`Timeouts`] is that queue and does not know what time it is; [`Timers`] sets the session's timeout to the earliest of them.

use session::{Error as SessionError, timer};
use thiserror::Error;

use crate::cap::Capability;
use crate::signal::Signal;
use crate::timer::open_timer;

/// A timeout's number is not below the queue's capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("timeout {number} of {capacity}; there are no more at a time")]
pub struct NoSuchTimeout {
    /// The number asked for.
    pub number: usize,
    /// How many there can be.
    pub capacity: usize,
}

/// A timeout that has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired {
    /// Its number.
    pub number: usize,
    /// How often it has passed: 1, or more for a periodic timeout that was looked at late.
    pub times: u64,
}

#[derive(Clone, Copy, Debug)]
struct Timeout {
    deadline: u64,
    /// 0 for a single timeout.
    period: u64,
    /// Place in the heap.
    place: usize,
}

/// Up to `N` pending timeouts, which are numbered from 0.
///
/// Times are microseconds of any one monotonic clock.
#[derive(Clone, Debug)]
pub struct Timeouts<const N: usize> {
    /// Numbers. The one at place `i` is due no later than those at `2i + 1` and `2i + 2`.
    heap: heapless::Vec<usize, N>,
    pending: [Option<Timeout>; N],
}

impl<const N: usize> Default for Timeouts<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Timeouts<N> {
    /// No timeouts.
    pub const fn new() -> Self {
        Self { heap: heapless::Vec::new(), pending: [None; N] }
    }

    /// The earliest deadline: when to look for [`expired`](Self::next_expired) timeouts again.
    pub fn earliest(&self) -> Option<u64> {
        self.heap.first().map(|&number| self.deadline_of(number))
    }

    /// How many timeouts are pending.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether no timeout is pending.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// Sets timeout `number`, in place of the one it had.
    ///
    /// # Errors
    /// [`NoSuchTimeout`] if `number` is not below `N`.
    pub fn set_once(&mut self, number: usize, deadline: u64) -> Result<(), NoSuchTimeout> {
        self.set(number, deadline, 0)
    }

    /// Sets timeout `number` so that it passes at `first` and then every `period` microseconds, in
    /// place of the one it had. A period of 0 counts as 1.
    ///
    /// # Errors
    /// [`NoSuchTimeout`] if `number` is not below `N`.
    pub fn set_periodic(&mut self, number: usize, first: u64, period: u64) -> Result<(), NoSuchTimeout> {
        self.set(number, first, period.max(1))
    }

    fn set(&mut self, number: usize, deadline: u64, period: u64) -> Result<(), NoSuchTimeout> {
        let slot = self.pending.get_mut(number).ok_or(NoSuchTimeout { number, capacity: N })?;
        let place = if let Some(timeout) = slot {
            timeout.deadline = deadline;
            timeout.period = period;
            timeout.place
        } else {
            let place = self.heap.len();
            *slot = Some(Timeout { deadline, period, place });
            // A number is in the heap once at most, so there is room for all of them.
            let pushed = self.heap.push(number);
            debug_assert!(pushed.is_ok(), "more numbers than there are");
            place
        };
        self.restore(place);
        Ok(())
    }

    /// Forgets timeout `number`; tells whether there was one.
    pub fn cancel(&mut self, number: usize) -> bool {
        let Some(timeout) = self.pending.get_mut(number).and_then(Option::take) else {
            return false;
        };
        self.heap.swap_remove(timeout.place);
        if let Some(&moved) = self.heap.get(timeout.place) {
            self.set_place(moved, timeout.place);
            self.restore(timeout.place);
        }
        true
    }

    /// The next timeout that has passed at `now`, if there is one. A single timeout is gone then; a
    /// periodic one is set to the first multiple of its period after `now`, so that it neither
    /// drifts nor comes in bursts.
    pub fn next_expired(&mut self, now: u64) -> Option<Expired> {
        let &number = self.heap.first()?;
        let timeout = self.pending.get_mut(number)?.as_mut()?;
        let late = now.checked_sub(timeout.deadline)?;
        let Some(periods) = late.checked_div(timeout.period) else {
            self.cancel(number);
            return Some(Expired { number, times: 1 });
        };
        let times = periods.saturating_add(1);
        timeout.deadline = timeout.deadline.saturating_add(timeout.period.saturating_mul(times));
        self.restore(0);
        Some(Expired { number, times })
    }

    fn deadline_of(&self, number: usize) -> u64 {
        match self.pending.get(number) {
            Some(Some(timeout)) => timeout.deadline,
            _ => u64::MAX,
        }
    }

    /// What is compared: equal deadlines pass in the order of their numbers.
    fn key(&self, place: usize) -> Option<(u64, usize)> {
        let &number = self.heap.get(place)?;
        Some((self.deadline_of(number), number))
    }

    fn set_place(&mut self, number: usize, place: usize) {
        if let Some(Some(timeout)) = self.pending.get_mut(number) {
            timeout.place = place;
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        for place in [a, b] {
            if let Some(&number) = self.heap.get(place) {
                self.set_place(number, place);
            }
        }
    }

    /// Moves the number at `place` up or down to where its deadline belongs.
    fn restore(&mut self, mut place: usize) {
        while let Some(parent) = place.checked_sub(1).map(|above| above / 2) {
            if self.key(parent) <= self.key(place) {
                break;
            }
            self.swap(parent, place);
            place = parent;
        }
        loop {
            let children = [2 * place + 1, 2 * place + 2];
            let earliest = children.into_iter().filter_map(|child| Some((self.key(child)?, child))).min();
            match earliest {
                Some((key, child)) if Some(key) < self.key(place) => {
                    self.swap(place, child);
                    place = child;
                }
                _ => break,
            }
        }
    }
}

/// A Timer session with up to `N` timeouts. Times are in microseconds, of the timer's clock.
#[derive(Debug)]
pub struct Timers<'q, const N: usize> {
    clock: timer::Client<Capability>,
    queue: &'q mut Timeouts<N>,
    /// What the session's timeout is set to.
    armed: Option<u64>,
}

impl<'q, const N: usize> Timers<'q, N> {
    /// Opens a session for the timeouts of `queue`; `signal` is raised when one may have passed.
    ///
    /// # Errors
    /// Those of [`open_timer`].
    pub fn open(queue: &'q mut Timeouts<N>, signal: Signal) -> Result<Self, SessionError> {
        Ok(Self { clock: open_timer(signal)?, queue, armed: None })
    }

    /// The time.
    ///
    /// # Errors
    /// [`Gone`](SessionError::Gone) if the timer is.
    pub fn now(&self) -> Result<u64, SessionError> {
        self.clock.now()
    }

    /// The timeouts, to be set and cancelled; [`arm`](Self::arm) makes it known to the timer.
    pub fn queue(&mut self) -> &mut Timeouts<N> {
        self.queue
    }

    /// Sets the session's timeout to the earliest one, if it is not already.
    ///
    /// # Errors
    /// [`Gone`](SessionError::Gone) if the timer is.
    pub fn arm(&mut self) -> Result<(), SessionError> {
        let earliest = self.queue.earliest();
        if earliest != self.armed {
            match earliest {
                Some(time) => self.clock.set(time).map(drop)?,
                None => self.clock.cancel()?,
            }
            self.armed = earliest;
        }
        Ok(())
    }

    /// The next timeout that has passed at `now`; to be called after a signal until there is none, which also [arms](Self::arm) the session again.
    ///
    /// # Errors
    /// [`Gone`](SessionError::Gone) if the timer is.
    pub fn next_expired(&mut self, now: u64) -> Result<Option<Expired>, SessionError> {
        let expired = self.queue.next_expired(now);
        if expired.is_none() {
            // A timeout that has been signalled is not set any more, even if it was meant for the same time.
            if self.armed.is_some_and(|armed| armed <= now) {
                self.armed = None;
            }
            self.arm()?;
        }
        Ok(expired)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::collections::BTreeMap;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    const COUNT: usize = 9;

    #[derive(Clone, Debug)]
    enum Step {
        Once(usize, u64),
        Periodic(usize, u64, u64),
        Cancel(usize),
        Advance(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let time = || prop_oneof![8 => 0..200_u64, 1 => any::<u64>(), 1 => Just(u64::MAX)];
        prop_oneof![
            4 => (0..COUNT + 1, time()).prop_map(|(number, at)| Step::Once(number, at)),
            3 => (0..COUNT + 1, time(), time())
                .prop_map(|(number, at, period)| Step::Periodic(number, at, period)),
            2 => (0..COUNT + 1).prop_map(Step::Cancel),
            3 => (0..100_u64).prop_map(Step::Advance),
        ]
    }

    fn check(timeouts: &Timeouts<COUNT>, model: &BTreeMap<usize, (u64, u64)>) {
        assert_eq!(timeouts.earliest(), model.values().map(|&(deadline, _)| deadline).min());
        assert_eq!(timeouts.len(), model.len());
        assert_eq!(timeouts.is_empty(), model.is_empty());
        for (place, &number) in timeouts.heap.iter().enumerate() {
            assert_eq!(timeouts.pending[number].unwrap().place, place);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn behaves_like_a_sorted_map(steps in prop::collection::vec(step(), 0..80)) {
            let mut timeouts = Timeouts::<COUNT>::new();
            let mut model = BTreeMap::new();
            let mut now = 0;
            for step in steps {
                match step {
                    Step::Once(number, at) => {
                        let known = number < COUNT;
                        prop_assert_eq!(timeouts.set_once(number, at).is_ok(), known);
                        known.then(|| model.insert(number, (at, 0)));
                    }
                    Step::Periodic(number, at, period) => {
                        let known = number < COUNT;
                        prop_assert_eq!(timeouts.set_periodic(number, at, period).is_ok(), known);
                        known.then(|| model.insert(number, (at, period.max(1))));
                    }
                    Step::Cancel(number) => {
                        prop_assert_eq!(timeouts.cancel(number), model.remove(&number).is_some());
                    }
                    Step::Advance(by) => {
                        now += by;
                        let mut due: Vec<_> = model
                            .iter()
                            .filter(|&(_, &(deadline, _))| deadline <= now)
                            .map(|(&number, &(deadline, period))| (deadline, number, period))
                            .collect();
                        due.sort_unstable();
                        for (deadline, number, period) in due {
                            let mut times = 1;
                            if period == 0 {
                                model.remove(&number);
                            } else {
                                let mut next = u128::from(deadline) + u128::from(period);
                                while next <= u128::from(now) {
                                    next += u128::from(period);
                                    times += 1;
                                }
                                let next = u64::try_from(next).unwrap_or(u64::MAX);
                                model.insert(number, (next, period));
                            }
                            prop_assert_eq!(
                                timeouts.next_expired(now),
                                Some(Expired { number, times })
                            );
                        }
                        prop_assert_eq!(timeouts.next_expired(now), None);
                    }
                }
                check(&timeouts, &model);
            }
        }
    }

    #[test]
    fn a_number_beyond_the_capacity_is_an_error() {
        let mut timeouts = Timeouts::<2>::new();
        let error = NoSuchTimeout { number: 2, capacity: 2 };
        assert_eq!(timeouts.set_once(2, 5), Err(error));
        assert!(timeouts.is_empty());
        assert!(!timeouts.cancel(2));
    }

    #[test]
    fn a_late_periodic_timeout_comes_once_and_keeps_its_phase() {
        let mut timeouts = Timeouts::<1>::new();
        timeouts.set_periodic(0, 100, 10).unwrap();
        assert_eq!(timeouts.next_expired(99), None);
        assert_eq!(timeouts.next_expired(100), Some(Expired { number: 0, times: 1 }));
        assert_eq!(timeouts.earliest(), Some(110));
        assert_eq!(timeouts.next_expired(137), Some(Expired { number: 0, times: 3 }));
        assert_eq!(timeouts.next_expired(137), None);
        assert_eq!(timeouts.earliest(), Some(140));
    }
}
