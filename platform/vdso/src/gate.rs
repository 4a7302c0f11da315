//! The gate for this kernel.

use core::arch::global_asm;

use abi::{GATE_MAGIC, GATE_VERSION, slot};
use sel4::{CNode, Cap, Error, IrqHandler, constants as c};

/// Depth at which a component's slots are addressed: its guard takes up the rest.
const DEPTH: u8 = 32;
const SELF: Cap<CNode> = Cap::new(slot::SELF);

/// The table, with the functions' addresses instead of numbers.
#[repr(C)]
struct Table {
    magic: u32,
    version: u32,
    call: unsafe extern "C" fn(),
    send: unsafe extern "C" fn(),
    reply: unsafe extern "C" fn(),
    recv: unsafe extern "C" fn(),
    reply_recv: unsafe extern "C" fn(),
    signal: unsafe extern "C" fn(),
    wait: unsafe extern "C" fn(),
    poll: unsafe extern "C" fn(),
    yield_now: unsafe extern "C" fn(),
    irq_ack: unsafe extern "C" fn(),
    irq_bind: extern "C" fn(u32, u32) -> u32,
    mint: extern "C" fn(u32, u32, u32) -> u32,
    copy: extern "C" fn(u32, u32) -> u32,
    delete: extern "C" fn(u32) -> u32,
    revoke: extern "C" fn(u32) -> u32,
    save_reply: extern "C" fn(u32) -> u32,
    cancel_sends: extern "C" fn(u32) -> u32,
    ipc_buffer: unsafe extern "C" fn(),
}

const _: () = assert!(size_of::<Table>() == size_of::<abi::Gate>());

#[used]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".gate")]
static GATE: Table = Table {
    magic: GATE_MAGIC,
    version: GATE_VERSION,
    call: gate_call,
    send: gate_send,
    reply: gate_reply,
    recv: gate_recv,
    reply_recv: gate_reply_recv,
    signal: gate_signal,
    wait: gate_wait,
    poll: gate_poll,
    yield_now: gate_yield,
    irq_ack: gate_irq_ack,
    irq_bind,
    mint,
    copy,
    delete,
    revoke,
    save_reply,
    cancel_sends,
    ipc_buffer: gate_ipc_buffer,
};

/// Defines functions of a few instructions without a stack frame: what comes before the kernel is entered, the call's number, and what comes
/// after.
macro_rules! enter {
    ($($name:ident = [$($before:literal),*] $number:ident [$($after:literal),*]),* $(,)?) => {
        $(
            global_asm!(
                ".global {name}",
                "{name}:",
                ".cfi_sections .debug_frame",
                ".cfi_startproc",
                $($before,)*
                "mvn r7, #{complement}",
                "swi 0",
                $($after,)*
                "bx lr",
                ".cfi_endproc",
                ".equ irq_ack_info, {ack}",
                name = sym $name,
                complement = const !c::$number,
                ack = const c::LABEL_IRQ_ACK << 12,
            );
        )*
    };
}

unsafe extern "C" {
    fn gate_call();
    fn gate_send();
    fn gate_reply();
    fn gate_recv();
    fn gate_reply_recv();
    fn gate_yield();
    fn gate_signal();
    fn gate_wait();
    fn gate_poll();
    fn gate_irq_ack();
    fn gate_ipc_buffer();
}

enter! {
    gate_call = [] SYS_CALL [],
    gate_send = [] SYS_SEND [],
    gate_reply = [] SYS_REPLY [],
    gate_recv = [] SYS_RECV [],
    gate_reply_recv = [] SYS_REPLY_RECV [],
    gate_yield = [] SYS_YIELD [],
    // An empty message.
    gate_signal = ["mov r1, #0"] SYS_NB_SEND [],
    gate_wait = [] SYS_RECV [],
    gate_poll = [] SYS_NB_RECV [],
    // The label of the answer is the kernel's error, 0 if there is none.
    gate_irq_ack = ["mov r1, #irq_ack_info"] SYS_CALL ["lsrs r0, r1, #12", "movne r0, #1"],
}

global_asm!(
    ".global {name}",
    "{name}:",
    ".cfi_startproc",
    "mrc p15, 0, r0, c13, c0, 2",
    "bx lr",
    ".cfi_endproc",
    name = sym gate_ipc_buffer,
);

fn code(result: Result<(), Error>) -> u32 {
    u32::from(result.is_err())
}

extern "C" fn irq_bind(irq: u32, notification: u32) -> u32 {
    code(Cap::<IrqHandler>::new(irq).set_notification(Cap::new(notification)))
}

extern "C" fn mint(destination: u32, source: u32, badge: u32) -> u32 {
    code(SELF.mint(destination, DEPTH, SELF, source, DEPTH, c::RIGHTS_ALL, c::badge(badge)))
}

extern "C" fn copy(destination: u32, source: u32) -> u32 {
    code(SELF.copy(destination, DEPTH, SELF, source, DEPTH, c::RIGHTS_ALL))
}

extern "C" fn delete(slot: u32) -> u32 {
    code(SELF.delete(slot, DEPTH))
}

extern "C" fn revoke(slot: u32) -> u32 {
    code(SELF.revoke(slot, DEPTH))
}

extern "C" fn save_reply(slot: u32) -> u32 {
    code(SELF.save_caller(slot, DEPTH))
}

extern "C" fn cancel_sends(slot: u32) -> u32 {
    code(SELF.cancel_badged_sends(slot, DEPTH))
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
