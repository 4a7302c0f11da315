//! The gate for this kernel.

use core::arch::global_asm;

use abi::{GATE_MAGIC, GATE_VERSION, slot};
use sel4::syscalls::{self, Registers};
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
    signal: extern "C" fn(u32),
    wait: extern "C" fn(u32) -> u32,
    poll: extern "C" fn(u32) -> u32,
    yield_now: unsafe extern "C" fn(),
    irq_ack: extern "C" fn(u32) -> u32,
    irq_bind: extern "C" fn(u32, u32) -> u32,
    mint: extern "C" fn(u32, u32, u32) -> u32,
    copy: extern "C" fn(u32, u32) -> u32,
    delete: extern "C" fn(u32) -> u32,
    revoke: extern "C" fn(u32) -> u32,
    save_reply: extern "C" fn(u32) -> u32,
    cancel_sends: extern "C" fn(u32) -> u32,
    ipc_buffer: extern "C" fn() -> u32,
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
    signal,
    wait,
    poll,
    yield_now: gate_yield,
    irq_ack,
    irq_bind,
    mint,
    copy,
    delete,
    revoke,
    save_reply,
    cancel_sends,
    ipc_buffer,
};

macro_rules! enter {
    ($($name:ident = $number:expr),* $(,)?) => {
        $(
            global_asm!(
                ".global {name}",
                "{name}:",
                ".cfi_sections .debug_frame",
                ".cfi_startproc",
                "push {{r7, lr}}",
                ".cfi_def_cfa_offset 8",
                ".cfi_offset lr, -4",
                ".cfi_offset r7, -8",
                "mvn r7, #{complement}",
                "swi 0",
                "pop {{r7, pc}}",
                ".cfi_endproc",
                name = sym $name,
                complement = const !$number,
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
}

enter! {
    gate_call = c::SYS_CALL,
    gate_send = c::SYS_SEND,
    gate_reply = c::SYS_REPLY,
    gate_recv = c::SYS_RECV,
    gate_reply_recv = c::SYS_REPLY_RECV,
    gate_yield = c::SYS_YIELD,
}

fn code(result: Result<(), Error>) -> u32 {
    u32::from(result.is_err())
}

extern "C" fn signal(slot: u32) {
    syscalls::nb_send(Registers { slot, ..Registers::default() });
}

extern "C" fn wait(slot: u32) -> u32 {
    syscalls::recv(slot).slot
}

extern "C" fn poll(slot: u32) -> u32 {
    syscalls::nb_recv(slot).slot
}

extern "C" fn irq_ack(slot: u32) -> u32 {
    code(Cap::<IrqHandler>::new(slot).ack())
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

extern "C" fn ipc_buffer() -> u32 {
    syscalls::ipc_buffer().expose_provenance() as u32
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
