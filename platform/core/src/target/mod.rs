//! Start-up of the root task.
//!
//! # Theory of operation
//!
//! The kernel starts core with all untyped memory, the frames of its own image (with the boot modules behind it) and a description of
//! both. Core first gives its capability space a second level, then enters memory into its books, takes a reserve, and starts init with
//! everything else. From then on it only answers.

mod console;
mod image;
mod kernel;
mod start;

use core::arch::global_asm;
use core::cell::UnsafeCell;

use abi::Info;
use sel4::syscalls::{self, Registers};
use sel4::{BootInfo, Fault as KernelFault, constants as c};
use session::Message;
use session::core::fault;
use zelkova_core::domains::FAULT_BADGE;
use zelkova_core::faults::Fault;
use zelkova_core::serve::{Answer, Capability};

use self::start::Started;

/// Bytes of core's only stack.
const STACK_BYTES: usize = 32 * 1024;

#[repr(C, align(4096))]
struct Stack(UnsafeCell<[u8; STACK_BYTES]>);
// SAFETY: only the start code takes its address, as the stack of the only thread.
unsafe impl Sync for Stack {}
static STACK: Stack = Stack(UnsafeCell::new([0; STACK_BYTES]));

global_asm!(
    ".section .text._start, \"ax\"",
    ".global _start",
    "_start:",
    "ldr sp, ={stack}",
    "add sp, sp, #{size}",
    "b {main}",
    ".ltorg",
    ".previous",
    stack = sym STACK,
    size = const STACK_BYTES,
    main = sym main,
);

extern "C" fn main(boot_info: usize) -> ! {
    // SAFETY: this is what the kernel passed in r0, and core never unmaps it.
    let boot_info = unsafe { BootInfo::at(boot_info) };
    // SAFETY: the kernel says so.
    unsafe { syscalls::announce_ipc_buffer(boot_info.ipc_buffer()) };
    match start::start(boot_info) {
        Ok(started) => serve(started),
        Err(error) => console::emergency(error),
    }
}

fn serve(started: Started) -> ! {
    let Started { mut server, endpoint, root_cnode, receive } = started;
    syscalls::set_receive(root_cnode, receive.node(), u32::from(32 - zelkova_core::kernel::SECOND_BITS));
    let mut incoming = syscalls::recv(endpoint);
    loop {
        let badge = incoming.slot;
        if badge & FAULT_BADGE != 0 {
            incoming = if server.fault(badge, decode_fault(&incoming)) {
                // An empty answer lets the thread do again what it was at.
                syscalls::reply_recv(Registers { slot: endpoint, ..Registers::default() })
            } else {
                // Not answering leaves the thread stopped.
                syscalls::recv(endpoint)
            };
            continue;
        }
        let mut capabilities = heapless::Vec::<Capability, 3>::new();
        let mut received = false;
        for index in 0..incoming.info.caps() as usize {
            let capability = if incoming.info.unwrapped() & 1 << index != 0 {
                Capability::Own(syscalls::cap_badge(index))
            } else {
                received = true;
                Capability::Other(receive)
            };
            // There are at most three.
            let _ = capabilities.push(capability);
        }
        let message = store(&incoming);
        let Answer { message, capability } = server.serve(badge, &message, &capabilities);
        if received {
            server.empty(receive);
        }
        incoming = syscalls::reply_recv(load(endpoint, &message, capability.map(zelkova_core::kernel::Slot::pointer)));
    }
}

fn store(registers: &Registers) -> Message {
    let count = registers.info.words();
    let mut message = Message::from_words(registers.info.label(), registers.words.get(..count.min(4)).unwrap_or(&[]));
    for index in 4..count {
        message.push(syscalls::word(index));
    }
    message
}

fn load(slot: u32, message: &Message, capability: Option<u32>) -> Registers {
    let mut registers = Registers { slot, ..Registers::default() };
    for (index, word) in message.words().iter().enumerate() {
        match registers.words.get_mut(index) {
            Some(register) => *register = *word,
            None => syscalls::set_word(index, *word),
        }
    }
    if let Some(capability) = capability {
        syscalls::set_cap(0, capability);
    }
    registers.info = Info::new(message.label, capability.is_some().into(), message.words().len() as u32);
    registers
}

fn decode_fault(incoming: &Registers) -> Fault {
    let word = |index: usize| incoming.words.get(index).copied().unwrap_or_else(|| syscalls::word(index));
    let (kind, instruction, address) = match KernelFault::decode(incoming.info.label(), word) {
        KernelFault::Vm { ip, address, fetch, status } => return Fault::access(ip, address, fetch, status),
        KernelFault::Cap { ip, address } => (fault::CAPABILITY, ip, address),
        KernelFault::UnknownSyscall { ip, number } => (fault::SYSTEM_CALL, ip, number),
        KernelFault::UserException { ip, number } => (fault::UNDEFINED, ip, number),
        KernelFault::Other(_) => (0, 0, 0),
    };
    Fault { kind, instruction, address, write: false }
}

const _: () = assert!(c::SLOT_BITS == 4, "the sizes of core's own CNodes assume slots of 16 bytes");

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    console::emergency(format_args!("{info}"))
}
