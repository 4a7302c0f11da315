//! A second thread of this component.

use core::sync::atomic::{AtomicU32, Ordering};

use component::cap::call;
use component::signal::{self, Signal};
use component::{Account, Attached, Domain, Error, NewThread, gate};
use session::core::{SMALL_PAGES, ThreadRequest, WRITE};

use crate::{PAGE, Probe, balance, check};

const DONE: u32 = 2;
const STACK: u32 = 16 * 1024;
const PRIORITY: u32 = 100;
/// Threads made one after the other: each must find what the one before it has given back.
const ROUNDS: u32 = 3;
/// What the second thread is told, so that the answer cannot be there by chance.
const TOLD: u32 = 0x1234_5678;

/// Slot of the signal that the thread raises.
static DONE_SLOT: AtomicU32 = AtomicU32::new(0);
/// Slot of a notification that nobody signals.
static NEVER_SLOT: AtomicU32 = AtomicU32::new(0);
/// What the thread was told.
static HEARD: AtomicU32 = AtomicU32::new(0);
/// What core told the thread about the account: a message too long for registers alone.
static RAM: AtomicU32 = AtomicU32::new(0);
static CAPS_PEAK: AtomicU32 = AtomicU32::new(0);

/// The second thread's program.
extern "C" fn second(told: u32) -> ! {
    HEARD.store(told, Ordering::Relaxed);
    if let Ok(info) = Account::own().info() {
        RAM.store(info.ram, Ordering::Relaxed);
        CAPS_PEAK.store(info.caps_peak, Ordering::Relaxed);
    }
    gate::signal(DONE_SLOT.load(Ordering::Relaxed));
    loop {
        // Until it is destroyed.
        gate::wait(NEVER_SLOT.load(Ordering::Relaxed));
    }
}

/// Starts second threads, waits for what they do, and destroys them.
pub(crate) fn run(probe: &mut Probe) -> Result<(), Error> {
    let account = Account::own();
    let domain = Domain::own();
    let before = balance()?;
    // In an account of its own, because a notification lives as long as its account.
    let purse = account.create_account(4 * PAGE, 4)?;
    let never = purse.create_notification()?;
    let done = Signal::new(DONE).ok_or(Error::Invalid)?;
    let raise = done.capability()?;
    NEVER_SLOT.store(never.slot(), Ordering::Relaxed);
    DONE_SLOT.store(raise.slot(), Ordering::Relaxed);
    let stack = account.create_dataspace(STACK, 0)?;
    let stack_memory = Attached::new(&stack, WRITE, None)?;
    let message = account.create_dataspace(PAGE, SMALL_PAGES)?;
    let message_memory = Attached::new(&message, WRITE, None)?;
    let new = NewThread {
        entry: (second as *const ()).addr() as u32,
        stack: (stack_memory.address() + stack_memory.bytes()) as u32,
        argument: TOLD,
        ipc_buffer: message_memory.address() as u32,
        priority: PRIORITY,
        fault_slot: 0,
    };
    let above = domain.create_thread(NewThread { priority: PRIORITY + 1, ..new });
    probe.refused("thread above the own priority", above, Error::Invalid)?;
    let nowhere = domain.create_thread(NewThread { ipc_buffer: 0xd000_0000, ..new });
    probe.refused("thread with its message buffer nowhere", nowhere, Error::Invalid)?;
    for round in 1..=ROUNDS {
        let thread = domain.create_thread(NewThread { argument: TOLD + round, ..new })?;
        while signal::wait() & done.bit() == 0 {}
        call(thread.slot(), &ThreadRequest::Destroy.encode(), &[])?;
        check_round(round)?;
    }
    drop((stack_memory, message_memory));
    account.free_dataspace(stack)?;
    account.free_dataspace(message)?;
    account.close(purse)?;
    check("the threads have given back what they had", balance()? == before)?;
    probe.go_on()
}

fn check_round(round: u32) -> Result<(), Error> {
    let info = Account::own().info()?;
    let heard = HEARD.swap(0, Ordering::Relaxed) == TOLD + round;
    let ram = RAM.swap(0, Ordering::Relaxed) == info.ram;
    let caps = CAPS_PEAK.swap(0, Ordering::Relaxed) == info.caps_peak;
    check("a second thread has run, called core and raised a signal", heard && ram && caps)
}
