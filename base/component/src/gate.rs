//! Entering the kernel through the platform's gate.
//!
//! This is the only module that knows where the gate and the IPC buffer are. On the host there is no gate: every call is refused, so that
//! components compile and their libraries can be tested there.

use abi::{Info, IpcBuffer};

/// Registers of a message: r0, the info word, and the first four words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    /// Slot to send to; received: badge.
    pub slot: u32,
    /// Description of the message.
    pub info: Info,
    /// First four words.
    pub words: [u32; 4],
}

#[cfg(target_os = "none")]
mod target {
    use super::{Info, IpcBuffer, Registers};
    use abi::{GATE_BASE, GATE_MAGIC, GATE_VERSION, Gate};
    use core::arch::asm;
    use core::mem::offset_of;
    use core::ptr::with_exposed_provenance;

    #[inline(always)]
    fn gate() -> &'static Gate {
        // SAFETY: the platform maps the gate read-only at this address before the component's first instruction and
        // never unmaps it; the structure is plain data of a fixed layout.
        unsafe { &*with_exposed_provenance::<Gate>(GATE_BASE) }
    }

    /// Whether the platform's gate is the one this program was built for.
    pub(crate) fn is_compatible() -> bool {
        gate().magic == GATE_MAGIC && gate().version == GATE_VERSION
    }

    /// Enters the kernel through the function at offset `FUNCTION` of the gate.
    ///
    /// Three instructions more than entering it directly: a load, a branch, and the function's return; and one for the gate's
    /// address where the compiler does not have it at hand.
    #[inline(always)]
    fn message<const FUNCTION: usize>(message: Registers) -> Registers {
        let [mut w0, mut w1, mut w2, mut w3] = message.words;
        let (mut slot, mut info) = (message.slot, message.info.0);
        // SAFETY: the gate is mapped as in `gate`. Its message functions keep all registers but those named here, and touch no memory of
        // this program except the IPC buffer, which is only accessed through raw pointers; `memory` effects are assumed by default.
        unsafe {
            asm!(
                "ldr lr, [{gate}, #{function}]",
                "blx lr",
                gate = in(reg) GATE_BASE,
                function = const FUNCTION,
                inout("r0") slot, inout("r1") info,
                inout("r2") w0, inout("r3") w1, inout("r4") w2, inout("r5") w3,
                out("r7") _, out("lr") _,
            );
        }
        Registers { slot, info: Info(info), words: [w0, w1, w2, w3] }
    }

    /// Sends and waits for the reply.
    #[inline(always)]
    pub fn call(registers: Registers) -> Registers {
        message::<{ offset_of!(Gate, call) }>(registers)
    }

    /// Sends without expecting a reply.
    pub fn send(registers: Registers) {
        message::<{ offset_of!(Gate, send) }>(registers);
    }

    /// Waits for a message or a signal.
    #[inline(always)]
    pub fn recv(slot: u32) -> Registers {
        message::<{ offset_of!(Gate, recv) }>(Registers { slot, ..Registers::default() })
    }

    /// Answers the last caller and waits for the next message or signal.
    #[inline(always)]
    pub fn reply_recv(registers: Registers) -> Registers {
        message::<{ offset_of!(Gate, reply_recv) }>(registers)
    }

    /// Enters the kernel through the function at offset `FUNCTION` of the gate, which takes and returns one word.
    #[inline(always)]
    fn short<const FUNCTION: usize>(mut word: u32) -> u32 {
        // SAFETY: as in `message`.
        unsafe {
            asm!(
                "ldr lr, [{gate}, #{function}]",
                "blx lr",
                gate = in(reg) GATE_BASE,
                function = const FUNCTION,
                inout("r0") word,
                out("r1") _, out("r2") _, out("r3") _, out("r4") _, out("r5") _, out("r7") _, out("lr") _,
            );
        }
        word
    }

    /// Signals a notification.
    #[inline]
    pub fn signal(slot: u32) {
        short::<{ offset_of!(Gate, signal) }>(slot);
    }

    /// Waits for a notification and returns its badge.
    #[inline]
    pub fn wait(slot: u32) -> u32 {
        short::<{ offset_of!(Gate, wait) }>(slot)
    }

    /// Takes a notification's badge, 0 if nothing was signalled.
    #[inline]
    pub fn poll(slot: u32) -> u32 {
        short::<{ offset_of!(Gate, poll) }>(slot)
    }

    /// Gives up the rest of the time slice.
    #[inline]
    pub fn yield_now() {
        short::<{ offset_of!(Gate, yield_now) }>(0);
    }

    /// Lets an interrupt happen again; 0, or 1 if the kernel refused.
    #[inline]
    pub fn irq_ack(slot: u32) -> u32 {
        short::<{ offset_of!(Gate, irq_ack) }>(slot)
    }

    macro_rules! functions {
        ($($(#[$doc:meta])* $name:ident($($argument:ident),*);)*) => {
            $(
                $(#[$doc])*
                #[inline]
                pub fn $name($($argument: u32),*) -> u32 {
                    // SAFETY: the gate holds the address of a function with this signature and the procedure call standard.
                    let function = unsafe {
                        core::mem::transmute::<usize, extern "C" fn($(functions!(@type $argument)),*) -> u32>(gate().$name as usize)
                    };
                    function($($argument),*)
                }
            )*
        };
        (@type $argument:ident) => { u32 };
    }

    functions! {
        /// Sets where an interrupt signals.
        irq_bind(irq, notification);
        /// Copies an endpoint or notification with a badge.
        mint(destination, source, badge);
        /// Copies a capability.
        copy(destination, source);
        /// Empties a slot.
        delete(slot);
        /// Takes back all copies of a capability.
        revoke(slot);
        /// Keeps the right to answer the last caller in a slot.
        save_reply(slot);
        /// Lets requests fail that were sent with the badge of an endpoint and not received yet.
        cancel_sends(slot);
        /// Address of the calling thread's IPC buffer.
        ipc_buffer();
    }

    pub(crate) fn buffer() -> *mut IpcBuffer {
        core::ptr::with_exposed_provenance_mut(ipc_buffer() as usize)
    }
}

#[cfg(not(target_os = "none"))]
#[allow(missing_docs, reason = "stand-ins for the target's functions")]
mod host {
    use super::{Info, IpcBuffer, Registers};
    use core::cell::UnsafeCell;

    const REFUSED: u32 = u32::MAX;

    pub fn call(registers: Registers) -> Registers {
        Registers { info: Info::new(session::Error::Kernel as u32, 0, 0), ..registers }
    }

    macro_rules! refused {
        ($($name:ident($($argument:ident),*);)*) => { $(pub fn $name($($argument: u32),*) -> u32 { $(let _ = $argument;)* REFUSED })* };
    }

    refused! {
        wait(slot); poll(slot); irq_ack(slot); irq_bind(irq, notification);
        mint(destination, source, badge); copy(destination, source); delete(slot); revoke(slot); save_reply(slot);
        cancel_sends(slot);
    }

    struct Buffer(UnsafeCell<IpcBuffer>);
    // SAFETY: the stand-in is only there so that code compiles; nothing on the host waits in a kernel, and what is written
    // is never read by another thread for its meaning.
    unsafe impl Sync for Buffer {}
    static BUFFER: Buffer = Buffer(UnsafeCell::new(IpcBuffer {
        tag: 0,
        words: [0; abi::MESSAGE_WORDS],
        user_data: 0,
        caps: [0; 3],
        receive_cnode: 0,
        receive_index: 0,
        receive_depth: 0,
    }));

    pub(crate) fn buffer() -> *mut IpcBuffer {
        BUFFER.0.get()
    }

    pub fn send(_: Registers) {}
    pub fn signal(_: u32) {}
    pub fn yield_now() {}
    pub fn recv(_: u32) -> Registers {
        Registers::default()
    }
    pub fn reply_recv(_: Registers) -> Registers {
        Registers::default()
    }
}

#[cfg(not(target_os = "none"))]
pub use host::*;
#[cfg(target_os = "none")]
pub use target::*;

/// Writes word `index` (4 and up) of the next message.
pub(crate) fn set_word(index: usize, word: u32) {
    if index < abi::MESSAGE_WORDS {
        // SAFETY: the IPC buffer is mapped for the life of the thread, `index` is within the array, and nobody holds a
        // reference into the buffer.
        unsafe { (&raw mut (*buffer()).words).cast::<u32>().add(index).write_volatile(word) }
    }
}

/// Word `index` (4 and up) of the last message.
pub(crate) fn word(index: usize) -> u32 {
    if index < abi::MESSAGE_WORDS {
        // SAFETY: as in `set_word`.
        unsafe { (&raw const (*buffer()).words).cast::<u32>().add(index).read_volatile() }
    } else {
        0
    }
}

/// Sets capability `index` (below 3) of the next message.
pub(crate) fn set_cap(index: usize, slot: u32) {
    if index < 3 {
        // SAFETY: as in `set_word`.
        unsafe { (&raw mut (*buffer()).caps).cast::<u32>().add(index).write_volatile(slot) }
    }
}

/// Sets where the next received capability goes.
pub fn set_receive(slot: u32) {
    let buffer = buffer();
    // SAFETY: as in `set_word`.
    unsafe {
        (&raw mut (*buffer).receive_cnode).write_volatile(abi::slot::SELF);
        (&raw mut (*buffer).receive_index).write_volatile(slot);
        (&raw mut (*buffer).receive_depth).write_volatile(32);
    }
}
