//! Several threads in one component: what they share, what each has of its own, and who runs first.
//!
//! Each check is a line that begins with `ok:`. The scenario `cpu` runs this.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::cell::Cell;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use component::check::check;
use component::sync::{Condvar, Mutex};
use component::thread::{self, JoinHandle, Local, Options, THREADS};
use component::{Account, Env, Error, gate, log, mark};

component::entry!(run);

/// The component's own, as the scenario has it.
const PRIORITY: u32 = 100;
const STACK: u32 = 8192;
/// Threads at a time.
const CREW: usize = 8;
/// How often each of them takes the lock.
const ROUNDS: u32 = 2000;
/// Interval of the measurement of a lock that nobody else wants.
const LOCK: u32 = 16;
/// Interval of the measurement of a thread's start and end.
const THREAD: u32 = 17;
/// Interval of the measurement of a hand-over to another thread and back, through a lock and two conditions.
const HAND_OVER: u32 = 18;

const OPTIONS: Options = Options { stack: STACK, priority: PRIORITY };

fn run(_: Env) -> Result<(), Error> {
    alone();
    exclusion()?;
    conditions()?;
    locals()?;
    priorities()?;
    refusals()?;
    log!("all as it should be");
    Ok(())
}

/// RAM and capabilities in use.
fn balance() -> Result<[u32; 4], Error> {
    let info = Account::own().info()?;
    Ok([info.ram_used, info.ram_lent, info.caps_used, info.caps_lent])
}

/// Measures a lock without company.
fn alone() {
    static COUNT: Mutex<u32> = Mutex::new(0);
    for _ in 0..100 {
        mark::begin::<LOCK>();
        *COUNT.lock() += 1;
        mark::end::<LOCK>();
    }
}

fn join_all<const N: usize>(crew: [Result<JoinHandle<u32>, Error>; N]) -> Result<u32, Error> {
    crew.into_iter().try_fold(0u32, |sum, member| Ok(sum + member?.join()?))
}

/// Many threads take turns at a lock; whoever is interrupted in there leaves two numbers apart.
fn exclusion() -> Result<(), Error> {
    static PAIR: Mutex<(u32, u32)> = Mutex::new((0, 0));
    static APART: AtomicU32 = AtomicU32::new(0);
    fn work() -> u32 {
        for round in 0..ROUNDS {
            let mut pair = PAIR.lock();
            APART.fetch_add(u32::from(pair.0 != pair.1), Ordering::Relaxed);
            pair.0 += 1;
            // Every now and then somebody else gets the processor while this thread holds the lock.
            if round % 16 == 0 {
                gate::yield_now();
            }
            pair.1 += 1;
        }
        ROUNDS
    }
    // The main thread's notification and the page tables of the stacks stay with the component: from here on nothing does.
    join_all([(); CREW].map(|()| thread::spawn(OPTIONS, || 0)))?;
    let before = balance()?;
    let done = join_all([(); CREW].map(|()| thread::spawn(OPTIONS, work)))?;
    let (one, other) = *PAIR.lock();
    check("one at a time", one == done && other == done && APART.load(Ordering::Relaxed) == 0)?;
    for _ in 0..20 {
        mark::begin::<THREAD>();
        let joined = thread::spawn(OPTIONS, || 7u32)?.join()?;
        mark::end::<THREAD>();
        if joined != 7 {
            return check("a thread's result", false);
        }
    }
    check("threads give back what they had", balance()? == before)
}

/// Two threads hand a number back and forth.
fn conditions() -> Result<(), Error> {
    const LAST: u32 = 1000;
    static NUMBER: Mutex<u32> = Mutex::new(0);
    static ODD: Condvar = Condvar::new();
    static EVEN: Condvar = Condvar::new();
    let other = thread::spawn(OPTIONS, || {
        let mut handed = 0;
        while handed < LAST / 2 {
            let mut number = ODD.wait_while(NUMBER.lock(), |number| *number % 2 == 0);
            *number += 1;
            handed += 1;
            drop(number);
            EVEN.notify_one();
        }
        handed
    })?;
    for _ in 0..LAST / 2 {
        mark::begin::<HAND_OVER>();
        *NUMBER.lock() += 1;
        ODD.notify_one();
        drop(EVEN.wait_while(NUMBER.lock(), |number| *number % 2 == 1));
        mark::end::<HAND_OVER>();
    }
    let handed = other.join()?;
    check("every notice has arrived", handed == LAST / 2 && *NUMBER.lock() == LAST)
}

/// Each thread has values of its own.
fn locals() -> Result<(), Error> {
    static VALUE: Local<Cell<u32>> = Local::new([const { Cell::new(0) }; THREADS]);
    fn work() -> u32 {
        let own = thread::current();
        for round in 0..100 {
            VALUE.with(|value| value.set(own * 1000 + round));
            gate::yield_now();
            if VALUE.with(Cell::get) != Some(own * 1000 + round) {
                return 0;
            }
        }
        1
    }
    VALUE.with(|value| value.set(4711));
    let right = join_all([(); CREW].map(|()| thread::spawn(OPTIONS, work)))?;
    check("each thread has values of its own", right == CREW as u32 && VALUE.with(Cell::get) == Some(4711))
}

/// Who has the higher priority runs.
fn priorities() -> Result<(), Error> {
    static LOW: AtomicBool = AtomicBool::new(false);
    static EQUAL: AtomicBool = AtomicBool::new(false);
    let low = thread::spawn(Options { priority: PRIORITY - 1, ..OPTIONS }, || {
        LOW.store(true, Ordering::Relaxed);
        // By now whoever has the same priority as the main thread has run.
        u32::from(EQUAL.load(Ordering::Relaxed))
    })?;
    for _ in 0..50 {
        gate::yield_now();
    }
    check("a lower priority waits", !LOW.load(Ordering::Relaxed))?;
    let equal = thread::spawn(OPTIONS, || {
        EQUAL.store(true, Ordering::Relaxed);
        u32::from(LOW.load(Ordering::Relaxed))
    })?;
    let low_was_first = equal.join()? == 1;
    check("an equal priority goes first", !low_was_first && low.join()? == 1)
}

fn refusals() -> Result<(), Error> {
    let before = balance()?;
    let spawned = |options| thread::spawn(options, || 0).err();
    let above = spawned(Options { priority: PRIORITY + 1, ..OPTIONS });
    check("a priority above the component's is refused", above == Some(Error::Invalid))?;
    let none = spawned(Options { priority: 0, ..OPTIONS });
    check("a priority of 0 is refused", none == Some(Error::Invalid))?;
    let huge = spawned(Options { stack: thread::MAX_STACK + 1, ..OPTIONS });
    check("a stack without room for its guard is refused", huge == Some(Error::Invalid))?;
    // Each with as much as the account could pay for only a few of.
    let mut crew = heapless::Vec::<JoinHandle<u32>, THREADS>::new();
    let poor = loop {
        match thread::spawn(Options { stack: thread::MAX_STACK, ..OPTIONS }, || 1) {
            Ok(member) => {
                let _ = crew.push(member);
            }
            Err(error) => break error,
        }
    };
    check("threads beyond the account are refused", poor == Error::OutOfRam && !crew.is_empty())?;
    for member in crew {
        member.join()?;
    }
    check("refused threads cost nothing", balance()? == before)
}
