//! Typed capabilities and their invocations.

#![allow(clippy::fn_params_excessive_bools, reason = "the kernel's own signatures")]

use core::marker::PhantomData;

use abi::Info;

#[allow(clippy::wildcard_imports, reason = "the generated code names what it needs")]
use crate::constants::*;
use crate::error::Error;
use crate::syscalls::{self, Registers};

/// A pointer to a capability for an object of kind `T`.
#[derive(Debug, PartialEq, Eq)]
pub struct Cap<T>(u32, PhantomData<T>);

impl<T> Clone for Cap<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Cap<T> {}

impl<T> Cap<T> {
    /// The capability at a pointer, believed to be of kind `T`; the kernel checks each time it is used.
    pub const fn new(pointer: u32) -> Self {
        Self(pointer, PhantomData)
    }

    /// The pointer.
    pub const fn pointer(self) -> u32 {
        self.0
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        $($(#[$doc])* #[derive(Clone, Copy, Debug, PartialEq, Eq)] pub enum $name {})*
    };
}

kinds! {
    /// Untyped memory.
    Untyped,
    /// A thread.
    Tcb,
    /// A capability node.
    CNode,
    /// An endpoint.
    Endpoint,
    /// A notification.
    Notification,
    /// The right to make interrupt handlers.
    IrqControl,
    /// An interrupt handler.
    IrqHandler,
    /// A frame.
    Page,
    /// A second-level translation table.
    PageTable,
    /// An address space.
    PageDirectory,
    /// A pool of address space identifiers.
    AsidPool,
}

/// Registers of a thread, in the kernel's order.
#[derive(Clone, Copy, Debug)]
pub struct UserContext(pub(crate) [u32; USER_CONTEXT_WORDS as usize]);

impl UserContext {
    /// A thread that starts at `pc` in user mode with `sp` and its argument in r0, and that finds its IPC buffer at `ipc_buffer`.
    ///
    /// The address of the IPC buffer is in TPIDRURW. Kernels that do not put it there themselves have that register among those
    /// of a thread.
    #[allow(clippy::indexing_slicing, reason = "offsets within the same structure, evaluated at compile time")]
    pub const fn new(pc: u32, sp: u32, argument: u32, ipc_buffer: u32) -> Self {
        const USER_MODE: u32 = 0x10;
        let mut words = [0; USER_CONTEXT_WORDS as usize];
        words[USER_CONTEXT_PC as usize] = pc;
        words[USER_CONTEXT_SP as usize] = sp;
        words[USER_CONTEXT_CPSR as usize] = USER_MODE;
        words[USER_CONTEXT_R0 as usize] = argument;
        if let Some(index) = USER_CONTEXT_THREAD_ID {
            words[index as usize] = ipc_buffer;
        }
        Self(words)
    }

    /// The registers in the kernel's answer: the first four words of it, the others from the message buffer.
    fn from_answer(first: [u32; 4]) -> Self {
        let mut words = [0; USER_CONTEXT_WORDS as usize];
        for (index, word) in words.iter_mut().enumerate() {
            *word = first.get(index).copied().unwrap_or_else(|| syscalls::word(index));
        }
        Self(words)
    }

    /// r0 to r15, then CPSR.
    #[allow(clippy::indexing_slicing, reason = "offsets within the same structure, evaluated at compile time")]
    pub const fn registers(&self) -> [u32; 17] {
        const ORDER: [u32; 17] = [
            USER_CONTEXT_R0,
            USER_CONTEXT_R1,
            USER_CONTEXT_R2,
            USER_CONTEXT_R3,
            USER_CONTEXT_R4,
            USER_CONTEXT_R5,
            USER_CONTEXT_R6,
            USER_CONTEXT_R7,
            USER_CONTEXT_R8,
            USER_CONTEXT_R9,
            USER_CONTEXT_R10,
            USER_CONTEXT_R11,
            USER_CONTEXT_R12,
            USER_CONTEXT_SP,
            USER_CONTEXT_R14,
            USER_CONTEXT_PC,
            USER_CONTEXT_CPSR,
        ];
        let mut registers = [0; ORDER.len()];
        let mut index = 0;
        while index < ORDER.len() {
            registers[index] = self.0[ORDER[index] as usize];
            index += 1;
        }
        registers
    }

    /// Address of the instruction that comes next.
    #[allow(clippy::indexing_slicing, reason = "an offset within the same structure, evaluated at compile time")]
    pub const fn program_counter(&self) -> u32 {
        self.0[USER_CONTEXT_PC as usize]
    }

    /// Number of the system call and the capability pointer that it was made on, if the thread stands at one.
    #[allow(clippy::indexing_slicing, reason = "offsets within the same structure, evaluated at compile time")]
    pub const fn system_call(&self) -> (u32, u32) {
        (self.0[USER_CONTEXT_R7 as usize], self.0[USER_CONTEXT_R0 as usize])
    }
}

impl Cap<Notification> {
    /// Signals it.
    #[inline]
    pub fn signal(self) {
        syscalls::nb_send(Registers { slot: self.0, ..Registers::default() });
    }
}

/// Calls a kernel object.
fn invoke(service: u32, label: u32, words: &[u32], caps: &[u32]) -> Result<[u32; 4], Error> {
    let mut registers = Registers { slot: service, ..Registers::default() };
    for (index, word) in words.iter().enumerate() {
        match registers.words.get_mut(index) {
            Some(register) => *register = *word,
            None => syscalls::set_word(index, *word),
        }
    }
    for (index, cap) in caps.iter().enumerate() {
        syscalls::set_cap(index, *cap);
    }
    registers.info = Info::new(label, caps.len() as u32, words.len() as u32);
    let answer = syscalls::call(registers);
    Error::check(answer.info.label(), answer.words)
}

include!(concat!(env!("OUT_DIR"), "/invocations.rs"));
