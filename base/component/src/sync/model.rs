//! The locks' protocol in every order in which the steps of some threads can come.
//!
//! A lock is one word and a condition another, and each step of a thread is one atomic operation on one of them, or one on the token that a thread parks
//! at. So what several threads can do is a finite graph. The tests walk all of it: in no state two threads hold the lock, and every
//! state from which nobody can go on is one in which all are done.
//!
//! The words change by the very functions that the locks use; what the model repeats is their order. All operations on a word are in one order in
//! the model as they are in the processor's; what the lock guards is ordered by acquire and release, which the model takes for granted.

extern crate std;

use std::collections::HashSet;
use std::vec;

use super::{LOCKED, WAITERS, enter, leave, take_out, turn};

const THREADS: usize = 3;

/// What a thread does, in terms of the locks' interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Act {
    Lock,
    Unlock,
    /// Waits for the condition as long as there is nothing to be taken.
    WaitForItem,
    Take,
    Put,
    NotifyOne,
    NotifyAll,
}

/// Where a thread is within an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    Begin,
    /// Tries to lock, or enters its bit.
    Enter,
    /// Waits for its token, to go on with the lock.
    ParkForLock,
    /// Somebody may wait for the lock.
    Leave,
    /// Wakes that thread.
    Unpark(u32),
    /// Wakes those threads.
    UnparkAll(u32),
    /// Looks whether it has been noticed.
    Look,
    /// Waits for its token, to go on with the condition.
    ParkForNotice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Thread {
    act: usize,
    step: Step,
    /// Waiting for the condition consists of an unlock, the wait, and a lock.
    inner: Option<Act>,
    token: bool,
    holds: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct World {
    lock: u32,
    waiters: u32,
    items: u32,
    threads: [Thread; THREADS],
}

impl World {
    fn new() -> Self {
        let thread = Thread { act: 0, step: Step::Begin, inner: None, token: false, holds: false };
        Self { lock: 0, waiters: 0, items: 0, threads: [thread; THREADS] }
    }

    /// One step of a thread; `None` if it cannot go on now.
    fn step(mut self, number: usize, programs: &[&[Act]; THREADS]) -> Option<Self> {
        let current = number as u32;
        let own = 1 << current;
        let thread = &mut self.threads[number];
        let outer = *programs[number].get(thread.act)?;
        let act = thread.inner.unwrap_or(outer);
        let mut unparked = 0;
        // `None`: the act is done.
        let next = match (act, thread.step) {
            (Act::Lock, Step::Begin) if self.lock == 0 => {
                self.lock = LOCKED;
                thread.holds = true;
                None
            }
            (Act::Lock, Step::Begin) => Some(Step::Enter),
            (Act::Lock, Step::Enter) => {
                let before = self.lock;
                self.lock = enter(before, own);
                thread.holds = before & LOCKED == 0;
                (!thread.holds).then_some(Step::ParkForLock)
            }
            (Act::Lock, Step::ParkForLock) => {
                core::mem::take(&mut thread.token).then_some(())?;
                Some(Step::Enter)
            }
            (Act::Unlock, Step::Begin) => {
                thread.holds = false;
                if self.lock == LOCKED {
                    self.lock = 0;
                    None
                } else {
                    // Nothing has been given up yet.
                    thread.holds = true;
                    Some(Step::Leave)
                }
            }
            (Act::Unlock, Step::Leave) => {
                let waiters = self.lock & WAITERS;
                self.lock = leave(self.lock, current);
                thread.holds = false;
                (waiters != 0).then(|| Step::Unpark(turn(waiters, current)))
            }
            (_, Step::Unpark(target)) => {
                unparked = 1 << target;
                None
            }
            (_, Step::UnparkAll(targets)) => {
                unparked = targets & targets.wrapping_neg();
                let rest = targets & !unparked;
                (rest != 0).then_some(Step::UnparkAll(rest))
            }
            (Act::WaitForItem, Step::Begin) if self.items > 0 => None,
            (Act::WaitForItem, Step::Begin) => {
                self.waiters |= own;
                thread.inner = Some(Act::Unlock);
                Some(Step::Begin)
            }
            (Act::WaitForItem, Step::Look) if self.waiters & own == 0 => {
                thread.inner = Some(Act::Lock);
                Some(Step::Begin)
            }
            (Act::WaitForItem, Step::Look) => Some(Step::ParkForNotice),
            (Act::WaitForItem, Step::ParkForNotice) => {
                core::mem::take(&mut thread.token).then_some(())?;
                Some(Step::Look)
            }
            (Act::Take, Step::Begin) => {
                assert!(thread.holds && self.items > 0, "an item is taken that is not there: {self:?}");
                self.items -= 1;
                None
            }
            (Act::Put, Step::Begin) => {
                assert!(thread.holds, "an item is put without the lock");
                self.items += 1;
                None
            }
            (Act::NotifyOne, Step::Begin) => {
                let before = self.waiters;
                self.waiters = take_out(before, current);
                (before != 0).then(|| Step::Unpark(turn(before, current)))
            }
            (Act::NotifyAll, Step::Begin) => {
                let before = core::mem::take(&mut self.waiters);
                (before != 0).then_some(Step::UnparkAll(before))
            }
            impossible => panic!("{impossible:?} in {self:?}"),
        };
        match (next, thread.inner, outer) {
            (Some(step), ..) => thread.step = step,
            // The unlock within a wait is done, or the lock at its end: then the condition is looked at again.
            (None, Some(Act::Unlock), Act::WaitForItem) => (thread.inner, thread.step) = (None, Step::Look),
            (None, Some(_), Act::WaitForItem) => (thread.inner, thread.step) = (None, Step::Begin),
            (None, ..) => (thread.act, thread.step) = (thread.act + 1, Step::Begin),
        }
        for (target, thread) in self.threads.iter_mut().enumerate() {
            thread.token |= unparked & 1 << target != 0;
        }
        Some(self)
    }

    fn check(&self) {
        let holders = self.threads.iter().filter(|thread| thread.holds).count();
        assert!(holders <= 1, "two hold the lock: {self:?}");
        assert!(holders == 0 || self.lock & LOCKED != 0, "the lock is held and free: {self:?}");
    }
}

/// Walks all states; returns how many there are.
fn explore(programs: &[&[Act]; THREADS]) -> usize {
    let mut seen = HashSet::from([World::new()]);
    let mut open = vec![World::new()];
    while let Some(world) = open.pop() {
        let mut stuck = true;
        for number in 0..THREADS {
            if let Some(next) = world.step(number, programs) {
                stuck = false;
                next.check();
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
        if stuck {
            let done = world.threads.iter().zip(programs).all(|(thread, program)| thread.act == program.len());
            assert!(done && world.lock == 0 && world.waiters == 0, "nobody can go on: {world:?}");
        }
    }
    seen.len()
}

#[test]
fn three_threads_lock_in_every_order() {
    let program = &[Act::Lock, Act::Unlock, Act::Lock, Act::Unlock, Act::Lock, Act::Unlock][..];
    let states = explore(&[program; THREADS]);
    assert!(states > 3_000, "{states} states are too few to be all");
}

#[test]
fn every_item_arrives_in_every_order() {
    let consumer = &[Act::Lock, Act::WaitForItem, Act::Take, Act::Unlock][..];
    let producer =
        &[Act::Lock, Act::Put, Act::Unlock, Act::NotifyOne, Act::Lock, Act::Put, Act::Unlock, Act::NotifyOne][..];
    let states = explore(&[consumer, producer, consumer]);
    assert!(states > 1_000, "{states} states are too few to be all");
    // A notice within the lock is as good as one outside.
    let within =
        &[Act::Lock, Act::Put, Act::NotifyOne, Act::Unlock, Act::Lock, Act::Put, Act::NotifyOne, Act::Unlock][..];
    explore(&[consumer, within, consumer]);
    let twice =
        &[Act::Lock, Act::WaitForItem, Act::Take, Act::Unlock, Act::Lock, Act::WaitForItem, Act::Take, Act::Unlock][..];
    let once = &[Act::Lock, Act::Put, Act::Unlock, Act::NotifyOne][..];
    explore(&[once, twice, once]);
}

#[test]
fn one_notice_reaches_all_in_every_order() {
    let consumer = &[Act::Lock, Act::WaitForItem, Act::Take, Act::Unlock][..];
    let producer = &[Act::Lock, Act::Put, Act::Put, Act::Unlock, Act::NotifyAll][..];
    explore(&[consumer, producer, consumer]);
}

#[test]
#[should_panic(expected = "nobody can go on")]
fn a_notice_that_is_not_given_is_missed() {
    let consumer = &[Act::Lock, Act::WaitForItem, Act::Take, Act::Unlock][..];
    let forgetful = &[Act::Lock, Act::Put, Act::Unlock][..];
    explore(&[consumer, forgetful, &[]]);
}
