//! The deadlines of all clients, earliest first.
//!
//! A binary heap of client numbers, and for each client its place in the heap, so that a timeout
//! can be moved or cancelled as cheaply as it is set: everything but
//! [`earliest`](Timeouts::earliest), which is immediate, takes at most about two times log2 of the
//! number of pending timeouts steps. Each client has one timeout. Nothing here knows what time it
//! is.

use thiserror::Error;

/// The client's number is not below the queue's capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("client {client} of {capacity}; the timer serves no more clients at a time")]
pub struct NoSuchClient {
    /// The number asked for.
    pub client: usize,
    /// How many clients there can be.
    pub capacity: usize,
}

/// A timeout that has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired {
    /// Whose timeout it is.
    pub client: usize,
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

/// The pending timeouts of up to `N` clients, which are numbered from 0.
///
/// Times are microseconds of any one monotonic clock.
#[derive(Clone, Debug)]
pub struct Timeouts<const N: usize> {
    /// Client numbers. The client at place `i` is due no later than those at `2i + 1` and `2i + 2`.
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
        self.heap.first().map(|&client| self.deadline_of(client))
    }

    /// How many timeouts are pending.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether no timeout is pending.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// Sets the timeout of `client`, in place of the one it had.
    ///
    /// # Errors
    /// [`NoSuchClient`] if `client` is not below `N`.
    pub fn set_once(&mut self, client: usize, deadline: u64) -> Result<(), NoSuchClient> {
        self.set(client, deadline, 0)
    }

    /// Sets a timeout of `client` that passes at `first` and then every `period` microseconds, in
    /// place of the one it had. A period of 0 counts as 1.
    ///
    /// # Errors
    /// [`NoSuchClient`] if `client` is not below `N`.
    pub fn set_periodic(&mut self, client: usize, first: u64, period: u64) -> Result<(), NoSuchClient> {
        self.set(client, first, period.max(1))
    }

    fn set(&mut self, client: usize, deadline: u64, period: u64) -> Result<(), NoSuchClient> {
        let slot = self.pending.get_mut(client).ok_or(NoSuchClient { client, capacity: N })?;
        let place = if let Some(timeout) = slot {
            timeout.deadline = deadline;
            timeout.period = period;
            timeout.place
        } else {
            let place = self.heap.len();
            *slot = Some(Timeout { deadline, period, place });
            // A client is in the heap once at most, so there is room for all of them.
            let pushed = self.heap.push(client);
            debug_assert!(pushed.is_ok(), "more timeouts than clients");
            place
        };
        self.restore(place);
        Ok(())
    }

    /// Forgets the timeout of `client`; tells whether there was one.
    pub fn cancel(&mut self, client: usize) -> bool {
        let Some(timeout) = self.pending.get_mut(client).and_then(Option::take) else {
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
        let &client = self.heap.first()?;
        let timeout = self.pending.get_mut(client)?.as_mut()?;
        let late = now.checked_sub(timeout.deadline)?;
        let Some(periods) = late.checked_div(timeout.period) else {
            self.cancel(client);
            return Some(Expired { client, times: 1 });
        };
        let times = periods.saturating_add(1);
        timeout.deadline = timeout.deadline.saturating_add(timeout.period.saturating_mul(times));
        self.restore(0);
        Some(Expired { client, times })
    }

    fn deadline_of(&self, client: usize) -> u64 {
        match self.pending.get(client) {
            Some(Some(timeout)) => timeout.deadline,
            _ => u64::MAX,
        }
    }

    /// What is compared: equal deadlines pass in the order of client numbers.
    fn key(&self, place: usize) -> Option<(u64, usize)> {
        let &client = self.heap.get(place)?;
        Some((self.deadline_of(client), client))
    }

    fn set_place(&mut self, client: usize, place: usize) {
        if let Some(Some(timeout)) = self.pending.get_mut(client) {
            timeout.place = place;
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        for place in [a, b] {
            if let Some(&client) = self.heap.get(place) {
                self.set_place(client, place);
            }
        }
    }

    /// Moves the client at `place` up or down to where its deadline belongs.
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

#[cfg(test)]
mod tests {
    extern crate std;

    use std::collections::BTreeMap;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    const CLIENTS: usize = 9;

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
            4 => (0..CLIENTS + 1, time()).prop_map(|(client, at)| Step::Once(client, at)),
            3 => (0..CLIENTS + 1, time(), time())
                .prop_map(|(client, at, period)| Step::Periodic(client, at, period)),
            2 => (0..CLIENTS + 1).prop_map(Step::Cancel),
            3 => (0..100_u64).prop_map(Step::Advance),
        ]
    }

    fn check(timeouts: &Timeouts<CLIENTS>, model: &BTreeMap<usize, (u64, u64)>) {
        assert_eq!(timeouts.earliest(), model.values().map(|&(deadline, _)| deadline).min());
        assert_eq!(timeouts.len(), model.len());
        assert_eq!(timeouts.is_empty(), model.is_empty());
        for (place, &client) in timeouts.heap.iter().enumerate() {
            assert_eq!(timeouts.pending[client].unwrap().place, place);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn behaves_like_a_sorted_map(steps in prop::collection::vec(step(), 0..80)) {
            let mut timeouts = Timeouts::<CLIENTS>::new();
            let mut model = BTreeMap::new();
            let mut now = 0;
            for step in steps {
                match step {
                    Step::Once(client, at) => {
                        let known = client < CLIENTS;
                        prop_assert_eq!(timeouts.set_once(client, at).is_ok(), known);
                        known.then(|| model.insert(client, (at, 0)));
                    }
                    Step::Periodic(client, at, period) => {
                        let known = client < CLIENTS;
                        prop_assert_eq!(timeouts.set_periodic(client, at, period).is_ok(), known);
                        known.then(|| model.insert(client, (at, period.max(1))));
                    }
                    Step::Cancel(client) => {
                        prop_assert_eq!(timeouts.cancel(client), model.remove(&client).is_some());
                    }
                    Step::Advance(by) => {
                        now += by;
                        let mut due: Vec<_> = model
                            .iter()
                            .filter(|&(_, &(deadline, _))| deadline <= now)
                            .map(|(&client, &(deadline, period))| (deadline, client, period))
                            .collect();
                        due.sort_unstable();
                        for (deadline, client, period) in due {
                            let mut times = 1;
                            if period == 0 {
                                model.remove(&client);
                            } else {
                                let mut next = u128::from(deadline) + u128::from(period);
                                while next <= u128::from(now) {
                                    next += u128::from(period);
                                    times += 1;
                                }
                                let next = u64::try_from(next).unwrap_or(u64::MAX);
                                model.insert(client, (next, period));
                            }
                            prop_assert_eq!(
                                timeouts.next_expired(now),
                                Some(Expired { client, times })
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
    fn a_client_beyond_the_capacity_is_an_error() {
        let mut timeouts = Timeouts::<2>::new();
        let error = NoSuchClient { client: 2, capacity: 2 };
        assert_eq!(timeouts.set_once(2, 5), Err(error));
        assert!(timeouts.is_empty());
        assert!(!timeouts.cancel(2));
    }

    #[test]
    fn a_late_periodic_timeout_comes_once_and_keeps_its_phase() {
        let mut timeouts = Timeouts::<1>::new();
        timeouts.set_periodic(0, 100, 10).unwrap();
        assert_eq!(timeouts.next_expired(99), None);
        assert_eq!(timeouts.next_expired(100), Some(Expired { client: 0, times: 1 }));
        assert_eq!(timeouts.earliest(), Some(110));
        assert_eq!(timeouts.next_expired(137), Some(Expired { client: 0, times: 3 }));
        assert_eq!(timeouts.next_expired(137), None);
        assert_eq!(timeouts.earliest(), Some(140));
    }
}
