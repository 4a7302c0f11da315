//! Locks that do not spin.
//!
//! # Theory of operation
//!
//! A [`Mutex`] is one word: a bit that says that it is locked, and one bit for each thread that waits for it. Who finds it free takes it by one
//! atomic operation, and who leaves it without anybody waiting gives it back by another: neither enters the kernel. Who finds it locked enters its own
//! bit, in the same atomic operation in which it sees that the lock is taken, and then *parks*: it waits at a notification of its own. Who unlocks
//! it clears the bit of one that waits, and *unparks* that thread. A thread that was unparked tries again; another one may have been faster, and then it
//! waits once more. So a wake-up is never lost, and one that comes for nothing does no harm.
//!
//! Among those that wait, the next one behind the thread that unlocks is chosen, in the order of their numbers and beginning again behind the
//! last: nobody is passed over for ever. Priorities play no part, and there is no priority inheritance: a thread that holds a lock can be
//! kept from running by threads of a priority between its own and that of those who wait. So let threads that share a lock have the same
//! priority, or keep what happens under it short.
//!
//! A [`Condvar`] is a word with the bits of those who wait for it.
//!
//! No lock needs a kernel object of its own or can fail to be made. What a thread parks at was made with the thread (see [`crate::thread`]).
//! How threads park is a [trait](Park), so that the same code is tested on the host with the host's threads.

use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU32, Ordering};

use crate::thread::{THREADS, ThreadPark};

/// How threads wait for each other.
pub trait Park {
    /// Number of the calling thread, below [`THREADS`].
    fn current() -> u32;
    /// Waits until somebody unparks the calling thread. It may return without that; an unpark that came before is not lost.
    fn park();
    /// Lets thread `number` go on.
    fn unpark(number: u32);
}

const LOCKED: u32 = 1 << 31;
/// The bits of threads that wait.
const WAITERS: u32 = LOCKED - 1;

const _: () = assert!(THREADS <= 31, "every thread needs a bit beside that of the lock");

/// The waiting thread whose turn it is after `current`, of those in a non-zero set of bits.
const fn turn(waiters: u32, current: u32) -> u32 {
    let behind = waiters & u32::MAX.unbounded_shl(current + 1);
    if behind == 0 { waiters.trailing_zeros() } else { behind.trailing_zeros() }
}

/// What a thread with the bit `own` that wants a lock makes of its word: it takes it, or it enters its bit.
const fn enter(state: u32, own: u32) -> u32 {
    if state & LOCKED == 0 { (state | LOCKED) & !own } else { state | own }
}

/// What the thread `current` that leaves a lock makes of its word: one of those who wait is taken out, and is to be unparked.
const fn leave(state: u32, current: u32) -> u32 {
    take_out(state & WAITERS, current)
}

/// A set of bits without the one whose turn it is.
const fn take_out(waiters: u32, current: u32) -> u32 {
    if waiters == 0 { 0 } else { waiters & !(1 << turn(waiters, current)) }
}

/// A value that one thread at a time may use.
///
/// A thread that locks what it has locked already waits for ever.
#[derive(Debug)]
pub struct Mutex<T, P = ThreadPark> {
    state: AtomicU32,
    park: PhantomData<fn() -> P>,
    value: UnsafeCell<T>,
}

// SAFETY: the lock lets one thread at a time reach the value, so sharing it is moving the value between threads.
unsafe impl<T: Send, P> Sync for Mutex<T, P> {}

/// The right to use the value of a [`Mutex`], until it is dropped.
#[derive(Debug)]
pub struct MutexGuard<'a, T, P: Park = ThreadPark> {
    mutex: &'a Mutex<T, P>,
    /// Whose bit it would be is the locking thread's: the guard stays there.
    here: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives a shared reference to the value and nothing else.
unsafe impl<T: Sync, P: Park> Sync for MutexGuard<'_, T, P> {}

impl<T, P> Mutex<T, P> {
    /// An unlocked mutex.
    pub const fn new(value: T) -> Self {
        Self { state: AtomicU32::new(0), park: PhantomData, value: UnsafeCell::new(value) }
    }

    /// The value, without a lock that nobody else could have.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// The value alone.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T, P: Park> Mutex<T, P> {
    /// Waits until the value can be had.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T, P> {
        if self.state.compare_exchange(0, LOCKED, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.wait();
        }
        MutexGuard { mutex: self, here: PhantomData }
    }

    /// The value, if nobody else has it.
    #[inline]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T, P>> {
        let free = |state| (state & LOCKED == 0).then_some(state | LOCKED);
        let taken = self.state.fetch_update(Ordering::Acquire, Ordering::Relaxed, free);
        taken.is_ok().then(|| MutexGuard { mutex: self, here: PhantomData })
    }

    #[cold]
    fn wait(&self) {
        let own = 1 << P::current();
        loop {
            match self.state.fetch_update(Ordering::Acquire, Ordering::Relaxed, |state| Some(enter(state, own))) {
                Ok(before) if before & LOCKED == 0 => return,
                _ => P::park(),
            }
        }
    }

    #[inline]
    fn unlock(&self) {
        if self.state.compare_exchange(LOCKED, 0, Ordering::Release, Ordering::Relaxed).is_err() {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        let current = P::current();
        let left = self.state.fetch_update(Ordering::Release, Ordering::Relaxed, |state| Some(leave(state, current)));
        let before = left.unwrap_or_default();
        let waiters = before & WAITERS;
        if waiters != 0 {
            P::unpark(turn(waiters, current));
        }
    }
}

impl<T, P: Park> Deref for MutexGuard<'_, T, P> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard exists, so its thread has the lock and nobody else reaches the value.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T, P: Park> DerefMut for MutexGuard<'_, T, P> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`; the exclusive borrow of the guard excludes other references.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T, P: Park> Drop for MutexGuard<'_, T, P> {
    #[inline]
    fn drop(&mut self) {
        self.mutex.unlock();
    }
}

/// A place to wait for a change of what a [`Mutex`] guards.
#[derive(Debug)]
pub struct Condvar<P = ThreadPark> {
    waiters: AtomicU32,
    park: PhantomData<fn() -> P>,
}

impl<P> Condvar<P> {
    /// A place where nobody waits.
    pub const fn new() -> Self {
        Self { waiters: AtomicU32::new(0), park: PhantomData }
    }
}

impl<P> Default for Condvar<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Park> Condvar<P> {
    /// Gives the lock back, waits for a notice, and locks again. A notice that is given once the lock is free is not missed.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T, P>) -> MutexGuard<'a, T, P> {
        let mutex = guard.mutex;
        let own = 1 << P::current();
        self.waiters.fetch_or(own, Ordering::Relaxed);
        drop(guard);
        while self.waiters.load(Ordering::Acquire) & own != 0 {
            P::park();
        }
        mutex.lock()
    }

    /// Waits as long as `condition` holds.
    pub fn wait_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T, P>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T, P> {
        while condition(&mut guard) {
            guard = self.wait(guard);
        }
        guard
    }

    /// Lets one of those who wait go on.
    pub fn notify_one(&self) {
        let current = P::current();
        let one = |waiters: u32| (waiters != 0).then(|| take_out(waiters, current));
        if let Ok(before) = self.waiters.fetch_update(Ordering::Release, Ordering::Relaxed, one) {
            P::unpark(turn(before, current));
        }
    }

    /// Lets all who wait go on.
    pub fn notify_all(&self) {
        let mut waiters = self.waiters.swap(0, Ordering::Release);
        while waiters != 0 {
            let number = waiters.trailing_zeros();
            waiters &= waiters - 1;
            P::unpark(number);
        }
    }
}

#[cfg(test)]
mod model;

#[cfg(test)]
mod tests {
    extern crate std;

    use std::cell::Cell;
    use std::sync::{Condvar as HostCondvar, Mutex as HostMutex};
    use std::thread;
    use std::vec::Vec;

    use super::*;

    /// The host's threads, by number.
    struct Host;

    std::thread_local! {
        static NUMBER: Cell<u32> = const { Cell::new(0) };
    }

    static TOKENS: [(HostMutex<bool>, HostCondvar); THREADS] =
        [const { (HostMutex::new(false), HostCondvar::new()) }; THREADS];
    /// Tests share the numbers of threads, so there is one at a time.
    static ONE_TEST: HostMutex<()> = HostMutex::new(());

    impl Park for Host {
        fn current() -> u32 {
            NUMBER.get()
        }

        fn park() {
            let (token, change) = &TOKENS[NUMBER.get() as usize];
            let mut token = token.lock().unwrap();
            while !*token {
                token = change.wait(token).unwrap();
            }
            *token = false;
        }

        fn unpark(number: u32) {
            let (token, change) = &TOKENS[number as usize];
            *token.lock().unwrap() = true;
            change.notify_one();
        }
    }

    fn with_threads(count: u32, work: impl Fn(u32) + Sync) {
        thread::scope(|scope| {
            for number in 1..=count {
                let work = &work;
                scope.spawn(move || {
                    NUMBER.set(number);
                    work(number);
                });
            }
        });
    }

    #[test]
    fn turns_go_round() {
        assert_eq!(turn(0b1010, 0), 1);
        assert_eq!(turn(0b1010, 1), 3);
        assert_eq!(turn(0b1010, 3), 1);
        assert_eq!(turn(1, 30), 0);
        assert_eq!(turn(1 << 30, 30), 30);
    }

    #[test]
    fn one_at_a_time() {
        let _one = ONE_TEST.lock().unwrap();
        let mutex = Mutex::<(u64, u64), Host>::new((0, 0));
        with_threads(8, |number| {
            for round in 0..5000 {
                let mut value = mutex.lock();
                // Whoever saw the two apart would be in here beside somebody else.
                assert_eq!(value.0, value.1);
                value.0 += 1;
                if (round + number) % 64 == 0 {
                    thread::yield_now();
                }
                value.1 += 1;
            }
        });
        assert_eq!(mutex.into_inner(), (40000, 40000));
    }

    #[test]
    fn a_lock_without_company_stays_one_word() {
        let _one = ONE_TEST.lock().unwrap();
        let mutex = Mutex::<u32, Host>::new(1);
        let guard = mutex.lock();
        assert_eq!(mutex.state.load(Ordering::Relaxed), LOCKED);
        assert!(mutex.try_lock().is_none());
        drop(guard);
        assert_eq!(mutex.state.load(Ordering::Relaxed), 0);
        assert!(mutex.try_lock().is_some());
    }

    #[test]
    fn waiting_threads_come_in_turn() {
        let _one = ONE_TEST.lock().unwrap();
        let mutex = Mutex::<Vec<u32>, Host>::new(Vec::new());
        let guard = mutex.lock();
        thread::scope(|scope| {
            for number in 1..=4 {
                let mutex = &mutex;
                scope.spawn(move || {
                    NUMBER.set(number);
                    mutex.lock().push(number);
                });
            }
            // All four have entered their bits.
            while mutex.state.load(Ordering::Relaxed) != LOCKED | 0b11110 {
                thread::yield_now();
            }
            drop(guard);
        });
        assert_eq!(mutex.into_inner(), [1, 2, 3, 4]);
    }

    #[test]
    fn no_notice_is_missed() {
        const ITEMS: u32 = 3000;
        let _one = ONE_TEST.lock().unwrap();
        let queue = Mutex::<(Vec<u32>, u32), Host>::new((Vec::new(), 0));
        let (filled, emptied) = (Condvar::<Host>::new(), Condvar::<Host>::new());
        let sum = AtomicU32::new(0);
        // Two make items for two others, through a place for a single one.
        with_threads(4, |number| {
            if number <= 2 {
                for item in 1..=ITEMS {
                    let mut guard = emptied.wait_while(queue.lock(), |(items, _)| !items.is_empty());
                    guard.0.push(item);
                    drop(guard);
                    filled.notify_one();
                }
            } else {
                for _ in 1..=ITEMS {
                    let mut guard = filled.wait_while(queue.lock(), |(items, _)| items.is_empty());
                    sum.fetch_add(guard.0.pop().unwrap(), Ordering::Relaxed);
                    guard.1 += 1;
                    drop(guard);
                    emptied.notify_one();
                }
            }
        });
        assert_eq!(queue.into_inner().1, 2 * ITEMS);
        assert_eq!(sum.into_inner(), ITEMS * (ITEMS + 1));
    }

    #[test]
    fn a_notice_to_all_reaches_all() {
        let _one = ONE_TEST.lock().unwrap();
        let started = Mutex::<(bool, u32), Host>::new((false, 0));
        let change = Condvar::<Host>::new();
        with_threads(6, |number| {
            if number == 6 {
                while change.waiters.load(Ordering::Relaxed).count_ones() < 5 {
                    thread::yield_now();
                }
                started.lock().0 = true;
                change.notify_all();
            } else {
                let mut guard = change.wait_while(started.lock(), |(started, _)| !*started);
                guard.1 += 1;
            }
        });
        assert_eq!(started.into_inner(), (true, 5));
    }
}
