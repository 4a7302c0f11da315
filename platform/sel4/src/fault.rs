//! Fault messages.

use crate::constants as c;

/// A fault of a thread, from the message that the kernel sends in its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Access without a mapping, or against its rights.
    Vm {
        /// Instruction.
        ip: u32,
        /// Address of the access.
        address: u32,
        /// It was an instruction fetch.
        fetch: bool,
        /// Fault status register (ARM ARM B4.1.52).
        status: u32,
    },
    /// Use of a capability that does not exist.
    Cap {
        /// Instruction.
        ip: u32,
        /// Capability pointer.
        address: u32,
    },
    /// An unknown system call.
    UnknownSyscall {
        /// Instruction.
        ip: u32,
        /// Its number.
        number: u32,
    },
    /// Undefined instruction or another exception.
    UserException {
        /// Instruction.
        ip: u32,
        /// The kernel's number for it.
        number: u32,
    },
    /// A kind that this kernel's headers do not name.
    Other(u32),
}

impl Fault {
    /// Decodes a fault message; `word` gives its words.
    pub fn decode(label: u32, word: impl Fn(usize) -> u32) -> Self {
        let word = |index: u32| word(index as usize);
        match label {
            c::FAULT_VM => Self::Vm {
                ip: word(c::VM_FAULT_IP),
                address: word(c::VM_FAULT_ADDRESS),
                fetch: word(c::VM_FAULT_PREFETCH) != 0,
                status: word(c::VM_FAULT_STATUS),
            },
            c::FAULT_CAP => Self::Cap { ip: word(c::CAP_FAULT_IP), address: word(c::CAP_FAULT_ADDRESS) },
            c::FAULT_UNKNOWN_SYSCALL => {
                Self::UnknownSyscall { ip: word(c::UNKNOWN_SYSCALL_IP), number: word(c::UNKNOWN_SYSCALL_NUMBER) }
            }
            c::FAULT_USER_EXCEPTION => {
                Self::UserException { ip: word(c::USER_EXCEPTION_IP), number: word(c::USER_EXCEPTION_NUMBER) }
            }
            other => Self::Other(other),
        }
    }
}
