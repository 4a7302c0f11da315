//! Several threads in one component.
//!
//! # Theory of operation
//!
//! [`spawn`] runs a function in a thread of its own. The thread gets an account of its own, made from the component's, and everything that
//! it consists of is bought from that: stack, message buffer, kernel thread, and the notification that it [parks](Park) at. [`JoinHandle::join`] waits for
//! the function's end, takes its result, and closes the account; so all of it comes back, and the kernel vouches for that.
//!
//! Stacks lie in a part of the address space that nothing else uses, [`SPACING`] bytes apart. Of that, the upper part is the stack and a page with the
//! message buffer behind it; at least [`GUARD`] bytes below the stack are never mapped, so a stack that overflows is a
//! fault ("stack overflow"), not somebody else's damaged memory.
//!
//! Threads have numbers: 0 is the main thread, the others get the lowest that is free. A thread's number is kept in the word
//! of its message buffer that is left to the user; the kernel says where that buffer is, so whoever runs can tell who it is in a few instructions.
//! A [`Local`] is a value for each number.
//!
//! # Priorities and time slices
//!
//! A thread runs at a priority that it is given, at most that of the component. Of those that can run, the kernel runs one with the highest priority,
//! and lets those of the same priority take turns, 10 ms each. A call to a server does not lend the server the caller's
//! priority or the rest of its time: seL4 5.0.0 has no such thing outside its real-time variant (MCS), and this system does not pretend to. When a client calls,
//! the kernel switches straight to the server, which then runs at its own priority and on its own time slice, and back again by the answer. So a
//! server with a priority below its client's makes the client wait for whatever runs in between, and a server above its clients'
//! priorities leaves the kernel's fast path; equal priorities are the rule, and deviations are on purpose.

use core::cell::UnsafeCell;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::sync::atomic::{AtomicU32, Ordering};

use session::Error;
use session::core::{SMALL_PAGES, WRITE};

use crate::cap::Capability;
use crate::gate;
use crate::platform::{Account, Attach, Domain, NewThread};
use crate::sync::Park;

/// Most threads of a component, the main thread included.
pub const THREADS: usize = 24;
/// Bytes from one stack to the next.
pub const SPACING: u32 = 256 * 1024;
/// Least bytes below a stack that are not mapped.
pub const GUARD: u32 = 64 * 1024;
/// Largest stack in bytes.
pub const MAX_STACK: u32 = SPACING - GUARD - PAGE;

const PAGE: u32 = 4096;
/// Where the stacks are: between heap and windows.
const BASE: u32 = 0x0c00_0000;
/// Offset in a thread's last page of what it is to do; the message buffer is before.
const PACKET: u32 = 512;
/// Bytes of an account beyond the stack: the last page, core's bookkeeping, and the page that the kernel's objects share.
const OVERHEAD: u32 = 24 * 1024;
/// Thread, dataspace, notification.
const CAPS: u32 = 4;

const _: () = assert!(BASE as usize + THREADS * SPACING as usize <= abi::WINDOW_BASE);

/// Numbers in use: the main thread's from the start.
static NUMBERS: AtomicU32 = AtomicU32::new(1);
/// Slots of the notifications that threads park at.
static PARKS: [AtomicU32; THREADS] = [const { AtomicU32::new(0) }; THREADS];

/// Number of the calling thread: 0 is the main thread.
pub fn current() -> u32 {
    // SAFETY: the buffer is mapped for the life of the thread, and nobody holds a reference into it. The word is the thread's alone; the
    // kernel does not touch it.
    unsafe { (&raw const (*gate::buffer()).user_data).read_volatile() }
}

/// Parks at the thread's own notification.
#[derive(Debug)]
pub struct ThreadPark;

fn park_slot(number: u32) -> u32 {
    PARKS.get(number as usize).map_or(0, |slot| slot.load(Ordering::Relaxed))
}

impl Park for ThreadPark {
    #[inline]
    fn current() -> u32 {
        current()
    }

    fn park() {
        gate::wait(park_slot(current()));
    }

    fn unpark(number: u32) {
        gate::signal(park_slot(number));
    }
}

/// How to run a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes of its stack, rounded up to 4096; at most [`MAX_STACK`].
    pub stack: u32,
    /// Its priority, at most the component's.
    pub priority: u32,
}

/// The function is running.
const RUNNING: u32 = 0;
/// Its result is there.
const DONE: u32 = 1;
/// Thread n waits for it: this and n.
const JOINED_BY: u32 = 2;

/// What a thread is to do, in its last page.
#[repr(C)]
struct Packet<F, T> {
    /// Runs this packet.
    run: unsafe fn(*mut ()),
    /// Number of the thread.
    number: u32,
    state: AtomicU32,
    function: UnsafeCell<MaybeUninit<F>>,
    result: UnsafeCell<MaybeUninit<T>>,
}

/// The beginning of every [`Packet`].
#[repr(C)]
struct Head {
    run: unsafe fn(*mut ()),
    number: u32,
}

/// What a thread consists of.
#[derive(Debug)]
struct Parts {
    account: Account,
    /// Where its faults go.
    faults: Capability,
    /// Its thread at core.
    thread: Capability,
    /// The notification that it parks at.
    park: Capability,
}

/// A thread, to be waited for. If it is dropped, the thread goes on, and what it consists of comes back only with
/// the component's end.
#[derive(Debug)]
pub struct JoinHandle<T> {
    parts: ManuallyDrop<Parts>,
    number: u32,
    state: *const AtomicU32,
    result: *const T,
}

// SAFETY: the pointers are to the thread's last page, which is mapped until the account is closed, and what they lead to is an
// atomic, and a result that may be sent.
unsafe impl<T: Send> Send for JoinHandle<T> {}

/// Runs `function` in a thread of its own.
///
/// # Errors
/// [`Error::Invalid`]: a stack of more than [`MAX_STACK`] bytes, a priority of 0 or above the component's, or a function or result that does
/// not fit into the rest of a page. [`Error::Busy`]: there are [`THREADS`] already. [`Error::OutOfRam`], [`Error::OutOfCaps`]: the component's account is short.
pub fn spawn<F, T>(options: Options, function: F) -> Result<JoinHandle<T>, Error>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let stack = options.stack.checked_next_multiple_of(PAGE).filter(|stack| (PAGE..=MAX_STACK).contains(stack));
    let stack = stack.ok_or(Error::Invalid)?;
    if size_of::<Packet<F, T>>() > (PAGE - PACKET) as usize || align_of::<Packet<F, T>>() > PACKET as usize {
        return Err(Error::Invalid);
    }
    equip_main()?;
    let number = take_number()?;
    let started = Account::own().create_account(stack + OVERHEAD, CAPS).and_then(|account| {
        match Started::new(&account, number, stack, options.priority, function) {
            Ok(started) => Ok((account, started)),
            Err(error) => Account::own().close(account).and(Err(error)),
        }
    });
    match started {
        Ok((account, Started { faults, thread, park, packet })) => {
            let parts = ManuallyDrop::new(Parts { account, faults, thread, park });
            // SAFETY: `Started::new` has put a packet there, and the pointers stay within it.
            let (state, result) = unsafe { (&raw const (*packet).state, (&raw const (*packet).result).cast()) };
            Ok(JoinHandle { parts, number, state, result })
        }
        Err(error) => {
            give_number(number);
            Err(error)
        }
    }
}

/// A thread that runs.
struct Started<F, T> {
    faults: Capability,
    thread: Capability,
    park: Capability,
    packet: *const Packet<F, T>,
}

impl<F: FnOnce() -> T, T> Started<F, T> {
    fn new(account: &Account, number: u32, stack: u32, priority: u32, function: F) -> Result<Self, Error> {
        let faults = Capability::reserve()?;
        let park = account.create_notification()?;
        let memory = account.create_dataspace(stack + PAGE, SMALL_PAGES)?;
        let end = BASE + (number + 1) * SPACING;
        let address = end - memory.bytes();
        Domain::own().attach_at(&memory, Attach { address, flags: WRITE, ..Attach::default() }, Some(account))?;
        let ipc_buffer = end - PAGE;
        let packet = core::ptr::with_exposed_provenance_mut::<Packet<F, T>>((ipc_buffer + PACKET) as usize);
        // SAFETY: fresh memory is attached there, writeable, aligned and large enough, as `spawn` has checked; nothing refers to it.
        unsafe {
            packet.write(Packet {
                run: run::<F, T>,
                number,
                state: AtomicU32::new(RUNNING),
                function: UnsafeCell::new(MaybeUninit::new(function)),
                result: UnsafeCell::new(MaybeUninit::uninit()),
            });
        }
        if let Some(place) = PARKS.get(number as usize) {
            place.store(park.slot(), Ordering::Relaxed);
        }
        let new = NewThread {
            entry: (enter as *const ()).addr() as u32,
            stack: ipc_buffer,
            argument: ipc_buffer + PACKET,
            ipc_buffer,
            priority,
            fault_slot: faults.slot(),
        };
        let made = Domain::own().create_thread_from(new, Some(account));
        if made.is_err() {
            // SAFETY: the packet was written above, and no thread was made that could take the function.
            drop(unsafe { (*packet).function.get_mut().assume_init_read() });
        }
        Ok(Self { faults, thread: made?, park, packet })
    }
}

/// The first function of every thread.
extern "C" fn enter(packet: u32) -> ! {
    let head = core::ptr::with_exposed_provenance_mut::<Head>(packet as usize);
    // SAFETY: `Started::new` passes the address of a packet, whose beginning this is; `run` is the function for it. The buffer's word is as in `current`.
    unsafe {
        (&raw mut (*gate::buffer()).user_data).write_volatile((*head).number);
        ((*head).run)(head.cast());
    }
    loop {
        // Until whoever joins it destroys it.
        ThreadPark::park();
    }
}

/// Runs the function of a packet and leaves its result there.
///
/// # Safety
/// `packet` is a `Packet<F, T>` with a function in it, and this is called once.
unsafe fn run<F: FnOnce() -> T, T>(packet: *mut ()) {
    let packet = packet.cast::<Packet<F, T>>();
    // SAFETY: by this function's contract the function is there and is taken once. Nobody reads the result before the state says so.
    let state = unsafe {
        let function = (*(*packet).function.get()).assume_init_read();
        let result = function();
        (*(*packet).result.get()).write(result);
        &(*packet).state
    };
    if let Some(number) = state.swap(DONE, Ordering::AcqRel).checked_sub(JOINED_BY) {
        ThreadPark::unpark(number);
    }
}

impl<T> JoinHandle<T> {
    /// The thread's number.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Whether its function has ended.
    pub fn is_finished(&self) -> bool {
        self.state().load(Ordering::Acquire) == DONE
    }

    /// The thread at core, to be stopped or given another priority.
    pub fn thread(&self) -> u32 {
        self.parts.thread.slot()
    }

    fn state(&self) -> &AtomicU32 {
        // SAFETY: the thread's last page is mapped as long as `self` has the account.
        unsafe { &*self.state }
    }

    /// Waits for the end of the function, and returns its result; all that the thread consisted of is back then.
    ///
    /// # Errors
    /// Core has refused to take the thread apart: a defect.
    pub fn join(self) -> Result<T, Error> {
        let joined = JOINED_BY + current();
        if self.state().compare_exchange(RUNNING, joined, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            while self.state().load(Ordering::Acquire) != DONE {
                ThreadPark::park();
            }
        }
        // SAFETY: the function has ended and left its result, which is taken once, because this consumes the handle.
        let result = unsafe { self.result.read() };
        let Parts { account, faults, thread, park } = ManuallyDrop::into_inner(self.parts);
        Account::own().close(account)?;
        drop((faults, thread, park));
        give_number(self.number);
        Ok(result)
    }
}

/// Makes what the main thread parks at, before there is a second thread.
fn equip_main() -> Result<(), Error> {
    let [main, ..] = &PARKS;
    // Only the main thread can be the first to start another, so this is not a race.
    if main.load(Ordering::Relaxed) == 0 {
        let park = Account::own().create_notification()?;
        main.store(park.slot(), Ordering::Relaxed);
        // It lasts as long as the component.
        core::mem::forget(park);
    }
    Ok(())
}

fn take_number() -> Result<u32, Error> {
    let free = |used: u32| {
        let number = used.trailing_ones();
        ((number as usize) < THREADS).then_some(used | 1 << number)
    };
    let before = NUMBERS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free);
    before.map(u32::trailing_ones).map_err(|_| Error::Busy)
}

fn give_number(number: u32) {
    NUMBERS.fetch_and(!(1 << number), Ordering::Relaxed);
}

/// A value for each thread.
///
/// The value of a number that is used again is what the thread before has left.
#[derive(Debug)]
pub struct Local<T>([T; THREADS]);

// SAFETY: each thread reaches its own value alone, see `with`; the values may change their threads, because numbers do.
unsafe impl<T: Send> Sync for Local<T> {}

impl<T> Local<T> {
    /// The values to begin with.
    pub const fn new(values: [T; THREADS]) -> Self {
        Self(values)
    }

    /// Uses the calling thread's value.
    pub fn with<R>(&self, function: impl FnOnce(&T) -> R) -> Option<R> {
        // The reference stays within this call, on this thread: no other thread has the same number meanwhile.
        self.0.get(current() as usize).map(function)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    #[test]
    fn numbers_are_used_again_and_run_out() {
        let first = take_number().unwrap();
        let second = take_number().unwrap();
        assert_ne!(first, second);
        give_number(first);
        assert_eq!(take_number().unwrap(), first);
        let mut taken = Vec::from([first, second]);
        while let Ok(number) = take_number() {
            taken.push(number);
        }
        assert_eq!(taken.len(), THREADS - 1);
        for number in taken {
            give_number(number);
        }
    }
}
