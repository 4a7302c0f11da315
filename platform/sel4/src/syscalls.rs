//! System calls.
//!
//! The only assembler of this crate. All calls take and return the registers of a message; what does not fit is in the
//! IPC buffer, which these functions do not touch.

use core::arch::asm;

use abi::{Info, IpcBuffer};

use crate::constants as c;

/// A message in registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    /// Capability pointer; after receiving, the badge.
    pub slot: u32,
    /// Description.
    pub info: Info,
    /// First four words.
    pub words: [u32; 4],
}

#[inline(always)]
fn enter(number: u32, message: Registers) -> Registers {
    let (mut slot, mut info) = (message.slot, message.info.0);
    let [mut w0, mut w1, mut w2, mut w3] = message.words;
    // SAFETY: the kernel preserves all registers but those of the message. It may write this thread's IPC buffer, which is
    // only accessed through raw pointers, and by default the compiler assumes that memory changes.
    unsafe {
        asm!(
            "swi 0",
            in("r7") number,
            inout("r0") slot, inout("r1") info,
            inout("r2") w0, inout("r3") w1, inout("r4") w2, inout("r5") w3,
        );
    }
    Registers { slot, info: Info(info), words: [w0, w1, w2, w3] }
}

/// Sends and waits for the reply.
#[inline(always)]
pub fn call(message: Registers) -> Registers {
    enter(c::SYS_CALL, message)
}

/// Answers the last caller and waits for the next message.
#[inline(always)]
pub fn reply_recv(message: Registers) -> Registers {
    enter(c::SYS_REPLY_RECV, message)
}

/// Waits for a message on an endpoint, or for a notification.
#[inline(always)]
pub fn recv(slot: u32) -> Registers {
    enter(c::SYS_RECV, Registers { slot, ..Registers::default() })
}

/// Takes a waiting message or notification; the badge is 0 if there is none.
#[inline(always)]
pub fn nb_recv(slot: u32) -> Registers {
    enter(c::SYS_NB_RECV, Registers { slot, ..Registers::default() })
}

/// Sends without waiting for a reply; does nothing if nobody waits. Signals a notification.
#[inline(always)]
pub fn nb_send(message: Registers) {
    enter(c::SYS_NB_SEND, message);
}

/// The calling thread's IPC buffer.
///
/// Its address is in TPIDRURW: kernels up to 5.x put it there; later ones leave that register to the thread, and whoever starts
/// a thread sets it ([`UserContext::new`](crate::UserContext::new), [`announce_ipc_buffer`]).
pub fn ipc_buffer() -> *mut IpcBuffer {
    let address: usize;
    // SAFETY: reading TPIDRURW has no effect; the address of the IPC buffer is there.
    unsafe { asm!("mrc p15, 0, {0}, c13, c0, 2", out(reg) address, options(nomem, nostack, preserves_flags)) };
    core::ptr::with_exposed_provenance_mut(address)
}

/// Tells the calling thread where its IPC buffer is, if nobody else did. The root task, which the kernel itself starts, begins with this.
///
/// # Safety
/// `address` is that of the thread's IPC buffer, as the kernel knows it.
pub unsafe fn announce_ipc_buffer(address: u32) {
    // SAFETY: TPIDRURW belongs to the thread. A kernel that uses it itself has put the same address there.
    unsafe { asm!("mcr p15, 0, {0}, c13, c0, 2", in(reg) address, options(nomem, nostack, preserves_flags)) };
}

/// Writes word `index` (4 and up) of the next message.
pub fn set_word(index: usize, word: u32) {
    if index < abi::MESSAGE_WORDS {
        // SAFETY: the kernel gives each thread a valid IPC buffer, and nobody holds a reference into it.
        unsafe { (&raw mut (*ipc_buffer()).words).cast::<u32>().add(index).write_volatile(word) }
    }
}

/// Word `index` (4 and up) of the last message.
pub fn word(index: usize) -> u32 {
    if index < abi::MESSAGE_WORDS {
        // SAFETY: as in `set_word`.
        unsafe { (&raw const (*ipc_buffer()).words).cast::<u32>().add(index).read_volatile() }
    } else {
        0
    }
}

/// Sets capability `index` (below 3) of the next message.
pub fn set_cap(index: usize, slot: u32) {
    if index < 3 {
        // SAFETY: as in `set_word`.
        unsafe { (&raw mut (*ipc_buffer()).caps).cast::<u32>().add(index).write_volatile(slot) }
    }
}

/// Badge of capability `index` (below 3) of the last message, if it was unwrapped.
pub fn cap_badge(index: usize) -> u32 {
    if index < 3 {
        // SAFETY: as in `set_word`.
        unsafe { (&raw const (*ipc_buffer()).caps).cast::<u32>().add(index).read_volatile() }
    } else {
        0
    }
}

/// Sets where the next received capability goes.
pub fn set_receive(cnode: u32, index: u32, depth: u32) {
    let buffer = ipc_buffer();
    // SAFETY: as in `set_word`.
    unsafe {
        (&raw mut (*buffer).receive_cnode).write_volatile(cnode);
        (&raw mut (*buffer).receive_index).write_volatile(index);
        (&raw mut (*buffer).receive_depth).write_volatile(depth);
    }
}
